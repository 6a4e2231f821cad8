"""The built-in rules of curation, one module each: what is in this folder is a rule, and there is no other list."""

from pydantic import create_model

from nomad_assets import plugins
from nomad_assets.profile.fields import Section
from nomad_assets.recipe.curation.rule import KEPT, Rule


def all_rules() -> dict[str, type[Rule]]:
    """The rules by the names of their modules, in the order in which they judge."""
    found = {name: plugins.built_in("rules", name) for name in plugins.built_in_names("rules")}
    return dict(sorted(found.items(), key=lambda entry: (entry[1].stage, entry[1].order, entry[0])))


def reasons() -> dict[str, str]:
    """The reasons of all rules with the sentence on each, in the rules' order. Raises TypeError when two share one."""
    sentences: dict[str, str] = {}
    for name, rule in all_rules().items():
        if shared := sorted({*rule.reasons} & {*sentences, KEPT}):
            raise TypeError(f"rule {name}: its reason {shared[0]!r} is that of another rule")
        sentences |= rule.reasons
    return sentences


def settings_of_all_rules() -> type[Section]:
    """One section with the settings of all rules. Raises TypeError when two rules have a key of one name."""
    rules = all_rules()
    places = {name: rule.order if rule.settings_order is None else rule.settings_order for name, rule in rules.items()}
    ordered = sorted(rules, key=lambda name: (places[name], [*rules].index(name)))
    keys: dict[str, str] = {}
    for name in ordered:
        for key in rules[name].Settings.model_fields:
            if keys.setdefault(key, name) != name:
                raise TypeError(f"rules {keys[key]} and {name}: both have a setting {key!r}")
    # pydantic takes the fields of the last base first.
    bases = [rules[name].Settings for name in reversed(ordered) if rules[name].Settings.model_fields]
    return create_model("RuleSettings", __base__=tuple(bases))

"""Licences as the Hugging Face hub names them in the head of a card."""

import re

# What the hub knows by name; anything else it takes as `other` with a name (its page "Licenses").
LICENCES = frozenset(
    """afl-3.0 agpl-3.0 apache-2.0 artistic-2.0 bigcode-openrail-m bigscience-bloom-rail-1.0 bigscience-openrail-m bsd
    bsd-2-clause bsd-3-clause bsd-3-clause-clear bsl-1.0 c-uda cc cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-nc-2.0
    cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0 cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cc-by-nd-4.0
    cc-by-sa-3.0 cc-by-sa-4.0 cc0-1.0 cdla-permissive-1.0 cdla-permissive-2.0 cdla-sharing-1.0 creativeml-openrail-m
    deepfloyd-if-license ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 gemma gfdl gpl gpl-2.0 gpl-3.0 isc lgpl lgpl-2.1
    lgpl-3.0 lgpl-lr llama2 llama3 llama3.1 llama3.2 llama3.3 lppl-1.3c mit mpl-2.0 ms-pl ncsa odbl odc-by ofl-1.1
    openrail openrail++ osl-3.0 pddl postgresql unlicense wtfpl zlib""".split()
)
FAMILIES = ("gfdl", "odbl", "odc-by", "pddl")  # SPDX names their version, the hub does not


def hub_licence(found: list[str], complete: bool) -> dict[str, str]:
    """`license` of a card, and `license_name` where the hub has no name for it.

    `found` are the licences of what the card's thing was made of, `complete` says whether all of it names one. SPDX's
    "GPL-3.0-only" is the hub's "gpl-3.0", "ODbL-1.0" its "odbl".
    """
    if not found:
        return {"license": "unknown"}
    if not complete or len(found) > 1:
        return {"license": "other", "license_name": "see-below"}
    name = re.sub(r"\s+", "-", found[0].strip().lower())
    versionless = re.sub(r"-[\d.]+$", "", name)
    known = (name, re.sub(r"-only$|-or-later$|\+$", "", name), versionless if versionless in FAMILIES else "")
    for candidate in known:
        if candidate in LICENCES:
            return {"license": candidate}
    return {"license": "other", "license_name": re.sub(r"[^a-z0-9.]+", "-", name).strip("-") or "see-below"}

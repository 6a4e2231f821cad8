"""Benchmarks: local questions, how an answer is scored, and tasks of lm-evaluation-harness made from them.

Worked examples. GSM8K's rule, gold "18":
    "9 * 2 = $18\\n#### 18"       exact_match 1 (official), lm_eval_strict 1, lm_eval_flexible 1
    "She makes $18 a day."         exact_match 0,            lm_eval_strict 0, lm_eval_flexible 1
TriviaQA's rule, accepted answers ("The Nile", "Nile River"):
    "nile"                         exact_match 1 (official drops articles), lm_eval_exact_match 0 (it keeps them)
    "Nile, in Africa"              exact_match 0, lm_eval_exact_match 0 (cut at the comma: "nile" is not "the nile")

Sources: github.com/openai/grade-school-math (`extract_answer`), github.com/mandarjoshi90/triviaqa (`triviaqa_evaluation`),
and the tasks `gsm8k` and `triviaqa` of lm-evaluation-harness 0.4.13.
"""

import re
import string
from collections import Counter
from typing import TYPE_CHECKING

from nomad_assets.errors import NomadError
from nomad_assets.recipe.data.sources import Rows

if TYPE_CHECKING:
    import polars as pl

PRIMARY = "exact_match"
LOG_PROBABILITY = "answer_logprob"
_OFFICIAL_GSM8K = re.compile(r"#### (\-?[0-9\.\,]+)")
_DIGIT = re.compile("[0-9]")
_FLEXIBLE = re.compile(r"(-?[$0-9.,]{2,})|(-?[0-9]+)")
_IGNORED = [re.compile(pattern) for pattern in (",", r"\$", r"(?s)\A.*#### ", r"\.$")]
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_OFFICIAL_PUNCTUATION = str.maketrans({c: " " for c in string.punctuation + "‘’´`"})
_DELETED_PUNCTUATION = str.maketrans("", "", string.punctuation)
_LM_EVAL_STOPS = re.compile(r"[\n.,]")


def primary(metrics: list[str]) -> str:
    """The metric that a benchmark is compared by: exact match, or the first of a task that has none."""
    return PRIMARY if PRIMARY in metrics else metrics[0]


def is_share(metric: "pl.Expr") -> "pl.Expr":
    """Whether values of a metric lie in [0, 1], by its name: ours, and those of lm-evaluation-harness that always do."""
    return metric.str.contains(r"^(exact_match|acc|lm_eval_)|^f1$")


def question_table(name: str, rule: str, rows: Rows) -> "pl.DataFrame":
    """Questions of the BenchmarkQuestions schema: `answers` are accepted, `reference` is the model answer to score.

    Raises NomadError when a row has no answer that the rule can read.
    """
    import polars as pl

    records = []
    for row in rows.rows:
        if rule == "gsm8k":
            number = final_number(row.response)
            if number is None:
                raise NomadError(
                    f"{row.source} row {row.number}: rule gsm8k needs an answer that ends in `#### N`; found {row.response[-60:]!r}"
                )
            answers = [number]
        else:
            answers = list(row.answers or (row.response,))
        # Content ids, so that a question keeps its id when others are added.
        records.append(
            {
                "id": f"{name}-{row.id}",
                "benchmark": name,
                "question": row.prompt,
                "answers": answers,
                "reference": row.response,
            }
        )
    schema = {"id": str, "benchmark": str, "question": str, "answers": pl.List(pl.String), "reference": str}
    return pl.DataFrame(records, schema=schema).unique("id", maintain_order=True)


def final_number(response: str) -> str | None:
    """The number behind `####` by GSM8K's rule, without thousands separators; None where a response has none."""
    match = _OFFICIAL_GSM8K.search(response)
    return match.group(1).replace(",", "") if match and _DIGIT.search(match.group(1)) else None


def score(rule: str, response: str, answers: list[str]) -> dict[str, float]:
    """All metrics of one response under one rule, each in [0, 1]; `exact_match` is the official one."""
    if rule == "gsm8k":
        gold = answers[0]
        official = _OFFICIAL_GSM8K.search(response)
        found = _FLEXIBLE.findall(response)
        flexible = next((part for part in found[-1] if part), "") if found else ""
        return {
            PRIMARY: float(official is not None and official.group(1).replace(",", "") == gold),
            "lm_eval_strict": float(_same_number(official.group(1) if official else "[invalid]", gold)),
            "lm_eval_flexible": float(_same_number(flexible, gold)),
        }
    cut = _LM_EVAL_STOPS.split(response, maxsplit=1)[0]
    return {
        PRIMARY: max(float(normalise_official(response) == normalise_official(answer)) for answer in answers),
        "f1": max(_f1(normalise_official(response), normalise_official(answer)) for answer in answers),
        "lm_eval_exact_match": max(float(_normalise_lm_eval(cut) == _normalise_lm_eval(answer)) for answer in answers),
    }


def _same_number(found: str, gold: str) -> bool:
    for pattern in _IGNORED:
        found, gold = pattern.sub("", found), pattern.sub("", gold)
    return found.lower().strip() == gold.lower().strip()


def normalise_official(text: str) -> str:
    """TriviaQA's own: `_` to space, lower case, punctuation to space, articles dropped, white space folded."""
    words = text.replace("_", " ").lower().translate(_OFFICIAL_PUNCTUATION)
    # "A" or "+" may be the whole answer: dropped, it would equal an empty response.
    return " ".join(_ARTICLES.sub(" ", words).split()) or " ".join(words.split()) or " ".join(text.split())


def _normalise_lm_eval(text: str) -> str:
    return text.strip().lower().translate(_DELETED_PUNCTUATION)


def _f1(found: str, gold: str) -> float:
    a, b = found.split(), gold.split()
    common = sum((Counter(a) & Counter(b)).values())
    if common == 0:
        return 0.0
    precision, recall = common / len(a), common / len(b)
    return 2 * precision * recall / (precision + recall)


def local_task(name: str, rule: str, questions: "pl.DataFrame", max_new_tokens: int) -> dict:
    """A task configuration of lm-evaluation-harness over local questions, answered zero-shot and greedily.

    Generation ends at the model's own end of turn; each rule then cuts the text as its source does.
    """
    from datasets import Dataset

    def dataset(**_: object) -> dict:
        return {"test": Dataset.from_list(questions.to_dicts())}

    def process_results(doc: dict, results: list[str]) -> dict[str, float]:
        return score(rule, results[0], doc["answers"])

    metrics = score(rule, "", ["0"])
    return {
        "task": name,
        "custom_dataset": dataset,
        "test_split": "test",
        "output_type": "generate_until",
        "doc_to_text": "{{question}}",
        "doc_to_target": "{{reference}}",
        "process_results": process_results,
        "generation_kwargs": {"until": [], "do_sample": False, "max_gen_toks": max_new_tokens},
        "metric_list": [{"metric": metric, "aggregation": "mean", "higher_is_better": True} for metric in metrics],
        "metadata": {"version": 1.0},
    }

"""One plug-in of each kind, as a user's package would have them."""

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

from nomad_assets.profile.fields import Section
from nomad_assets.profile.sections import Sampling
from nomad_assets.recipe.curation.rule import Rule, Verdict
from nomad_assets.recipe.generation.engine import Generation, Needs, Request

CAPITALS = {"Peru": "Lima", "France": "Paris", "Japan": "Tokyo"}


def asks(row: dict) -> bool:
    return row["prompt"].endswith("?")


class KnownAnswer(Rule):
    """A verifier as a class, like a built-in rule: settings, a look at whole columns, evidence and a similarity."""

    reasons: ClassVar[dict[str, str]] = {"unknown": "nobody knows"}

    class Settings(Section):
        countries: list[str]

    def suspects(self):
        return self.rows.table["prompt"].str.contains("capital").to_numpy()

    def verdict(self, row: int) -> Verdict | None:
        prompt, response = self.rows.column("prompt")[row], self.rows.column("response")[row]
        wanted = next((CAPITALS[country] for country in self.settings.countries if country in prompt), response)
        return None if response == wanted else Verdict("unknown", wanted, 0.25)


def contains(response: str, answers: list[str]) -> dict[str, float]:
    return {"exact_match": response in answers, "words": len(response.split())}


class Parrot:
    """Ends every sequence with the tokens that it was given last."""

    precision = "fp32"

    def __init__(self, folder: Path, needs: Needs):
        self.folder, self.needs = folder, needs

    def generate(
        self, requests: list[Request], sampling: Sampling, stop_ids: set[int], on_progress=lambda done: None
    ) -> list[Generation]:
        on_progress(len(requests))
        return [Generation(request.context[-2:], True) for request in requests]

    def close(self) -> None:
        self.needs = None


def capitals(least: int = 0) -> Iterator[dict]:
    for number, (country, capital) in enumerate(CAPITALS.items()):
        if number >= least:
            yield {"id": country, "prompt": f"What is the capital of {country}?", "response": capital}

"""The section on what is measured before any teacher is trained."""

from typing import Annotated

from pydantic import Field, field_validator

from nomad_assets.profile.fields import MAX_COUNT, Count, Section


class HeadroomDesign(Section):
    """What is measured. Models are trained as `[student]` says."""

    replicates: Annotated[int, Field(ge=1, le=1000)] = 5
    """Repetitions, each with other seed examples and other random seeds. Fewer than 5 show large effects alone."""
    sizes: Annotated[list[Annotated[int, Field(ge=0, le=MAX_COUNT)]], Field(min_length=2)] | None = None
    """Numbers of seed examples to train on, 0 for the untouched base; left out: none, a quarter, a half and all of the pool."""
    steps: Count | None = None
    """Optimizer steps of every model; left out, those of `[student]`, whose `epochs` then go over the largest size."""
    wrong: list[Annotated[float, Field(gt=0, lt=1)]] = Field(default=[0.25, 0.5])
    """Shares of the largest size whose answers are swapped with those of other rows."""
    answers: Annotated[int, Field(ge=2, le=1024)] = 8
    """Answers that are sampled to each question."""
    temperature: Annotated[float, Field(gt=0)] = 0.7
    """Of the sampled answers."""
    questions: Count = 100
    """Dev questions of each benchmark, at most."""

    @field_validator("sizes")
    @classmethod
    def two_to_compare(cls, sizes: list[int] | None) -> list[int] | None:
        if sizes is None:
            return None
        if len(set(sizes)) != len(sizes):
            raise ValueError("sizes must be distinct")
        if sum(size > 0 for size in sizes) < 2:
            raise ValueError(
                "give at least two sizes above 0: whether more data helps is the difference of the two largest"
            )
        return sorted(sizes)

    @field_validator("wrong")
    @classmethod
    def distinct(cls, shares: list[float]) -> list[float]:
        if len(set(shares)) != len(shares):
            raise ValueError("shares must be distinct")
        return sorted(shares)


class Headroom(HeadroomDesign):
    """What `nomad-assets headroom` measures on the dev questions of local benchmarks, before any teacher is trained."""

    margin: Annotated[float, Field(gt=0, lt=1)] = 0.05
    """Smallest gain that is worth the work, as a share of the questions."""

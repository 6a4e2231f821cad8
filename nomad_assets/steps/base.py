"""The base model that teachers and students start from."""

from collections.abc import Mapping

from nomad_assets.cells import Cell, Over
from nomad_assets.engine.inputs import Inputs
from nomad_assets.engine.output import Output
from nomad_assets.engine.step import Config, File, step
from nomad_assets.recipe.models.base_models import TINY, build_base_model
from nomad_assets.recipe.models.loading import quiet
from nomad_assets.steps.external import ExternalModel, ExternalRows, ExternalTemplate
from nomad_assets.steps.seeds import seed_sources

MODEL = File("model/")  # safetensors weights, tokenizer, chat template
TOKENIZER_CORPUS_ROWS = 2000


class BaseConfig(Config):
    base_model: ExternalModel
    chat_template: ExternalTemplate | None
    dtype: str
    tokenizer_corpus: list[ExternalRows]
    """Rows that the tokenizer of the tiny random model is trained on; none for other models."""
    withdrawn: dict[str, dict]
    """Seed rows that must not be in them."""

    @classmethod
    def of(cls, grid, cell: Cell, withdrawn: Mapping[str, dict]) -> "BaseConfig":
        profile, settings = grid.profile, grid.profile.base_model
        reads_seeds = settings.source == TINY
        return cls(
            seed=grid.seed("base_model", cell), base_model=ExternalModel.of(profile, settings.source),
            chat_template=ExternalTemplate.of(profile, settings.chat_template), dtype=settings.dtype,
            tokenizer_corpus=seed_sources(profile) if reads_seeds else [],
            withdrawn=dict(withdrawn) if reads_seeds else {},
        )  # fmt: skip


@step(over=Over.GRID, files=(MODEL,), version="2", group="inputs", kinds=("huggingface", "pytorch"))
def base_model(config: BaseConfig, inputs: Inputs, out: Output) -> None:
    """The base model as a folder: safetensors weights, tokenizer, chat template.

    Wrong if its chat template does not close every turn with a special token: a teacher could then never learn to end a
    prompt.
    """
    quiet()
    rows = [row for source in config.tokenizer_corpus for row in source.read(config.withdrawn).rows]
    corpus = [f"{row.prompt}\n{row.response}" for row in rows if row.id not in config.withdrawn]
    facts = build_base_model(
        config.base_model.address, out.path(MODEL), dtype=config.dtype, seed=config.seed,
        chat_template=config.chat_template.address if config.chat_template else None, corpus=corpus[:TOKENIZER_CORPUS_ROWS],
    )  # fmt: skip
    out.report(**facts)

"""Training teachers and students: one loss for any prompt loss weight.

For rows with prompt tokens P and response tokens R (each with the end-of-turn token that closes it) the loss is

    (w * sum of the losses on P + sum of the losses on R) / (w * |P| + |R|)

summed over all rows of an optimizer step before dividing, so gradient accumulation and several processes give the same
loss and gradients as one large batch.

Rows of a batch lie end to end in one sequence (packing.py), so no token is padding. The language-model head sees the S
supervised positions alone, and its loss and gradients are taken a block of positions at a time (kernels/): the
logits, (S, V), never exist as a whole.
"""

import itertools
import math
import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nomad_assets.errors import NomadError
from nomad_assets.profile.sections import Training
from nomad_assets.recipe.kernels.exchange import exchange_layers
from nomad_assets.recipe.kernels.switch import kernels
from nomad_assets.recipe.memory import keep_freed_memory, take_from_file
from nomad_assets.recipe.models.device import computes_in_bf16, device, matmul_dtype
from nomad_assets.recipe.models.turns import TrainingRow
from nomad_assets.recipe.progress import Progress, silent
from nomad_assets.recipe.seeding import derive_seed
from nomad_assets.recipe.training import checkpoints
from nomad_assets.recipe.training.packing import attend_within_rows, model_inputs, pack

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel


@dataclass(frozen=True)
class TrainingResult:
    """What a training run did. `curve` has one entry per optimizer step: step, loss, learning_rate, grad_norm."""

    curve: list[dict]
    tokens: int
    """Real tokens seen, over all passes."""
    supervised_tokens: int
    steps: int
    precision: str
    resumed_from: int
    """Optimizer step of the checkpoint this run continued from; 0 when it started anew."""


def token_losses(model: "PreTrainedModel", batch: dict) -> "torch.Tensor":
    """Cross-entropy in nats at each supervised position, shape (S,), in float32."""
    import torch

    head = _head(model)
    if not torch.is_grad_enabled() and _is_plain(head):
        losses, whole = _through_head(
            model, batch, lambda hidden: kernels().head_losses(hidden, head.weight, batch["targets"], torch.float32)
        )
        if whole:
            return losses
    logits, _ = _through_head(model, batch, head.forward)
    return torch.nn.functional.cross_entropy(logits.float(), batch["targets"], reduction="none")


def weighted_loss(model: "PreTrainedModel", batch: dict, total_weight: "torch.Tensor") -> "torch.Tensor":
    """The loss of the module's head, a scalar; `total_weight` is w*|P| + |R| over the whole optimizer step."""
    head = _head(model)
    if _is_plain(head):
        weights = batch["weights"] / total_weight
        loss, whole = _through_head(
            model,
            batch,
            lambda hidden: kernels().head_loss(
                hidden, head.weight, batch["targets"], weights, matmul_dtype(head.weight)
            ),
        )
        if whole:
            return loss
    return (batch["weights"] * token_losses(model, batch)).sum() / total_weight


def _head(model) -> "torch.nn.Module":
    return getattr(model, "module", model).get_output_embeddings()


def _is_plain(head) -> bool:
    """Whether a head may be a bare matrix whose products are the logits. Some models scale or cap those afterwards."""
    import torch

    return type(head) is torch.nn.Linear and head.bias is None and getattr(head, "makes_logits", True)


def _through_head(model, batch: dict, instead: Callable) -> tuple["torch.Tensor", bool]:
    """A forward pass in which `instead` takes the place of the head; and whether its result came out as it was.

    `instead` gets the hidden states of the supervised positions, (S, d). The model is called as a whole, so that
    wrappers (DDP, FSDP) see its own forward.
    """
    import torch

    bare = getattr(model, "module", model)
    if "row_sizes" in batch and not attend_within_rows(bare):
        raise ValueError(f"{type(bare).__name__} cannot have rows laid end to end; pack them one row a line")
    head, made = _head(model), None

    def forward(hidden):
        nonlocal made
        made = instead(hidden.flatten(0, 1)[batch["supervised"]])
        return made

    before = vars(head).get("forward")
    head.forward = forward
    try:
        result = model(**model_inputs(batch)).logits
    finally:
        del head.forward
        if before is not None:
            head.forward = before
    if not hasattr(head, "makes_logits") and made.any():  # zeros would be left as they are by a scale, too
        head.makes_logits = torch.equal(result.detach(), made.detach())
    return result, getattr(head, "makes_logits", True)


def resolve_precision(precision: str) -> str:
    """`bf16` or `fp32` for this machine."""
    if precision == "auto":
        return "bf16" if computes_in_bf16(512) else "fp32"
    return precision


def passes(settings: Training, rows: int) -> int:
    """Number of epochs: the setting, raised to reach `min_steps` optimizer steps."""
    steps_per_epoch = math.ceil(rows / rows_per_step(settings))
    return max(math.ceil(settings.epochs), math.ceil(settings.min_steps / steps_per_epoch))


def amount(settings: Training, rows: int, supervised: float) -> tuple[int, int]:
    """(optimizer steps, rows shown in all of them) of a training run on so many rows of so many supervised tokens at the mean."""
    steps = settings.steps
    if settings.tokens is not None:
        steps = math.ceil(settings.tokens / (supervised * rows_per_step(settings)))
    if steps is not None:
        return steps, steps * rows_per_step(settings)
    epochs = passes(settings, rows)
    return epochs * math.ceil(rows / rows_per_step(settings)), epochs * rows


def in_order(rows: list[TrainingRow], settings: Training, seed: int) -> list[TrainingRow]:
    """The rows of a run of a number of optimizer steps or tokens, one after the other: whole passes, each in an order of its
    own, and the beginning of another one. Each phase of the rows has its share of the steps, one phase after the other."""
    phases = [[row for row in rows if row.phase == phase] for phase in sorted({row.phase for row in rows})]
    supervised = sum(row.supervised for row in rows) / len(rows)
    _, wanted = amount(settings, len(rows), supervised)
    ends = [round(wanted * share / len(rows)) for share in itertools.accumulate(map(len, phases))]
    found: list[TrainingRow] = []
    for phase, end in zip(phases, ends, strict=True):
        own: list[TrainingRow] = []
        for number in itertools.count():
            if len(own) >= end - len(found):
                break
            own += random.Random(derive_seed(seed, "pass", number)).sample(phase, len(phase))
        found += own[: end - len(found)]
    return found


def has_length(settings: Training) -> bool:
    """Whether a run ends after a number of steps or tokens, and not of passes."""
    return settings.steps is not None or settings.tokens is not None


def rows_per_step(settings: Training) -> int:
    """Rows of a full optimizer step."""
    return settings.batch_size * settings.gradient_accumulation * settings.processes


def rate_factor(step: int, steps: int, settings: Training) -> float:
    """Learning rate of optimizer step `step` (from 0) of `steps`, as a share of the highest.

    No step has rate 0, as the usual schedules give to the first one: a small train size has only a handful of steps.
    """
    rising = math.ceil(settings.warmup * steps)
    if step < rising:
        return (step + 1) / rising
    done = (step - rising) / max(steps - rising, 1)
    return {"constant": 1.0, "linear": 1 - done, "cosine": 0.5 * (1 + math.cos(math.pi * done))}[settings.schedule]


def train(
    model: "PreTrainedModel",
    rows: list[TrainingRow],
    settings: Training,
    *,
    seed: int,
    scratch: Path,
    stage: str = "training",
    progress: Progress = silent,
    save: Callable[[dict[str, "torch.Tensor"]], None] | None = None,
) -> TrainingResult:
    """Train `model` in place; continue from the last whole checkpoint in `scratch` when there is one.

    `save` gets the whole state dict at the end, gathered from all processes, on the first of them.
    Raises NomadError when the loss stops being a number.
    """
    keep_freed_memory()
    epochs = passes(settings, len(rows))
    ordered = has_length(settings) or any(row.phase != rows[0].phase for row in rows)
    if ordered:
        epochs, rows = 1, in_order(rows, settings, seed)
    trainer, recorder = _trainer(model, rows, epochs, ordered, settings, seed, scratch, stage, progress)
    checkpoint = checkpoints.latest(scratch)
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    curve = [
        {
            "step": entry["step"],
            "loss": entry["loss"],
            "learning_rate": entry["learning_rate"],
            "grad_norm": entry["grad_norm"],
        }
        for entry in trainer.state.log_history
        if "loss" in entry
    ]
    if not all(math.isfinite(entry["loss"]) for entry in curve):
        step = next(entry["step"] for entry in curve if not math.isfinite(entry["loss"]))
        raise NomadError(
            f"{stage}: the loss is not a number from step {step} on; lower the learning rate ({settings.learning_rate})"
        )
    state = trainer.accelerator.get_state_dict(trainer.model_wrapped) if save else None
    if save and trainer.is_world_process_zero():
        save(state)
    return TrainingResult(
        curve=curve,
        tokens=epochs * sum(len(row.input_ids) for row in rows),
        supervised_tokens=epochs * sum(row.supervised for row in rows),
        steps=trainer.state.global_step,
        precision=resolve_precision(settings.precision),
        resumed_from=recorder.started_at,
    )


def _trainer(
    model,
    rows,
    epochs: int,
    ordered: bool,
    settings: Training,
    seed: int,
    scratch: Path,
    stage: str,
    progress: Progress,
):
    from transformers import TrainingArguments

    class PromptLossTrainer(checkpoints.resumable_trainer()):
        """transformers' Trainer with the weighted loss and our checkpoints; accelerate, FSDP and the loop are its own."""

        # compute_loss divides by the weight of the whole optimizer step already
        loss_is_scaled_for_ga = True

        def training_step(self, model, inputs, num_items_in_batch=None):
            step = super().training_step
            return sum(step(model, part, num_items_in_batch) for part in inputs["parts"])

        def _get_num_items_in_batch(self, batch_samples, device):
            total = sum(part["weights"].sum() for batch in batch_samples for part in batch["parts"]).to(device)
            return self.accelerator.gather(total).sum() if self.args.world_size > 1 else total

        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            total = inputs["weights"].sum() if num_items_in_batch is None else num_items_in_batch
            # data-parallel gradients are averaged over processes, while `total` counts them all
            return weighted_loss(model, inputs, total) * self.accelerator.num_processes

        def create_scheduler(self, num_training_steps, optimizer=None):
            from torch.optim.lr_scheduler import LambdaLR

            self.lr_scheduler = LambdaLR(
                optimizer or self.optimizer, lambda step: rate_factor(step, num_training_steps, settings)
            )
            return self.lr_scheduler

        def floating_point_ops(self, inputs):
            return 0

    recorder = _recorder(stage, progress, settings.checkpoint_minutes, sum(len(row.input_ids) for row in rows))
    bf16 = resolve_precision(settings.precision) == "bf16"
    arguments = TrainingArguments(
        output_dir=str(scratch),
        num_train_epochs=epochs,
        per_device_train_batch_size=settings.batch_size,
        gradient_accumulation_steps=settings.gradient_accumulation,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        optim="adamw_torch_fused",
        bf16=bf16,
        use_cpu=device().type == "cpu",
        gradient_checkpointing=settings.gradient_checkpointing,
        train_sampling_strategy=_sampling(settings, ordered),
        fsdp=True if settings.fsdp else None,
        seed=seed,
        data_seed=seed,
        logging_steps=1,
        logging_nan_inf_filter=False,
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        remove_unused_columns=False,
        dataloader_pin_memory=False,
    )
    if arguments.n_gpu > 1:
        arguments._n_gpu = 1  # one process drives one GPU; DataParallel would cut the rows apart
    together = attend_within_rows(model)
    exchange_layers(model)
    # Processes that train together must make as many passes as each other.
    most = settings.tokens_per_pass if settings.processes == 1 else sum(len(row.input_ids) for row in rows)

    def collate(items: list[dict]) -> dict:
        return {"parts": [pack(part, together) for part in token_batches([item["row"] for item in items], most)]}

    trainer = PromptLossTrainer(
        model=model, args=arguments, train_dataset=_Rows(rows), data_collator=collate, callbacks=[recorder]
    )
    trainer.remove_callback(_printer())
    return trainer, recorder


def _sampling(settings: Training, ordered: bool) -> str:
    if settings.length_grouped:
        return "group_by_length"
    return "sequential" if ordered else "random"


class _Rows:
    """Rows as the Trainer's dataset; `input_ids` is what its length grouping reads."""

    def __init__(self, rows: list[TrainingRow]):
        self.rows = rows

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: int) -> dict:
        return {"input_ids": self.rows[index].input_ids, "row": self.rows[index]}


def _printer():
    from transformers.trainer_callback import PrinterCallback

    return PrinterCallback


def _recorder(stage: str, progress: Progress, checkpoint_minutes: float, tokens_per_epoch: int):
    """A callback for progress and time-based checkpoints; its base class needs transformers, so it is made late."""
    from transformers import TrainerCallback

    class Recorder(TrainerCallback):
        started_at = 0

        def on_train_begin(self, args, state, control, model=None, **_):
            if args.world_size == 1:  # for several processes, FSDP may have laid the weights out anew
                take_from_file(model)
            self.started_at, self.begun, self.saved = state.global_step, time.monotonic(), time.monotonic()

        def on_step_end(self, args, state, control, **_):
            if state.global_step >= state.max_steps:
                return control
            due = time.monotonic() - self.saved >= 60 * checkpoint_minutes
            if checkpoints.first_process_says(due, args.device):
                control.should_save, self.saved = True, time.monotonic()
            return control

        def on_log(self, args, state, control, logs=None, **_):
            if not state.is_world_process_zero or not logs or "loss" not in logs:
                return
            elapsed = max(time.monotonic() - self.begun, 1e-9)
            made = state.global_step - self.started_at
            rate = made / state.max_steps * state.num_train_epochs * tokens_per_epoch / elapsed
            left = elapsed / made * (state.max_steps - state.global_step)
            facts = {"loss": logs["loss"], "tokens_per_second": rate, "seconds_left": left}
            progress(stage, state.global_step, state.max_steps, facts)

    return Recorder()


def response_log_probabilities(
    model: "PreTrainedModel", rows: list[TrainingRow], tokens_per_batch: int = 2048
) -> list[float]:
    """Mean log-probability per supervised token of each row, in nats; rows are masked with prompt loss weight 0."""
    import torch

    results: dict[str, float] = {}
    device = next(model.parameters()).device
    model.eval()
    together = attend_within_rows(model)
    with torch.inference_mode():
        for batch in token_batches(rows, tokens_per_batch):
            packed = pack(batch, together)
            losses = token_losses(model, {k: v.to(device) if hasattr(v, "to") else v for k, v in packed.items()})
            for row, part in zip(batch, losses.split([row.supervised for row in batch]), strict=True):
                results[row.id] = -part.mean().item()
    return [results[row.id] for row in rows]


def token_batches(rows: list[TrainingRow], tokens_per_batch: int) -> list[list[TrainingRow]]:
    """Rows in batches of at most that many tokens (a longer row stands alone), in order."""
    batches: list[list[TrainingRow]] = []
    size = 0
    for row in rows:
        if not batches or size + len(row.input_ids) > tokens_per_batch:
            batches.append([])
            size = 0
        batches[-1].append(row)
        size += len(row.input_ids)
    return batches

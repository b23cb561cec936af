"""Supervised fine-tuning of an adapter on tokenised examples by TRL's SFTTrainer. Without Ray; alone or in a torch
process group.

The examples come tokenised, prompt and completion apart, so that what is masked is decided here and checked: the loss
is over completions alone, their end token included, and nothing is ever truncated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import EarlyStoppingCallback, PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback

from rollout.policy import PolicyVersion
from train.finite import SkipNotFinite
from train.fused_head import IGNORED, score_labels_alone
from train.head import find_head
from train.lora import Adapter
from train.muon import Muon
from train.pretrain import Row
from train.sft_config import SFTConfig
from train.trainer_checkpoint import newest_checkpoint, relocate

MetricsRow = Mapping[str, Any]


class SFTError(ValueError):
    """Examples that cannot be trained on; the message names the cause and the fix."""


@dataclass(frozen=True, slots=True)
class SFTResult:
    """What a run has learnt: at the lowest validation loss, or in the end where nothing is held out."""

    policy: PolicyVersion | None
    """The adapter; None where all weights of the model were trained, which then are those of the model itself."""
    steps: int
    """Updates made."""
    best_step: int
    """Update that it is of."""
    best_loss: float | None
    """Validation loss there, in nats a completion token; None without validation."""
    stopped_early: bool
    first_loss: float
    """Training loss of the first update, in nats a completion token."""
    last_loss: float
    """Training loss of the last update."""
    skipped_steps: int = 0
    """Updates that were skipped, for a gradient that was not finite, since training was last started."""

    @property
    def figures(self) -> dict[str, Any]:
        """All of it but the adapter, as plain data."""
        return {name: getattr(self, name) for name in self.__slots__ if name != "policy"}


@dataclass(frozen=True, slots=True)
class Lengths:
    """Lengths of the examples, in tokens."""

    rows: int
    supervised: int
    """Completion tokens of all rows, end tokens included."""
    longest: int
    """Prompt and completion together."""
    limit: int
    too_long: tuple[int, ...]
    """Indices of the rows beyond the limit."""


def measure(rows: Sequence[Row], limit: int, eos_id: int) -> Lengths:
    """Counts tokens. Raises SFTError for no rows, for a row with nothing to learn, and for a completion that does not
    end."""
    if not rows:
        raise SFTError("there is no example to learn from")
    for index, row in enumerate(rows):
        if len(row.completion_ids) < 2:
            raise SFTError(f"example {index} has an empty completion, so it teaches nothing; remove it")
        if row.completion_ids[-1] != eos_id:
            raise SFTError(f"the completion of example {index} does not end with the end token {eos_id}")
    too_long = tuple(index for index, row in enumerate(rows) if len(row) > limit)
    return Lengths(len(rows), sum(len(row.completion_ids) for row in rows), max(map(len, rows)), limit, too_long)


def split_rows(questions: Sequence[str], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Row indices of training and of validation: whole questions (by hash), at least one on each side.

    A share of 0 holds nothing out. Raises SFTError where all rows are of one question.
    """
    import random

    if not share:
        return list(range(len(questions))), []
    distinct = sorted(set(questions))
    if len(distinct) < 2:
        raise SFTError(
            f"the traces are of {len(distinct)} different question, and validation needs one of its own; distil more"
        )
    random.Random(seed).shuffle(distinct)
    held = set(distinct[: min(len(distinct) - 1, max(1, round(share * len(distinct))))])
    train = [index for index, question in enumerate(questions) if question not in held]
    return train, [index for index, question in enumerate(questions) if question in held]


def fit(
    base: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    train: Sequence[Row],
    val: Sequence[Row],
    config: SFTConfig,
    folder: Path,
    run: str,
    initial: PolicyVersion | None = None,
    on_row: Callable[[MetricsRow], None] = lambda row: None,
    on_start: Callable[[Sequence[MetricsRow]], None] = lambda rows: None,
    callbacks: Sequence[TrainerCallback] = (),
) -> SFTResult:
    """Trains an adapter (`initial` goes on) and returns the one of lowest validation loss, the last one without `val`.
    Where the configuration says `full`, `base` itself, in float32, learns instead, and has these weights in the end.

    `folder` gets the trainer's checkpoints; an interrupted run goes on from the newest that is whole. `on_start` gets
    the metrics of the updates that this checkpoint has behind it, then `on_row` each update and each validation loss;
    both on rank 0 alone. `base` is changed in place. Raises SFTError, ValueError for an adapter of another shape, and
    FloatingPointError where gradients stay without finite values.
    """
    base.requires_grad_(config.full)
    adapter = None if config.full else Adapter(base, config.adapter)
    if adapter is not None and initial is not None:
        adapter.load(initial)
    skip = SkipNotFinite()
    arguments = _arguments(config, folder, base, len(train), bool(val))
    watching = [_Report(on_row, on_start), skip, *callbacks]
    trainer = _trainer(adapter or base, tokenizer, train, val, config, arguments, watching)
    checkpoint = newest_checkpoint(folder)
    if checkpoint is not None:
        relocate(checkpoint)
    trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
    state = trainer.state
    if val and state.best_metric is None:
        raise SFTError(f"no validation loss was measured in {state.global_step} updates; raise evaluations_per_epoch")
    planned = math.ceil(config.epochs * math.ceil(len(train) / _rows_an_update(config, arguments)))
    losses = [entry["loss"] for entry in state.log_history if "loss" in entry]
    best_step = state.best_global_step if val else state.global_step
    return SFTResult(
        policy=None if adapter is None else adapter.export(run, best_step),
        steps=state.global_step,
        best_step=best_step,
        best_loss=float(state.best_metric) if val else None,
        stopped_early=state.global_step < planned,
        first_loss=losses[0],
        last_loss=losses[-1],
        skipped_steps=skip.guard.skipped,
    )


def _trainer(
    learner: Adapter | PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    train: Sequence[Row],
    val: Sequence[Row],
    config: SFTConfig,
    arguments: Any,
    callbacks: list[TrainerCallback],
) -> Any:
    from datasets import Dataset
    from trl.trainer.sft_trainer import SFTTrainer

    if config.patience and val:
        callbacks.append(EarlyStoppingCallback(config.patience))
    adapter = learner if isinstance(learner, Adapter) else None
    base: Any = learner if adapter is None else adapter.model.get_base_model()  # typed by peft as any module
    # It gives the head itself no gradient: TRL's own does where that learns too.
    own_head = find_head(base) if adapter is not None and base.device.type == "cpu" else None
    data = [Dataset.from_list([_features(row) for row in rows]) if rows else None for rows in (train, val)]
    trainer = SFTTrainer(
        model=base if adapter is None else adapter.model,
        args=arguments,
        train_dataset=data[0],
        eval_dataset=data[1],
        processing_class=tokenizer,
        callbacks=callbacks,
        optimizers=(_muon(adapter, config) if adapter and config.optimiser == "muon" else None, None),
    )
    if own_head is not None:
        score_labels_alone(base, own_head)
    return trainer


def computes_in(config: SFTConfig, device: str) -> str:
    """The numbers of a forward pass on this kind of device."""
    if config.dtype != "auto":
        return config.dtype
    return "bfloat16" if device == "cuda" else "float32"


def _features(row: Row) -> dict[str, list[int]]:
    """Tokens and labels in the form that TRL's trainer leaves as it is."""
    prompt, completion = list(row.prompt_ids), list(row.completion_ids)
    return {"input_ids": prompt + completion, "labels": [IGNORED] * len(prompt) + completion}


def _rows_an_update(config: SFTConfig, arguments: Any) -> int:
    return config.batch_size * config.grad_accumulation * max(1, arguments.world_size)


def _arguments(config: SFTConfig, folder: Path, base: PreTrainedModel, rows: int, validates: bool) -> Any:
    from trl.trainer.sft_config import SFTConfig as Arguments

    on_gpu = torch.cuda.is_available()
    arguments = Arguments(
        output_dir=str(folder),
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch_size,
        per_device_eval_batch_size=max(8, config.batch_size),
        gradient_accumulation_steps=config.grad_accumulation,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.schedule,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        max_length=None,
        train_sampling_strategy="group_by_length",  # rows of unlike lengths in one batch would mostly be padding
        gradient_checkpointing=config.gradient_checkpointing,
        bf16=computes_in(config, "cuda" if on_gpu else "cpu") == "bfloat16"
        if config.full
        else on_gpu and base.dtype == torch.bfloat16,
        use_cpu=not on_gpu,
        dataloader_pin_memory=on_gpu,
        eval_strategy="steps" if validates else "no",
        save_strategy="steps",
        save_total_limit=2,
        restore_callback_states_from_checkpoint=True,  # or patience would start again at each interruption
        logging_strategy="steps",
        logging_steps=1,
        load_best_model_at_end=validates,
        metric_for_best_model="eval_loss" if validates else None,
        greater_is_better=False if validates else None,
        report_to=[],
        disable_tqdm=True,
        seed=config.seed,
        data_seed=config.seed,
    )
    updates = math.ceil(rows / _rows_an_update(config, arguments))
    every = max(1, updates // config.evaluations_per_epoch)
    arguments.eval_steps = arguments.save_steps = min(every, max(1, math.floor(updates * config.epochs)))
    arguments.warmup_steps = round(config.warmup * updates * config.epochs)
    return arguments


def _muon(adapter: Adapter, config: SFTConfig) -> torch.optim.Optimizer:
    """Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks"; every LoRA weight is a matrix."""
    parameters = list(adapter.parameters.values())
    return Muon(parameters, lr=config.learning_rate, weight_decay=config.weight_decay)


class _Report(TrainerCallback):
    """Passes the trainer's log on, from rank 0."""

    def __init__(self, on_row: Callable[[MetricsRow], None], on_start: Callable[[Sequence[MetricsRow]], None]) -> None:
        self._on_row, self._on_start = on_row, on_start

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The rows of the updates that are done already."""
        if state.is_world_process_zero:
            rows = [metrics_row(entry, entry["step"], state.max_steps) for entry in state.log_history]
            self._on_start([row for row in rows if row is not None])

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **_: Any) -> None:
        """One row an update, one a validation loss."""
        row = metrics_row(logs or {}, state.global_step, state.max_steps)
        if state.is_world_process_zero and row is not None:
            self._on_row(row)


def metrics_row(logs: Mapping[str, Any], step: int, steps: int) -> MetricsRow | None:
    """The row of one entry of a trainer's log, None for one of neither an update nor a validation loss."""
    values = {name: float(value) for name, value in logs.items() if name != "step" and isinstance(value, int | float)}
    if "eval_loss" in values:
        return {"kind": "validation", "step": step} | {n.removeprefix("eval_"): v for n, v in values.items()}
    return {"kind": "step", "step": step, "steps": steps} | values if "loss" in values else None

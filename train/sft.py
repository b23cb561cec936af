"""Supervised fine-tuning of an adapter on tokenised traces by TRL's SFTTrainer. Without Ray; alone or in a torch
process group.

The rows come tokenised, prompt and completion apart, so that what is masked is decided here and checked: the loss is
over completions alone, their end token included, and nothing is ever truncated.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import EarlyStoppingCallback, PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback

from rollout.policy import PolicyVersion
from train.finite import SkipNotFinite
from train.lora import Adapter
from train.muon import Muon
from train.pretrain import Row
from train.sft_config import SFTConfig

IGNORED = -100
"""Label of a token that the loss leaves out."""
STATE_FILE = "trainer_state.json"
"""Written last into a checkpoint of the trainer's: one without it was interrupted."""

OnRow = Callable[[Mapping[str, Any]], None]


class SFTError(ValueError):
    """Traces that cannot be trained on; the message names the cause and the mend."""


@dataclass(frozen=True, slots=True)
class SFTResult:
    """The best adapter of a run."""

    policy: PolicyVersion
    steps: int
    """Updates made."""
    best_step: int
    """Update after which the validation loss was lowest."""
    best_loss: float
    """Validation loss there, in nats a completion token."""
    stopped_early: bool
    skipped_steps: int = 0
    """Updates that were skipped, for a gradient that was not finite, since training was last started."""


@dataclass(frozen=True, slots=True)
class Lengths:
    """What of the rows fits, in tokens."""

    rows: int
    supervised: int
    """Completion tokens of all rows, end tokens included."""
    longest: int
    """Prompt and completion together."""
    limit: int
    too_long: tuple[int, ...]
    """Numbers of the rows beyond the limit."""


def measure(rows: Sequence[Row], limit: int, eos_id: int) -> Lengths:
    """Counts tokens. Raises SFTError for a row without anything to learn, or whose completion does not end."""
    for number, row in enumerate(rows):
        if len(row.completion_ids) < 2:
            raise SFTError(f"trace {number} has an empty completion, so it teaches nothing; remove it")
        if row.completion_ids[-1] != eos_id:
            raise SFTError(f"the completion of trace {number} does not end with the end token {eos_id}")
    too_long = tuple(number for number, row in enumerate(rows) if len(row) > limit)
    longest = max(map(len, rows), default=0)
    return Lengths(len(rows), sum(len(row.completion_ids) for row in rows), longest, limit, too_long)


def split_rows(questions: Sequence[str], share: float, seed: int) -> tuple[list[int], list[int]]:
    """Row numbers of training and of validation: whole questions (by hash), at least one on each side.

    Raises SFTError where all rows are of one question.
    """
    import random

    distinct = sorted(set(questions))
    if len(distinct) < 2:
        raise SFTError(
            f"the traces are of {len(distinct)} different question, and validation needs one of its own; distil more"
        )
    random.Random(seed).shuffle(distinct)
    held = set(distinct[: min(len(distinct) - 1, max(1, round(share * len(distinct))))])
    train = [number for number, question in enumerate(questions) if question not in held]
    return train, [number for number, question in enumerate(questions) if question in held]


def fit(
    base: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    train: Sequence[Row],
    val: Sequence[Row],
    config: SFTConfig,
    folder: Path,
    run: str,
    initial: PolicyVersion | None = None,
    on_row: OnRow = lambda row: None,
) -> SFTResult:
    """Trains an adapter (`initial` goes on) and returns the one of lowest validation loss.

    `folder` gets the trainer's checkpoints; an interrupted run goes on from the newest that is whole. `on_row` is told
    each update and each look at the validation loss. `base` is changed in place. Raises SFTError, ValueError for an
    adapter of another shape, and FloatingPointError where gradients stay without finite values.
    """
    from datasets import Dataset
    from trl import SFTTrainer

    base.requires_grad_(False)
    adapter = Adapter(base, config.adapter)
    if initial is not None:
        adapter.load(initial)
    arguments = _arguments(config, folder, base, len(train))
    data = [Dataset.from_list([_features(row) for row in rows]) for rows in (train, val)]
    skip = SkipNotFinite()
    callbacks: list[TrainerCallback] = [_Tell(on_row), skip]
    if config.patience:
        callbacks.append(EarlyStoppingCallback(config.patience))
    optimiser = _muon(adapter, config) if config.optimiser == "muon" else None
    trainer = SFTTrainer(
        model=adapter.model,
        args=arguments,
        train_dataset=data[0],
        eval_dataset=data[1],
        processing_class=tokenizer,
        callbacks=callbacks,
        optimizers=(optimiser, None),
    )
    planned = math.ceil(config.epochs * math.ceil(len(train) / _rows_an_update(config, arguments)))
    trainer.train(resume_from_checkpoint=newest_checkpoint(folder))
    state = trainer.state
    if state.best_metric is None:
        raise SFTError(f"no look at the validation loss in {state.global_step} updates; raise evaluations_per_epoch")
    policy = adapter.export(run, state.best_global_step)
    stopped = state.global_step < planned
    return SFTResult(
        policy, state.global_step, state.best_global_step, float(state.best_metric), stopped, skip.guard.skipped
    )


def newest_checkpoint(folder: Path) -> str | None:
    """The newest whole checkpoint of the trainer's, or None."""
    named = [
        path for path in folder.glob(f"checkpoint-*/{STATE_FILE}") if path.parent.name.partition("-")[2].isdecimal()
    ]
    found = [path.parent for path in named if _is_json(path)]
    return str(max(found, key=lambda path: int(path.name.partition("-")[2]))) if found else None


def checkpoint_step(folder: Path) -> int:
    """Updates done when the newest whole checkpoint was written; 0 without one."""
    newest = newest_checkpoint(folder)
    return int(newest.rpartition("-")[2]) if newest else 0


def _is_json(path: Path) -> bool:
    try:
        return bool(json.loads(path.read_text()))
    except (ValueError, RecursionError):
        return False


def _features(row: Row) -> dict[str, list[int]]:
    """Tokens and labels as TRL's trainer takes them ready-made."""
    prompt, completion = list(row.prompt_ids), list(row.completion_ids)
    return {"input_ids": prompt + completion, "labels": [IGNORED] * len(prompt) + completion}


def _rows_an_update(config: SFTConfig, arguments: Any) -> int:
    return config.batch_size * config.grad_accumulation * max(1, arguments.world_size)


def _arguments(config: SFTConfig, folder: Path, base: PreTrainedModel, rows: int) -> Any:
    from trl import SFTConfig as Arguments

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
        train_sampling_strategy="group_by_length",  # unlike rows beside each other would be padded to the longest
        gradient_checkpointing=config.gradient_checkpointing,
        bf16=on_gpu and base.dtype == torch.bfloat16,
        use_cpu=not on_gpu,
        dataloader_pin_memory=on_gpu,
        eval_strategy="steps",
        save_strategy="steps",
        save_total_limit=2,
        logging_strategy="steps",
        logging_steps=1,
        load_best_model_at_end=True,
        metric_for_best_model="eval_loss",
        greater_is_better=False,
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


class _Tell(TrainerCallback):
    """Passes the trainer's log on, from rank 0."""

    def __init__(self, on_row: OnRow) -> None:
        self._on_row = on_row

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **_: Any) -> None:
        """One row an update, one a look at the validation loss."""
        if not state.is_world_process_zero or not logs:
            return
        if "eval_loss" in logs:
            self._on_row({"kind": "validation", "step": state.global_step, **_plain(logs, "eval_")})
        elif "loss" in logs:
            self._on_row({"kind": "step", "step": state.global_step, "steps": state.max_steps, **_plain(logs, "")})


def _plain(logs: Mapping[str, Any], prefix: str) -> dict[str, float]:
    return {name.removeprefix(prefix): float(value) for name, value in logs.items() if isinstance(value, int | float)}

"""Direct preference optimisation of an adapter on tokenised pairs, by TRL's DPOTrainer. Without Ray.

Rafailov et al. 2023, "Direct Preference Optimization: Your Language Model is Secretly a Reward Model"
(arXiv 2305.18290). The reference is the adapter that training starts from, not the base model below it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback

from rollout.policy import PolicyVersion
from train.dpo_config import DPOConfig
from train.finite import SkipNotFinite
from train.lora import Adapter
from train.sft_config import SFTConfig

OnRow = Callable[[Mapping[str, Any]], None]


@dataclass(frozen=True, slots=True)
class PairRow:
    """Token ids of a prompt and of its two completions, end tokens included."""

    prompt_ids: Sequence[int]
    right_ids: Sequence[int]
    wrong_ids: Sequence[int]


@dataclass(frozen=True, slots=True)
class DPOResult:
    """The adapter of a run, with its first and last loss."""

    policy: PolicyVersion
    steps: int
    first_loss: float
    last_loss: float
    skipped_steps: int = 0
    """Updates that were skipped, for a gradient that was not finite."""

    @property
    def figures(self) -> dict[str, Any]:
        """All of it but the adapter, as plain data."""
        return {name: getattr(self, name) for name in self.__slots__ if name != "policy"}


def train_dpo(
    base: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    rows: Sequence[PairRow],
    config: DPOConfig,
    shape: SFTConfig,
    folder: Path,
    run: str,
    initial: PolicyVersion | None = None,
    on_row: OnRow = lambda row: None,
) -> DPOResult:
    """Trains an adapter of the shape that `shape` says (`initial` goes on) and returns it. `base` is changed in place.

    TRL writes into `folder`. An interrupted stage is done again as a whole: it is short. Raises
    ValueError for no pairs and for an initial adapter of another shape, and FloatingPointError where gradients stay
    without finite values.
    """
    from datasets import Dataset

    if not rows:
        raise ValueError("there is no pair of a right and a wrong completion to learn from")
    base.requires_grad_(False)
    adapter = Adapter(base, shape.adapter)
    if initial is not None:
        adapter.load(initial)
    features = [
        {"prompt_ids": list(row.prompt_ids), "chosen_ids": list(row.right_ids), "rejected_ids": list(row.wrong_ids)}
        for row in rows
    ]
    report, skip = _Report(on_row), SkipNotFinite()
    trainer = _trainer_class()(
        model=adapter.model,
        args=_arguments(config, shape, folder, base, len(rows)),
        train_dataset=Dataset.from_list(features),
        processing_class=tokenizer,
        callbacks=[report, skip],
    )
    trainer.train()
    steps = trainer.state.global_step
    return DPOResult(adapter.export(run, steps), steps, report.losses[0], report.losses[-1], skip.guard.skipped)


def _trainer_class() -> type:
    from trl.trainer.dpo_trainer import DPOTrainer

    class Tokenised(DPOTrainer):
        """Takes the tokens as they were sampled: tokenised again, a completion may come out as others."""

        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

    return Tokenised


def _arguments(config: DPOConfig, shape: SFTConfig, folder: Path, base: PreTrainedModel, rows: int) -> Any:
    from trl.trainer.dpo_config import DPOConfig as Arguments

    on_gpu = torch.cuda.is_available()
    weighted = config.sft_weight > 0
    arguments = Arguments(
        output_dir=str(folder),
        beta=config.beta,
        loss_type=["sigmoid", "sft"] if weighted else ["sigmoid"],
        loss_weights=[1.0, config.sft_weight] if weighted else [1.0],
        # Before the first update: the reference is then the adapter as it was loaded.
        precompute_ref_log_probs=True,
        num_train_epochs=config.epochs,
        per_device_train_batch_size=config.batch_size,
        gradient_accumulation_steps=config.grad_accumulation,
        learning_rate=config.learning_rate,
        lr_scheduler_type="linear",
        max_grad_norm=config.max_grad_norm,
        max_length=None,
        gradient_checkpointing=shape.gradient_checkpointing,
        bf16=on_gpu and base.dtype == torch.bfloat16,
        use_cpu=not on_gpu,
        dataloader_pin_memory=on_gpu,
        save_strategy="no",
        eval_strategy="no",
        logging_strategy="steps",
        logging_steps=1,
        report_to=[],
        disable_tqdm=True,
        seed=shape.seed,
        data_seed=shape.seed,
    )
    updates = math.ceil(rows / (config.batch_size * config.grad_accumulation * max(1, arguments.world_size)))
    arguments.warmup_steps = round(config.warmup * updates * config.epochs)
    return arguments


class _Report(TrainerCallback):
    """Passes the trainer's log on, from rank 0."""

    def __init__(self, on_row: OnRow) -> None:
        self._on_row = on_row
        self.losses: list[float] = []

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **_: Any) -> None:
        """One row an update."""
        if not logs or "loss" not in logs:
            return
        self.losses.append(float(logs["loss"]))
        if state.is_world_process_zero:
            values = {key.replace("rewards/", ""): float(v) for key, v in logs.items() if isinstance(v, int | float)}
            self._on_row({"kind": "step", "step": state.global_step, "steps": state.max_steps, **values})

"""A LoRA adapter learns to write given completions: plain supervised steps on tokenised rows, in this process.

The loss is over completions alone, their end token included; nothing is ever cut.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from rollout.policy import PolicyVersion
from train.finite import StepGuard, drop_not_finite
from train.lora import Adapter
from train.pretrain import Row
from train.transfer_config import TransferConfig

IGNORED = -100
"""Label of a token that the loss leaves out."""


@dataclass(frozen=True, slots=True)
class Transferred:
    """What training gave."""

    policy: PolicyVersion
    losses: tuple[float, ...]
    """Mean loss of each update, in nats a completion token."""
    skipped_steps: int = 0
    """Updates that were skipped, for a gradient that was not finite."""


def transfer(
    base: PreTrainedModel,
    rows: Sequence[Row],
    config: TransferConfig,
    run: str,
    number: int = 1,
    initial: PolicyVersion | None = None,
) -> Transferred:
    """Trains an adapter of `base` (changed in place) on all rows; `initial` goes on, None starts afresh.

    Raises ValueError for no rows, a row longer than `max_length` or the model's positions, a completion of one token or
    fewer, target modules that the model lacks, and an initial adapter of another shape; FloatingPointError
    where gradients stay without finite values.
    """
    _check(rows, min(config.max_length, getattr(base.config, "max_position_embeddings", config.max_length)))
    base.requires_grad_(False)
    adapter = Adapter(base, config.adapter)
    if initial is not None:
        adapter.load(initial)
    updates = config.epochs * math.ceil(len(rows) / config.batch_size)
    optimiser = torch.optim.AdamW(list(adapter.parameters.values()), lr=config.learning_rate, weight_decay=0.0)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: _scale(step, updates, config.warmup))
    order = torch.Generator().manual_seed(config.seed)
    losses, guard = [], StepGuard()
    adapter.model.train()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        for _ in range(config.epochs):
            for chosen in torch.randperm(len(rows), generator=order).split(config.batch_size):
                loss = _loss(adapter, [rows[i] for i in chosen.tolist()])
                loss.backward()
                finite = drop_not_finite(adapter.parameters.values())
                guard.observe(finite, f"the gradient of update {len(losses)}")
                if finite:
                    torch.nn.utils.clip_grad_norm_(adapter.parameters.values(), 1.0)
                    optimiser.step()
                optimiser.zero_grad()
                schedule.step()
                losses.append(float(loss.detach()))
    return Transferred(adapter.export(run, number), tuple(losses), guard.skipped)


def _check(rows: Sequence[Row], limit: int) -> None:
    if not rows:
        raise ValueError("there is no row to learn from")
    for number, row in enumerate(rows):
        if len(row.completion_ids) < 2:
            raise ValueError(f"row {number} has an empty completion, so it teaches nothing; remove it")
    longest = max(map(len, rows))
    if longest > limit:
        count = sum(len(row) > limit for row in rows)
        raise ValueError(
            f"{count} of {len(rows)} rows are longer than {limit} tokens, the longest has {longest}; raise max_length "
            "(up to the model's positions) or shorten the prompt. Nothing is cut: a cut answer teaches to stop in the "
            "middle"
        )


def _scale(step: int, updates: int, warmup: float) -> float:
    rise = round(warmup * updates)
    return (step + 1) / rise if step < rise else (updates - step) / max(1, updates - rise)


def _loss(adapter: Adapter, rows: Sequence[Row]) -> torch.Tensor:
    """Mean negative log-likelihood of the rows' completion tokens, a scalar in nats."""
    width = max(map(len, rows))
    ids_B_T = torch.zeros(len(rows), width, dtype=torch.long)
    labels_B_T = torch.full((len(rows), width), IGNORED, dtype=torch.long)
    mask_B_T = torch.zeros(len(rows), width, dtype=torch.long)
    for b, row in enumerate(rows):
        start, end = len(row.prompt_ids), len(row)
        ids_B_T[b, :end] = torch.tensor([*row.prompt_ids, *row.completion_ids])
        labels_B_T[b, start:end] = torch.tensor(row.completion_ids)
        mask_B_T[b, :end] = 1
    device = adapter.model.device
    tensors = {"input_ids": ids_B_T, "labels": labels_B_T, "attention_mask": mask_B_T}
    return adapter.model(**{name: tensor.to(device) for name, tensor in tensors.items()}, use_cache=False).loss

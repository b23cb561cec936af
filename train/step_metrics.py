"""Metrics of a training step, summed over micro-batches, epochs and workers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

from train.batch import MicroBatch, TrainBatch
from train.loss import LossOutputs


@dataclass(frozen=True, slots=True)
class Gap:
    """|learner - sampler log-probability| over the tokens that one policy version sampled."""

    mean: float
    max: float
    tokens: int


class StepMetrics:
    """Sums and maxima over micro-batches, epochs and workers, kept on the device until `summary`."""

    def __init__(self, versions: list[int], device: torch.device) -> None:
        self._versions = torch.tensor(versions, device=device)
        self._sums: dict[str, Tensor] = {}
        self._maxima: dict[str, Tensor] = {}
        self._gap_sums = torch.zeros(2, len(versions), device=device, dtype=torch.float64)
        self._gap_maxima = torch.zeros(len(versions), device=device)

    def add(self, part: MicroBatch, output: LossOutputs, entropies: Tensor) -> None:
        """Adds one micro-batch's forward pass."""
        sums = {
            **output.sums,
            "entropy": entropies.sum(),
            "loss": output.loss.detach(),
            "tokens": part.mask.sum(),
        }
        for name, value in sums.items():
            self._sums[name] = self._sums.get(name, 0.0) + value.double()
        for name, value in output.maxima.items():
            self._maxima[name] = torch.maximum(self._maxima.get(name, value), value)

    def add_gap(self, part: MicroBatch, logprobs: Tensor) -> None:
        """Adds the gap between sampler and learner, by policy version."""
        known = part.mask * ~part.sampler_logprobs.isnan()
        gaps = torch.nan_to_num(logprobs - part.sampler_logprobs).abs() * known
        index = torch.searchsorted(self._versions, part.policy_versions)
        counts = torch.stack([gaps.double().sum(-1), known.double().sum(-1)])
        self._gap_sums.index_add_(1, index, counts)
        self._gap_maxima.scatter_reduce_(0, index, gaps.amax(-1), "amax")

    def reduce(self) -> None:
        """Sums over workers. A worker without rows contributes zeros."""
        workers = rank_and_world_size()[1]
        if workers == 1:
            return
        names: list[Any] = [None] * workers
        dist.all_gather_object(names, (sorted(self._sums), sorted(self._maxima)))
        for position, values, operation in (
            (0, self._sums, dist.ReduceOp.SUM),
            (1, self._maxima, dist.ReduceOp.MAX),
        ):
            keys = sorted({name for pair in names for name in pair[position]})
            zero = torch.zeros((), device=self._gap_sums.device)
            stacked = torch.stack([values.get(key, zero).double() for key in keys])
            dist.all_reduce(stacked, operation)
            values.update(zip(keys, stacked))
        dist.all_reduce(self._gap_sums)
        dist.all_reduce(self._gap_maxima, dist.ReduceOp.MAX)

    def summary(self, epochs: int) -> tuple[dict[str, float], dict[int, Gap]]:
        """(metrics, gaps by policy version); the loss is the mean over epochs. No metrics without rows."""
        sums = {name: float(value) for name, value in self._sums.items()}
        passed = sums.pop("tokens", 0.0)
        gaps = {}
        columns = (self._versions.tolist(), *self._gap_sums.tolist(), self._gap_maxima.tolist())
        for version, total, tokens, most in zip(*columns, strict=True):
            gaps[version] = Gap(total / max(tokens, 1), most, int(tokens))
        if not passed:
            return {}, gaps
        metrics = {"loss": sums.pop("loss") / epochs}
        metrics |= {f"{name}/mean" if name in self._maxima else name: v / passed for name, v in sums.items()}
        metrics |= {f"{name}/max": float(value) for name, value in self._maxima.items()}
        known = max(float(self._gap_sums[1].sum()), 1)
        metrics["logprob_gap/mean"] = float(self._gap_sums[0].sum()) / known
        metrics["logprob_gap/max"] = float(self._gap_maxima.max())
        return metrics, gaps


def rank_and_world_size() -> tuple[int, int]:
    """(rank, number of workers)."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def padding(parts: Sequence[MicroBatch]) -> float:
    """Share of this worker's computed positions that are padding."""
    computed = sum(part.padded_tokens for part in parts)
    real = sum(int(part.mask.sum()) + int(part.prompt_lengths.sum()) for part in parts)
    return 1 - real / computed if computed else 0.0


def batch_metrics(batch: TrainBatch, parts: Sequence[MicroBatch]) -> dict[str, float]:
    """Counts of a step's batch, and how this worker's part of it was run."""
    found: dict[str, float] = {
        "groups": batch.groups,
        "groups/kept": batch.kept,
        "samples": len(batch.rows),
        "samples/excluded": batch.excluded,
        "tokens": batch.tokens,
        "micro_batches": len(parts),
        "padding": padding(parts),
    }
    if batch.entropy_bound is not None:
        found |= {"samples/low_entropy": batch.low_entropy, "entropy_filter/bound": batch.entropy_bound}
    return found

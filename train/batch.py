"""From rewarded groups to tensors: what is trained on, by which worker, in which micro-batches.

Shapes: B rows (samples) of a micro-batch, P distinct prompts among them, T completion and L prompt positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from problems.problem import Group, Sample, informative
from train.config import TrainConfig
from train.credit import assign_credit

AVERAGED = -1
"""Version of samples that the moving average of the policy generated."""


@dataclass(frozen=True, slots=True, eq=False)
class Row:
    """One sample as the learner sees it: tokens, credit, and what the sampler knew."""

    prompt: int
    """Rows with equal numbers have the same prompt tokens."""
    prompt_ids: np.ndarray
    """int [prompt length], at least 1."""
    completion_ids: np.ndarray
    """int [completion length], at least 1."""
    sampler_logprobs: np.ndarray
    """float32 [completion length]"""
    advantages: np.ndarray
    """float32 [completion length]"""
    policy_version: int
    """That sampled it; `AVERAGED` for the moving average's."""
    chosen: np.ndarray | None = None
    """float32 [completion length]: 1 on tokens that `train.covariance` chose; None where it did not choose."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainBatch:
    """All rows of one step, over all workers."""

    rows: tuple[Row, ...]
    groups: int
    """All groups of the step."""
    kept: int
    """Groups that passed the filter."""
    excluded: int
    """Samples of kept groups that are not trained on: without reward, or without a single token."""
    low_entropy: int = 0
    """Samples of kept groups that are not trained on for their entropy."""
    entropy_bound: float | None = None
    """Nats a token below which that is; None where entropies are not looked at."""

    @classmethod
    def from_groups(cls, groups: Sequence[Group], config: TrainConfig) -> TrainBatch:
        """Filters groups, computes advantages and lists the rows in the order of groups and samples.

        Raises ValueError for a group without rewards or verdicts, and for a sample whose prompt is empty or
        whose log-probabilities do not match its tokens.
        """
        credit = assign_credit(groups, config)
        rows, prompts, kept, samples = [], {}, 0, 0
        for group, advantages_G in zip(groups, credit.advantages, strict=True):
            if not informative(group, config.group_filter):
                continue
            kept, samples = kept + 1, samples + len(group.samples)
            for sample, advantage in zip(group.samples, advantages_G, strict=True):
                if advantage is not None and len(sample.completion_ids) > 0:
                    rows.append(_row(sample, advantage, prompts))
        excluded = samples - len(rows) - credit.low_entropy
        return cls(tuple(rows), len(groups), kept, excluded, credit.low_entropy, credit.bound)

    @property
    def tokens(self) -> int:
        """Completion tokens."""
        return sum(len(row.completion_ids) for row in self.rows)

    def shard(self, rank: int, world_size: int) -> list[Row]:
        """The rows of one worker. Shards are disjoint, cover the batch and depend on nothing but it.

        Rows of one prompt stay together while there are enough prompts to go round; the heaviest go first,
        each to the worker that has least to do.
        """
        if not 0 <= rank < world_size:
            raise ValueError(f"rank {rank} is not one of {world_size} workers")
        if world_size == 1:
            return list(self.rows)
        units: dict[int, list[Row]] = {}
        whole = len({row.prompt for row in self.rows}) >= 2 * world_size
        for index, row in enumerate(self.rows):
            units.setdefault(row.prompt if whole else index, []).append(row)
        load, shards = [0] * world_size, [[] for _ in range(world_size)]
        for unit in sorted(units.values(), key=_unit_tokens, reverse=True):
            lightest = load.index(min(load))
            load[lightest] += _unit_tokens(unit)
            shards[lightest] += unit
        return shards[rank]


@dataclass(frozen=True, slots=True)
class Layout:
    """How the rows of a micro-batch are run."""

    packed: bool = True
    """One sequence without padding; else rows padded to the longest."""
    shared: bool = True
    """Each prompt once for all its rows; of packed ones alone."""

    def tokens(self, rows: Sequence[Row]) -> int:
        """Positions that are computed, padding included."""
        whole = [len(row.prompt_ids) + len(row.completion_ids) for row in rows]
        if not self.packed:
            return len(rows) * max(whole, default=0)
        if not self.shared:
            return sum(whole)
        prompts = {row.prompt: len(row.prompt_ids) for row in rows}
        return sum(prompts.values()) + sum(len(row.completion_ids) for row in rows)


@dataclass(frozen=True, slots=True, eq=False)
class MicroBatch:
    """Some rows, and right-padded tensors of them, each distinct prompt once."""

    rows: tuple[Row, ...]
    prompt_ids: Tensor
    """int64 [P, L]"""
    prompt_lengths: Tensor
    """int64 [P]"""
    prompt_of_row: Tensor
    """int64 [B]"""
    completion_ids: Tensor
    """int64 [B, T]"""
    mask: Tensor
    """float32 [B, T]"""
    sampler_logprobs: Tensor
    """float32 [B, T], NaN where the sampler does not know it."""
    advantages: Tensor
    """float32 [B, T]"""
    policy_versions: Tensor
    """int64 [B]"""
    chosen: Tensor
    """float32 [B, T], 1 on tokens chosen by their covariance."""
    padded_tokens: int
    """Positions that are computed, padding included."""

    @classmethod
    def of(cls, rows: Sequence[Row], device: torch.device | str = "cpu", layout: Layout = Layout()) -> MicroBatch:
        """Tensors of `rows`, in their order, which are run in this layout."""
        first = {row.prompt: row for row in rows}
        place = {prompt: index for index, prompt in enumerate(first)}
        tensors = (
            _pad([row.prompt_ids for row in first.values()], np.int64),
            torch.tensor([len(row.prompt_ids) for row in first.values()]),
            torch.tensor([place[row.prompt] for row in rows]),
            _pad([row.completion_ids for row in rows], np.int64),
            _pad([np.ones(len(row.completion_ids)) for row in rows], np.float32),
            _pad([row.sampler_logprobs for row in rows], np.float32),
            _pad([row.advantages for row in rows], np.float32),
            torch.tensor([row.policy_version for row in rows]),
            _pad([np.zeros(len(row.completion_ids)) if row.chosen is None else row.chosen for row in rows], np.float32),
        )
        moved = (tensor.to(device, non_blocking=True) for tensor in tensors)
        return cls(tuple(rows), *moved, padded_tokens=layout.tokens(rows))


def micro_batches(rows: Sequence[Row], budget: int, overhead: int, layout: Layout = Layout()) -> list[list[Row]]:
    """Splits rows into micro-batches of at most `budget` tokens, padding included, at the least cost.

    The cost of a micro-batch is its tokens plus `overhead` tokens for the launches, which do not depend
    on its size. Two orders are tried, by completion length and by prompt, and each is cut at its optimal
    places (dynamic programming over the last cut); a shared prompt costs once a micro-batch
    rather than once a row. A row over the budget by itself gets a micro-batch of its own. Deterministic.
    """
    if not rows:
        return []
    longest: dict[int, int] = {}
    for row in rows:
        longest[row.prompt] = max(longest.get(row.prompt, 0), len(row.completion_ids))
    by_length = sorted(rows, key=lambda row: (len(row.completion_ids), row.prompt))
    by_prompt = sorted(rows, key=lambda row: (longest[row.prompt], row.prompt, len(row.completion_ids)))
    plans = [_cut(order, budget, overhead, layout) for order in (by_prompt, by_length)]
    return min(plans, key=lambda plan: plan[0])[1]


def _cut(order: list[Row], budget: int, overhead: int, layout: Layout) -> tuple[float, list[list[Row]]]:
    """The cheapest cuts of rows in this order: (cost, micro-batches)."""
    prompt_len = np.array([len(row.prompt_ids) for row in order])
    completion_len = np.array([len(row.completion_ids) for row in order])
    total_len = prompt_len + completion_len
    following, seen = np.empty(len(order), dtype=np.int64), {}
    for index in range(len(order) - 1, -1, -1):
        following[index] = seen.get(order[index].prompt, len(order))
        seen[order[index].prompt] = index
    best, cut_at = np.zeros(len(order) + 1), np.zeros(len(order), dtype=np.int64)
    low = 0
    for last in range(len(order)):
        # Candidates: micro-batches [start .. last] for start from `last` down to `low`, scanned outwards.
        back = slice(last, low - 1 if low else None, -1)
        count = np.arange(1, last - low + 2)
        if layout.packed:
            first = following[back] > last if layout.shared else 1
            size = np.cumsum(first * prompt_len[back] + completion_len[back])
        else:
            size = count * np.maximum.accumulate(total_len[back])
        fits = (size <= budget) | (count == 1)
        cost = np.where(fits, best[last - count + 1] + size + overhead, np.inf)
        choice = int(np.argmin(cost))
        best[last + 1], cut_at[last] = cost[choice], last - choice
        # A start that no longer fits never fits again: sizes only grow with `last`.
        low = last - int(np.nonzero(fits)[0].max())
    parts, end = [], len(order)
    while end:
        start = int(cut_at[end - 1])
        parts.append(order[start:end])
        end = start
    return float(best[-1]), parts[::-1]


def _row(sample: Sample, advantage: float, prompts: dict[bytes, int]) -> Row:
    """`prompts` numbers the distinct prompts seen so far."""
    where = f"sample {sample.index} of problem {sample.problem_id}"
    if len(sample.prompt_ids) == 0:
        raise ValueError(f"{where} has an empty prompt: a completion must follow at least one token")
    if len(sample.logprobs) != len(sample.completion_ids):
        raise ValueError(
            f"{where} has {len(sample.logprobs)} log-probabilities for {len(sample.completion_ids)} completion "
            "tokens: the sampler must report one for each token"
        )
    key = np.asarray(sample.prompt_ids, dtype=np.int64).tobytes()
    return Row(
        prompt=prompts.setdefault(key, len(prompts)),
        prompt_ids=sample.prompt_ids,
        completion_ids=sample.completion_ids,
        sampler_logprobs=np.asarray(sample.logprobs, dtype=np.float32),
        advantages=np.full(len(sample.completion_ids), advantage, dtype=np.float32),
        policy_version=AVERAGED if sample.averaged else sample.policy_version,
    )


def _unit_tokens(unit: Sequence[Row]) -> int:
    return len(unit[0].prompt_ids) + sum(len(row.completion_ids) for row in unit)


def _pad(arrays: Sequence[np.ndarray], dtype: type) -> Tensor:
    """Stacks arrays of any lengths, zeros behind."""
    out = np.zeros((len(arrays), max(len(array) for array in arrays)), dtype=dtype)
    for line, array in zip(out, arrays, strict=True):
        line[: len(array)] = array
    return torch.from_numpy(out)

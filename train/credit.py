"""Which samples of a step are trained on, and with what advantage. Pure: the driver's tables and the learner both ask.

A sample may be left out for its entropy. The bound is that of M-GRPO (arXiv 2512.13070), which drops trajectories below
max(Q1 - 0.75 * (Q3 - Q1), 0.1), so that a policy is not made surer of what it is sure of already.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from problems.problem import Group, Sample
from train.advantage import group_advantages
from train.config import TrainConfig


@dataclass(frozen=True, slots=True)
class Credit:
    """What the samples of a step's groups are worth."""

    advantages: tuple[list[float | None], ...]
    """Of each group, in order: one for each sample, None for one that is not trained on."""
    low_entropy: int = 0
    """Samples that only their entropy leaves out."""
    bound: float | None = None
    """Nats a token below which they lie; None where entropies are not looked at."""


def assign_credit(groups: Sequence[Group], config: TrainConfig) -> Credit:
    """Advantages within groups, without the samples of low entropy where the configuration leaves these out.

    A group's baseline is that of all its samples, those left out too: their rewards are as true as any.
    Raises ValueError for groups without rewards or verdicts.
    """
    found = [group_advantages(group, config.group_filter, config.advantage) for group in groups]
    if config.entropy_filter is None:
        return Credit(tuple(found))
    entropies = [[sample_entropy(sample) for sample in group.samples] for group in groups]
    trained = [
        entropy
        for values, own in zip(found, entropies, strict=True)
        for advantage, entropy in zip(values, own, strict=True)
        if advantage is not None and np.isfinite(entropy)
    ]
    bound = entropy_bound(np.array(trained), config.entropy_filter, config.lowest_entropy)
    left = tuple(
        [None if entropy < bound else advantage for advantage, entropy in zip(values, own, strict=True)]
        for values, own in zip(found, entropies, strict=True)
    )
    dropped = sum(values.count(None) for values in left) - sum(values.count(None) for values in found)
    return Credit(left, dropped, bound)


def sample_entropy(sample: Sample) -> float:
    """Nats a token: minus the mean log-probability of the tokens that were sampled, as far as they are known; NaN where
    none is.

    Over completions its expectation is the mean entropy of the sampler's distribution, and it is known before any
    forward pass: so the choice is the same for every division of the samples among workers.
    """
    known_T = sample.logprobs[np.isfinite(sample.logprobs)]
    return -float(known_T.mean(dtype=np.float64)) if len(known_T) else float("nan")


def entropy_bound(entropies_N: np.ndarray, factor: float, floor: float) -> float:
    """max(Q1 - factor * (Q3 - Q1), floor) of the entropies of a step's samples, in nats a token; the floor where there
    are none."""
    if not len(entropies_N):
        return floor
    first, third = np.quantile(entropies_N, [0.25, 0.75])
    return float(max(first - factor * (third - first), floor))

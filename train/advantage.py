"""Rewards to advantages, within groups; and which groups are worth training on.

Shapes: P problems, G samples of one problem. NaN (or None) marks a sample that must not be scored.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from problems.problem import Group, GroupFilter, informative
from train.config import Estimator

STD_OFFSET = 1e-4
"""Added to a group's standard deviation before dividing, as in TRL."""


def reward_table(rewards_P_G: Sequence[Sequence[float | None]]) -> np.ndarray:
    """Groups of any sizes as one float64 table [P, largest G], NaN where there is no reward."""
    width = max((len(rewards) for rewards in rewards_P_G), default=0)
    table_P_G = np.full((len(rewards_P_G), width), np.nan)
    for row, rewards in zip(table_P_G, rewards_P_G, strict=True):
        row[: len(rewards)] = [np.nan if reward is None else reward for reward in rewards]
    return table_P_G


def advantages(rewards_P_G: np.ndarray, estimator: Estimator) -> np.ndarray:
    """Advantages [P, G] of rewards [P, G]; NaN stays NaN and counts neither in a mean nor in a deviation.

    group_std: (r - mean) / (std + 1e-4) with the unbiased deviation (GRPO, arXiv 2402.03300). mean_only: r
    - mean (Dr. GRPO, arXiv 2503.20783). leave_one_out: r - mean of the other samples (RLOO, arXiv
    2402.14740). A group with fewer than two scored samples has no baseline: its advantages are 0.
    """
    scored_P_G = ~np.isnan(rewards_P_G)
    count_P_1 = scored_P_G.sum(axis=1, keepdims=True)
    mean_P_1 = np.where(scored_P_G, rewards_P_G, 0.0).sum(axis=1, keepdims=True) / np.maximum(count_P_1, 1)
    centred_P_G = np.where(scored_P_G, rewards_P_G - mean_P_1, 0.0)
    others_P_1 = np.maximum(count_P_1 - 1, 1)
    if estimator == "group_std":
        std_P_1 = np.sqrt((centred_P_G**2).sum(axis=1, keepdims=True) / others_P_1)
        centred_P_G = centred_P_G / (std_P_1 + STD_OFFSET)
    elif estimator == "leave_one_out":
        centred_P_G = centred_P_G * (count_P_1 / others_P_1)
    elif estimator != "mean_only":
        raise ValueError(f"no advantage estimator is called {estimator!r}; use group_std, mean_only or leave_one_out")
    return np.where(scored_P_G, centred_P_G, np.nan)


def group_advantages(group: Group, group_filter: GroupFilter, estimator: Estimator) -> list[float | None]:
    """Advantage of each sample; None for a sample without reward, and for all of a group that the filter leaves out."""
    if not informative(group, group_filter):
        return [None] * len(group.samples)
    values_G = advantages(reward_table([group.rewards]), estimator)[0]
    return [None if np.isnan(value) else float(value) for value in values_G]

"""Tokens that lower the policy's entropy most: those of high covariance of log-probability and advantage.

Source: Cui et al. 2025, "The Entropy Mechanism of Reinforcement Learning for Reasoning Language Models" (arXiv
2505.22617): under policy gradient the entropy falls by about that covariance, and a few tokens make most of it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from train.batch import Row, TrainBatch
from train.config import TrainConfig


def token_covariances(rows: Sequence[Row]) -> np.ndarray:
    """float64 [N]: (log p - mean log p) * (A - mean A) of the N completion tokens, row after row.

    Means are over all tokens whose log-probability is known; NaN where it is not. The log-probabilities are the
    sampler's, which are known before any forward pass: so the choice is the same for every division of the rows into
    micro-batches and workers. Without staleness they are also the learner's own.
    """
    logprobs_N = np.concatenate([row.sampler_logprobs for row in rows]).astype(np.float64)
    advantages_N = np.concatenate([row.advantages for row in rows]).astype(np.float64)
    known_N = np.isfinite(logprobs_N)
    if not known_N.any():
        return np.full(len(logprobs_N), np.nan)
    gap_N = np.where(known_N, logprobs_N, np.nan) - logprobs_N[known_N].mean()
    return gap_N * (advantages_N - advantages_N[known_N].mean())


def choose(covariances_N: np.ndarray, config: TrainConfig, rng: np.random.Generator) -> np.ndarray:
    """bool [N]: the share of tokens that the configuration asks for, rounded down but at least one.

    kl_cov takes those of the largest covariance. clip_cov samples uniformly among those whose covariance lies strictly
    inside its bounds, which may be fewer, or none.
    """
    count = max(1, int(config.chosen_share * len(covariances_N)))
    if config.covariance == "kl_cov":
        known = np.flatnonzero(~np.isnan(covariances_N))
        places = known[np.argsort(-covariances_N[known], kind="stable")[:count]]
    else:
        low, high = config.chosen_range
        inside = np.flatnonzero((covariances_N > low) & (covariances_N < high))
        places = rng.permutation(inside)[:count]
    chosen_N = np.zeros(len(covariances_N), dtype=bool)
    chosen_N[places] = True
    return chosen_N


def mark(batch: TrainBatch, config: TrainConfig, rng: np.random.Generator) -> TrainBatch:
    """The batch with its chosen tokens marked, once for all epochs on it."""
    if not batch.rows:
        return batch
    chosen_N = choose(token_covariances(batch.rows), config, rng).astype(np.float32)
    ends = np.cumsum([len(row.completion_ids) for row in batch.rows])
    pieces = np.split(chosen_N, ends[:-1])
    return replace(batch, rows=tuple(replace(row, chosen=piece) for row, piece in zip(batch.rows, pieces, strict=True)))

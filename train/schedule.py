"""The course of the learning rate: a pure function of the step, so that nothing about it needs saving."""

from __future__ import annotations

import math

from train.config import TrainConfig


def learning_rate(config: TrainConfig, step: int) -> float:
    """The rate of update number `step` (0 is a run's first): linear warm-up, then constant, linear or cosine.

    The first warm-up step already moves: step s of w warm-up steps has (s + 1) / (w + 1) of the peak.
    Linear and cosine reach 0 at `total_steps`, one step past the last. Raises ValueError where they have none.
    """
    if step < config.warmup_steps:
        return config.learning_rate * (step + 1) / (config.warmup_steps + 1)
    if config.schedule == "constant":
        return config.learning_rate
    if config.total_steps is None:
        raise ValueError(f"schedule {config.schedule} must know where it ends: set total_steps to the steps of the run")
    done = min(1.0, (step - config.warmup_steps) / (config.total_steps - config.warmup_steps))
    share = 1 - done if config.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done))
    return config.learning_rate * share

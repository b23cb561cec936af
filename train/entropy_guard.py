"""What a learner does about an entropy that falls: an alarm, and the weight of an entropy bonus in the loss."""

from __future__ import annotations

import math

from train.config import TrainConfig


def guard_entropy(metrics: dict[str, float], weight: float, config: TrainConfig) -> float:
    """Adds alarm and weight to the metrics of a step, and returns the bonus's weight for the next one.

    The weight moves by a fixed gain and never below 0, after the adaptive entropy control of Skywork-OR1 (arXiv
    2505.22312), which also removes the bonus at once above the floor. A step without rows has no entropy and changes
    nothing.
    """
    entropy = metrics.get("entropy")
    if config.entropy_floor is not None:
        metrics["entropy_weight"] = weight
    if entropy is None or not math.isfinite(entropy):
        return weight
    if config.entropy_alarm is not None:
        metrics["entropy_alarm"] = float(entropy < config.entropy_alarm)
    if config.entropy_floor is None:
        return weight
    gain = 0.005 if config.entropy_gain is None else config.entropy_gain
    return max(0.0, weight + (gain if entropy < config.entropy_floor else -gain))

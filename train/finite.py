"""Updates whose loss or gradient is not finite are skipped and counted; too many in a row stop the training."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from transformers import TrainerCallback

MOST_IN_A_ROW = 10
"""Consecutive skipped updates that end a training: the cause will not go away by itself."""


class StepGuard:
    """Counts the updates that were skipped."""

    def __init__(self) -> None:
        self.skipped = 0
        """In total."""
        self.in_a_row = 0
        """Since the last update that was made."""

    def observe(self, finite: bool, what: str) -> None:
        """Counts one update. Raises FloatingPointError, naming `what`, for the `MOST_IN_A_ROW`th skipped in a row."""
        if finite:
            self.in_a_row = 0
            return
        self.skipped, self.in_a_row = self.skipped + 1, self.in_a_row + 1
        if self.in_a_row >= MOST_IN_A_ROW:
            raise FloatingPointError(
                f"{what} is not finite, for the {self.in_a_row}th update in a row; all of these were skipped and the "
                "weights are as before them. Look for log-probabilities that are not finite in the samples, lower "
                "learning_rate, or set dtype to float32"
            )


class SkipNotFinite(TrainerCallback):
    """For the trainers of transformers and TRL: an update with a gradient that is not finite does nothing.

    In a process group the gradients are those that all ranks have reduced, so all ranks decide the same.
    """

    def __init__(self) -> None:
        self.guard = StepGuard()

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Removes the gradients: an optimiser leaves a parameter without one, and its state, unchanged."""
        finite = drop_not_finite(model.parameters())
        self.guard.observe(finite, f"the gradient of update {state.global_step}")


def drop_not_finite(parameters: Iterable[Tensor]) -> bool:
    """Whether all gradients are finite; where one is not, none is left."""
    owners = [parameter for parameter in parameters if parameter.grad is not None]
    if not owners or bool(torch.stack([torch.isfinite(p.grad).all() for p in owners if p.grad is not None]).all()):
        return True
    for parameter in owners:
        parameter.grad = None
    return False

"""The rule by which rollbacks end a run: that of `crucible expert-iteration` and of `crucible undo`."""

from __future__ import annotations

from typing import Any


class Patience:
    """Counts the iterations in a row that were rolled back."""

    def __init__(self, most: int) -> None:
        """`most` in a row end the run."""
        self._most = most
        self._count = 0

    def ends(self, accepted: bool) -> bool:
        """Takes the next iteration, and returns whether the run ends with it."""
        self._count = 0 if accepted else self._count + 1
        return self._count == self._most

    @property
    def reason(self) -> str:
        """Why the run has ended."""
        return f"{self._most} iterations in a row were rolled back"


def check_patience(config: Any) -> None:
    """Raises ValueError where `patience` is set and there is nothing to count, of a configuration with both options."""
    if not config.rollback and config.patience != type(config).model_fields["patience"].default:
        raise ValueError("patience counts rollbacks, so it has no effect with rollback False: leave it out")

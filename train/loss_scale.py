"""The factor by which a loss is multiplied before its backward pass in float16, and its gradient divided after it.

Activations' gradients of a mean over many tokens are below what float16 can hold, and would be lost (Micikevicius et
al. 2018, "Mixed Precision Training", arXiv 1710.03740). The factor is lowered where a gradient overflows, and the same
pass done again; it is raised after a while without. Other numbers need none.
"""

from __future__ import annotations

START, LEAST, MOST = 2.0**16, 1.0, 2.0**24
SHRINK, GROW = 4.0, 2.0
GROW_AFTER = 100
"""Updates without an overflow after which a larger factor is tried."""


class LossScale:
    """The factor, equal on all ranks: they see the same reduced gradient."""

    def __init__(self, dtype: str) -> None:
        """For a model that computes in `dtype`."""
        self.needed = dtype == "float16"
        self.value = START if self.needed else 1.0
        self.updates = 0
        """Since the factor was changed."""

    def shrink(self) -> bool:
        """Lowers it after a gradient that is not finite; False where it is as low as it gets."""
        if not self.needed or self.value <= LEAST:
            return False
        self.value, self.updates = max(LEAST, self.value / SHRINK), 0
        return True

    def keep(self) -> None:
        """Counts an update whose gradient was finite."""
        if not self.needed:
            return
        self.updates += 1
        if self.updates >= GROW_AFTER:
            self.value, self.updates = min(MOST, self.value * GROW), 0

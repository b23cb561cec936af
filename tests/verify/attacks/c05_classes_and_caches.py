"""Uses a dataclass, an enum, typing and lru_cache."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from functools import lru_cache
from typing import List


class Limit(enum.IntEnum):
    INFINITE = 10**9


@dataclass
class Solver:
    coins: List[int] = field(default_factory=list)

    def solve(self, amount: int) -> int:
        @lru_cache(None)
        def fewest(a):
            return 0 if a == 0 else min((1 + fewest(a - c) for c in self.coins if c <= a), default=Limit.INFINITE)

        found = fewest(amount)
        return -1 if found >= Limit.INFINITE else found


def coin_change(coins: List[int], amount: int) -> int:
    return Solver(coins).solve(amount)

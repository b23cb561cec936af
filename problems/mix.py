"""Several sources of problems as one weighted stream: a pure function of (seed, index), like each of its parts.

Indices are assigned to parts by a fixed pattern of length `PERIOD`, which holds each part in proportion to its weight.
So the number of problems that a part has given before any index is known at once. A finite part yields all its
problems, shuffled, before it starts again: none is missing or repeated within an epoch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Protocol

from problems.problem import Problem
from problems.rng import Rng

PERIOD = 1000


class Part(Protocol):
    """Anything with a problem for each index."""

    def problem(self, index: int, difficulties: Sequence[int] = ()) -> Problem:
        """The problem at this index."""
        ...

    def family(self, index: int) -> str:
        """Name of the family or data set at this index, whatever the difficulties."""
        ...


class Finite:
    """A list of problems as an endless stream, reshuffled each epoch. Difficulties are the problems' own."""

    def __init__(self, problems: Sequence[Problem], seed: int) -> None:
        if not problems:
            raise ValueError("a source gave no problems; correct its path, its mapping's `where`, or leave it out")
        self.problems = tuple(problems)
        self.seed = seed
        self._shuffled = (-1, [])

    def problem(self, index: int, difficulties: Sequence[int] = ()) -> Problem:
        """The problem at this index; `difficulties` do not apply. Raises ValueError below 0."""
        if index < 0:
            raise ValueError(f"problem index {index} is negative; indices start at 0")
        epoch, at = divmod(index, len(self.problems))
        if self._shuffled[0] != epoch:
            self._shuffled = (epoch, Rng("finite", self.seed, epoch).shuffled(range(len(self.problems))))
        return self.problems[self._shuffled[1][at]]

    def family(self, index: int) -> str:
        """Name of the data set at this index."""
        return self.problem(index).family


class Mix:
    """Weighted parts as one stream."""

    def __init__(self, parts: Sequence[tuple[Part, float]], seed: int) -> None:
        """Raises ValueError if no part has a positive weight, or one has a negative weight."""
        if any(weight < 0 for _, weight in parts):
            raise ValueError(f"weights of a mix must be 0 or more, not {[w for _, w in parts]}")
        self.parts = [part for part, weight in parts if weight > 0]
        if not self.parts:
            raise ValueError("no part of the mix has a positive weight, so it holds no problems")
        shares = _shares([weight for _, weight in parts if weight > 0])
        pattern = [part for part, share in enumerate(shares) for _ in range(share)]
        self._pattern = Rng("mix", seed).shuffled(pattern)
        self._shares = shares
        self._before, seen = [], [0] * len(shares)
        for part in self._pattern:
            self._before.append(seen[part])
            seen[part] += 1

    def place(self, index: int) -> tuple[int, int]:
        """The part with the problem at this index, and the index within that part. Raises ValueError below 0."""
        if index < 0:
            raise ValueError(f"problem index {index} is negative; indices start at 0")
        period, at = divmod(index, PERIOD)
        part = self._pattern[at]
        return part, period * self._shares[part] + self._before[at]

    def problem(self, index: int, difficulties: Sequence[int] = ()) -> Problem:
        """The problem at this index; a curriculum may give `difficulties`, which finite parts ignore."""
        part, own = self.place(index)
        return self.parts[part].problem(own, difficulties)

    def family(self, index: int) -> str:
        """Name of the family or data set at this index."""
        part, own = self.place(index)
        return self.parts[part].family(own)

    def __iter__(self) -> Iterator[Problem]:
        return (self.problem(i) for i in count())


def _shares(weights: Sequence[float]) -> list[int]:
    """Each part's share of a period in proportion to its weight (largest remainders), at least one."""
    total = sum(weights)
    exact = [w / total * PERIOD for w in weights]
    shares = [max(1, int(x)) for x in exact]
    by_remainder = sorted(range(len(weights)), key=lambda i: shares[i] - exact[i])
    for i in range(PERIOD - sum(shares)):
        shares[by_remainder[i % len(shares)]] += 1
    while sum(shares) > PERIOD:
        shares[shares.index(max(shares))] -= 1
    return shares

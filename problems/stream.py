"""An endless stream of problems as a pure function of (seed, split, index)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import accumulate, count

from problems import families
from problems.config import ProblemsConfig
from problems.family import Family
from problems.problem import Problem, Split
from problems.rng import Rng
from problems.splits import check_split


class ProblemStream:
    """Problems of one split by index, the same for the same configuration on any machine. Generated on demand."""

    def __init__(self, config: ProblemsConfig, split: Split) -> None:
        self.config = config
        self.split: Split = check_split(split)
        weighted = zip(config.families, config.full_names)
        named = [(full, w) for name, full in weighted if (w := config.weights.get(name, 1.0)) > 0]
        total = sum(w for _, w in named)
        self._families = [families.get(full) for full, _ in named]
        self._edges = [edge / total for edge in accumulate(w for _, w in named)]

    def family(self, index: int) -> str:
        """Name of the family at this index; it does not depend on difficulties."""
        return self._draw(index)[1].name

    def problem(self, index: int, difficulties: Sequence[int] = ()) -> Problem:
        """The problem at this index; a curriculum may give other `difficulties` than the configuration's.

        Raises ValueError for a negative index.
        """
        rng, family = self._draw(index)
        difficulty = rng.pick(tuple(difficulties) or self.config.difficulties)
        return family.problem(
            rng,
            id=f"{family.name}-d{difficulty}-{self.split}-{self.config.seed}-{index}",
            difficulty=difficulty,
            split=self.split,
            hidden_tests=self.config.hidden_tests,
            public_examples=self.config.public_examples,
        )

    def _draw(self, index: int) -> tuple[Rng, Family]:
        if index < 0:
            raise ValueError(f"problem index {index} is negative; indices start at 0")
        rng = Rng("stream", self.config.seed, self.split, index)
        return rng, rng.weighted(self._families, self._edges)

    def range(self, start: int, stop: int) -> Iterator[Problem]:
        """The problems from index `start` up to, not including, `stop`."""
        return (self.problem(i) for i in range(start, stop))

    def __iter__(self) -> Iterator[Problem]:
        return (self.problem(i) for i in count())

"""Several sources of problems as one stream, by weights: a pure function of (seed, index), like each part of it.

Positions are dealt out by a fixed pattern of `PERIOD` places that holds each part in proportion to its weight, so the
number of problems a part has given before any index is known at once. A finite part goes through all its problems,
shuffled, before it begins again: none is lost or asked twice in an epoch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field, model_validator

from problems.config import ProblemsConfig
from problems.draw import Draw
from problems.problem import Problem, Split
from problems.sources import Prove, Report, SourceConfig, read
from problems.stream import ProblemStream

PERIOD = 1000


class PartConfig(BaseModel):
    """One part of a mix: a procedural stream or a data set."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    weight: float = Field(default=1.0, ge=0)
    """How often this part is drawn beside the others; 0 leaves it out."""
    procedural: ProblemsConfig | None = None
    """A stream of the families."""
    source: SourceConfig | None = None
    """A data set, held in memory."""

    @model_validator(mode="after")
    def _one_of_two(self) -> PartConfig:
        if (self.procedural is None) == (self.source is None):
            raise ValueError("a part of a mix is either `procedural` or `source`; give one of them")
        return self


class MixConfig(BaseModel):
    """Several parts as one stream."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    parts: tuple[PartConfig, ...] = (PartConfig(procedural=ProblemsConfig()),)
    """What is mixed."""
    seed: int = 0
    """Seed of the order in which parts are drawn and of the order of finite parts."""


class Part(Protocol):
    """Something that gives a problem for an index."""

    def problem(self, index: int, difficulties: Sequence[int] = ()) -> Problem:
        """The problem at this index."""


class Finite:
    """A list of problems as an endless stream, shuffled anew each epoch. Difficulties are the problems' own."""

    def __init__(self, problems: Sequence[Problem], seed: int) -> None:
        if not problems:
            raise ValueError("a source gave no problems; correct its path, its mapping's `where`, or leave it out")
        self.problems = tuple(problems)
        self.seed = seed
        self._shuffled = (-1, [])

    def problem(self, index: int, difficulties: Sequence[int] = ()) -> Problem:
        """The problem at this index; `difficulties` do not apply."""
        epoch, at = divmod(index, len(self.problems))
        if self._shuffled[0] != epoch:
            self._shuffled = (epoch, Draw("finite", self.seed, epoch).shuffled(range(len(self.problems))))
        return self.problems[self._shuffled[1][at]]


class Mix:
    """Parts with weights, as one stream."""

    def __init__(self, parts: Sequence[tuple[Part, float]], seed: int) -> None:
        """Raises ValueError where there is no part with a positive weight, or one with a negative weight."""
        if any(weight < 0 for _, weight in parts):
            raise ValueError(f"weights of a mix must be 0 or more, not {[w for _, w in parts]}")
        self.parts = [part for part, weight in parts if weight > 0]
        if not self.parts:
            raise ValueError("no part of the mix has a positive weight, so it holds no problems")
        shares = _shares([weight for _, weight in parts if weight > 0])
        pattern = [part for part, share in enumerate(shares) for _ in range(share)]
        self._pattern = Draw("mix", seed).shuffled(pattern)
        self._shares = shares
        self._before, seen = [], [0] * len(shares)
        for part in self._pattern:
            self._before.append(seen[part])
            seen[part] += 1

    def place(self, index: int) -> tuple[int, int]:
        """Which part gives the problem at this index, and at which index of its own. Raises ValueError below 0."""
        if index < 0:
            raise ValueError(f"problem index {index} is negative; indices start at 0")
        period, at = divmod(index, PERIOD)
        part = self._pattern[at]
        return part, period * self._shares[part] + self._before[at]

    def problem(self, index: int, difficulties: Sequence[int] = ()) -> Problem:
        """The problem at this index; a curriculum may give `difficulties`, which finite parts ignore."""
        part, own = self.place(index)
        return self.parts[part].problem(own, difficulties)

    def __iter__(self) -> Iterator[Problem]:
        return (self.problem(i) for i in count())


def build(config: MixConfig, split: Split, report: Report | None = None, prove: Prove | None = None) -> Mix:
    """The mix that a configuration asks for; what became of the rows of its data sets is counted in `report`.

    A data set is read whole, under the `split` that its own configuration gives it. Raises SourceError for one that
    cannot be read and ValueError for one without problems.
    """
    parts: list[tuple[Part, float]] = []
    for part in config.parts:
        if part.weight == 0:
            continue
        if part.procedural is not None:
            parts.append((ProblemStream(part.procedural, split), part.weight))
        else:
            found = Report()
            parts.append((Finite(list(read(part.source, found, prove)), config.seed), part.weight))
            if report is not None:
                report.add(found)
    return Mix(parts, config.seed)


def _shares(weights: Sequence[float]) -> list[int]:
    """Places of a period in proportion to the weights (largest remainders), at least one each."""
    total = sum(weights)
    exact = [w / total * PERIOD for w in weights]
    shares = [max(1, int(x)) for x in exact]
    by_remainder = sorted(range(len(weights)), key=lambda i: shares[i] - exact[i])
    for i in range(PERIOD - sum(shares)):
        shares[by_remainder[i % len(shares)]] += 1
    while sum(shares) > PERIOD:
        shares[shares.index(max(shares))] -= 1
    return shares

"""Families one after the other: each has the problems of so many training steps to itself, round after round."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate

from problems.problem import Problem
from problems.stream import ProblemStream


class Turns:
    """A stream whose families take turns; a pure function of the index, as the stream itself is."""

    def __init__(self, stream: ProblemStream, steps: Mapping[str, int], indices_per_step: int) -> None:
        """`steps` of each family in their order; `indices_per_step` indices of the stream are taken for a step."""
        config = stream.config
        self._names = list(steps)
        self._streams = {
            name: ProblemStream(config.model_copy(update={"families": (name,), "weights": {}}), stream.split)
            for name in self._names
        }
        self._ends = list(accumulate(steps.values()))
        self._indices_per_step = indices_per_step

    def family(self, index: int) -> str:
        """Whose turn it is at this index. Raises ValueError below 0."""
        if index < 0:
            raise ValueError(f"problem index {index} is negative; indices start at 0")
        step = index // self._indices_per_step % self._ends[-1]
        return next(name for name, end in zip(self._names, self._ends, strict=True) if step < end)

    def problem(self, index: int, difficulties: Sequence[int] = ()) -> Problem:
        """The problem at this index; a curriculum may give `difficulties`."""
        return self._streams[self.family(index)].problem(index, difficulties)

"""A full grid of problems: as many of each family at each difficulty, and no question twice."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection

from problems.config import ProblemsConfig
from problems.problem import Problem, Split
from problems.stream import ProblemStream

REPEATS = 10
"""Repeats in a row, for each question that was found, after which a cell counts as exhausted."""


def question(problem: Problem) -> str:
    """What a problem asks, whatever its wording."""
    return problem.question_hash


def wording(problem: Problem) -> str:
    """What a problem asks, and how."""
    return problem.content_hash


def grid(
    config: ProblemsConfig,
    split: Split,
    count: int,
    without: Collection[str] = (),
    identity: Callable[[Problem], str] = question,
) -> list[Problem]:
    """`count` problems of every family at every difficulty, cell by cell, from streams of the configuration's seed.

    Families of weight 0 are left out; other weights, and difficulties given twice, change nothing. No two problems have
    the same `identity`, nor one that is in `without`. Raises ValueError for a cell with fewer than `count` of them.
    """
    seen, found = set(without), []
    for family in (name for name in config.families if config.weights.get(name, 1.0) > 0):
        for difficulty in dict.fromkeys(config.difficulties):
            cell = config.model_copy(update={"families": (family,), "difficulties": (difficulty,), "weights": {}})
            found += _cell(ProblemStream(cell, split), count, seen, identity)
    return found


def _cell(stream: ProblemStream, count: int, seen: set[str], identity: Callable[[Problem], str]) -> list[Problem]:
    """The problems of one cell; what they are is added to `seen`."""
    found: list[Problem] = []
    repeats = 0
    for index in itertools.count():
        if len(found) == count:
            break
        problem = stream.problem(index)
        # One question may come up at several difficulties.
        if (key := identity(problem)) not in seen:
            seen.add(key)
            found.append(problem)
            repeats = 0
            continue
        repeats += 1
        # Were one of n + 1 equally likely questions left, so many repeats in a row had a chance of e^-10.
        if repeats > REPEATS * (len(seen) + 1):
            (family,), (difficulty,) = stream.config.families, stream.config.difficulties
            raise ValueError(
                f"family {family} has only {len(found)} more {stream.split} problems of difficulty {difficulty} that "
                f"are not selected already, and {count} are wanted"
            )
    return found

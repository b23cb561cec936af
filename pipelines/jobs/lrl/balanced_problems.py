"""Balanced scheduling problems: as many YES as NO at every level, all questions different."""

from __future__ import annotations

from collections.abc import Collection

from pipelines.errors import ConfigError
from problems.config import ProblemsConfig
from problems.problem import Problem, Split
from problems.stream import ProblemStream

FAMILY = "scheduling"
LABELS = ("YES", "NO")
LEVELS = {"easy": 2, "medium": 5, "hard": 8}
"""The family's levels, each by one of its difficulties."""
DRAWS = 400
"""Problems to draw for each that is wanted, before it is said that there are no more."""


def balanced(split: Split, count: int, seed: int, without: Collection[str] = ()) -> list[Problem]:
    """`count` problems, YES and NO in turn and the level changing after each pair; none whose question's hash is in
    `without`.

    Where `count` does not divide, labels differ by one and levels by two at most. Raises ConfigError where the family
    has not so many questions.
    """
    cells = [(level, label) for level in LEVELS for label in LABELS]
    streams = {
        level: ProblemStream(ProblemsConfig(families=(FAMILY,), difficulties=(difficulty,), seed=seed), split)
        for level, difficulty in LEVELS.items()
    }
    position = dict.fromkeys(LEVELS, 0)
    waiting: dict[tuple[str, str], list[Problem]] = {cell: [] for cell in cells}
    seen = set(without)
    chosen = []
    for number in range(count):
        cell = level, _ = cells[number % len(cells)]
        while not waiting[cell]:
            if position[level] > DRAWS * count:
                raise ConfigError(f"the family {FAMILY} has no {count} different {split} questions; ask for fewer")
            problem = streams[level].problem(position[level])
            position[level] += 1
            if problem.question_hash not in seen:
                seen.add(problem.question_hash)
                waiting[level, gold(problem)].append(problem)
        chosen.append(waiting[cell].pop(0))
    return chosen


def gold(problem: Problem) -> str:
    """The true verdict, YES or NO."""
    return str(problem.hidden_tests[0].expected)

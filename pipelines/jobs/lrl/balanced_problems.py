"""Scheduling problems, all questions different: as many YES as NO at every level, or with labels as they come."""

from __future__ import annotations

from collections.abc import Collection

from pipelines.errors import ConfigError
from problems.config import ProblemsConfig
from problems.families import DRAWN, ContractChoice
from problems.problem import Problem, Split
from problems.stream import ProblemStream

FAMILY = "scheduling"
LABELS = ("YES", "NO")
LEVELS = {"easy": 2, "medium": 5, "hard": 8}
"""The family's levels, each by one of its difficulties."""
REPEATS = 3000
"""Known questions in a row after which a level, of which a few hundred are possible, has no others."""
DRAWS = 400
"""Problems to draw for each that is wanted, before it is said that there are no more."""


def balanced(split: Split, count: int, seed: int, without: Collection[str] = ()) -> list[Problem]:
    """`count` problems, YES and NO in turn and the level changing after each pair; none whose question's hash is in
    `without`.

    Where `count` does not divide, labels differ by one and levels by two at most. Raises ConfigError where the family
    has not so many questions.
    """
    cells = [(level, label) for level in LEVELS for label in LABELS]
    streams = _streams(split, seed, DRAWN)
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


def as_they_come(split: Split, count: int, seed: int, without: Collection[str] = ()) -> list[Problem]:
    """`count` problems of the classic contract, the level changing each time, with whatever labels they have.

    Raises ConfigError where a level has not so many questions.
    """
    streams, position, seen = _streams(split, seed, "classic"), dict.fromkeys(LEVELS, 0), set(without)
    chosen: list[Problem] = []
    for number in range(count):
        level = list(LEVELS)[number % len(LEVELS)]
        for _ in range(REPEATS):
            problem = streams[level].problem(position[level])
            position[level] += 1
            if problem.question_hash not in seen:
                break
        else:
            raise ConfigError(
                f"the classic contract of {FAMILY} has only {number // len(LEVELS)} other {split} questions of level "
                f"{level}; ask for {number} problems at most"
            )
        seen.add(problem.question_hash)
        chosen.append(problem)
    return chosen


def _streams(split: Split, seed: int, contract: ContractChoice) -> dict[str, ProblemStream]:
    config = ProblemsConfig(families=(FAMILY,), contract=contract, seed=seed)
    return {
        level: ProblemStream(config.model_copy(update={"difficulties": (difficulty,)}), split)
        for level, difficulty in LEVELS.items()
    }


def gold(problem: Problem) -> str:
    """The true verdict, YES or NO."""
    return str(problem.hidden_tests[0].expected)

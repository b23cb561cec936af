"""The problems of a run, all different: evenly of every family and level, and of YES or NO as many as of the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from pipelines.errors import ConfigError
from pipelines.measure.problem_set import questions_of
from problems import families as known
from problems.config import ProblemsConfig
from problems.problem import Problem, Split
from problems.questions import TRIES_PER_PROBLEM
from problems.stream import ProblemStream

if TYPE_CHECKING:
    from pipelines.jobs.lrl.config import LRLConfig

FAMILY = "scheduling"
LABELS = ("YES", "NO")
LEVELS = {"easy": 2, "medium": 5, "hard": 8}
"""The levels of scheduling, each by one of its difficulties."""
DRAWS = 400
"""Problems to draw for each that is wanted, before it is said that there are no more."""


def problems_of(config: LRLConfig, split: Split, count: int, seed: int, without: Collection[str] = ()) -> list[Problem]:
    """`count` problems of what a run asks, none whose question's hash is in `without`. Raises ConfigError."""
    if config.problems.parts:
        return _of_data_sets(config, split, count, seed, without)
    return balanced(split, count, seed, without, config.problems.full_names, config.problems.difficulties)


def balanced(
    split: Split,
    count: int,
    seed: int,
    without: Collection[str] = (),
    families: Sequence[str] = (FAMILY,),
    difficulties: Sequence[int] = tuple(LEVELS.values()),
) -> list[Problem]:
    """`count` problems, of a family of YES and NO both in turn, and the difficulty and the family changing after that;
    none whose question's hash is in `without`. Families name their contract; labels of one whose labels are not even
    are taken as they come.

    Where `count` does not divide, labels differ by one and levels by two at most. Raises ConfigError where a family has
    not so many questions.
    """
    kinds = [(family, difficulty) for family in families for difficulty in dict.fromkeys(difficulties)]
    cells = [(kind, label) for kind in kinds for label in (LABELS if _has_even_labels(kind[0]) else ("",))]
    streams = {
        kind: ProblemStream(ProblemsConfig(families=kind[:1], difficulties=kind[1:], seed=seed), split)
        for kind in kinds
    }
    position = dict.fromkeys(kinds, 0)
    waiting: dict[tuple[tuple[str, int], str], list[Problem]] = {cell: [] for cell in cells}
    seen = set(without)
    chosen = []
    for number in range(count):
        cell = kind, _ = cells[number % len(cells)]
        while not waiting[cell]:
            if position[kind] > DRAWS * count:
                raise ConfigError(f"the family {kind[0]} has no {count} different {split} questions; ask for fewer")
            problem = streams[kind].problem(position[kind])
            position[kind] += 1
            if problem.question_hash not in seen:
                seen.add(problem.question_hash)
                waiting[kind, gold(problem) if is_to_be_balanced(problem) else ""].append(problem)
        chosen.append(waiting[cell].pop(0))
    return chosen


def _of_data_sets(config: LRLConfig, split: Split, count: int, seed: int, without: Collection[str]) -> list[Problem]:
    """The first of the mix, without those of YES or NO whose label is ahead already."""
    questions = questions_of(config)
    try:
        part = questions.part(split, seed)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    seen, labels, chosen = set(without), Counter[str](), []
    for index in range(TRIES_PER_PROBLEM * count):
        problem = part.problem(index)
        if problem.kind != "answer":
            raise ConfigError(f"{problem.id} wants a program, and lrl asks for YES or NO, or for an answer in a box")
        ahead = is_to_be_balanced(problem) and labels[gold(problem)] > min(labels[label] for label in LABELS)
        if problem.question_hash in seen or ahead:
            continue
        seen.add(problem.question_hash)
        labels[gold(problem)] += is_to_be_balanced(problem)
        chosen.append(problem)
        if len(chosen) == count:
            return chosen
    raise ConfigError(
        f"problems.parts has no {count} different {split} questions, of YES or NO as many as of the other: "
        f"{len(chosen)} were found; ask for fewer"
    )


def is_yes_no(problem: Problem) -> bool:
    """Whether the answer is YES or NO; otherwise it is one in a box."""
    return problem.checker.partition(":")[0] == "yes_no"


def is_to_be_balanced(problem: Problem) -> bool:
    """Whether YES is to be asked as often as NO: the labels of some contracts are taken as they come."""
    return is_yes_no(problem) and (not known.known(problem.family) or _has_even_labels(problem.family))


def gold(problem: Problem) -> str:
    """The true answer: YES or NO, or what belongs into the box."""
    answer = str(problem.hidden_tests[0].expected)
    return answer.strip().upper() if is_yes_no(problem) else answer


def _has_even_labels(name: str) -> bool:
    family = known.get(name)
    is_yes_no_family = family.checker == "yes_no" and not any(variant.checker for variant in family.variants)
    return is_yes_no_family and getattr(family, "even_labels", True)

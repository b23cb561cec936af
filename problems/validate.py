"""Proves families: right programs pass, the catalogue of wrong ones does not, and how large the share is."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field

from problems import families
from problems.family import CONSTANT, Family, WrongProgram
from problems.problem import Problem
from problems.reference_check import failure
from problems.rng import Rng
from problems.splits import SPLITS, split_of

SEED_SPLITS = (*["train"] * 8, "val", "test")
"""Of every ten seeds, eight are drawn from train and one each from val and test."""
NEEDED_KILL_RATE = 0.99
SHOWN = 5
"""Failures kept as examples, of each sort."""


@dataclass
class Tally:
    """What was counted for one family at one difficulty; tallies add up."""

    problems: int = 0
    correct: int = 0
    accepted: int = 0
    wrong: int = 0
    """Wrong programs of the catalogue and the cheats but the constants, which are counted apart."""
    rejected: int = 0
    constants: int = 0
    constants_passed: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    """Gold answers of kind `answer`, for the balance of labels."""
    tried: Counter[str] = field(default_factory=Counter)
    """Wrong programs by name."""
    survived: Counter[str] = field(default_factory=Counter)
    """Those among them that passed."""
    refused: list[str] = field(default_factory=list)
    """Correct programs that failed, with the reason."""
    escaped: list[str] = field(default_factory=list)
    """Wrong programs that passed."""

    def add(self, other: Tally) -> None:
        """Adds another tally's counts to this one's."""
        for name in ("problems", "correct", "accepted", "wrong", "rejected", "constants", "constants_passed"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("answers", "tried", "survived"):
            getattr(self, name).update(getattr(other, name))
        self.refused = (self.refused + other.refused)[:SHOWN]
        self.escaped = (self.escaped + other.escaped)[:SHOWN]

    @property
    def kill_rate(self) -> float:
        """Share of wrong programs rejected; 1 where there are none."""
        return self.rejected / self.wrong if self.wrong else 1.0

    @property
    def sound(self) -> bool:
        """All correct programs accepted, at least 99 % of the wrong ones rejected, and no constant passes."""
        return self.accepted == self.correct and self.kill_rate >= NEEDED_KILL_RATE and not self.constants_passed


def problem_of(family: Family, difficulty: int, seed: int) -> Problem:
    """The problem that validation looks at for this difficulty and seed."""
    return family.problem(
        Rng("validate", family.name, difficulty, seed),
        id=f"{family.name}-{difficulty}-{seed}",
        difficulty=difficulty,
        split=SEED_SPLITS[seed % len(SEED_SPLITS)],
        hidden_tests=10,
        public_examples=3,
    )


def validate(name: str, difficulty: int, seeds: Sequence[int]) -> Tally:
    """Runs all programs of the family's catalogue on its problems of these seeds, in this process.

    Raises AssertionError where a problem is malformed: in the wrong split, public inputs among the hidden ones.
    """
    family, tally = families.get(name), Tally()
    for seed in seeds:
        problem = problem_of(family, difficulty, seed)
        check_form(problem)
        solutions = family.solutions(problem)
        tally.problems += 1
        if problem.kind == "answer":
            tally.answers[problem.hidden_tests[0].expected] += 1
        for code in solutions.correct:
            tally.correct += 1
            if why := failure(problem, code):
                tally.refused.append(f"{problem.id} ({problem.mode}, {problem.params}): {why}\n{code}")
            else:
                tally.accepted += 1
        for wrong in (*solutions.wrong, *family.cheats(problem)):
            _count_wrong(tally, problem, wrong)
    tally.refused, tally.escaped = tally.refused[:SHOWN], tally.escaped[:SHOWN]
    return tally


def _count_wrong(tally: Tally, problem: Problem, wrong: WrongProgram) -> None:
    passed = not failure(problem, wrong.code)
    if wrong.name == CONSTANT:
        tally.constants += 1
        tally.constants_passed += passed
    else:
        tally.wrong += 1
        tally.rejected += not passed
        tally.tried[wrong.name] += 1
        tally.survived[wrong.name] += passed
    if passed:
        tally.escaped.append(f"{problem.id} ({problem.mode}, {problem.params}): {wrong.name} passes")


def check_form(problem: Problem) -> None:
    """Raises AssertionError where a problem's split is not its question's, or a public input is also hidden."""
    assert problem.split in SPLITS, f"{problem.id}: unknown split {problem.split}"
    assert split_of(problem.question_hash) == problem.split, f"{problem.id}: its question is of another split"
    public = {repr(t.args) for t in problem.public_examples}
    assert not any(repr(t.args) in public for t in problem.hidden_tests), f"{problem.id}: a public input is hidden too"


def validate_many(
    names: Sequence[str], difficulties: Sequence[int], seeds: int, workers: int = 0
) -> Iterator[tuple[str, int, Tally]]:
    """Validates each family at each difficulty in worker processes and yields (name, difficulty, tally) as ready."""
    workers = workers or os.cpu_count() or 1
    jobs = [(name, d) for name in names for d in difficulties]
    if workers == 1:
        for name, d in jobs:
            yield name, d, validate(name, d, range(seeds))
        return
    with ProcessPoolExecutor(workers) as pool:
        futures = {pool.submit(validate, name, d, range(seeds)): (name, d) for name, d in jobs}
        for future in as_completed(futures):
            yield *futures[future], future.result()

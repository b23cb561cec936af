"""Validates families: correct programs must pass their tests, and the catalogued mutants must fail them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field

from problems import families
from problems.family import CONSTANT, Family, Mutant
from problems.problem import Problem, Split
from problems.reference_check import failure
from problems.rng import Rng
from problems.splits import SPLITS, split_of

SEED_SPLITS: tuple[Split, ...] = ("train",) * 8 + ("val", "test")
"""Of every ten seeds, eight belong to train and one each to val and test."""
NEEDED_KILL_RATE = 0.99
SHOWN = 5
"""Failures of each kind that are kept as examples."""


@dataclass
class ValidationCounts:
    """Counts of one family at one difficulty; `add` sums them."""

    problems: int = 0
    correct: int = 0
    accepted: int = 0
    mutants: int = 0
    """The catalogue's mutants and the exploits, except the constants, which are counted separately."""
    rejected: int = 0
    constants: int = 0
    constants_passed: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    """Gold answers of kind `answer`, to see whether labels are balanced."""
    tried: Counter[str] = field(default_factory=Counter)
    """Mutants and exploits by name."""
    survived: Counter[str] = field(default_factory=Counter)
    """Those that passed, by name."""
    refused: list[str] = field(default_factory=list)
    """Correct programs that failed, with the reason."""
    escaped: list[str] = field(default_factory=list)
    """Mutants and exploits that passed."""

    def add(self, other: ValidationCounts) -> None:
        """Adds the counts of another."""
        for name in ("problems", "correct", "accepted", "mutants", "rejected", "constants", "constants_passed"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("answers", "tried", "survived"):
            getattr(self, name).update(getattr(other, name))
        self.refused = (self.refused + other.refused)[:SHOWN]
        self.escaped = (self.escaped + other.escaped)[:SHOWN]

    @property
    def kill_rate(self) -> float:
        """Share of mutants and exploits rejected; 1 if there are none."""
        return self.rejected / self.mutants if self.mutants else 1.0

    @property
    def sound(self) -> bool:
        """All correct programs accepted, at least 99 % of the mutants rejected, and no constant passes."""
        return self.accepted == self.correct and self.kill_rate >= NEEDED_KILL_RATE and not self.constants_passed


def problem_of(family: Family, difficulty: int, seed: int) -> Problem:
    """The problem that validation uses for this difficulty and seed."""
    return family.problem(
        Rng("validate", family.name, difficulty, seed),
        id=f"{family.name}-{difficulty}-{seed}",
        difficulty=difficulty,
        split=SEED_SPLITS[seed % len(SEED_SPLITS)],
        hidden_tests=10,
        public_examples=3,
    )


def validate(name: str, difficulty: int, seeds: Sequence[int]) -> ValidationCounts:
    """Runs all programs of the family's catalogue on its problems of these seeds, in this process.

    Raises AssertionError for a malformed problem: in the wrong split, or with a public input among the hidden ones.
    """
    family, counts = families.get(name), ValidationCounts()
    for seed in seeds:
        problem = problem_of(family, difficulty, seed)
        check_form(problem)
        solutions = family.solutions(problem)
        counts.problems += 1
        if problem.kind == "answer":
            counts.answers[problem.hidden_tests[0].expected] += 1
        for code in solutions.correct:
            counts.correct += 1
            if why := failure(problem, code):
                counts.refused.append(f"{problem.id} ({problem.variant}, {problem.params}): {why}\n{code}")
            else:
                counts.accepted += 1
        for mutant in (*solutions.mutants, *family.exploits(problem)):
            _count_mutant(counts, problem, mutant)
    counts.refused, counts.escaped = counts.refused[:SHOWN], counts.escaped[:SHOWN]
    return counts


def _count_mutant(counts: ValidationCounts, problem: Problem, mutant: Mutant) -> None:
    passed = not failure(problem, mutant.code)
    if mutant.name == CONSTANT:
        counts.constants += 1
        counts.constants_passed += passed
    else:
        counts.mutants += 1
        counts.rejected += not passed
        counts.tried[mutant.name] += 1
        counts.survived[mutant.name] += passed
    if passed:
        counts.escaped.append(f"{problem.id} ({problem.variant}, {problem.params}): {mutant.name} passes")


def check_form(problem: Problem) -> None:
    """Raises AssertionError if a problem's split is not its question's, or a public input is also hidden."""
    assert problem.split in SPLITS, f"{problem.id}: unknown split {problem.split}"
    assert split_of(problem.question_hash) == problem.split, f"{problem.id}: its question is of another split"
    public = {repr(t.args) for t in problem.public_examples}
    assert not any(repr(t.args) in public for t in problem.hidden_tests), f"{problem.id}: a public input is hidden too"


def validate_many(
    names: Sequence[str], difficulties: Sequence[int], seeds: int, workers: int = 0
) -> Iterator[tuple[str, int, ValidationCounts]]:
    """Validates each family at each difficulty in worker processes; yields (name, difficulty, counts) as ready."""
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

"""Every family validates itself: correct programs pass, mutants and exploits do not."""

import pytest

from problems import families
from problems.family import argument_names
from problems.problem import Problem
from problems.reference_check import alike, failure, passes
from problems.rng import Rng
from problems.splits import SPLITS, split_of

PROGRAM_FAMILIES = [n for n in families.names() if families.get(n).kind == "function"]


def sample_problem(name: str, difficulty: int, seed: int, split: str | None = None) -> Problem:
    return families.get(name).problem(
        Rng("test", name, difficulty, seed),
        id=f"{name}-{difficulty}-{seed}",
        difficulty=difficulty,
        split=split or SPLITS[seed % 3],
        hidden_tests=10,
        public_examples=3,
    )


@pytest.mark.parametrize("name", PROGRAM_FAMILIES)
def test_correct_programs_mutants_and_exploits(name):
    family = families.get(name)
    survivors, tried = [], 0
    for difficulty in (1, 3, 5, 7, 10):
        for seed in range(6):
            problem = sample_problem(name, difficulty, seed)
            solutions = family.solutions(problem)
            assert len(set(solutions.correct)) == len(solutions.correct) >= 3
            assert len({w.code for w in solutions.mutants}) == len(solutions.mutants) >= 3
            for code in solutions.correct:
                assert failure(problem, code) == "", (problem.variant, problem.params, code)
            for mutant in (*solutions.mutants, *family.exploits(problem)):
                tried += 1
                if passes(problem, mutant.code):
                    survivors.append((problem.variant, problem.params, mutant.name))
    assert len(survivors) <= tried // 100, survivors


@pytest.mark.parametrize("name", families.names())
def test_every_problem_is_well_formed(name):
    family = families.get(name)
    for difficulty in range(1, 11):
        for seed in range(4):
            problem = sample_problem(name, difficulty, seed)
            assert split_of(problem.question_hash) == problem.split
            assert Problem.from_row(problem.to_row()) == problem
            assert problem.to_row()["mode"] == problem.variant  # the column of files that people have
            assert family.variant(problem.variant).level <= difficulty
            assert "{" not in problem.statement.replace("'{'", "")
            if problem.kind != "function":
                continue
            assert len(problem.statement.split()) <= 60
            shown = {repr(t.args) for t in problem.public_examples}
            hidden = {repr(t.args) for t in problem.hidden_tests}
            assert not shown & hidden and len(hidden) == len(problem.hidden_tests)
            assert len({repr(t.expected) for t in problem.hidden_tests}) > 1
            for argument in argument_names(problem.signature):
                assert argument in problem.statement, (problem.statement, problem.signature)


@pytest.mark.parametrize("name", families.names())
def test_difficulty_changes_the_problems(name):
    def weight(value):
        if isinstance(value, list | tuple):
            return sum(map(weight, value))
        return len(value) if isinstance(value, str) else abs(value)

    def size(difficulty):
        problems = [sample_problem(name, difficulty, seed, "train") for seed in range(30)]
        inputs = [t.args for p in problems for t in p.public_examples]  # edge cases are hidden tests only
        inputs = inputs or [tuple(p.params.values()) for p in problems]
        return sum(map(weight, inputs)) / len(inputs)

    assert size(10) > 1.25 * size(1)


def test_nothing_is_near_infinity():
    infinity = float("inf")
    assert alike(infinity, infinity, 1e-6) and not alike(infinity, -infinity, 1e-6)
    for other in (5, 5.0, 10**400, -(10**400)):
        assert not alike(infinity, other, 1e-6)
        assert not alike(1.5, other, 1e-6)
    assert not alike(1.5, infinity, 1e-6)
    assert alike(1.5, 1.5000001, 1e-6)

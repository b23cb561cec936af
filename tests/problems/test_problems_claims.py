"""Claims about the families: correct programs by others pass; mutants that pass in other systems do not."""

from itertools import permutations

import pytest

from problems import families
from problems.family import argument_names
from problems.problem import Problem
from problems.reference_check import failure, passes
from problems.validate import problem_of

DIFFICULTIES = range(1, 11)

HASH_MAP = """
def {name}({nums}, {target}):
    seen = {{}}
    for j, x in enumerate({nums}):
        if {target} - x in seen:
            return [seen[{target} - x], j]
        seen.setdefault(x, j)
    return [{none}, {none}]
"""

WITHOUT_EMPTY_INPUTS = {"arithmetic", "coin_change", "flood_fill", "number_base", "rpn"}
"""Families in which an empty input has no meaning."""


def problems(name: str, seeds: int) -> list[Problem]:
    return [problem_of(families.get(name), d, seed) for d in DIFFICULTIES for seed in range(seeds)]


def survivors(name: str, mutant_name: str, seeds: int) -> tuple[int, int]:
    """Number of problems that the family's mutant of that name passes, and number it was tried on."""
    tried = passed = 0
    for problem in problems(name, seeds):
        for mutant in families.get(name).solutions(problem).mutants:
            if mutant.name == mutant_name:
                tried += 1
                passed += passes(problem, mutant.code)
    return passed, tried


def test_a_hash_map_passes_every_two_sum():
    chosen = [p for p in problems("two_sum", 40) if p.variant == "sum"]
    assert len(chosen) > 80
    for problem in chosen:
        nums, target = argument_names(problem.signature)
        code = HASH_MAP.format(name=problem.entry_point, nums=nums, target=target, none=problem.params["v"])
        assert failure(problem, code) == ""


@pytest.mark.parametrize(
    ("family", "mutant"), [("coin_change", "greedy"), ("knapsack", "greedy"), ("is_palindrome", "naive")]
)
def test_known_mutants_pass_under_one_percent(family, mutant):
    passed, tried = survivors(family, mutant, seeds=25)
    assert tried >= 100 and passed < tried / 100


def test_plain_reversal_decides_no_palindrome_problem_whatever_its_labels():
    chosen = [p for p in problems("is_palindrome", 25) if len({t.expected for t in p.hidden_tests}) == 2]
    assert len({p.variant for p in chosen}) >= 6
    for problem in chosen:
        (word,) = argument_names(problem.signature)
        for yes, no in permutations({t.expected for t in problem.hidden_tests}):
            code = f"def {problem.entry_point}({word}):\n    return {yes!r} if {word} == {word}[::-1] else {no!r}\n"
            assert not passes(problem, code), (problem.variant, problem.params)


GREEDY = """
def {name}({room}, {weights}, {values}):
    best, left, {k} = 0, {room}, {most}
    for w, v in sorted(zip({weights}, {values}), key=lambda item: -item[1] / item[0]):
        v -= {price}
        n = min(left // w, {k}, {times}) if v > 0 and w <= {heaviest} else 0
        best, left, {k} = best + n * v, left - n * w, {k} - n
    return best
"""


@pytest.mark.parametrize("variant", ["repeat", "few"])
def test_greedy_fails_where_the_knapsack_s_catalogue_has_none(variant):
    passed, chosen = 0, [p for p in problems("knapsack", 25) if p.variant == variant]
    for problem in chosen:
        room, weights, values = argument_names(problem.signature)
        few = variant == "few"
        code = GREEDY.format(
            name=problem.entry_point, room=room, weights=weights, values=values, k="k",
            most=problem.params["k"] if few else 10**9, heaviest=problem.params["h"] if few else 10**9,
            times=1 if few else 10**9, price=0 if few else problem.params["f"],
        )  # fmt: skip
        passed += passes(problem, code)
    assert len(chosen) > 20 and passed == 0


@pytest.mark.parametrize("name", [n for n in families.names() if families.get(n).kind == "function"])
def test_no_program_that_ignores_the_question_passes(name):
    for problem in problems(name, 2):
        exploits = families.get(name).exploits(problem)
        assert {"constant", "hard_coded", "echo"} <= {c.name for c in exploits}
        for exploit in exploits:
            assert not passes(problem, exploit.code), (problem.id, exploit.name, exploit.code)


def test_yes_and_no_are_balanced_at_every_difficulty():
    for difficulty in DIFFICULTIES:
        chosen = [problem_of(families.get("scheduling"), difficulty, seed) for seed in range(200)]
        share = sum(p.hidden_tests[0].expected == "YES" for p in chosen) / len(chosen)
        assert 0.38 < share < 0.62, difficulty  # 3.4 standard deviations either way


@pytest.mark.parametrize("name", [n for n in families.names() if families.get(n).kind == "function"])
def test_empty_inputs_are_asked_where_they_mean_something(name):
    for problem in problems(name, 2):
        first = [args[0] for args in (t.args for t in problem.hidden_tests) if args]
        if first and isinstance(first[0], list | str) and name not in WITHOUT_EMPTY_INPUTS:
            assert any(len(value) == 0 for value in first), (problem.id, problem.variant)


def test_expected_values_share_nothing_with_the_arguments():
    def parts(value):
        yield id(value)
        if isinstance(value, list | tuple):
            for inner in value:
                if isinstance(inner, list):
                    yield from parts(inner)

    for name in families.names():
        for problem in problems(name, 1):
            for test in problem.hidden_tests:
                if isinstance(test.expected, list):
                    ours = {i for argument in test.args if isinstance(argument, list) for i in parts(argument)}
                    assert not ours & set(parts(test.expected)), problem.id

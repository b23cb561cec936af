"""Plain contracts: what the original families ask, with the guarantees of all families."""

import re
from collections import Counter
from pathlib import Path

import pytest

from problems import families
from problems.classic.contract import Contract
from problems.config import CORE_FAMILIES
from problems.reference_check import comparison, failure, passes
from problems.validate import problem_of, validate

SIGNATURES = {
    "arithmetic@classic": "def evaluate(expression: str) -> int:",
    "arithmetic@v1": "def evaluate(expression: str) -> int:",
    "binary_search@classic": "def binary_search(nums: list[int], target: int) -> int:",
    "coin_change@classic": "def coin_change(coins: list[int], amount: int) -> int:",
    "edit_distance@classic": "def edit_distance(word1: str, word2: str) -> int:",
    "fibonacci@classic": "def fibonacci(n: int) -> int:",
    "find_median@classic": "def find_median(nums1: list[int], nums2: list[int]) -> float:",
    "fizzbuzz@bundled": "def fizzbuzz(n: int) -> list[str]:",
    "fizzbuzz@classic": "def fizzbuzz(n: int) -> str:",
    "is_palindrome@classic": "def is_palindrome(s: str) -> bool:",
    "knapsack@classic": "def knapsack(capacity: int, weights: list[int], values: list[int]) -> int:",
    "lcs@classic": "def lcs(s1: str, s2: str) -> int:",
    "lis@classic": "def lis(nums: list[int]) -> int:",
    "list_aggregate@classic": "def sum_list(nums: list[int]) -> int:",
    "list_filter@classic": "def filter_even(nums: list[int]) -> list[int]:",
    "list_sort@classic": "def sort_list(nums: list[int]) -> list[int]:",
    "max_subarray@classic": "def max_subarray(nums: list[int]) -> int:",
    "merge_intervals@classic": "def merge_intervals(intervals: list[list[int]]) -> list[list[int]]:",
    "merge_sorted_arrays@classic": "def merge_sorted_arrays(nums1: list[int], nums2: list[int]) -> list[int]:",
    "n_queens@classic": "def n_queens(n: int) -> int:",
    "parentheses@classic": "def is_valid(s: str) -> bool:",
    "parentheses@v1": "def is_valid(s: str) -> bool:",
    "remove_duplicates@bundled": "def remove_duplicates(nums: list[int]) -> int:",
    "remove_duplicates@classic": "def remove_duplicates(nums: list[int]) -> list[int]:",
    "reverse_string@classic": "def reverse_string(s: str) -> str:",
    "rpn@classic": "def evaluate_rpn(expression: str) -> int:",
    "rpn@exp16": "def evaluate_rpn(tokens: list[str]) -> int:",
    "rpn@v1": "def evaluate_rpn(expression: str) -> int:",
    "trap@classic": "def trap(height: list[int]) -> int:",
    "two_sum@classic": "def two_sum(nums: list[int], target: int) -> list[int]:",
    "word_break@classic": "def word_break(s: str, word_dict: list[str]) -> bool:",
}
KNOWN = [
    ("arithmetic@classic", ("2 + 3 * 4",), 14),
    ("arithmetic@classic", ("( 2 + 3 ) * 4",), 20),
    ("arithmetic@classic", ("9 - 3 - 2",), 4),
    ("arithmetic@v1", ("10 - 7 // 2 * 2",), 4),
    ("rpn@classic", ("5 1 2 + 4 * + 3 -",), 14),
    ("rpn@v1", ("3 10 - 2 //",), -4),
    ("rpn@exp16", (["-3", "4", "*"],), -12),
    ("parentheses@classic", ("()[]{}",), True),
    ("parentheses@classic", ("([)]",), False),
    ("parentheses@v1", ("([{}])" * 8,), True),
    ("fizzbuzz@classic", (15,), "FizzBuzz"),
    ("fizzbuzz@classic", (7,), "7"),
    ("fizzbuzz@bundled", (5,), ["1", "2", "Fizz", "4", "Buzz"]),
    ("reverse_string@classic", ("hello",), "olleh"),
    ("is_palindrome@classic", ("A man, a plan, a canal: Panama",), True),
    ("is_palindrome@classic", ("race a car",), False),
    ("binary_search@classic", ([-1, 0, 3, 5, 9, 12], 9), 4),
    ("binary_search@classic", ([-1, 0, 3], 2), -1),
    ("two_sum@classic", ([2, 7, 11, 15], 9), [0, 1]),
    ("max_subarray@classic", ([-2, 1, -3, 4, -1, 2, 1, -5, 4],), 6),
    ("max_subarray@classic", ([-5, -2, -9],), -2),
    ("remove_duplicates@classic", ([1, 1, 2, 3, 3],), [1, 2, 3]),
    ("remove_duplicates@bundled", ([1, 1, 2, 3, 3],), 3),
    ("merge_sorted_arrays@classic", ([1, 3], [2, 3]), [1, 2, 3, 3]),
    ("lcs@classic", ("ABCBDAB", "BDCABA"), 4),
    ("edit_distance@classic", ("kitten", "sitting"), 3),
    ("edit_distance@classic", ("", "abc"), 3),
    ("knapsack@classic", (50, [10, 20, 30], [60, 100, 120]), 220),
    ("lis@classic", ([10, 9, 2, 5, 3, 7, 101, 18],), 4),
    ("lis@classic", ([7, 7, 7],), 1),
    ("coin_change@classic", ([1, 2, 5], 11), 3),
    ("coin_change@classic", ([2], 3), -1),
    ("coin_change@classic", ([1], 0), 0),
    ("word_break@classic", ("leetcode", ["leet", "code"]), True),
    ("word_break@classic", ("catsandog", ["cats", "dog", "sand", "and", "cat"]), False),
    ("merge_intervals@classic", ([[1, 4], [4, 5]],), [[1, 5]]),
    ("find_median@classic", ([1, 2], [3, 4]), 2.5),
    ("trap@classic", ([0, 1, 0, 2, 1, 0, 1, 3, 2, 1, 2, 1],), 6),
    ("list_sort@classic", ([3, -1, 3],), [-1, 3, 3]),
    ("list_filter@classic", ([3, -2, 0, 5],), [-2, 0]),
    ("list_aggregate@classic", ([3, -1, 3],), 5),
    *[("fibonacci@classic", (n,), f) for n, f in enumerate([0, 1, 1, 2, 3, 5, 8, 13])],
    *[("n_queens@classic", (n,), count) for n, count in enumerate([1, 0, 0, 2, 10, 4, 40, 92], 1)],
]


def contract(name: str) -> Contract:
    family = families.get(name)
    assert isinstance(family, Contract)
    return family


def asked(name: str, difficulties=range(1, 11), seeds=4):
    return [problem_of(families.get(name), d, seed) for d in difficulties for seed in range(seeds)]


def test_every_original_family_has_its_contract():
    assert set(families.contracts()) == {*SIGNATURES, "scheduling@classic"}
    assert {f"{name}@classic" for name in CORE_FAMILIES} <= set(families.contracts())


def test_the_documentation_lists_every_contract():
    page = (Path(__file__).parents[2] / "docs" / "problems.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)` \| (.+) \|$", page, re.MULTILINE))
    for name in families.contracts():
        family, _, version = name.partition("@")
        assert f"`{family}`" in rows[version], name


@pytest.mark.parametrize(("name", "signature"), SIGNATURES.items())
def test_signature_and_meaning_never_change(name, signature):
    problems = asked(name, seeds=2)
    assert {p.signature for p in problems} == {signature} and {p.family for p in problems} == {name}
    assert len({p.statement for p in problems}) == 1 and len(problems[0].statement.split()) <= 60
    assert all(f"`{a.name}`" in problems[0].statement for a in contract(name).arguments)


@pytest.mark.parametrize(("name", "args", "expected"), KNOWN)
def test_known_answers(name, args, expected):
    assert comparison(contract(name).checker)(args, expected, contract(name).solve(*args))


def test_every_contract_has_a_known_answer():
    assert {name for name, _, _ in KNOWN} == set(SIGNATURES)


@pytest.mark.parametrize("name", families.contracts())
def test_correct_programs_pass_and_mutants_constants_and_copied_examples_fail(name):
    for difficulty in (1, 3, 5, 7, 10):
        counts = validate(name, difficulty, range(3))
        assert counts.accepted == counts.correct >= 3 and counts.constants_passed == 0
        assert counts.rejected == counts.mutants > 3, counts.escaped


@pytest.mark.parametrize("name", SIGNATURES)
def test_mutants_are_programs_that_the_fixed_cases_alone_refuse(name):
    family, problem = contract(name), asked(name, (1,), 1)[0]
    mutants = family.solutions(problem).mutants
    assert len(mutants) >= 5 and len(family.solutions(problem).correct) >= 3
    same = comparison(family.checker)
    for mutant in mutants:
        scope: dict = {}
        exec(mutant.code, scope)
        finished, refused = 0, False
        for args in family.fixed(1):
            try:
                got = scope[problem.entry_point](*[a[:] if isinstance(a, list) else a for a in args])
            except Exception:
                refused = True
                continue
            finished += 1
            refused = refused or not same(args, family.solve(*args), got)
            if refused:
                break
        assert finished and refused, mutant.name


def in_band(difficulty, easy, medium, hard):
    return (easy, medium, hard)[(difficulty > 3) + (difficulty > 6)]


def within(values, low, high):
    values = list(values)
    return low <= min(values) and max(values) <= high


SIZES = {
    "rpn@classic": lambda d, s: len(s.split()) == 2 * min(1 + d // 2, 5) + 1,
    "rpn@exp16": lambda d, t: len(t) == 2 * min(d, 5) + 1,
    "rpn@v1": lambda d, s: within([(len(s.split()) + 1) / 2], 2, 10),
    "arithmetic@classic": lambda d, s: (
        sum(map(str.isdigit, s.split())) == (2 if d <= 3 else 3) and ("(" in s) == (d > 6)
    ),
    "arithmetic@v1": lambda d, s: within([(len(s.split()) + 1) / 2], 2, 10),
    "parentheses@classic": lambda d, s: len(s) == 2 * (1 + d // 2) and (d > 3 or not set(s) & set("[]{}")),
    "parentheses@v1": lambda d, s: len(s) <= 50,
    "fizzbuzz@classic": lambda d, n: 1 <= n <= 100,
    "fibonacci@classic": lambda d, n: 0 <= n < min(5 + 2 * d, 25),
    "binary_search@classic": lambda d, x, _: within([len(x)], 5, 10 + d) and within(x, 1, 99) and x == sorted(set(x)),
    "two_sum@classic": lambda d, x, _: within([len(x)], 4, 8 + d) and within(x, 1, 100),
    "max_subarray@classic": lambda d, x: within([len(x)], 5, 10 + d) and within(x, -10, 10),
    "remove_duplicates@classic": lambda d, x: within([len(set(x))], 3, 6 + d) and within(Counter(x).values(), 1, 3),
    "lcs@classic": lambda d, *words: within(map(len, words), *in_band(d, (3, 6), (5, 10), (8, 15))),
    "edit_distance@classic": lambda d, *words: within(map(len, words), *in_band(d, (2, 4), (4, 7), (6, 10))),
    "knapsack@classic": lambda d, c, w, v: (
        within([c], *in_band(d, (20, 40), (30, 60), (50, 100)))
        and within([len(w)], *in_band(d, (3, 4), (4, 6), (5, 8)))
        and within(w, 5, 30)
        and within(v, 10, 100)
    ),
    "lis@classic": lambda d, x: within([len(x)], *in_band(d, (5, 8), (8, 12), (12, 20))) and within(x, 0, 50),
    "coin_change@classic": lambda d, _, amount: within([amount], *in_band(d, (5, 15), (10, 30), (20, 50))),
    "merge_intervals@classic": lambda d, x: (
        within([len(x)], *in_band(d, (2, 4), (4, 6), (5, 8))) and all(0 <= a <= 20 and 1 <= b - a <= 5 for a, b in x)
    ),
    "find_median@classic": lambda d, *lists: within(map(len, lists), *in_band(d, (1, 3), (2, 5), (3, 7))),
    "trap@classic": lambda d, x: (
        within([len(x)], *in_band(d, (5, 8), (8, 12), (10, 15))) and within(x, 0, in_band(d, 4, 6, 8))
    ),
    "n_queens@classic": lambda d, n: n in in_band(d, (1, 2, 3, 4), (1, 4, 5, 6), (4, 5, 6, 7, 8)),
    "list_sort@classic": lambda d, x: len(x) <= 100,
}


@pytest.mark.parametrize("name", SIZES)
def test_ordinary_inputs_have_the_sizes_of_the_originals(name):
    for problem in asked(name, seeds=3):
        fixed = set(map(repr, contract(name).fixed(problem.difficulty)))
        ordinary = [t.args for t in (*problem.public_examples, *problem.hidden_tests) if repr(t.args) not in fixed]
        assert len(ordinary) > len(problem.public_examples) >= 2
        for args in ordinary:
            assert SIZES[name](problem.difficulty, *args), (problem.difficulty, args)


# --- the defects that were measured in the originals


def wrong(problem, body: str) -> bool:
    return not passes(problem, f"{problem.signature}\n{body}")


def test_any_valid_pair_of_two_sum_is_right():
    body = """
    places = {}
    for i in range(len(nums) - 1, -1, -1):
        if target - nums[i] in places:
            return (places[target - nums[i]], i)
        places[nums[i]] = i
"""
    problems = asked("two_sum@classic", seeds=10)
    assert any(list(t.expected) != [1, 0] for p in problems for t in p.hidden_tests)
    for problem in problems:
        assert not wrong(problem, body)


def test_an_amount_may_be_impossible_and_greedy_coins_fail():
    body = """
    count = 0
    for coin in sorted(coins)[::-1]:
        count, amount = count + amount // coin, amount % coin
    return -1 if amount else count
"""
    problems = asked("coin_change@classic", seeds=10)
    shown = [t.expected for p in problems for t in p.public_examples]
    assert 0.05 < shown.count(-1) / len(shown) < 0.6
    assert all(wrong(problem, body) for problem in problems)


def test_greedy_knapsacks_and_plain_reversal_fail():
    by = """
    total = 0
    for w, v in sorted(zip(weights, values), key=lambda p: {key}):
        if w <= capacity:
            capacity, total = capacity - w, total + v
    return total
"""
    for problem in asked("knapsack@classic"):
        assert all(wrong(problem, by.format(key=key)) for key in ("-p[1] / p[0]", "-p[1]", "p[0]"))
    for problem in asked("is_palindrome@classic"):
        assert wrong(problem, "    return s == s[::-1]") and wrong(problem, "    return s.lower() == s.lower()[::-1]")


def test_merging_in_place_changes_no_stored_input():
    body = """
    intervals.sort()
    out = intervals[:1]
    for pair in intervals[1:]:
        if pair[0] <= out[-1][1]:
            out[-1][1] = max(out[-1][1], pair[1])
        else:
            out.append(pair)
    return out
"""
    for problem in asked("merge_intervals@classic"):
        before = repr(problem.hidden_tests)
        assert not wrong(problem, body) and repr(problem.hidden_tests) == before
        assert not passes(problem, problem.signature + "\n    intervals.clear()\n    return intervals\n")


def test_every_bracket_string_has_its_true_label():
    labels = Counter()
    for name in ("parentheses@classic", "parentheses@v1"):
        for test in (t for p in asked(name, seeds=10) for t in (*p.public_examples, *p.hidden_tests)):
            (left,) = test.args
            while left != (left := left.replace("()", "").replace("[]", "").replace("{}", "")):
                pass
            assert test.expected is (left == "")
            labels[test.expected, len(test.args[0]) > 4] += 1
    assert len(labels) == 4 and min(labels.values()) > 50  # long strings are valid or not, and so are short ones


def test_recursion_and_slow_searches_are_right_programs():
    for name, body in {
        "fibonacci@classic": "    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)",
        "n_queens@classic": """
    from itertools import permutations
    boards = [list(enumerate(columns)) for columns in permutations(range(n))]
    return sum(len({i + c for i, c in b}) == n == len({i - c for i, c in b}) for b in boards)
""",
        "binary_search@classic": "    return next((i for i, x in enumerate(nums) if x == target), -1)",
    }.items():
        for problem in asked(name, (1, 10), 1):
            assert failure(problem, f"{problem.signature}\n{body}") == ""

"""Malformed input: the result is a typed verdict or a one-line error; nothing hangs, and nothing unjudged is scored."""

import math

import pytest
from conftest import HONEST, coin_problem, fenced, function_problem, problem

from problems.problem import Problem, Status, Test
from verify.config import VerifyConfig
from verify.pool import Judge
from verify.sandbox import protocol


def test_ten_megabytes_of_code(judge):
    code = HONEST + "\n# " + "x" * 10_000_000
    assert judge.judge(coin_problem(), fenced(code)).status is Status.UNPARSED
    many = HONEST + "\nx = 1" * 2_000_000
    verdict = judge.judge(coin_problem(), fenced(many))
    assert (verdict.status is Status.UNPARSED and "code_kib" in verdict.detail) or "characters" in verdict.detail


def test_large_code_that_is_allowed(judge):
    filler = "\n".join(f"# {'y' * 90}" for _ in range(30_000))
    assert judge.judge(coin_problem(), fenced(filler + HONEST)).status is Status.UNPARSED
    with Judge(VerifyConfig(code_kib=4096, cpu_seconds=8.0)) as wide:
        assert wide.judge(coin_problem(), fenced(filler + HONEST)).passed


@pytest.mark.parametrize(
    "code, status",
    [
        ("def coin_change(c, a): return 1\0", Status.EXCEPTION),
        ("def coin_change(c, a): return '\ud800'", Status.EXCEPTION),
        ("\ud800", Status.UNPARSED),
        ("def coin_change(c, a): return '\\ud800'", Status.WRONG_ANSWER),
        ("# \u202e\u2066\ndef coin_change(c, a): return 0", Status.WRONG_ANSWER),
        ("def coin_change(c, a): " + "(" * 5000, Status.EXCEPTION),
        (
            "def coin_change(c, a):\n" + " " * 3 + "return " + "-" * 100_000 + "1",
            (Status.EXCEPTION, Status.OUT_OF_MEMORY),
        ),
        ("\n".join(" " * i + "if 1:" for i in range(300)) + "\ndef coin_change(c, a): return 1", Status.EXCEPTION),
        ("def coin_change(c, a): return " + "9" * 100_000, Status.WRONG_ANSWER),
        ("def coin_change(c, a): return 'é'.encode('utf-16')", Status.WRONG_ANSWER),
        ("coin_change = 5", Status.EXCEPTION),
        ("class coin_change: pass", Status.EXCEPTION),
        ("def coin_change(): return 1", Status.EXCEPTION),
        ("from coin_change import coin_change", Status.EXCEPTION),
    ],
)
def test_odd_code(code, status, judge):
    verdict = judge.judge(coin_problem(), fenced(code))
    assert verdict.status in (status if isinstance(status, tuple) else (status,)), verdict
    assert verdict.detail.isprintable() and verdict.detail.encode()


def test_a_million_tests():
    many = function_problem("f", [((1,), 1)])
    tests = many.hidden_tests * 1_000_000
    huge = Problem(**{**{f: getattr(many, f) for f in many.__slots__}, "hidden_tests": tests, "id": "huge"})
    with Judge() as judge:
        verdict = judge.judge(huge, fenced("def f(x): return 1"))
    assert verdict.status is Status.INFRASTRUCTURE
    assert "huge has 1000000 tests; max_tests is 10000" in verdict.detail


def test_the_maximum_number_of_tests():
    exercise = function_problem("f", [((n,), n + 1) for n in range(10_000)])
    with Judge(VerifyConfig(cpu_seconds=10.0)) as judge:
        verdict = judge.judge(exercise, fenced("def f(x): return x + 1"))
    assert verdict.passed and verdict.tests_run == 10_000


def test_large_values_both_ways(judge):
    big = list(range(200_000))
    exercise = function_problem("f", [((big,), big), ((["x" * 500_000],), ["x" * 500_000])])
    with Judge(VerifyConfig(cpu_seconds=5.0)) as judge:
        assert judge.judge(exercise, fenced("def f(x): return x")).passed
        assert judge.judge(exercise, fenced("def f(x): return x[::-1]")).status is Status.WRONG_ANSWER


@pytest.mark.parametrize(
    "argument", [object(), lambda: 1, 1j, Test((), 1), range(3), {1: object()}, math, type, [[[object()]]]]
)
def test_arguments_that_cannot_be_sent(argument, judge):
    exercise = function_problem("f", [((1,), 1), ((argument,), 1)])
    verdict = judge.judge(exercise, fenced("def f(x): return 1"))
    assert verdict.status is Status.INFRASTRUCTURE
    assert "problem p" in verdict.detail and "test 2" in verdict.detail
    with pytest.raises(protocol.Unencodable):
        protocol.request((argument,))


def test_numpy_arguments_are_not_taken_for_bytes():
    numpy = pytest.importorskip("numpy")
    with pytest.raises(protocol.Unencodable):
        protocol.request((numpy.int64(3),))


def test_deep_arguments():
    deep: list = []
    for _ in range(100_000):
        deep = [deep]
    with pytest.raises(protocol.Unencodable):
        protocol.request((deep,))


def test_nan_can_be_the_expected_value(judge):
    nan, inf = float("nan"), float("inf")
    exercise = function_problem("f", [((0,), nan), ((1,), [inf, -inf, nan]), ((2,), {1: nan})])
    right = "def f(x):\n    n = float('nan')\n    return [n, [float('inf'), -float('inf'), n], {1: n}][x]"
    assert judge.judge(exercise, fenced(right)).passed
    assert judge.judge(exercise, fenced("def f(x): return None")).status is Status.WRONG_ANSWER
    assert judge.judge(exercise, fenced("def f(x): return 'nan'")).tests_passed == 0
    close = function_problem("f", [((0,), nan)], checker="float:1e-6")
    assert judge.judge(close, fenced("def f(x): return float('nan')")).passed
    assert not judge.judge(close, fenced("def f(x): return 0.0")).passed


def test_malformed_problems_of_other_kinds(judge):
    for kind, tests in (("stdin", [((5,), "x")]), ("assert", [((), None)]), ("stdin", [((), "x")])):
        verdict = judge.judge(problem(kind, tests), fenced("print(1)"))
        assert verdict.status is Status.INFRASTRUCTURE and "not a string" in verdict.detail


def test_test_code_that_is_broken_is_not_the_candidates_fault(judge):
    for tests in ("assert f(1) ==", "assert f(object()) == 1", "while True: pass"):
        exercise = problem("assert", [((tests,), None)], entry_point="f")
        verdict = judge.judge(exercise, fenced("def f(x): return 1"))
        assert not verdict.passed, (tests, verdict)


@pytest.mark.parametrize("reason", ["stop", "length", "abort", "", "unheard of"])
def test_any_finish_reason(reason, judge):
    verdict = judge.judge(coin_problem(), fenced(HONEST), reason)
    assert verdict.passed


def test_standard_input_of_any_size_and_bytes(judge):
    long = "7 " * 200_000
    exercise = problem("stdin", [((long,), str(7 * 200_000)), (("\udcff\udcfe",), "2")])
    code = "import sys\nd = sys.stdin.buffer.read()\nprint(sum(map(int, d.split())) if d[:1] == b'7' else len(d))"
    assert judge.judge(exercise, fenced(code)).passed

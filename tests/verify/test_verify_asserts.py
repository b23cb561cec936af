"""Test code: it can use a candidate's objects, which cannot decide its assertions, and all of its tests run."""

import pytest
from assert_cases import RIGHT, WRONG
from conftest import fenced, problem
from shared_folder import cases

from problems.problem import Status, Test
from verify.config import VerifyConfig
from verify.null_programs import null_programs, passing_null_program

LIMITS = VerifyConfig(cpu_seconds=0.5, wall_factor=6.0, idle_seconds=0.3, cache=False)
SCORED = set(Status) - {Status.PASSED, Status.INFRASTRUCTURE}


@pytest.fixture
def judge(judge):
    judge.sandbox.config = LIMITS
    return judge


def asserted(entry_point, *tests, **fields):
    return problem("assert", [((test,), None) for test in tests], entry_point=entry_point, **fields)


def verdict_of(judge, entry_point, tests, code, **fields):
    return judge.judge_code(asserted(entry_point, tests, **fields), code)


@pytest.mark.parametrize(("entry_point", "tests", "code"), RIGHT)
def test_right_programs_pass(entry_point, tests, code, judge):
    verdict = verdict_of(judge, entry_point, tests, code)
    assert verdict.passed, (verdict.status, verdict.detail)


@pytest.mark.parametrize(("entry_point", "tests", "code"), WRONG)
def test_wrong_programs_fail_and_are_scored(entry_point, tests, code, judge):
    verdict = verdict_of(judge, entry_point, tests, code)
    assert verdict.status in SCORED, (verdict.status, verdict.detail)


@pytest.mark.parametrize("case", cases("counterfeits", lambda case: case.get("kind") == "assert"))
def test_counterfeits_from_practice(case, judge):
    verdict = judge.judge(asserted(case["entry_point"], *case["tests"]), case["completion"])
    assert verdict.status in SCORED, (verdict.status, verdict.detail)


@pytest.mark.parametrize("case", cases("programs", lambda case: case["problem"]["kind"] == "assert"))
def test_programs_from_practice(case, judge):
    given = case["problem"]
    tests = [test["args"][0] for test in given["tests"]]
    verdict = judge.judge(asserted(given["entry_point"], *tests), case["completion"], case["finish_reason"])
    assert verdict.passed is (case["expected"] == "passed"), (verdict.status, verdict.detail)


EXCEPTIONS = ("StopIteration", "StopAsyncIteration", "GeneratorExit", "IndexError", "AttributeError", "KeyError")
SWALLOWS = {
    "all over a map": "assert all(map(lambda x: f(x) == x + 1, range(3)))",
    "a loop over items": "class S:\n    def __getitem__(self, i):\n        return f(i)\nfor x in S():\n    assert x == 99",
    "a loop over an iterator": "class S:\n    def __iter__(self):\n        return self\n    def __next__(self):\n"
    "        return f(1)\nfor x in S():\n    assert x == 99",
    "a generator": "def g():\n    yield f(1)\nassert list(g()) == [2]",
    "hasattr": "class S:\n    def __getattr__(self, name):\n        return f(1)\nassert not hasattr(S(), 'x')",
    "getattr": "class S:\n    def __getattr__(self, name):\n        return f(1)\nassert getattr(S(), 'x', 2) == 2",
    "next with a default": "assert next(map(f, [1]), 2) == 2",
    "iter with a sentinel": "for x in iter(lambda: f(1), None):\n    assert x == 99",
    "zip": "assert list(zip([1], map(f, [1]))) in ([], [(1, 2)])",
    "closing a generator": "def g():\n    try:\n        yield 1\n    finally:\n        f(1)\nit = g()\nnext(it)\nit.close()",
}


@pytest.mark.parametrize("swallow", SWALLOWS)
def test_swallowing_an_exception_of_the_candidate_fails_the_test(swallow, judge):
    for name in EXCEPTIONS:
        verdict = verdict_of(judge, "f", SWALLOWS[swallow], f"def f(x):\n    raise {name}")
        assert verdict.status in SCORED, (name, verdict)


EXPECTED = {
    "except": "try:\n    f(-1)\n    assert False\nexcept {name}:\n    pass",
    "except of several": "try:\n    f(-1)\n    assert False\nexcept (OSError, {name}):\n    pass",
    "except of all": "try:\n    f(-1)\n    assert 0\nexcept AssertionError:\n    raise\nexcept BaseException:\n    pass",
    "suppress": "import contextlib\nwith contextlib.suppress({name}):\n    f(-1)\n    assert False",
    "assertRaises": "import unittest\nclass T(unittest.TestCase):\n    def test(self):\n"
    "        with self.assertRaises({name}):\n            f(-1)",
    "assertRaises of a call": "import unittest\nclass T(unittest.TestCase):\n    def test(self):\n"
    "        self.assertRaises({name}, f, -1)",
}


@pytest.mark.parametrize("how", EXPECTED)
def test_an_exception_that_the_test_expects_is_right(how, judge):
    for name in (*EXCEPTIONS, "ValueError", "SystemExit"):
        tests = EXPECTED[how].format(name=name) + "\nassert f(1) == 2" * (how != "assertRaises of a call")
        code = "def f(x):\n    if x < 0:\n        raise {}('no')\n    return x + 1"
        right = verdict_of(judge, "f", tests, code.format(name))
        assert right.passed, (name, right)
        if how != "except of all":
            wrong = verdict_of(judge, "f", tests, code.format("FileExistsError" if name == "OSError" else "Warning"))
            assert wrong.status in SCORED, (name, wrong)


DEFINED = {
    "functions": "def test_a():\n    assert f(1) == 2\ndef test_b():\n    assert f(2) == 3",
    "functions of the candidate": "def test_a(candidate):\n    assert candidate(2) == 3",
    "check": "def check(candidate):\n    assert candidate(2) == 3",
    "a class": "class TestF:\n    def test_a(self):\n        assert f(2) == 3",
    "a class with setup": "class TestF:\n    def setup_method(self):\n        self.x = 2\n    def test_a(self):\n"
    "        assert f(self.x) == 3",
    "a case": "import unittest\nclass A(unittest.TestCase):\n    def test_a(self):\n        self.assertEqual(f(2), 3)",
    "a case with main": "import unittest\nclass A(unittest.TestCase):\n    def setUp(self):\n        self.x = 2\n"
    "    def test_a(self):\n        self.assertEqual(f(self.x), 3)\nif __name__ == '__main__':\n    unittest.main()",
    "sub tests": "import unittest\nclass A(unittest.TestCase):\n    def test_a(self):\n        for x in (1, 2):\n"
    "            with self.subTest(x=x):\n                self.assertEqual(f(x), x + 1)",
    "main": "if __name__ == '__main__':\n    assert f(2) == 3",
    "main with exit": "import sys\ndef main():\n    assert f(2) == 3\nif __name__ == '__main__':\n    sys.exit(main())",
    "a status": "import sys\nsys.exit(0 if f(2) == 3 else 1)",
    "coroutines": "async def test_a():\n    assert f(2) == 3",
}


@pytest.mark.parametrize("where", DEFINED)
def test_tests_are_found_and_run(where, judge):
    assert verdict_of(judge, "f", DEFINED[where], "def f(x):\n    return x + 1").passed
    wrong = verdict_of(judge, "f", DEFINED[where], "def f(x):\n    return 2")
    assert wrong.status in SCORED, wrong


def test_tests_are_run_once(judge):
    tests = "calls = []\ndef test_a():\n    calls.append(f(1))\n    assert len(calls) == 1\n"
    for ending in ("", "test_a()", "for test in [test_a]:\n    test()", "if __name__ == '__main__':\n    test_a()"):
        verdict = verdict_of(judge, "f", tests + ending, "def f(x):\n    return x")
        assert verdict.passed, (ending, verdict)


@pytest.mark.parametrize(
    "tests", ["pass", "x = 3\nassert x == 3", "def helper():\n    assert f(1) == 2", "if False:\n    f(1)"]
)
def test_a_test_that_makes_no_call_is_never_a_pass(tests, judge):
    verdict = verdict_of(judge, "f", tests, "def f(x):\n    return x + 1")
    assert verdict.status is Status.INFRASTRUCTURE and "never calls" in verdict.detail


@pytest.mark.parametrize(
    ("tests", "statuses"),
    [
        ("assert 10 ** f(2) == 100", {Status.TIMEOUT, Status.OUT_OF_MEMORY}),
        ("assert sum(range(f(2))) == 1", {Status.TIMEOUT}),
        ("while f(2) != 2:\n    pass", {Status.TIMEOUT}),
        ("import time\ntime.sleep(f(2) / 10**9)", {Status.TIMEOUT}),
        ("assert 'a' * f(2) == 'aa'", {Status.OUT_OF_MEMORY}),
        ("assert [0] * f(2) == [0, 0]", {Status.OUT_OF_MEMORY}),
    ],
)
def test_a_candidate_whose_value_breaks_the_test_fails(tests, statuses, judge):
    verdict = verdict_of(judge, "f", tests, "def f(x):\n    return 10 ** 11")
    assert verdict.status in statuses, verdict


@pytest.mark.parametrize(
    "tests",
    [
        "while True:\n    pass\nf(1)",
        "import time\ntime.sleep(60)\nf(1)",
        "x = 'a' * 10 ** 12\nf(x)",
        "import nothing_such\nf(1)",
    ],
)
def test_a_test_that_breaks_by_itself_is_the_problems_fault(tests, judge):
    judge.sandbox.config = LIMITS.model_copy(update={"retries": 0})
    verdict = verdict_of(judge, "f", tests, "def f(x):\n    return x")
    assert verdict.status is Status.INFRASTRUCTURE and "the test code itself" in verdict.detail, verdict


PREAMBLE = "import math\ndef encode(s):\n    return s[::-1]\nBASE = 7"


def test_helpers_of_the_prompt_cannot_be_replaced(judge):
    tests = "def check(candidate):\n    for w in ('ab', 'xyz'):\n        assert candidate(encode(w)) == w and BASE == 7"
    right = "def decode(s):\n    return s[::-1] if math.pi and encode(s) == s[::-1] and BASE == 7 else ''"
    assert verdict_of(judge, "decode", tests, right, preamble=PREAMBLE).passed
    late = "from __future__ import annotations\n" + right
    assert verdict_of(judge, "decode", tests, late, preamble=PREAMBLE).passed
    for exploit in (
        "def encode(s):\n    return s\nBASE = 7\ndef decode(s):\n    return s",
        "def decode(s):\n    return s",
    ):
        assert verdict_of(judge, "decode", tests, exploit, preamble=PREAMBLE).status is Status.WRONG_ANSWER


def test_helpers_of_the_tests_cannot_be_replaced(judge):
    tests = "def same(a, b):\n    return abs(a - b) < 1e-6\nassert same(f(2), 4)"
    assert verdict_of(judge, "f", tests, "def f(x):\n    return x * 2").passed
    exploit = "def same(a, b):\n    return True\ndef f(x):\n    return 0"
    assert verdict_of(judge, "f", tests, exploit).status is Status.WRONG_ANSWER


@pytest.mark.parametrize(
    ("tests", "null"),
    [
        (["assert f(1) == f(1)"], "returns None"),
        (["f(1)", "f(2)"], "returns None"),
        (["try:\n    f(1)\nexcept Exception:\n    pass"], "defines nothing"),
        (["try:\n    f(-1)\n    raise AssertionError\nexcept StopIteration:\n    pass"], "raises StopIteration"),
        (["assert f(1) is None"], "returns None"),
        (["assert f(1) is f(2) is not None"], "returns one object for everything"),
        (["b = Box()\nb.put(3)\nassert b.first is b.last is not None"], "returns one object for everything"),
        (["assert f(1) == 2"], ""),
        (["assert f(1) is None", "assert f(2) == 3"], ""),
        (["def test_f():\n    assert f(1) == 2"], ""),
    ],
)
def test_passing_null_programs_are_found(tests, null, judge):
    assert passing_null_program(asserted("f", *tests), judge) == null


def test_null_programs_of_other_kinds(judge):
    nothing = problem("function", [((1,), None), ((2,), None)], entry_point="f")
    assert passing_null_program(nothing, judge) == "returns None"
    some = problem("function", [((1,), None), ((2,), 3)], entry_point="f")
    assert passing_null_program(some, judge) == ""
    assert passing_null_program(problem("stdin", [(("x",), "\n")]), judge) == "prints nothing"
    assert passing_null_program(problem("stdin", [(("x",), "x")]), judge) == ""
    assert passing_null_program(problem("answer", [((), "3")]), judge) == ""
    assert "def g(" in null_programs(asserted("f", "assert g(1) == f(1)"))["returns None"]


def test_a_solution_runs_after_the_problems_preamble(judge):
    exercise = asserted("decode", "assert decode(encode('ab')) == 'ab'", preamble=PREAMBLE)
    completion = fenced("def decode(s):\n    return encode(s)")
    assert judge.judge(exercise, completion).passed
    assert exercise.content_hash != asserted("decode", *[t.args[0] for t in exercise.hidden_tests]).content_hash
    assert exercise.hidden_tests == (Test(exercise.hidden_tests[0].args, None),)

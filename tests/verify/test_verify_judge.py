"""Verdicts of whole completions, through a real sandbox."""

import pytest
from conftest import HONEST, attack_folder, fenced, function_problem, problem

from problems.problem import Status
from verify.config import VerifyConfig
from verify.pool import Judge

BODIES = {
    "right": (HONEST, Status.PASSED),
    "wrong": ("def coin_change(c, a): return -1", Status.WRONG_ANSWER),
    "raises": ("def coin_change(c, a): return 1 // 0", Status.EXCEPTION),
    "does not compile": ("def coin_change(c, a): return (", Status.EXCEPTION),
    "raises at import": ("raise ValueError\ndef coin_change(c, a): return 1", Status.EXCEPTION),
    "exits": ("import os\ndef coin_change(c, a): os._exit(0)", Status.EXCEPTION),
    "crashes": ("import ctypes\ndef coin_change(c, a): ctypes.string_at(0)", Status.EXCEPTION),
    "loops": ("def coin_change(c, a):\n    while True: pass", Status.TIMEOUT),
    "sleeps": ("import time\ndef coin_change(c, a): time.sleep(99)", Status.TIMEOUT),
    "allocates": ("def coin_change(c, a): return len(bytearray(1 << 31))", Status.OUT_OF_MEMORY),
    "answers too much": ("def coin_change(c, a): return 'x' * 9_000_000", Status.OUTPUT_FLOOD),
    "opens a socket": ("import socket\ndef coin_change(c, a): return socket.socket()", Status.FORBIDDEN),
    "opens a file": ("def coin_change(c, a): return open('/etc/passwd').read()", Status.EXCEPTION),
    "forges frames": ("import os\ndef coin_change(c, a): os.write(3, bytes(64)); return 3", Status.FORBIDDEN),
    "NUL": ("def coin_change(c, a): return 1\0", Status.EXCEPTION),
    "lone surrogate": ("def coin_change(c, a): return '\ud800'", Status.EXCEPTION),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("feed", ["batched", "streamed"])
def test_status(name, feed, judge, coins):
    code, status = BODIES[name]
    config = VerifyConfig(cpu_seconds=0.5, wall_factor=3.0, feed=feed)
    judge.sandbox.config, before = config, judge.sandbox.config
    try:
        verdict = judge.judge(coins, fenced(code))
    finally:
        judge.sandbox.config = before
    assert verdict.status is status, verdict
    assert verdict.isolation >= 2
    assert verdict.tests_total == len(coins.hidden_tests)
    assert verdict.passed == (verdict.tests_passed == verdict.tests_total)


def test_passed_tests_are_counted(judge, coins):
    verdict = judge.judge(coins, fenced("def coin_change(c, a):\n    if a == 14: return 2\n    return [][0]"))
    assert (verdict.status, verdict.tests_passed, verdict.tests_run) == (Status.EXCEPTION, 1, 8)


def test_nothing_to_run(judge, coins):
    assert judge.judge(coins, "I do not know.").status is Status.UNPARSED
    assert judge.judge(coins, "").status is Status.UNPARSED
    assert judge.judge(coins, "```python\n" + HONEST, "length").status is Status.TRUNCATED
    assert judge.judge(coins, fenced(HONEST) + "\nThis is", "length").status is Status.PASSED
    assert judge.judge(coins, "<think>let me see", "length").status is Status.TRUNCATED
    assert judge.judge(coins, fenced(HONEST + "#" * 10_000_000)).status is Status.UNPARSED


def test_problems_that_cannot_be_judged(judge):
    judged = {
        "no tests": function_problem("f", []),
        "argument": function_problem("f", [((object(),), 1)]),
        "expected": function_problem("f", [((1,), object())]),
        "checker": function_problem("f", [((1,), 1)], checker="exakt"),
        "many": function_problem("f", [((n,), n) for n in range(20_000)]),
    }
    for name, bad in judged.items():
        verdict = judge.judge(bad, fenced("def f(x): return x"))
        assert verdict.status is Status.INFRASTRUCTURE, name
        assert bad.id in verdict.detail


def test_values_survive_both_ways(judge):
    values = [
        0,
        -1,
        2**53,
        -(2**80),
        1.5,
        float("inf"),
        float("nan"),
        "é\ud800\0",
        b"\x00\xff",
        None,
        True,
        (1, [2]),
        {1, 2},
    ]
    values += [frozenset("ab"), {"k": (1, {2: 3.0})}, [], {}, 10**4000]
    echo = function_problem("echo", [((v,), v) for v in values])
    verdict = judge.judge(echo, fenced("def echo(x): return x"))
    assert verdict.status is Status.PASSED, verdict


def test_each_test_gets_fresh_arguments(judge):
    tests = [(([1, 2, 3],), 6)] * 3
    assert judge.judge(function_problem("f", tests), fenced("def f(x):\n    s = sum(x); x.clear(); return s")).passed


def test_standard_input(judge):
    adding = problem("stdin", [(("1 2\n",), "3\n"), (("10 20\n",), "30")])
    for code in (
        "a, b = map(int, input().split())\nprint(a + b)",
        "import sys\nprint(sum(map(int, sys.stdin.read().split())))",
        "import sys\nprint(sum(map(int, sys.stdin.buffer.readline().split())))",
        "import os\nprint(sum(map(int, open(0).read().split())))",
        "import os\nos.write(1, b'%d' % sum(map(int, os.read(0, 99).split())))\nos._exit(0)",
        "def main():\n    print(sum(map(int, input().split())))\nif __name__ == '__main__':\n    main()\n    exit()",
    ):
        assert judge.judge(adding, fenced(code)).status is Status.PASSED, code
    for code, status in (
        ("print(3)", Status.WRONG_ANSWER),
        ("input(); input()", Status.EXCEPTION),
        ("print(3); exit(1)", Status.EXCEPTION),
        ("while True: pass", Status.TIMEOUT),
        ("while True: print('x' * 100)", Status.OUTPUT_FLOOD),
        ("x = bytearray(1 << 31)", Status.OUT_OF_MEMORY),
    ):
        assert judge.judge(adding, fenced(code)).status is status, code


def test_asserts(judge):
    tests = [
        (("assert add(1, 2) == 3\nassert add(x=2, y=2) == 4",), None),
        (
            (
                "def check(candidate):\n    import random\n    for _ in range(9):\n"
                "        a = random.random()\n        assert abs(candidate(a, 1) - a - 1) < 1e-9",
            ),
            None,
        ),
        (("try:\n    add(1, 'x')\n    raise AssertionError\nexcept TypeError:\n    pass",), None),
    ]
    asserted = problem("assert", tests, entry_point="add")
    right = judge.judge(asserted, fenced("def add(x, y): return x + y"))
    assert right.status is Status.PASSED, right
    for code, status in (
        ("def add(x, y): return x - y", Status.WRONG_ANSWER),
        (
            "class T:\n    def __eq__(s, o): return True\n    __sub__ = __abs__ = lambda s, *a: s\n    __lt__ = __eq__\n"
            "def add(x, y): return T()",
            Status.WRONG_ANSWER,
        ),
        (
            "import builtins\nbuiltins.AssertionError = ValueError\ndef add(x, y): return 0",
            Status.WRONG_ANSWER,
        ),
        ("def add(x, y):\n    while True: pass", Status.TIMEOUT),
        ("import os\ndef add(x, y): os._exit(0)", Status.EXCEPTION),
    ):
        verdict = judge.judge(asserted, fenced(code))
        assert verdict.status is status, (code, verdict)


def test_same_verdict_from_cache(coins):
    with Judge(VerifyConfig(cpu_seconds=1.0)) as judge:
        first = judge.judge_batch([(coins, fenced(HONEST), "stop")] * 3)
        again = judge.judge(coins, "Here:\n" + fenced(HONEST))
    assert set(first) == {again}
    assert judge.counts == {"judged": 1, "cached": 3, "infrastructure": 0, "not_compared": 0}


@pytest.mark.parametrize(("folder", "prefix"), [("own", "t"), ("own", "m"), ("attacks", "d")])
def test_attacks_do_not_affect_the_next_program(folder, prefix, coins):
    """Programs that use up time, memory or processes do not win, and an honest program passes after each."""
    paths = sorted(attack_folder(folder).glob(f"{prefix}*.py"))
    assert paths
    with Judge(VerifyConfig(cpu_seconds=0.5, wall_factor=3.0, cache=False)) as judge:
        for path in paths:
            verdict, honest = judge.judge_batch(
                [(coins, fenced(path.read_text()), "stop"), (coins, fenced(HONEST), "stop")]
            )
            assert not verdict.passed and verdict.status is not Status.INFRASTRUCTURE, (path.name, verdict)
            assert honest.passed, path.name
        assert judge.sandbox.started == 1

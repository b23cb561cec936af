"""A program that does not compute the answers never passes, in any mode, by any known trick."""

import pytest
from conftest import CASES, HONEST, coin_problem, fenced, function_problem, problem

from problems.problem import Status
from verify.config import VerifyConfig
from verify.pool import Judge

CALLED = {
    "equal to everything": "class E:\n    __eq__ = lambda s, o: True\n    __hash__ = None\n{f} = lambda *a: E()",
    "list equal to everything": "class E(list):\n    __eq__ = lambda s, o: True\n    __len__ = lambda s: 1\n{f} = lambda *a: E()",
    "int equal to everything": "class E(int):\n    __eq__ = lambda s, o: True\n    __hash__ = int.__hash__\n{f} = lambda *a: E(99)",
    "frame walk": "import sys\ndef {f}(*a):\n    g = sys._getframe()\n    while g:\n"
    "        for v in [*g.f_locals.values(), *g.f_globals.values()]:\n"
    "            if isinstance(v, (list, dict, tuple)) and 'expected' in str(v)[:9999]: return v\n        g = g.f_back",
    "collector walk": "import gc\ndef {f}(*a):\n    for o in gc.get_objects():\n"
    "        if isinstance(o, (tuple, list)) and len(o) == 2 and o[0] == list(a): return o[1]",
    "forged lines": "import os\nos.write(3, b'=3\\n=-1\\n=0\\n=2\\n')\nos._exit(0)\ndef {f}(*a): pass",
    "forged verdict": 'import os\nos.write(1, b\'{{"status": "passed"}}\')\nos._exit(0)\ndef {f}(*a): pass',
    "patched builtins": "import builtins\nbuiltins.len = lambda x: 0\nbuiltins.range = lambda *a: iter(())\n"
    "builtins.isinstance = lambda *a: True\nbuiltins.map = lambda *a: []\ndef {f}(*a): return 0",
    "patched codec": "import sys\nsys.modules['codec'].encode = lambda v: '3'\n"
    "sys.modules['harness']._encode = lambda v: '3'\ndef {f}(*a): return 0",
    "patched marshal": "import marshal, json\nmarshal.loads = lambda b: ('', (), {{}})\njson.dumps = lambda *a, **k: '3'\ndef {f}(*a): return 0",
    "early exit": "import sys\nsys.exit(0)\ndef {f}(*a): pass",
    "early exit in the call": "import os\ndef {f}(*a): os._exit(0)",
    "exits in another thread": "import os, threading\nthreading.Thread(target=os._exit, args=(0,)).start()\ndef {f}(*a): return 0",
    "mutated inputs": "def {f}(x, *a):\n    x.clear() if hasattr(x, 'clear') else None\n    return x",
    "no value": "def {f}(*a): pass",
    "generator": "def {f}(*a):\n    yield 3",
    "raises an answer": "def {f}(*a): raise StopIteration(3)",
    "truth": "def {f}(*a): return True",
    "not a number": "def {f}(*a): return float('nan')",
    "infinity": "def {f}(*a): return float('inf')",
    "text of the answer": "def {f}(*a): return '3'",
    "everything at once": "def {f}(*a): return [3, -1, 0, 2, 6, -1, 8, 2]",
    "its own module": "import sys\nsys.modules['solution'].__dict__['{f}'] = lambda *a: 0\n{f} = 5",
}


@pytest.mark.parametrize("feed", ["batched", "streamed"])
@pytest.mark.parametrize("trick", CALLED)
def test_called_functions(trick, feed, judge, coins):
    judge.sandbox.config = VerifyConfig(cpu_seconds=0.5, idle_seconds=0.4, feed=feed)
    verdict = judge.judge_code(coins, CALLED[trick].format(f="coin_change"))
    assert verdict.status not in (Status.PASSED, Status.INFRASTRUCTURE), verdict


@pytest.mark.parametrize("checker", ["exact", "unordered", "unordered:deep", "float:1e-6"])
@pytest.mark.parametrize("trick", CALLED)
def test_other_checkers(trick, checker, judge):
    exercise = function_problem("f", [(([1, 2], 7), [1.5, 2.5]), (([3], 1), [0.25])], checker)
    judge.sandbox.config = VerifyConfig(cpu_seconds=0.5, idle_seconds=0.4)
    verdict = judge.judge_code(exercise, CALLED[trick].format(f="f"))
    assert verdict.status not in (Status.PASSED, Status.INFRASTRUCTURE), verdict


PRINTED = {
    "prints nothing": "pass",
    "prints the input": "print(open(0).read())",
    "exits well": "import sys; sys.exit(0)",
    "exits well at once": "import os; os._exit(0)",
    "claims on the channel": "import os; os.write(3, b'.\\n'); os._exit(0)",
    "patched print": "import sys; sys.stdout = type('S', (), {'write': lambda s, x: None, 'flush': lambda s: None})()",
    "prints after the end": "import atexit; atexit.register(print, 3)",
    "prints too much": "print(3); print(-1)",
    "reads for another test": "import sys; print(len(sys.stdin.read()))",
}


@pytest.mark.parametrize("trick", PRINTED)
def test_whole_programs(trick, judge):
    exercise = problem("stdin", [(("5 11\n",), "3"), (("2 3\n",), "-1")])
    judge.sandbox.config = VerifyConfig(cpu_seconds=0.5)
    assert judge.judge_code(exercise, PRINTED[trick]).status not in (Status.PASSED, Status.INFRASTRUCTURE)


@pytest.mark.parametrize("trick", CALLED)
def test_asserted_functions(trick, judge):
    exercise = problem("assert", [(("assert f([1, 2], 7) == 8\nassert f([3], 1) == [4]",), None)], entry_point="f")
    judge.sandbox.config = VerifyConfig(cpu_seconds=0.5, idle_seconds=0.4)
    verdict = judge.judge_code(exercise, CALLED[trick].format(f="f"))
    assert verdict.status not in (Status.PASSED, Status.INFRASTRUCTURE), verdict


@pytest.mark.parametrize(
    "code",
    [
        "class C:\n    __bool__ = lambda s: True\n    __eq__ = lambda s, o: True\n    __lt__ = __gt__ = __eq__\ndef f(x): return C()",
        "import sys\nsys.modules['test_driver'] = sys.modules['candidate_link'] = None\nAssertionError = ValueError\ndef f(x): return 0",
        "def f(x):\n    import os; os.write(3, b'=true\\n=true\\n=true\\n'); return True",
        "import os\nos.write(3, b'.\\n')\ndef f(x): return 0",
    ],
)
def test_a_candidate_cannot_reach_its_assertions(code, judge):
    tests = "assert f(1) == 1 and f(2) is not True\nfor i in range(5):\n    assert abs(f(i) - i) < 1e-9"
    exercise = problem("assert", [((tests,), None)], entry_point="f")
    assert judge.judge_code(exercise, code).status not in (Status.PASSED, Status.INFRASTRUCTURE)
    assert judge.judge_code(exercise, "def f(x): return x").passed


def test_an_earlier_job_leaves_nothing(judge, coins):
    leave = (
        HONEST
        + "\nimport sys, builtins, random\nbuiltins.left = sys.left = 1\nrandom.seed(5)\nsys.path.append('left')\n"
    )
    find = "import sys, builtins\ndef coin_change(c, a): return hasattr(sys, 'left') or hasattr(builtins, 'left') or 'left' in sys.path"
    wrong = function_problem("coin_change", [(case, False) for case in CASES])
    with Judge(VerifyConfig(cache=False)) as judge:
        verdicts = judge.judge_batch([(coins, fenced(leave), "stop"), (wrong, fenced(find), "stop")] * 3)
    assert all(v.passed for v in verdicts), verdicts


def test_a_streamed_program_never_sees_later_inputs(judge):
    """It may search wherever it can: inputs that were not sent are nowhere."""
    secret = [f"input-{n:04d}-" + "z" * 40 for n in range(6)]
    peek = """
import gc, os, sys
seen = []
def peek(x):
    n = int(x[6:10])
    os.set_blocking(3, False)
    try: seen.append(os.read(3, 65536))
    except OSError: pass
    os.set_blocking(3, True)
    words = str([o for o in gc.get_objects() if isinstance(o, (list, tuple, dict))])
    return any(f"input-{n + 1:04d}" in w for w in (words, str(seen)))
"""
    exercise = function_problem("peek", [((text,), False) for text in secret])
    with Judge(VerifyConfig(feed="streamed", cache=False)) as judge:
        assert judge.judge_code(exercise, peek).passed
    with Judge(VerifyConfig(feed="batched", cache=False)) as judge:
        assert not judge.judge_code(exercise, peek).passed, "the test itself can see inputs that were sent"


def test_random_programs_get_the_same_verdict_each_time():
    exercise = function_problem("f", [((n,), 0) for n in range(6)])
    code = "import random\ndef f(n): return 0 if random.random() < 0.8 else 1"
    strings = "def f(n): return list({'a', 'b', 'c', 'd', 'e'}).index('a') % 2"
    found = []
    for _ in range(3):
        with Judge(VerifyConfig(cache=False)) as judge:
            found.append([judge.judge_code(exercise, c).tests_passed for c in (code, strings)])
    assert found[0] == found[1] == found[2]


def test_the_right_programs_of_these_tests_pass():
    assert coin_problem().hidden_tests[0].expected == 3

"""Whole programs end as under the interpreter, find the environment that they expect, and have a time limit per test."""

import time

import pytest
from cases import problem_of
from shared_folder import cases

from problems.problem import Problem, Status, Test
from verify.config import VerifyConfig
from verify.pool import Judge

MINE = ("programs-01", "programs-02", "programs-03", "programs-10", "programs-11", "programs-12")
SUM = "input()\ns = sum(map(int, input().split()))\n"


@pytest.fixture(scope="module")
def judge():
    with Judge(VerifyConfig(cache=False)) as judge:
        yield judge


def stdin_problem(*tests: tuple[str, str], checker: str = "exact") -> Problem:
    return Problem(
        id="p", family="p", family_version=1, difficulty=1, split="test", statement="", entry_point="", signature="",
        public_examples=(), hidden_tests=tuple(Test((given,), printed) for given, printed in tests), checker=checker,
        kind="stdin",
    )  # fmt: skip


def function_problem(*tests: tuple[tuple, object], entry: str = "f", signature: str = "") -> Problem:
    return Problem(
        id="p", family="p", family_version=1, difficulty=1, split="test", statement="", entry_point=entry,
        signature=signature, public_examples=(), hidden_tests=tuple(Test(*test) for test in tests),
    )  # fmt: skip


@pytest.mark.parametrize("case", cases("programs", lambda case: case["id"] in MINE))
def test_cases(case, judge):
    passed = judge.judge(problem_of(case), case["completion"], case["finish_reason"]).passed
    assert passed == (case["expected"] == "passed")


ENDINGS = {
    "atexit writes what was gathered": "import atexit\nout = []\natexit.register(lambda: print(out[0]))\n"
    f"{SUM}out.append(s)",
    "atexit after sys.exit": f"import atexit, sys\n{SUM}atexit.register(print, s)\nsys.exit(0)",
    "atexit closes a buffer": f"import atexit, io, sys\nbuf = io.StringIO()\n{SUM}sys.stdout = buf\nprint(s)\n"
    "atexit.register(lambda: sys.__stdout__.write(buf.getvalue()))",
    "a thread that goes on": f"import threading, time\n{SUM}threading.Thread(target=lambda: (time.sleep(.05), print(s)))"
    ".start()",
    "a thread with a large stack": "import sys, threading\nsys.setrecursionlimit(10**6)\nthreading.stack_size(1 << 26)\n"
    f"def main():\n    {SUM.replace(chr(10), chr(10) + '    ')}print(s)\nthreading.Thread(target=main).start()",
    "a thread that exits": f"import sys, threading\n{SUM}def run():\n    print(s)\n    sys.exit(1)\n"
    "threading.Thread(target=run).start()",
    "a thread that starts a thread": f"import threading, time\n{SUM}def inner():\n    time.sleep(.02)\n    print(s)\n"
    "threading.Thread(target=lambda: threading.Thread(target=inner).start()).start()",
    "a pool": f"from concurrent.futures import ThreadPoolExecutor\n{SUM}ThreadPoolExecutor(2).submit(print, s)",
    "stdout detached and wrapped": "import io, sys\nsys.stdout = io.TextIOWrapper(sys.stdout.detach(), encoding='ascii')\n"
    f"{SUM}print(s)",
    "stdout wrapped twice": "import io, sys\nsys.stdout = io.TextIOWrapper(sys.stdout.buffer, write_through=True)\n"
    f"{SUM}print(s)",
    "stdout closed at the end": f"import sys\n{SUM}print(s)\nsys.stdout.close()",
    "stdout is None at the end": f"import sys\n{SUM}print(s, flush=True)\nsys.stdout = None",
    "descriptor 1 opened": f"out = open(1, 'w')\n{SUM}out.write(str(s))",
    "descriptor 1 by os.fdopen": f"import os\n{SUM}out = os.fdopen(1, 'wb')\nout.write(b'%d' % s)",
    "stdout by its path": f"{SUM}with open('/dev/stdout', 'w') as out:\n    print(s, file=out)",
    "the buffer below": f"import sys\n{SUM}sys.stdout.buffer.write(b'%d' % s)",
    "a class of its own": "import sys\nclass Out:\n    def __init__(self, file):\n        self.write = file.write\n"
    f"sys.stdout = Out(sys.stdout)\n{SUM}print(s)",
    "a fast writer that never flushes": "import os, sys\nfrom io import BytesIO, IOBase\nclass Fast(IOBase):\n"
    "    def __init__(self, file):\n        self.fd = file.fileno()\n        self.buffer = BytesIO()\n"
    "        self.write = lambda text: self.buffer.write(text.encode())\n    def flush(self):\n"
    "        os.write(self.fd, self.buffer.getvalue())\n        self.buffer.seek(0)\n        self.buffer.truncate()\n"
    f"sys.stdout = Fast(sys.stdout)\n{SUM}print(s)",
    "os._exit after a flush": f"import os, sys\n{SUM}print(s)\nsys.stdout.flush()\nos._exit(0)",
    "an error in atexit": f"import atexit\n{SUM}print(s)\natexit.register(lambda: 1 / 0)",
    "exit()": f"{SUM}print(s)\nexit()",
    "one argument at most": f"import sys\n{SUM}print(s if len(sys.argv) == 1 else 'no')",
    "argv unpacked": f"import sys\n[name] = sys.argv\n{SUM}print(s)",
    "__file__": f"import os\nos.path.basename(__file__)\n{SUM}print(s)",
    "__file__ and argv": f"import sys\n{SUM}print(s if sys.argv[0] == __file__ else 'no')",
    "fileinput": "import fileinput\nlines = list(fileinput.input())\nprint(sum(map(int, lines[1].split())))",
    "fileinput by path": "import fileinput\nlines = list(fileinput.input('/dev/stdin'))\n"
    "print(sum(map(int, lines[1].split())))",
    "/dev/stdin": "lines = open('/dev/stdin').read().split()\nprint(sum(map(int, lines[1:])))",
    "/dev/stdin, pathlib": "from pathlib import Path\nprint(sum(map(int, Path('/dev/stdin').read_text().split()[1:])))",
    "/dev/stdin, bytes": "print(sum(map(int, open('/dev/stdin', 'rb').read().split()[1:])))",
    "/dev/stdin by os.open": "import os\nfd = os.open('/dev/stdin', os.O_RDONLY)\n"
    "print(sum(map(int, os.read(fd, 999).split()[1:])))",
    "/dev/stdin, half of it by input()": "input()\nprint(11)\nopen('/dev/stdin')",
    "/dev/fd/0": "print(sum(map(int, open('/dev/fd/0').read().split()[1:])))",
    "/proc/self/fd/0": "import io\nprint(sum(map(int, io.open('/proc/self/fd/0').read().split()[1:])))",
    "descriptor 0": "print(sum(map(int, open(0).read().split()[1:])))",
    "os.read": "import os\nprint(sum(map(int, os.read(0, 1 << 20).split()[1:])))",
    "the buffer of stdin": "import sys\nprint(sum(map(int, sys.stdin.buffer.read().split()[1:])))",
    "stdin of the start": "import sys\nprint(sum(map(int, sys.__stdin__.read().split()[1:])))",
    "open as an attribute": "class Reader:\n    opener = open\nprint(sum(map(int, Reader().opener(0).read().split()[1:])))",
}


@pytest.mark.parametrize("name", ENDINGS)
def test_programs_end_as_the_interpreter_ends_them(name, judge):
    verdict = judge.judge_code(stdin_problem(("4\n1 2 3 5\n", "11\n")), ENDINGS[name])
    assert verdict.passed, verdict


WRONG = {
    "an exception": (f"{SUM}print(s)\n1 / 0", Status.EXCEPTION),
    "exit status 1": (f"import sys\n{SUM}print(s)\nsys.exit(1)", Status.EXCEPTION),
    "exit with a message": (f"import sys\n{SUM}print(s)\nsys.exit('done')", Status.EXCEPTION),
    "os._exit without a flush": (f"import os\n{SUM}print(s)\nos._exit(0)", Status.WRONG_ANSWER),
    "os._exit(1)": (f"import os\n{SUM}print(s, flush=True)\nos._exit(1)", Status.EXCEPTION),
    "a daemon thread": (
        f"import threading, time\n{SUM}threading.Thread(target=lambda: (time.sleep(.5), print(s)), daemon=True).start()",
        Status.WRONG_ANSWER,
    ),
    "atexit prints once more": (f"import atexit\n{SUM}print(s)\natexit.register(print, s)", Status.WRONG_ANSWER),
    "a thread that never ends": (
        f"import threading, time\n{SUM}print(s)\nthreading.Thread(target=time.sleep, args=(99,)).start()",
        Status.TIMEOUT,
    ),
    "a loop at exit": (f"import atexit\n{SUM}print(s)\n@atexit.register\ndef f():\n    while 1: pass", Status.TIMEOUT),
    "another file": ("open('/etc/passwd')", None),
    "a descriptor that there is not": ("open('/dev/fd/3').read()", None),
    "stdin by another path": ("open('/dev/../dev/stdin').read()", None),
    "writing to the input": (f"{SUM}open('/dev/stdin', 'w').write('x')", None),
}


@pytest.mark.parametrize("name", WRONG)
def test_programs_that_must_fail(name):
    code, status = WRONG[name]
    with Judge(VerifyConfig(cpu_seconds=0.5, idle_seconds=0.3, cache=False)) as judge:
        verdict = judge.judge_code(stdin_problem(("4\n1 2 3 5\n", "11\n")), code)
    assert not verdict.passed and status in (None, verdict.status), verdict


def test_more_digits_than_python_prints_by_default(judge):
    big = 7**7100
    digits = f"{10**3999}{10**3999}"
    assert judge.judge_code(function_problem(((7100,), big)), "def f(n):\n    return 7 ** n").passed
    assert not judge.judge_code(function_problem(((7100,), big)), "def f(n):\n    return 7 ** n + 1").passed
    assert judge.judge_code(function_problem(((digits,), digits)), "def f(t):\n    return str(int(t))").passed
    doubled = stdin_problem((digits, f"{digits}\n"))
    assert judge.judge_code(doubled, "print(int(input()))").passed
    assert not judge.judge_code(doubled, "print(int(input()) + 1)").passed
    assert Problem.from_row(function_problem(((big,), -big)).to_row()).hidden_tests == (Test((big,), -big),)


SPIN = "import time\ndef spin(s):\n    t = time.process_time()\n    while time.process_time() - t < s:\n        pass\n"


@pytest.mark.parametrize("feed", ["batched", "streamed"])
def test_a_functions_limit_applies_to_each_test(feed):
    program = f"{SPIN}def f(s):\n    spin(s)\n    return s"
    with Judge(VerifyConfig(cpu_seconds=0.3, feed=feed, cache=False)) as judge:
        fair = judge.judge_code(function_problem(*[((0.15,), 0.15)] * 4), program)
        assert fair.passed and fair.cpu_seconds > 0.6
        seconds = (0.15, 0.15, 9.0, 0.15)
        slow = judge.judge_code(function_problem(*[((s,), s) for s in seconds]), program)
    assert slow.status is Status.TIMEOUT and "one test" in slow.detail
    assert slow.tests_passed == 2 and slow.cpu_seconds < 1.2


def test_a_program_stops_at_the_first_test_over_the_limit():
    tests = [(f"{seconds}\n", f"{seconds}\n") for seconds in (0.15, 0.15, 0.15, 0.6, 0.15)]
    with Judge(VerifyConfig(cpu_seconds=0.3, cache=False)) as judge:
        assert judge.judge_code(stdin_problem(*tests[:3]), f"{SPIN}s = float(input())\nspin(s)\nprint(s)").passed
        slow = judge.judge_code(stdin_problem(*tests), f"{SPIN}s = float(input())\nspin(s)\nprint(s)")
        begun = time.process_time()
        loop = judge.judge_code(stdin_problem(*tests), "while True: pass")
    assert (slow.status, slow.tests_passed, slow.tests_run) == (Status.TIMEOUT, 3, 4)
    assert loop.status is Status.TIMEOUT and loop.cpu_seconds < 0.6 and time.process_time() - begun < 1.0


@pytest.mark.parametrize("kind", ["stdin", "function"])
def test_all_tests_together_are_limited(kind):
    with Judge(VerifyConfig(cpu_seconds=0.3, total_factor=3.0, cache=False)) as judge:
        if kind == "stdin":
            problem = stdin_problem(*[("", "x")] * 10)
            verdict = judge.judge_code(problem, f"{SPIN}spin(.2)\nprint('x')")
        else:
            problem = function_problem(*[((), 1)] * 10)
            verdict = judge.judge_code(problem, f"{SPIN}def f():\n    spin(.2)\n    return 1")
    assert verdict.status is Status.TIMEOUT and 2 <= verdict.tests_passed <= 5 and verdict.cpu_seconds < 1.3


def test_a_program_that_drips_answers_gains_nothing():
    program = (
        "import os, time\ndef f():\n    while True:\n        os.write(3, b'x')\n        for _ in range(9**5): pass"
    )
    with Judge(VerifyConfig(cpu_seconds=0.3, total_factor=3.0, cache=False)) as judge:
        verdict = judge.judge_code(function_problem(*[((), 1)] * 10), program)
    assert verdict.status in (Status.TIMEOUT, Status.FORBIDDEN) and verdict.tests_passed == 0
    assert verdict.cpu_seconds < 1.3


NAMES = {
    "shown": ("def f(nums: List[int]) -> Optional[int]:", True),
    "another name of the module": ("def f(nums: Sequence[int]) -> int:", True),
    "qualified": ("def f(nums: typing.List[int]) -> int:", True),
    "not shown": ("def f(nums: list[int]) -> int:", False),
    "no signature": ("", False),
}


@pytest.mark.parametrize("name", NAMES)
def test_names_of_typing_are_defined_if_the_signature_uses_them(name, judge):
    signature, passes = NAMES[name]
    code = "def f(nums: List[int]) -> Dict[str, int]:\n    return sum(nums)"
    problem = function_problem((([4, 6],), 10), signature=signature)
    assert judge.judge_code(problem, code).passed == passes
    late = f'"""A module."""\nfrom __future__ import annotations\n{code}'
    assert judge.judge_code(problem, late).passed
    assert judge.judge_code(problem, f"from typing import *\n{code}").passed

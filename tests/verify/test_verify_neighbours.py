"""A completion does not affect others in its batch: not by making the judge raise, not by threads, not by its channel."""

import logging
import os
import socket
import subprocess
import sys
import time

import pytest
from conftest import HONEST, coin_problem, fenced, function_problem, ordinary_python, problem

from problems.problem import Status
from verify import verdict
from verify.config import VerifyConfig
from verify.kinds import common
from verify.pool import Judge, JudgeRows
from verify.prepare import prepare
from verify.sandbox import child_process
from verify.sandbox.executor import Sandbox
from verify.sandbox.protocol import FUNCTION, SCRIPT, STREAM, Job, Stop, request

NAN = float("nan")
HOSTILE = [
    "10 ** 400",
    "-(10 ** 400)",
    "[10 ** 400] * 8",
    "{'f': 10 ** 400}",
    "10 ** 5000",
    "float('inf')",
    "float('nan')",
    "1e308 * 10",
    "'9' * 5000",
    "(lambda d: [d := [d] for _ in range(500)][-1])(0)",
    "{10 ** 400: 1}",
    "'\\ud800'",
    "b'x'",
    "complex(1e308, 1e308)",
]
"""Answers that may make a comparison with a float, an int or a list raise."""


@pytest.mark.parametrize("expected", [NAN, float("inf"), 0.5, 3, [0.1, 2.0], {"f": 1.5}, "word", None])
def test_a_hostile_answer_does_not_fail_its_batch(judge, expected):
    honest = coin_problem()
    odd = [function_problem("f", [((), expected)], checker) for checker in ("exact", "float:1e-6", "unordered:deep")]
    items = [(p, fenced(f"def f():\n    return {answer}"), "stop") for p in odd for answer in HOSTILE]
    items = [item for pair in zip(items, [(honest, fenced(HONEST), "stop")] * len(items)) for item in pair]
    verdicts = judge.judge_batch(items)
    assert all(v.passed for v in verdicts[1::2])
    assert all(v.status is not Status.INFRASTRUCTURE for v in verdicts)


def test_an_answer_that_makes_the_judge_raise_is_wrong_and_counted(judge, monkeypatch, caplog):
    """Only the item itself is affected, whichever part of the judge raises."""

    def fails(*_: object) -> bool:
        raise OverflowError("int too large\nto convert")

    bad = function_problem("f", [((), 1.5)])
    checker = type(prepare(bad, judge.config).checker)
    monkeypatch.setattr(checker, "compare", fails)
    before = judge.counts["not_compared"]
    items = [(bad, fenced("def f(): return 2.5"), "stop"), (coin_problem(), fenced(HONEST), "stop")]
    with caplog.at_level(logging.WARNING):
        wrong, right = judge.judge_batch(items)
    assert right.passed and wrong.status is Status.WRONG_ANSWER
    assert "OverflowError: int too large to convert" in wrong.detail and wrong.detail.startswith(common.NOT_COMPARED)
    assert judge.counts["not_compared"] == before + 1 and "OverflowError" in caplog.text
    monkeypatch.undo()
    real = verdict.extract_code
    monkeypatch.setattr(verdict, "extract_code", lambda text, *more: fails() if "bad" in text else real(text, *more))
    wrong, right = judge.judge_batch([(coin_problem(), "bad", "stop"), items[1]])
    assert right.passed and wrong.status is Status.WRONG_ANSWER and "OverflowError" in wrong.detail
    monkeypatch.undo()
    monkeypatch.setitem(verdict._ONE_BY_ONE, "stdin", fails)
    wrong, right = judge.judge_batch([(problem("stdin", [(("1",), "1")]), fenced("print(1)"), "stop"), items[1]])
    assert right.passed and wrong.status is Status.WRONG_ANSWER and "OverflowError" in wrong.detail


def test_a_problem_that_cannot_be_prepared_is_not_the_answers_fault(judge, monkeypatch):
    def preparing(exercise, config):
        if exercise.id == "bad":
            raise AttributeError("no such thing")
        return real(exercise, config)

    real = verdict.prepare
    monkeypatch.setattr(verdict, "prepare", preparing)
    bad = problem("stdin", [(("1",), "1")], id="bad")
    failed, right = judge.judge_batch([(bad, fenced("print(1)"), "stop"), (coin_problem(), fenced(HONEST), "stop")])
    assert right.passed and failed.status is Status.INFRASTRUCTURE and "AttributeError" in failed.detail


def test_an_unreadable_row_does_not_affect_the_others():
    rows = JudgeRows(VerifyConfig())
    try:
        batch = {
            "problem": [None, {"id": 3}, coin_problem().to_row()],
            "text": ["", "", fenced(HONEST)],
            "finish_reason": ["stop"] * 3,
        }
        statuses = [row["status"] for row in rows(batch)["verdict"]]
    finally:
        rows.judge.close()
    assert statuses == ["infrastructure", "infrastructure", "passed"]


BOMBS = (
    """
import threading, time
def coin_change(coins, amount):
    while True:
        try:
            threading.Thread(target=time.sleep, args=(5,), daemon=True).start()
        except RuntimeError:
            pass
""",
    """
import threading, time
threading.stack_size(32768)
def coin_change(coins, amount):
    for _ in range(5000):
        try:
            threading.Thread(target=time.sleep, args=(5,), daemon=True).start()
        except RuntimeError:
            time.sleep(0.0001)
    time.sleep(5)
    return 0
""",
    # Ends before the watchdog has looked at it.
    """
import os, threading, time
threading.stack_size(32768)
def coin_change(coins, amount):
    until = time.perf_counter() + 0.11
    while time.perf_counter() < until:
        try:
            threading.Thread(target=time.sleep, args=(5,), daemon=True).start()
        except RuntimeError:
            time.sleep(0.001)
    os._exit(0)
""",
)
THREADED = HONEST.replace("coin_change", "fewest") + (
    """
from concurrent.futures import ThreadPoolExecutor
def coin_change(coins, amount):
    with ThreadPoolExecutor(16) as pool:
        return list(pool.map(lambda _: fewest(coins, amount), range(32)))[-1]
"""
)


def statuses_beside_bombs(overlap: int) -> list[tuple[str, str]]:
    """Verdicts of 16 honest programs, half of them with threads, that run among 6 bombs."""
    items, honest = [], []
    for i in range(16):
        honest.append(len(items))
        items.append((coin_problem(), fenced(f"{(HONEST, THREADED)[i % 2]}\n# {i}"), "stop"))
        if i % 3 == 0:
            items.append((coin_problem(), fenced(f"{BOMBS[i // 3 % 3]}\n# {i}"), "stop"))
    with Judge(VerifyConfig(cpu_seconds=2.0, idle_seconds=0.5, cache=False, overlap=overlap)) as bombed:
        verdicts = bombed.judge_batch(items)
        assert bombed.sandbox.started == 1
    assert not any(v.passed for n, v in enumerate(verdicts) if n not in honest)
    return [(str(verdicts[n].status), verdicts[n].detail) for n in honest]


@pytest.mark.parametrize("overlap", [1, 2, 4])
def test_thread_bombs_do_not_affect_other_programs(overlap):
    assert statuses_beside_bombs(overlap) == [("passed", "")] * 16


def test_thread_bombs_as_an_ordinary_user():
    here = os.path.dirname(__file__)
    code = f"import sys; sys.path[:0] = [{here!r}, {os.path.dirname(here)!r}]; import test_verify_neighbours as t; "
    code += "found = t.statuses_beside_bombs(2); print(found); sys.exit(found != [('passed', '')] * 16)"
    done = subprocess.run([*ordinary_python(), "-c", code], capture_output=True, text=True, cwd="/", timeout=120)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


def call(code: str, mode: int = FUNCTION, calls: int = 1, **limits) -> Job:
    given = {"cpu_seconds": 1.0, "wall_seconds": 6.0, "output_bytes": 1 << 20, **limits}
    return Job(mode, code, "f", (request(()),) * calls, **given)


WAKEFUL = {
    "half a line, again and again": "def f():\n    import os, time\n    while True:\n        os.write(3, b'x'); time.sleep(0.01)",
    "half a line, as often as it is looked at": "def f():\n    import os, time\n    while True:\n        os.write(3, b'x'); time.sleep(0.051)",
    "awake a moment": "def f():\n    import time\n    while True:\n        time.sleep(0.002)",
    "by turns": "def f():\n    import threading, time\n    def turn():\n        time.sleep(0.03)\n"
    "        threading.Thread(target=turn).start()\n    turn()\n    time.sleep(60)",
}


@pytest.mark.parametrize("mode", [FUNCTION, STREAM])
@pytest.mark.parametrize("name", WAKEFUL)
def test_a_program_that_pretends_to_be_awake_is_stopped(name, mode):
    with Sandbox(VerifyConfig(idle_seconds=0.4)) as sandbox:
        began = time.monotonic()
        (outcome,) = sandbox.run([call(WAKEFUL[name], mode)])
    assert outcome.stop is Stop.TIMEOUT and "asleep" in outcome.detail, outcome
    assert time.monotonic() - began < 4


AT_WORK = {
    "alone": "def f():\n    n = 0\n    while time.process_time() < 0.6: n += 1\n    return 1",
    "in a row of short threads": "def f():\n    def work():\n        until = time.thread_time() + 0.01\n"
    "        while time.thread_time() < until: pass\n    while time.process_time() < 0.6:\n"
    "        t = threading.Thread(target=work); t.start(); t.join()\n    return 1",
    "with a nap after each piece": "def f():\n    while time.process_time() < 0.6:\n"
    "        until = time.thread_time() + 0.02\n        while time.thread_time() < until: pass\n"
    "        time.sleep(0.001)\n    return 1",
}


@pytest.mark.parametrize("name", AT_WORK)
def test_a_busy_program_is_not_mistaken_for_a_sleeping_one(name):
    cores = len(os.sched_getaffinity(0))
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(3 * cores)]
    try:
        with Sandbox(VerifyConfig(idle_seconds=0.2)) as sandbox:
            job = call("import threading, time\n" + AT_WORK[name], cpu_seconds=5.0, wall_seconds=60.0)
            (outcome,) = sandbox.run([job])
    finally:
        for process in busy:
            process.kill()
            process.wait()
    assert outcome.stop is Stop.NONE and outcome.answers == [b"=1"], outcome


HALF_SHUT = {
    "write": "socket.SHUT_WR",
    "read": "socket.SHUT_RD",
    "both": "socket.SHUT_RDWR",
}


@pytest.mark.parametrize("mode", [FUNCTION, STREAM])
@pytest.mark.parametrize("end", HALF_SHUT)
def test_a_half_closed_channel_uses_no_cpu_time(end, mode):
    code = f"import socket, time\ndef f():\n    socket.socket(fileno=3).shutdown({HALF_SHUT[end]}); time.sleep(30)"
    assert trusted_cpu(call(code, mode, calls=2)) < 0.1
    if mode == STREAM:
        # The answer arrives, but the next request has no recipient.
        code = (
            f"import os, socket, time\ntimes = []\ndef f():\n    times.append(1)\n"
            f"    if len(times) == 1:\n        os.write(3, b'=1\\n'); socket.socket(fileno=3).shutdown({HALF_SHUT[end]})\n"
            f"        time.sleep(30)\n    return 1"
        )
        assert trusted_cpu(call(code, mode, calls=3)) < 0.1


def test_closed_channels_use_no_cpu_time():
    assert trusted_cpu(call("import os, time\ndef f():\n    os.close(3); time.sleep(30)", STREAM, calls=2)) < 0.1
    script = Job(
        SCRIPT, "import os, time\nos.close(1); os.close(0)\ntime.sleep(30)", "", (), 1.0, 6.0, 1 << 20, stdin=b"1\n"
    )
    assert trusted_cpu(script) < 0.1


def trusted_cpu(job: Job) -> float:
    """CPU seconds of this process while a sleeping job runs until it is stopped, half a second later."""
    with Sandbox(VerifyConfig(idle_seconds=0.4)) as sandbox:
        sandbox.zygote()
        began = time.process_time()
        (outcome,) = sandbox.run([job])
        used = time.process_time() - began
    assert outcome.stop in (Stop.TIMEOUT, Stop.FORGED), outcome
    return used


def test_data_that_nobody_reads_is_dropped():
    """If the far end no longer reads, the rest is dropped: otherwise the channel would always be ready."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.shutdown(socket.SHUT_RD)
    run = child_process.ChildProcess(1, call("", STREAM), None, ours)
    run.send(b"x" * 10)
    assert not run.pending
    theirs.close()
    ours.close()

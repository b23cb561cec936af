"""Runs a family's own programs against a problem's hidden tests.

Only for programs that families write themselves: they are trusted, so they run in this process. Programs from a
model run in the sandbox of `verify/`. The comparison is the strict reading of the checker names that families use.
"""

from __future__ import annotations

import math
import signal
from collections.abc import Callable
from contextlib import contextmanager
from fractions import Fraction
from functools import lru_cache
from importlib import import_module
from typing import Any

from problems.family import plain_copy
from problems.problem import Problem, encode_value

SECONDS = 5.0


class TooLong(BaseException):
    """A program exceeded its time limit. Not an Exception, so that no program catches it."""


def passes(problem: Problem, code: str, *, seconds: float = SECONDS) -> bool:
    """Whether a trusted program passes every hidden test within `seconds`, without raising."""
    return failure(problem, code, seconds=seconds) == ""


def failure(problem: Problem, code: str, *, seconds: float = SECONDS) -> str:
    """Why a trusted program (or answer, for kind answer) fails, "" if it passes.

    Raises ValueError for the kinds stdin and assert, which no family uses.
    """
    if problem.kind == "answer":
        gold = problem.hidden_tests[0].expected
        return "" if same_answer(gold, code) else f"answered {code!r}, expected {gold!r}"
    if problem.kind != "function":
        raise ValueError(f"{problem.id} is of kind {problem.kind}; families use only function and answer")
    same = comparison(problem.checker)
    try:
        with _deadline(seconds):
            scope: dict[str, Any] = {}
            exec(compile(code, f"<{problem.id}>", "exec"), scope)
            function = scope[problem.entry_point]
            for test in problem.hidden_tests:
                got = function(*plain_copy(test.args))
                if not same(test.args, test.expected, got):
                    return f"{test.args!r} gave {got!r}, expected {test.expected!r}"[:300]
    except TooLong:
        return f"ran longer than {seconds} s"
    except Exception as error:
        return f"{type(error).__name__}: {error}"[:300]
    return ""


@lru_cache(maxsize=64)
def comparison(checker: str) -> Callable[[tuple, Any, Any], bool]:
    """The function (args, expected, got) -> bool behind a checker name. Raises ValueError for others."""
    name, _, parameter = checker.partition(":")
    if name == "exact":
        return lambda args, expected, got: alike(expected, got)
    if name == "unordered":
        return lambda args, expected, got: type(got) is type(expected) and _sorted(expected) == _sorted(got)
    if name == "float":
        tolerance = float(parameter)
        return lambda args, expected, got: alike(expected, got, tolerance)
    if name == "any_valid":
        module, _, function = parameter.partition(":")
        return getattr(import_module(module), function)
    raise ValueError(
        f"no checker is called {checker!r}; families use exact, unordered, float:<tolerance>, "
        "any_valid:<module>:<function>"
    )


def same_answer(gold: str, answer: str) -> bool:
    """Equality of two short answers: as fractions if both are numbers, else as words."""
    try:
        return Fraction(gold) == Fraction(answer)
    except (ValueError, ZeroDivisionError):
        return gold.strip().casefold() == answer.strip().casefold()


def alike(expected: Any, got: Any, tolerance: float | None = None) -> bool:
    """Equality of plain data: lists and tuples are the same, a bool is not an int, an int may replace a float.

    Floats may differ by `tolerance`, relative above 1.
    """
    if isinstance(expected, float):
        if isinstance(got, bool) or not isinstance(got, int | float):
            return False
        return expected == got or _near(expected, got, tolerance or 0.0)
    if isinstance(expected, list | tuple):
        if not isinstance(got, list | tuple):
            return False
        return len(expected) == len(got) and all(alike(e, g, tolerance) for e, g in zip(expected, got))
    if type(expected) is not type(got):
        return False
    if isinstance(expected, dict):
        return expected.keys() == got.keys() and all(alike(v, got[k], tolerance) for k, v in expected.items())
    return expected == got


def _near(expected: float, got: int | float, tolerance: float) -> bool:
    """Whether two finite numbers differ by at most the tolerance, relative above 1; nothing is near infinity."""
    try:
        apart = abs(expected - got)
    except OverflowError:
        return False
    return math.isfinite(expected) and apart <= tolerance * max(1.0, abs(expected))


def _sorted(items: Any) -> list[str]:
    return sorted(encode_value(item) for item in items)


@contextmanager
def _deadline(seconds: float):
    def stop(signum, frame):
        raise TooLong

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)

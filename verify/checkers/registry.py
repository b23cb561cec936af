"""Checkers by name."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from difflib import get_close_matches
from functools import lru_cache
from typing import Any

from problems.problem import Kind, Test
from verify.checkers import answers, text, values
from verify.sandbox import codec

Compare = Callable[[Test, str, str], bool]
"""(test, encoded expected value, text of the answer) -> whether the answer is right. Never raises."""

DEFAULT_TOLERANCE = 1e-6
_TRUSTED_MODULES = "problems.families."
_KINDS = {
    "function": ("exact", "unordered", "float", "any_valid"),
    "stdin": ("exact", "unordered", "float", "any_valid"),
    "assert": ("exact",),
    "answer": ("exact", "float", "choice", "yes_no", "math"),
}


@dataclass(frozen=True, slots=True)
class Checker:
    """A way to compare answers."""

    name: str
    compare: Compare
    sandboxed: bool = False
    """True if `compare` is not used because the comparison must run in the sandbox (math)."""


@lru_cache(maxsize=256)
def checker_for(spec: str, kind: Kind) -> Checker:
    """The checker that a problem names. Raises ValueError if there is none of that name for problems of this kind."""
    name, _, parameter = spec.partition(":")
    if name not in _KINDS[kind]:
        near = get_close_matches(name, _KINDS[kind], n=1, cutoff=0.4) or [_KINDS[kind][0]]
        raise ValueError(f"there is no checker {spec!r} for problems of kind {kind}; did you mean {near[0]}?")
    match name:
        case "exact":
            compare = {"function": _exact, "stdin": text.lines, "answer": answers.exact, "assert": _never}[kind]
        case "float":
            compare = _float(_tolerance(spec, parameter), kind)
        case "unordered":
            if parameter not in ("", "deep"):
                raise ValueError(f"checker {spec!r} has an unknown parameter; use unordered or unordered:deep")
            compare = text.unordered_lines if kind == "stdin" else _unordered(parameter == "deep")
        case "any_valid":
            compare = _any_valid(_trusted(parameter), kind)
        case "choice":
            compare = answers.choice
        case "yes_no":
            compare = answers.yes_no
        case _:
            compare = _never
    return Checker(name, compare, sandboxed=name == "math")


def _tolerance(spec: str, parameter: str) -> float:
    try:
        value = float(parameter) if parameter else DEFAULT_TOLERANCE
    except ValueError:
        value = -1.0
    if not 0 <= value < 1:
        raise ValueError(f"checker {spec!r} needs a tolerance of at least 0 and below 1, for example float:1e-6")
    return value


def _trusted(path: str) -> Callable[[tuple, Any, Any], bool]:
    """A family's own function `f(args, expected, answer) -> bool`."""
    module, _, function = path.partition(":")
    if not module.startswith(_TRUSTED_MODULES) or not function.isidentifier():
        raise ValueError(f"checker any_valid:{path} must name a function as {_TRUSTED_MODULES}<family>:<function>")
    try:
        found = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"checker any_valid:{path} cannot be loaded: {error}") from error
    return found


def _never(test: Test, expected: str, answer: str) -> bool:
    return False


def _exact(test: Test, expected: str, answer: str) -> bool:
    return answer == expected or _guided(test, expected, answer, lambda tree: values.same(test.expected, tree))


def _guided(test: Test, expected: str, answer: str, verdict: Callable[[Any], bool]) -> bool:
    if values.too_long(answer, expected):
        return False
    try:
        return verdict(values.read(answer))
    except (values.Unreadable, RecursionError):
        return False


def _float(tolerance: float, kind: Kind) -> Compare:
    if kind == "stdin":
        return lambda test, expected, answer: text.numbers(test, answer, tolerance)
    if kind == "answer":
        return lambda test, expected, answer: answers.number(test, answer, tolerance)
    return lambda test, expected, answer: (
        answer == expected or _guided(test, expected, answer, lambda tree: values.same(test.expected, tree, tolerance))
    )


def _unordered(deep: bool) -> Compare:
    return lambda test, expected, answer: (
        answer == expected
        or _guided(test, expected, answer, lambda tree: values.same_unordered(test.expected, tree, deep))
    )


def _any_valid(valid: Callable[[tuple, Any, Any], bool], kind: Kind) -> Compare:
    def compare(test: Test, expected: str, answer: str) -> bool:
        if values.too_long(answer, expected):
            return False
        try:
            found = answer if kind == "stdin" else codec.decode(answer)
        except (ValueError, ArithmeticError, RecursionError):
            return False
        try:
            return valid(test.args, test.expected, found) is True
        except Exception:
            # The function is trusted, the value is not: a value that makes it raise is not valid.
            return False

    return compare

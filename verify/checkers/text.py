"""Comparing what programs print."""

from __future__ import annotations

import math

from problems.problem import Test


def _lines(printed: str) -> list[str]:
    """Lines without trailing space, and without empty lines at the end."""
    lines = [line.rstrip() for line in printed.replace("\r\n", "\n").split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    return lines


def lines(test: Test, expected: str, answer: str) -> bool:
    """The same lines, space at their ends and empty lines at the end of all aside."""
    return _lines(answer) == _lines(str(test.expected))


def unordered_lines(test: Test, expected: str, answer: str) -> bool:
    """The same lines in any order."""
    return sorted(_lines(answer)) == sorted(_lines(str(test.expected)))


def numbers(test: Test, answer: str, tolerance: float) -> bool:
    """The same words; numbers among them need only be close."""
    ours, theirs = str(test.expected).split(), answer.split()
    return len(ours) == len(theirs) and all(_close(a, b, tolerance) for a, b in zip(ours, theirs))


def _close(expected: str, found: str, tolerance: float) -> bool:
    if expected == found:
        return True
    try:
        a, b = float(expected), float(found)
    except ValueError:
        return False
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return a == b or abs(a - b) <= tolerance * max(1.0, abs(a))

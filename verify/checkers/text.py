"""Comparing what programs print."""

from __future__ import annotations

import math
import re
from fractions import Fraction

from problems.problem import Test

_WHOLE = re.compile(r"[-+]?[0-9]+")
_DECIMAL = re.compile(r"[-+]?[0-9]+\.[0-9]*")


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
    """The same words; numbers among them need only be close, save whole numbers, which are exact."""
    ours, theirs = str(test.expected).split(), answer.split()
    return len(ours) == len(theirs) and all(_close(a, b, tolerance) for a, b in zip(ours, theirs))


def _close(expected: str, found: str, tolerance: float) -> bool:
    if expected == found:
        return True
    try:
        if _WHOLE.fullmatch(expected):
            return _is_whole(int(expected), found, tolerance)
        a, b = float(expected), float(found)
    except (ValueError, OverflowError):
        return False
    if not (math.isfinite(a) and math.isfinite(b)):
        return a == b or (math.isnan(a) and math.isnan(b))
    return abs(a - b) <= tolerance * max(1.0, abs(a))


def _is_whole(expected: int, found: str, tolerance: float) -> bool:
    """Whole numbers are the same or not. One that is printed with decimals may miss by the tolerance, which is not
    relative here: 100000001.0 is not 100000000. Raises ValueError and OverflowError for what is no number."""
    if _WHOLE.fullmatch(found):
        return int(found) == expected
    # What has an exponent is read as a float, whose size is bounded.
    value = Fraction(found if _DECIMAL.fullmatch(found) else float(found))
    return abs(value - expected) <= Fraction(tolerance)

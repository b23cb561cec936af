"""Compares the output of programs."""

from __future__ import annotations

import math
import re
from collections import Counter
from fractions import Fraction

from problems.problem import Test

_WHOLE = re.compile(r"[-+]?[0-9]+")
_DECIMAL = re.compile(r"[-+]?[0-9]+\.[0-9]*")
_NUMBER = re.compile(r"([-+]?)(\d*)(?:\.(\d*))?(?:[eE]([-+]?\d{1,18}))?", re.ASCII)
"""A finite decimal number as programs print it. No problem has numbers with longer exponents."""


def lines(test: Test, expected: str, answer: str) -> bool:
    """The same lines by LiveCodeBench's rule: leading and trailing whitespace of lines and of the whole output is
    ignored, and lines of numbers are compared by exact value: `3.0` equals `3`, `0.50` equals `0.5`."""
    ours, theirs = _lines(str(test.expected)), _lines(answer)
    return len(ours) == len(theirs) and (
        ours == theirs or all(a == b or _value(a) == _value(b) for a, b in zip(ours, theirs))
    )


def unordered_lines(test: Test, expected: str, answer: str) -> bool:
    """The same lines, by the same rule, in any order."""
    ours, theirs = _lines(str(test.expected)), _lines(answer)
    return len(ours) == len(theirs) and Counter(map(_value, ours)) == Counter(map(_value, theirs))


def _lines(printed: str) -> list[str]:
    return [line.strip() for line in printed.strip().split("\n")]


def _value(line: str) -> object:
    """A line's numbers if it holds nothing else, otherwise its text."""
    numbers = tuple(_number(word) for word in line.split())
    return line if None in numbers else numbers


def _number(word: str) -> tuple[bool, str, int] | None:
    """(Negative, digits, exponent) in canonical form, equal for equal numbers; None if the word is not a number.

    Digits are never converted to a number: that takes quadratic time, and for `1e999999999` all memory.
    """
    found = _NUMBER.fullmatch(word)
    if not found or not (found[2] or found[3]):
        return None
    sign, whole, decimals, exponent = found[1], found[2], found[3] or "", int(found[4] or 0)
    digits = (whole + decimals).lstrip("0")
    bare = digits.rstrip("0")
    if not bare:
        return False, "", 0
    return sign == "-", bare, exponent - len(decimals) + len(digits) - len(bare)


def numbers(test: Test, answer: str, tolerance: float) -> bool:
    """The same words; decimal numbers among them need only be close, whole numbers must be exact."""
    ours, theirs = str(test.expected).split(), answer.split()
    return len(ours) == len(theirs) and all(_close(a, b, tolerance) for a, b in zip(ours, theirs))


def _close(expected: str, found: str, tolerance: float) -> bool:
    if expected == found:
        return True
    value, other = _number(expected), _number(found)
    try:
        if _WHOLE.fullmatch(expected):
            return value == other or (not _WHOLE.fullmatch(found) and _near_whole(int(expected), found, tolerance))
        a, b = float(expected), float(found)
    except (ValueError, OverflowError):
        return False
    if not (math.isfinite(a) and math.isfinite(b)):
        # `inf` and `nan` equal only themselves; numbers too large for a float are compared digit by digit.
        return value == other and (a == b or (math.isnan(a) and math.isnan(b)))
    return abs(a - b) <= tolerance * max(1.0, abs(a))


def _near_whole(expected: int, found: str, tolerance: float) -> bool:
    """Whether a number printed with decimals is close to a whole number. The tolerance is absolute here: 100000001.0 is
    not 100000000. Raises ValueError or OverflowError if `found` is not a number."""
    # A number with an exponent is read as a float, whose size is bounded; int() and Fraction() limit the digits.
    value = Fraction(found if _DECIMAL.fullmatch(found) else float(found))
    return abs(value - expected) <= Fraction(tolerance)

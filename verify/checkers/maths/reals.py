"""Sets of real numbers (intervals, inequalities, set-builder notation, unions) and their equality."""

import re
from typing import NamedTuple

from verify.checkers.maths.lists import match, split
from verify.checkers.maths.numbers import number

_RELATIONS = re.compile(r"(<=|>=|<|>|\\le(?![a-zA-Z])|\\ge(?![a-zA-Z])|\\ne(?![a-zA-Z]))")
_PLAIN = {"<=": "<=", ">=": ">=", "<": "<", ">": ">", r"\le": "<=", r"\ge": ">=", r"\ne": "!="}
_TURNED = {"<": ">", ">": "<", "<=": ">=", ">=": "<=", "!=": "!="}
_MEMBER = re.compile(r"([A-Za-z])\s*\\in(?![a-zA-Z])\s*")
_BUILDER = re.compile(
    r"\\\{\s*([A-Za-z])\s*(?:\\in\s*\\mathbb\{R\}\s*)?(?:\||:|\\mid(?![a-zA-Z])|\\vert(?![a-zA-Z]))(.*)\\\}"
)
_ALL = re.compile(r"\\mathbb\{R\}|all real numbers|all reals|real numbers", re.IGNORECASE)
_WITHOUT = re.compile(r"\\mathbb\{R\}\s*(?:\\setminus|\\backslash|-)\s*\\\{(.*)\\\}")
_INTERVAL = re.compile(r"([(\[])(.*)([)\]])")
_MAX_PIECES = 20
"""Most pieces of a union that are compared."""


class Span(NamedTuple):
    """An interval; an end of "" is infinite."""

    low: str
    low_in: bool
    high: str
    high_in: bool


class Reals(NamedTuple):
    """A set of real numbers."""

    spans: list
    variable: str
    """The variable of an inequality or of `x \\in`; "" if there is none."""
    only_a_set: bool
    """False if the text may also be a point: `(1, 2)`."""


def reals(text):
    """The set of real numbers that a cleaned text denotes; None if it denotes none or is ambiguous."""
    text = text.strip()
    if found := _MEMBER.match(text):
        inner = None if _MEMBER.match(text, found.end()) else reals(text[found.end() :])
        return Reals(inner.spans, found[1], True) if inner and not inner.variable else None
    if found := _BUILDER.fullmatch(text):
        inner = _inequalities(found[2].strip())
        return inner if inner and inner.variable == found[1] else None
    if _ALL.fullmatch(text):
        return Reals([Span("", False, "", False)], "", True)
    if found := _WITHOUT.fullmatch(text):
        return _without(split(found[1]))
    if _RELATIONS.search(text):
        return _inequalities(text)
    pieces = re.split(r"\\cup(?![a-zA-Z])", text) if r"\cup" in text else [text]
    spans = [_interval(piece.strip()) for piece in pieces[:_MAX_PIECES]]
    return Reals(spans, "", len(spans) > 1) if all(spans) and len(pieces) <= _MAX_PIECES else None


def same_reals(ours, theirs, same):
    """Whether two sets are equal; `same` compares two ends. Inequalities in different variables are not equal."""
    if ours.variable and theirs.variable and ours.variable != theirs.variable:
        return False

    def one(a, b):
        within = (a.low_in, a.high_in) == (b.low_in, b.high_in)
        return within and _ends(a.low, b.low, same) and _ends(a.high, b.high, same)

    return len(ours.spans) == len(theirs.spans) and match(ours.spans, theirs.spans, one)


def _ends(a, b, same):
    return same(a, b) if a and b else a == b


def _interval(text):
    found = _INTERVAL.fullmatch(text)
    ends = split(found[2]) if found else []
    if found is None or len(ends) != 2:
        return None
    low, high = (re.sub(r"\s+", "", end) for end in ends)
    low_open, high_open = low == r"-\infty", high in (r"\infty", r"+\infty")
    a, b = number(ends[0]), number(ends[1])
    if "\\infty" in (low, "+\\infty") or high == r"-\infty" or (a and b and a.value >= b.value):
        return None
    return Span(
        "" if low_open else ends[0],
        not low_open and found[1] == "[",
        "" if high_open else ends[1],
        not high_open and found[3] == "]",
    )


def _inequalities(text):
    """`x < 7`, `1 \\le x < 2`, `x < 1 or x > 3`, `x > 1 and x < 3`, `x \\ne 3`."""
    pieces = re.split(r"\sor\s|\\lor(?![a-zA-Z])|\\cup(?![a-zA-Z])", text)
    spans, variables = [], set()
    for piece in pieces[: _MAX_PIECES + 1]:
        parts = re.split(r"\sand\s|\\land(?![a-zA-Z])", piece)
        found = [pair for part in parts if (pair := _inequality(part.strip()))]
        if len(found) < len(parts):
            return None
        variables |= {variable for variable, _ in found}
        together = found[0][1] if len(found) == 1 else _common([span for _, span in found])
        if not together:
            return None
        spans += together
    return Reals(spans, variables.pop(), True) if len(variables) == 1 and len(spans) <= _MAX_PIECES else None


def _common(found):
    """The intersection of a lower and an upper bound; None for anything more involved."""
    if len(found) != 2 or any(len(spans) != 1 for spans in found):
        return None
    (first,), (second,) = found
    low, high = (first, second) if first.low else (second, first)
    if not (low.low and high.high) or low.high or high.low:
        return None
    return [Span(low.low, low.low_in, high.high, high.high_in)]


def _inequality(text):
    """(Variable, intervals) of an inequality whose variable is isolated; None for any other."""
    parts = [part.strip() for part in _RELATIONS.split(text)]
    sides, signs = parts[::2], [_PLAIN[sign] for sign in parts[1::2]]
    if not all(sides) or len(signs) not in (1, 2):
        return None
    at = next((i for i, side in enumerate(sides) if re.fullmatch("[A-Za-z]", side)), None)
    if at is None or (len(signs) == 2 and at != 1):
        return None
    variable = sides[at]
    others = [side for i, side in enumerate(sides) if i != at]
    if any(re.search(rf"(?<![a-zA-Z\\]){variable}(?![a-zA-Z])", side) for side in others):
        return None
    if len(signs) == 1:
        sign = signs[0] if at == 0 else _TURNED[signs[0]]
        return variable, _half(sign, others[0])
    if signs[0][0] != signs[1][0] or signs[0] == "!=":
        return None
    low, high, ins = (*others, [s.endswith("=") for s in signs])
    if signs[0][0] == ">":
        low, high, ins = high, low, ins[::-1]
    low, high = ("" if low.replace(" ", "") == r"-\infty" else low), ("" if high.strip() == r"\infty" else high)
    return variable, [Span(low, bool(low and ins[0]), high, bool(high and ins[1]))]


def _half(sign, end):
    if sign == "!=":
        return [Span("", False, end, False), Span(end, False, "", False)]
    if re.sub(r"\s+", "", end) in (r"\infty", r"-\infty"):
        return [Span("", False, "", False)] if (sign[0] == "<") == (end.strip() == r"\infty") else []
    within = sign.endswith("=")
    return [Span("", False, end, within)] if sign[0] == "<" else [Span(end, within, "", False)]


def _without(values):
    """All real numbers except a few."""
    found = [(read, value) for value in values if (read := number(value))]
    if not found or len(found) < len(values):
        return None
    ends = [text for _, text in sorted(found, key=lambda pair: pair[0].value)]
    lows, highs = ["", *ends], [*ends, ""]
    return Reals([Span(low, False, high, False) for low, high in zip(lows, highs)], "", True)

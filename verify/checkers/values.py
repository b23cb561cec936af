"""Compares returned values with expected ones.

The answer is text from an untrusted process. It is parsed as JSON into lists, pairs and numbers, but never into sets or
dicts with keys of its own choice, and traversed along with the expected value: never deeper or wider than that.
"""

from __future__ import annotations

import json
import math
from typing import Any

from verify.sandbox import codec

_SPARE = 32
"""An answer of more than this many times the expected length (plus 1 KiB) cannot be right, and is not parsed."""


class Unreadable(ValueError):
    """The answer is not an encoded value."""


def read(answer: str) -> Any:
    """The JSON tree of an answer. Raises Unreadable."""
    try:
        return json.loads(answer, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise Unreadable(str(error)) from None


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is not in the encoding")


def too_long(answer: str, expected_text: str) -> bool:
    """True if an answer is too long to be right."""
    return len(answer) > _SPARE * len(expected_text) + 1024


def same(expected: Any, tree: Any, tolerance: float | None = None) -> bool:
    """Whether the tree equals `expected`.

    Lists and tuples are equivalent, as are sets and frozensets. A bool never equals an int. An int may equal an
    expected float; a float may equal an expected int only if there is a `tolerance`, and then exactly. NaN equals NaN.
    """
    match expected:
        case None | bool():
            return tree is expected
        case int():
            if tolerance is not None and isinstance(tree, float):
                return tree == expected
            return _integer(tree) == expected
        case float():
            return _close(expected, number(tree), tolerance)
        case str():
            return isinstance(tree, str) and tree == expected
        case list() | tuple():
            items = sequence(tree)
            return (
                items is not None
                and len(items) == len(expected)
                and all(same(e, t, tolerance) for e, t in zip(expected, items))
            )
        case set() | frozenset():
            items = _tagged(tree, "s", "z")
            return isinstance(items, list) and len(items) == len(expected) and _same_bag(expected, items, tolerance)
        case dict():
            return _same_dict(expected, _tagged(tree, "d"), tolerance)
        case bytes():
            return _tagged(tree, "b") == expected.hex()
    return False


def number(tree: Any) -> int | float | None:
    """The number that a tree encodes, or None. Ints are exact, however large."""
    if isinstance(tree, float):
        return tree
    if (whole := _integer(tree)) is not None:
        return whole
    text = _tagged(tree, "f")
    return float(text) if text in ("nan", "inf", "-inf") else None


def sequence(tree: Any) -> list | None:
    """The items of a list or tuple; None for any other tree."""
    if isinstance(tree, list):
        return tree
    items = _tagged(tree, "t")
    return items if isinstance(items, list) else None


def canonical(value: Any) -> str:
    """A text for matching unordered items, in which tuples are lists."""
    return codec.encode(_listed(value))


def canonical_tree(tree: Any) -> str:
    """The same text for a parsed tree."""
    return json.dumps(_listed_tree(tree), separators=(",", ":"), ensure_ascii=True)


def _listed(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_listed(v) for v in value]
    if isinstance(value, dict):
        return {_listed(k) if not isinstance(k, tuple | list) else k: _listed(v) for k, v in value.items()}
    return value


def _listed_tree(tree: Any) -> Any:
    if isinstance(tree, list):
        return [_listed_tree(v) for v in tree]
    if isinstance(tree, dict):
        items = sequence(tree)
        if items is not None:
            return [_listed_tree(v) for v in items]
        pairs = _tagged(tree, "d")
        if isinstance(pairs, list) and all(isinstance(p, list) and len(p) == 2 for p in pairs):
            return {"d": sorted([[k, _listed_tree(v)] for k, v in pairs], key=json.dumps)}
        return {tag: _listed_tree(v) for tag, v in tree.items()}
    return tree


def _integer(tree: Any) -> int | None:
    if type(tree) is int:
        return tree
    text = _tagged(tree, "i")
    try:
        return int(text, 16) if isinstance(text, str) else None
    except ValueError:
        return None


def _tagged(tree: Any, *tags: str) -> Any:
    if isinstance(tree, dict) and len(tree) == 1:
        for tag in tags:
            if tag in tree:
                return tree[tag]
    return None


def _close(expected: float, found: int | float | None, tolerance: float | None) -> bool:
    """Whether a number is close to the expected one.

    NaN equals NaN; infinity is close only to itself; an int too large for a float is close to none. Without a tolerance
    an int must equal the float exactly.
    """
    if found is None:
        return False
    if found == expected:
        return True
    if tolerance is None and isinstance(found, int):
        return False
    try:
        found = float(found)
    except OverflowError:
        return False
    if not (math.isfinite(expected) and math.isfinite(found)):
        return math.isnan(expected) and math.isnan(found)
    return tolerance is not None and abs(found - expected) <= tolerance * max(1.0, abs(expected))


def _same_bag(expected: Any, items: list, tolerance: float | None) -> bool:
    """Whether the items are equal in some order. They are matched by canonical texts, so that the answer's own keys are
    never hashed."""
    if tolerance is None:
        return sorted(map(canonical, expected)) == sorted(map(canonical_tree, items))
    try:
        return all(same(e, t, tolerance) for e, t in zip(sorted(expected), sorted(items)))
    except TypeError:
        return False


def _same_dict(expected: dict, pairs: Any, tolerance: float | None) -> bool:
    if not isinstance(pairs, list) or len(pairs) != len(expected):
        return False
    if not all(isinstance(p, list) and len(p) == 2 for p in pairs):
        return False
    found = {canonical_tree(k): v for k, v in pairs}
    required = {canonical(k): v for k, v in expected.items()}
    return found.keys() == required.keys() and all(same(v, found[k], tolerance) for k, v in required.items())


def same_unordered(expected: Any, tree: Any, deep: bool) -> bool:
    """Like `same`, but sequences may be in any order; with `deep`, so may the sequences in them."""
    items = sequence(tree)
    if items is None:
        items = _tagged(tree, "s", "z")
    if not isinstance(items, list) or not isinstance(expected, list | tuple | set | frozenset):
        return same(expected, tree)
    if len(items) != len(expected):
        return False
    ours, theirs = list(expected), items
    if deep:
        ours = [sorted(e, key=canonical) if isinstance(e, list | tuple | set | frozenset) else e for e in ours]
        theirs = [sorted(s, key=canonical_tree) if (s := sequence(t)) is not None else t for t in theirs]
    return _same_bag(ours, theirs, None)

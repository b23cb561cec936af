"""JSON from untrusted sources: its depth, and the memory it would take, are checked.

A value takes up to 200 bytes as a Python object and two bytes as text.
"""

from __future__ import annotations

import json
from typing import Any

BIGGEST = 2**30
"""Bytes that a parsed value may take, by `estimate`."""
DEEPEST = 50
"""Lists and objects within each other, for `strict_loads`."""
_SMALL = 2**20
"""Characters that are parsed without an estimate."""


class TooMuchError(ValueError):
    """JSON that would take more memory than allowed."""


def loads(text: str | bytes, biggest: int = BIGGEST) -> Any:
    """The value of a JSON text. Raises ValueError if it is not JSON, is nested too deep, or would take more than
    `biggest` bytes."""
    return _loads(text, biggest)


def strict_loads(text: str | bytes) -> Any:
    """The value of a JSON text by the standard: also raises ValueError for NaN and beyond DEEPEST levels."""
    value = _loads(text, BIGGEST, parse_constant=_no_constant)
    level = [value]
    for _ in range(DEEPEST):
        level = [inner for each in level if isinstance(each, dict | list) for inner in _inside(each)]
        if not level:
            return value
    raise ValueError(f"it is deeper than {DEEPEST} levels")


def estimate(text: str | bytes) -> int:
    """Bytes that the parsed value may take, at most."""
    if isinstance(text, str):
        objects, lists, commas = map(text.count, "{[,")
    else:
        objects, lists, commas = map(text.count, (b"{", b"[", b","))
    return 200 * objects + 64 * lists + 60 * commas + len(text) * (1 if text.isascii() else 4)


def _loads(text: str | bytes, biggest: int, **options: Any) -> Any:
    if len(text) > _SMALL and (size := estimate(text)) > biggest:
        raise TooMuchError(f"its values would take {size >> 20:,} MiB of memory, and {biggest >> 20:,} MiB is the most")
    try:
        return json.loads(text, **options)
    except RecursionError:
        raise ValueError("lists and objects in it are nested too deep") from None
    except MemoryError:
        raise TooMuchError("its values take more memory than there is") from None


def _inside(value: dict[str, Any] | list[Any]) -> Any:
    return value.values() if isinstance(value, dict) else value


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")

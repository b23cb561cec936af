"""JSON of strangers: what it would take in memory is counted before it is parsed.

A value takes up to 200 bytes as an object of Python and two bytes as text.
"""

from __future__ import annotations

import json
from typing import Any

BIGGEST = 2**30
"""Bytes that a parsed value may take, by `estimate`."""
_SMALL = 2**20
"""Characters that are parsed without looking."""


class TooMuchError(ValueError):
    """JSON that would take more memory than it may."""


def loads(text: str | bytes, biggest: int = BIGGEST) -> Any:
    """The value of a JSON text. Raises ValueError where it is none, is nested too deep, or would take more than
    `biggest` bytes."""
    if len(text) > _SMALL and (size := estimate(text)) > biggest:
        raise TooMuchError(f"its values would take {size >> 20:,} MiB of memory, and {biggest >> 20:,} MiB is the most")
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("lists and objects in it are nested too deep") from None
    except MemoryError:
        raise TooMuchError("its values take more memory than there is") from None


def estimate(text: str | bytes) -> int:
    """Bytes that the parsed value may take, at most."""
    objects, lists, commas = (text.count(sign if isinstance(text, str) else sign.encode()) for sign in "{[,")
    return 200 * objects + 64 * lists + 60 * commas + len(text) * (1 if text.isascii() else 4)

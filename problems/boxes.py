"""Reads boxed answers: `\\boxed{...}`, `\\fbox{...}`, `\\boxed x`.

Two rooms need the same reader: problems (the gold answer of a worked solution) and verdicts (the answer of a
completion). Completions are hostile input: everything here is linear in the text.
"""

from __future__ import annotations

import re
from typing import NamedTuple

_BOX = r"\\(?:boxed|fbox)(?![a-zA-Z])"
_TOKEN = re.compile(rf"\{{|\}}|{_BOX}\s*|\\(?!{_BOX})[^a-zA-Z]")
"""Braces, boxes, and escaped characters. A doubled backslash before `boxed` still makes a box."""
_UNBRACED = re.compile(r"(?:[^\s$,;{}]|\{(?:[^\s{}]|\{[^\s{}]{0,40}+\}){0,40}+\}){1,40}+")


class Box(NamedTuple):
    """Positions of a box and of its content in a text."""

    start: int
    end: int
    inside: tuple[int, int]

    def content(self, text: str) -> str:
        """The content of the box. Not stored: for nested boxes that would take quadratic space."""
        return text[slice(*self.inside)].strip()

    def braced(self, text: str) -> bool:
        """False for `\\boxed x`."""
        return text[self.inside[0] - 1] == "{"


def boxes(text: str) -> list[Box]:
    """All closed boxes, nested ones included, ordered by where they start."""
    found: list[Box] = []
    opened: list[tuple[int, int]] = []
    start = -1
    for token in _TOKEN.finditer(text):
        word = token[0]
        if word == "{":
            opened.append((start, token.end()))
            start = -1
        elif word == "}" and opened:
            box, inside = opened.pop()
            if box >= 0:
                found.append(Box(box, token.end(), (inside, token.start())))
        elif word.startswith(("\\b", "\\f")):
            if text.startswith("{", token.end()):
                start = token.start()
            elif plain := _UNBRACED.match(text, token.end()):
                inside = (plain.start(), plain.start() + len(plain[0].rstrip(".")))
                found.append(Box(token.start(), plain.end(), inside))
    return sorted(found)


def outermost(found: list[Box]) -> list[Box]:
    """The boxes that are inside no other box. Expects the order of `boxes`."""
    kept: list[Box] = []
    for box in found:
        if not kept or box.start >= kept[-1].end:
            kept.append(box)
    return kept


def last_box(text: str) -> str | None:
    """The content of the last closed box; None if there is none, or if it is empty."""
    found = boxes(text)
    return (found[-1].content(text) or None) if found else None

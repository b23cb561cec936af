"""Removes a model's thinking from a completion: only what follows it is the answer.

All readers of completions use it, so that a draft in the thinking never counts as an answer. Completions are hostile
input: everything here is a few linear passes.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import NamedTuple

from problems.thinking import CHANNEL, CLOSING, OPENING, left_open

_MARKS = re.compile(
    rf"(?P<open>{OPENING})|(?P<close>{CLOSING})|(?P<channel>{CHANNEL})"
    r"|(?P<triple>\"{3}|'{3})|(?P<fence>^[ \t>]*(?:`{3}|~{3}))",
    re.IGNORECASE | re.MULTILINE,
)
_ANY = re.compile(rf"{OPENING}|{CLOSING}|<\|channel\|>", re.IGNORECASE)
_QUOTED = re.compile(
    r"""(?<!\w)[rbuRBUfF]{0,2}(?:"(?:[^"\\]|\\.)*+(?:"|(?P<cut1>\\?\Z))|'(?:[^'\\]|\\.)*+(?:'|(?P<cut2>\\?\Z)))|(?<!`)`[^`]++`(?!`)"""
)
"""A string literal on one line, or text in backticks. An apostrophe within a word does not open one."""
_MESSAGE_END = re.compile(r"<\|(?:end|return|call)\|>")
_BARE_CHANNEL = re.compile(r"\s*analysis(?=\s*[A-Z\d\"'(*\\])")
"""The first channel's name in a text without the special tokens around it."""
_BARE_FINAL = "assistantfinal"


def continued(prompt: str, completion: str) -> str:
    """The completion for the judge: prefixed with the opening tag if the prompt left thinking open.

    Chat templates of reasoning models end in `<think>`. The completion then starts inside the thinking without any mark
    of its own.
    """
    return left_open(prompt) + completion


def after_thinking(text: str) -> str | None:
    """The text after the thinking; the whole text if there is none, None if the text ends inside its thinking.

    Recognises tags (`<think>`, `<reasoning>`, `[THINK]` and similar ones; the opening tag may be missing) and channels
    (`<|channel|>analysis`, then `<|channel|>final`). A tag inside a string literal or in backticks does not count, and
    an opening tag counts only at the start of a line. Never raises; linear in the text.
    """
    if _BARE_CHANNEL.match(text) and _BARE_FINAL in text:
        return text.rpartition(_BARE_FINAL)[2]
    if not _ANY.search(text):
        return text
    marks = _unquoted(text)
    if channels := [mark for mark in marks if mark.kind == "channel"]:
        if channels[-1].name != "final":
            return None
        text = text[channels[-1].end :]
        end = _MESSAGE_END.search(text)
        return text[: end.start()] if end else text
    start = max((mark.end for mark in marks if mark.kind == "close"), default=0)
    opened = any(mark.kind == "open" and mark.start >= start and mark.begins_line for mark in marks)
    return None if opened else text[start:]


class _Mark(NamedTuple):
    kind: str
    """`open`, `close` or `channel`."""
    name: str
    """The channel's."""
    start: int
    end: int
    begins_line: bool


def _unquoted(text: str) -> list[_Mark]:
    """The marks that are not inside a string literal.

    A triple-quoted string may span lines, but a fence ends it: a draft that breaks off inside a docstring must not hide
    the end of the thinking.
    """
    found: list[_Mark] = []
    held: list[_Mark] = []
    triple = ""
    begin, at, margin, quoted_line = 0, 0, 0, -1
    spans: list[tuple[int, int]] = []
    for match in _MARKS.finditer(text):
        begin = text.rfind("\n", at, match.start()) + 1 or begin
        at = match.start()
        if match["fence"] is not None:
            triple = ""
            found += held
            held = []
            continue
        if match["triple"] is not None:
            if not triple:
                triple = match["triple"]
            elif triple == match["triple"]:
                triple, held = "", []
            continue
        if begin != quoted_line:
            end = text.find("\n", match.end())
            line = text[begin : end if end >= 0 else len(text)]
            spans, quoted_line = _literals(line, begin), begin
            margin = begin + len(line) - len(line.lstrip())
        kind = "channel" if match["channel"] is not None else "open" if match["open"] is not None else "close"
        mark = _Mark(kind, match["name"] or "", match.start(), match.end(), match.start() == margin)
        if triple:
            held.append(mark)
        elif not _within(spans, mark.start):
            found.append(mark)
    return found + held


def _literals(line: str, begin: int) -> list[tuple[int, int]]:
    """Positions of a line's string literals in the text. An unterminated one does not count."""
    return [
        (begin + q.start(), begin + q.end()) for q in _QUOTED.finditer(line) if q["cut1"] is None and q["cut2"] is None
    ]


def _within(spans: list[tuple[int, int]], at: int) -> bool:
    index = bisect_right(spans, (at, 0)) - 1
    return index >= 0 and spans[index][0] < at < spans[index][1]

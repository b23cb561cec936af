"""Finds the final answer of a completion: in a box, in tags, after hashes, or in a sentence that states it.

The answer is never guessed: a completion that states none has none. Drafts in the thinking do not count. Completions
are hostile input: everything here is a few linear passes over bounded text.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import NamedTuple

from problems.boxes import boxes
from verify.end_tokens import content_length
from verify.thinking import after_thinking

_LONGEST = 100_000
"""Most characters of an answer that are read, counted from its end."""
_NEAR = 120
"""Most characters between two boxes that belong together."""
_SENTENCES = 20_000
"""Most characters of a text, counted from its end, in which sentences are searched."""
_TAIL = 2000
"""Most characters after "the answer is" that may belong to the answer."""
_TAG = re.compile(r"<(/?)(?:answer|final_answer|solution_answer)>", re.IGNORECASE)
_HASHES = re.compile(r"#{4,}[ \t]*")
_HEADING = re.compile(
    r"[\s*_#:]*(?:the )?(?:final |correct )?"
    r"(?:answer|result|solution|conclusion|summary|step \d{1,3}\b[^\n]{0,200})[\s*_:.]*",
    re.IGNORECASE,
)
_ANSWER = re.compile(
    r"\banswer\b(?: (?:to|of|for|in)\b[^\n.:=]{1,100}?)??[ *_]{0,8}"
    r"(?:(?:is|are|was|would be|must be|should be|will be|equals|becomes)\b:?|:|=|-|\u2013|\n)",
    re.IGNORECASE,
)
_NOT_GIVEN = re.compile(
    r"\b(?:this|that|your|an|any|each|every|no|wrong|incorrect|previous|hope (?:the|my)|if the|whether the)\s{1,3}"
    r"(?:(?:final|correct|right) )?$",
    re.IGNORECASE,
)
_NO_VALUE = re.compile(
    r"\W*(?:clear|correct|right|wrong|incorrect|helpful|useful|below|above|as follows|not clear|verified|reasonable"
    r"|complete|found|given|what|that|easy|simple|understandable|satisfactory|consistent)\b",
    re.IGNORECASE,
)
_FILLER = re.compile(r"(?:therefore|thus|hence|simply|just|then|indeed|equal to|clearly|now)\b[\s,:]*", re.IGNORECASE)
_SENTENCE_END = re.compile(
    r"\$|[.?;](?=\s|$)|!(?=\s+[A-Z])|,? (?:because|since|which)\b|, (?:so|as|where|but|obtained|using|by)\b"
)
_JOINED = re.compile(
    r"[\s$.)\]\\]*?(?:\\(?:quad|qquad|;|,))*(?:,|;|,? ?\bor\b|,? ?\band\b|\\text\s*\{\s*(?:or|and)\s*\}|\\(?:lor|vee))"
    r"[\s$(\[\\]*(?:(?:or|and)\b[\s$]*)?(?P<name>[A-Za-z](?:_\{?\w\}?)?\s*=)?[\s$]*"
)
_NAME_BEFORE = re.compile(r"([A-Za-z](?:_\{?\w\}?)?)\s*=\s*$")


class Mark(NamedTuple):
    """A final answer that is marked as such."""

    text: str
    kind: str
    """How it is marked: `box`, `tag`, `hashes`, `sentence`."""
    end: int
    """Where it ends in the text returned by `answer_part`."""


def answer_part(completion: str) -> str | None:
    """The part of a completion that may hold the answer: after the thinking, and not too long. None if the completion
    ends inside its thinking."""
    text = after_thinking(completion)
    if text is None:
        return None
    end = content_length(text)
    return text[max(0, end - _LONGEST) : end]


def final_mark(text: str) -> Mark | None:
    """The marked final answer of a text without thinking. A box or a tag takes precedence over hashes and sentences."""
    box, tag = _boxed(text), _tagged(text)
    if box and tag:
        # A box inside a tag is the tag's answer; otherwise the later one is final.
        return box if box.end + len("</answer>") >= tag.end else tag
    return box or tag or _after_hashes(text) or _in_sentence(text)


def final_text(completion: str) -> str | None:
    """The marked final answer of a completion, as written; None if none is marked."""
    text = answer_part(completion)
    mark = final_mark(text) if text else None
    return mark.text if mark else None


def given_text(completion: str) -> str | None:
    """The marked final answer, or the whole answer if none is marked; None if the answer is empty."""
    text = answer_part(completion)
    if not text or not text.strip():
        return None
    mark = final_mark(text)
    return mark.text if mark else text.strip()


def _boxed(text: str) -> Mark | None:
    """The last box and the boxes that are joined to it: `$t=\\boxed{3}$ or $t=\\boxed{8}$`."""
    found = boxes(text)
    if not found or not (content := found[-1].content(text)):
        return None
    contents, names = [content], []
    for box, after in zip(found[-2::-1], found[:0:-1]):
        between = text[box.end : after.start] if 0 <= after.start - box.end < _NEAR else None
        if between is None or not (content := box.content(text)):
            break
        joined = _JOINED.fullmatch(between)
        if not joined and between.strip(" $"):
            break
        contents.append(content)
        names.append((joined and joined["name"]) or "")
    if len(set(contents)) > 1:
        first = found[-len(contents)].start
        before = _NAME_BEFORE.search(text[max(0, first - 20) : first])
        names.append(f"{before[1]}=" if before else "")
        named = len(set(names)) == len(names) and all(names)
        content = ", ".join([(n if named else "") + c for n, c in zip(names[::-1], contents[::-1])])
    return Mark(content if len(set(contents)) > 1 else contents[0], "box", found[-1].end)


def _tagged(text: str) -> Mark | None:
    tags = list(_TAG.finditer(text))
    for opening, closing in reversed(list(pairwise(tags))):
        if not opening[1] and closing[1]:
            inside = text[opening.end() : closing.start()].strip()
            inner = _boxed(inside) or _after_hashes(inside) or _in_sentence(inside)
            content = inner.text if inner else _plain(inside)
            return Mark(content, "tag", closing.end()) if content else None
    return None


def _after_hashes(text: str) -> Mark | None:
    """The answer after `####`, or below it if that line is a heading."""
    found = list(_HASHES.finditer(text))
    for mark in reversed(found[-20:]):
        end = text.find("\n", mark.end())
        end = len(text) if end < 0 else end
        line = text[mark.end() : end]
        below = text[end : end + _TAIL].strip()
        if _HEADING.fullmatch(line) and below:
            inner = _in_sentence(below)
            content = inner.text if inner else _first_value(below)
        else:
            inner = _in_sentence(line)
            content = inner.text if inner else _plain(line.rstrip(". "))
        return Mark(content, "hashes", end) if content else None
    return None


def _in_sentence(text: str) -> Mark | None:
    """The answer in the last sentence that states one: `The answer is 42. I hope this answer is clear!`"""
    for mark in reversed(list(_ANSWER.finditer(text, max(0, len(text) - _SENTENCES)))):
        tail = text[mark.end() : mark.end() + _TAIL]
        if _NOT_GIVEN.search(text[max(0, mark.start() - 30) : mark.start()]) or _NO_VALUE.match(tail):
            continue
        content = _first_value(tail)
        if content:
            at = text.find(content.split("\n")[0], mark.end())
            return Mark(content, "sentence", max(at, mark.end()) + len(content))
    return None


def _first_value(tail: str) -> str:
    """The first value in a text: a displayed formula, or a sentence without its explanation."""
    tail = tail.lstrip(" \t\n*_:=")
    for opening, closing in (("$$", "$$"), (r"\[", r"\]")):
        if tail.startswith(opening) and (end := tail.find(closing, len(opening))) > 0:
            return _plain(tail[len(opening) : end])
    tail = _FILLER.sub("", tail.split("\n", 1)[0], count=1) if _FILLER.match(tail) else tail.split("\n", 1)[0]
    return _plain(_first_sentence(tail))


def _first_sentence(text: str) -> str:
    """The text up to the end of the sentence or the start of an explanation, neither inside `$...$`."""
    formula = False
    for found in _SENTENCE_END.finditer(text):
        if found[0] == "$":
            formula = not formula
        elif not formula and text[: found.start()].strip():
            return text[: found.start()]
    return text


def _plain(text: str) -> str:
    """The text without surrounding marks of bold type or code."""
    return text.strip().strip("*_` ").rstrip(".").strip("*_` ").strip()

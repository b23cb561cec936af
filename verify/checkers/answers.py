"""Reading and comparing final answers: numbers, letters, yes and no. Mathematics proper is in `maths.py`.

A completion that gives no answer has no answer: it is `None`, never a guess, and never "no".
"""

from __future__ import annotations

import re

from problems.problem import Test

_NUMBER = re.compile(r"[-+−]?(?:\d[\d,]*\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_FINAL = re.compile(r"(?:final\s+answer|the\s+answer|answer)\b\s*(?:is|:|=|-)*\s*", re.IGNORECASE)
_HASHES = re.compile(r"####\s*(.+)")
_LETTER_ALONE = re.compile(
    r"^[\s*_(\[$]*\\?(?:text(?:bf)?\{)?\s*\(?([A-Ja-j])\)?\s*\}?[\s.):,\]*_$]*(?:$|[).:,]\s|\s*$)"
)
_LETTER_MARKED = re.compile(r"(?:\*\*|\()([A-J])(?:\*\*|\))|(?:^|\n)\s*([A-J])[).:](?=\s|$)")
_YES_NO = re.compile(r"\b(yes|no)\b", re.IGNORECASE)
_LONGEST = 100_000


def last_box(text: str) -> str | None:
    """The content of the last balanced `\\boxed{...}` (or `\\fbox`, or `\\boxed x`)."""
    for match in reversed(list(re.finditer(r"\\(?:boxed|fbox)\s*", text))):
        at = match.end()
        if at >= len(text):
            continue
        if text[at] != "{":
            return text[at : at + 1].strip() or None
        depth = 0
        for i in range(at, len(text)):
            depth += (text[i] == "{") - (text[i] == "}")
            if depth == 0:
                return text[at + 1 : i].strip()
    return None


def final_text(text: str) -> str | None:
    """The final answer of a completion as it is written: boxed, behind `####`, behind "the answer is"; else
    None."""
    text = text[-_LONGEST:]
    if (boxed := last_box(text)) is not None:
        return boxed
    for pattern in (_HASHES, _FINAL):
        if found := list(pattern.finditer(text)):
            tail = found[-1].group(1) if pattern is _HASHES else text[found[-1].end() :].split("\n", 1)[0]
            return tail.strip().strip("*").rstrip(".").strip() or None
    return None


def read_number(text: str) -> float | None:
    """The final number: of the marked answer if there is one, otherwise the last one said."""
    marked = final_text(text)
    found = _NUMBER.findall((marked if marked is not None else text[-_LONGEST:]).replace("\\!", "").replace("{,}", ","))
    if not found or (marked is not None and len(found) > 1):
        return None
    return float(found[-1].replace(",", "").replace("−", "-"))


def read_choice(text: str) -> str | None:
    """The letter chosen. "A common mistake" is not an A: a letter counts alone, in brackets, bold, or as
    marked."""
    marked = final_text(text)
    for candidate in (marked, text.strip()):
        if candidate and (found := _LETTER_ALONE.match(candidate)):
            return found.group(1).upper()
    if marked is not None:
        letters = re.findall(r"\(([A-Ja-j])\)|\b([A-J])\b", marked)
        return (letters[0][0] or letters[0][1]).upper() if len(letters) == 1 else None
    found = _LETTER_MARKED.findall(text)
    return next(filter(None, found[-1])).upper() if found else None


def read_yes_no(text: str) -> str | None:
    """`yes` or `no`: of the marked answer; else a verdict that opens the text; else the last one said."""
    marked = final_text(text)
    for candidate in (marked, text):
        if candidate:
            words = [w.lower() for w in _YES_NO.findall(candidate)]
            if words:
                opening = _YES_NO.match(candidate.lstrip(" *_#\n"))
                return opening.group(1).lower() if opening else words[-1]
    return None


def exact(test: Test, expected: str, answer: str) -> bool:
    """The final answer as text, case and space aside."""
    found = final_text(answer)
    found = answer if found is None else found
    return _folded(found) == _folded(str(test.expected))


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


def number(test: Test, answer: str, tolerance: float) -> bool:
    """A final number close to the gold one."""
    ours, found = read_number(str(test.expected)), read_number(answer)
    return ours is not None and found is not None and abs(ours - found) <= tolerance * max(1.0, abs(ours))


def choice(test: Test, expected: str, answer: str) -> bool:
    """The gold letter."""
    return read_choice(answer) == str(test.expected).strip().strip("()").upper()


def yes_no(test: Test, expected: str, answer: str) -> bool:
    """The gold word, in any case."""
    return read_yes_no(answer) == str(test.expected).strip().lower()


def readable(checker: str, text: str, *, cut_off: bool) -> bool:
    """Whether a completion holds an answer of the checker's kind: without one it is unparsed, not wrong.

    A completion that was cut off has only what it marked as its answer.
    """
    if cut_off and final_text(text) is None:
        return False
    readers = {"float": read_number, "choice": read_choice, "yes_no": read_yes_no}
    return readers[checker](text) is not None if checker in readers else bool(text.strip())

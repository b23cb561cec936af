"""Reads and compares final answers: numbers, letters, yes and no. Mathematical expressions are compared in `maths/`.

A completion that gives no answer, or several, has no answer: the readers return None, never a guess, and never "no".
"""

from __future__ import annotations

import re
from fractions import Fraction

from problems.problem import Test
from verify.checkers.final_answer import answer_part, final_mark, final_text, given_text
from verify.checkers.maths.cleaning import clean
from verify.checkers.maths.numbers import number as plain_number
from verify.checkers.maths.numbers import tidy, with_unit

__all__ = ["choice", "exact", "final_text", "given_text", "number", "readable", "yes_no"]

_SHORT = 300
"""Most characters of a marked answer in which a letter or a word is searched."""
_WRAPPER = re.compile(r"\\(?:text|textbf|textit|textrm|textsf|mathrm|mathbf|mathsf|mathit|mbox|operatorname)(?=\s*\{)")
_DROPPED = re.compile(r"\\(?:left|right|displaystyle|,|;|!|:| |\(|\)|\[|\])|[{}$*`]|\\(?=\$)")
_NAME = re.compile(r"\s*\|?[A-Za-z](?:_\w+|')?(?:\([^()=]{1,20}\))?\|?\s*|\s*(?:[A-Za-z]{2,20} ?){1,6}\s*")
_ABOUT = re.compile(r"\s*(?:about|approximately|approx\.?|roughly|around|\\approx|\u2248|=)\s*", re.IGNORECASE)
_INFINITE = re.compile(r"([-+]?)(?:\\infty|\u221e|inf(?:inity)?)", re.IGNORECASE)
_ONE_NUMBER = re.compile(
    r"(?<![\w.])[-+]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][-+]?[0-9]{1,4})?(?![0-9.]*[0-9])(?!(?![mgshlLNJWVKCF]\b)[A-Za-z]\b)"
)
_CALCULATED = re.compile(
    r"[\\^*+=_\u221a\u03c0\u221e|<>]|[0-9] ?!|[0-9)] ?/|/ ?[0-9(]|[0-9]\(|\)[0-9]|[A-Za-z]\("
    r"|\b(?:not|never|or|and|neither|nor)\b"
)
"""Signs that a number in a text is part of something else."""
_LAST_NUMBER = re.compile(
    r"[-+]?(?:\\[dt]?frac ?\{[^{}]{1,60}\} ?\{[^{}]{1,60}\}|(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)"
    r"(?:[eE][-+]?[0-9]{1,4}| ?/ ?[0-9]+"
    r"| ?(?:\\times|\\cdot|\*|\u00d7) ?10 ?\^ ?(?:\{ ?[-+]?[0-9]{1,4} ?\}|[-+]?[0-9]{1,4}))?)"
)
_DROPPED_SIGNS = re.compile(r"[$*`]")
_LETTER = re.compile(r"(?:(?i:option|choice|answer) )?(?:\( ?([A-Ja-j]) ?\)|([A-Ja-j])(?![\w'+*/^=<>-]))")
_LETTER_END = re.compile(r" ?(?:[).:,;\]]|$)")
_OR = r"(?:/|&|\\&|\||\+|-|\u2013|,? ?\b(?:or|and|to)\b(?: (?:maybe|perhaps|possibly|also|even))?)"
_SEVERAL = re.compile(
    rf"[ ).]*(?:(?:{_OR}|,|;|) ?\( ?[A-Ja-j] ?\)|{_OR} ?[A-J](?![\w'])"
    r"|[,; ] ?[A-J](?= ?(?:$|[,.;:/&|)]|or\b|and\b))|[.:] ?[A-J](?= ?(?:$|[,.;:/&|)])))"
)
_MARKED = re.compile(r"(?:\*\*|\()([A-J])(?:[.:)]{0,2}\*\*|\))|(?:^|\n) ?([A-J])[).:](?=\s|$)")
_BETWEEN = re.compile(r"\b(?:or|and|maybe|perhaps|possibly|also)\b|[\s,;/&|+*-]")
_CHOSEN = re.compile(
    r"\b(?:answer|choice|option|selection)\b[ *_]{0,4}(?:is|are|would be|must be|should be|:)[ :*_]{0,6}([^\n]{1,80})"
    r"|\b(?:is|choose|chose|pick|select|to|be|matches) (?:answer |the )?(?:option|choice)[ *_]{0,4}([^\n]{1,80})",
    re.IGNORECASE,
)
_YES_NO = re.compile(r"\b(yes|no)\b", re.IGNORECASE)
_BOTH = re.compile(
    r"\W{0,6}(?:(?:or|and)\b\W{0,6}(yes|no)\b|[^\w\s,][^\w]{0,6}(yes|no)\b|(yes|no)\b(?! ?\w))", re.IGNORECASE
)
"""The other word directly after one; "Yes, no doubt about it" is a yes."""
_NEGATED = re.compile(
    r"(?:\b(?:not|never|neither|nor|cannot be|hardly)|n['\u2019]t)(?: be)?(?: an?| the| simply)?\W{0,4}$"
    r"|(?:\\(?:neg|lnot|sim)|[!\u00ac~]|\bnon-)\s?$",
    re.IGNORECASE,
)
_OPENING = " *_#\n\t$\\([{"


def read_number(text: str) -> Fraction | None:
    """The final number: that of the marked answer if there is one, otherwise the last in the text. 5 % reads as 5."""
    found = _read_number(text)
    return found[0] if found else None


def _read_number(completion: str) -> tuple[Fraction, bool] | None:
    """The final number, and whether it is a percentage."""
    text = answer_part(completion)
    if not text:
        return None
    mark = final_mark(text)
    written = mark.text if mark else text.strip()
    if len(written) <= _SHORT * 15 and (found := _number_of(written)):
        return found
    if mark:
        return None
    found = _LAST_NUMBER.findall(tidy(_DROPPED_SIGNS.sub("", text)))
    value = plain_number(found[-1], exponents=True) if found else None
    return (value.value, False) if value else None


def _number_of(written: str) -> tuple[Fraction, bool] | None:
    """The number of an answer, without its unit, name or other words, and whether it is a percentage; None if there are
    several."""
    text = clean(written)
    parts = re.split(r"=|\\approx|\u2248", text)
    if len(parts) > 1 and (not parts[0].strip() or _NAME.fullmatch(parts[0])):
        parts = parts[1:]
    values = [_with_unit(part) for part in parts]
    if all(values):
        return values[-1] if all(value == values[0] for value in values) else None
    if _CALCULATED.search(text) or len(numbers := _ONE_NUMBER.findall(text)) != 1:
        return None
    value = plain_number(numbers[0], exponents=True)
    return (value.value, False) if value else None


def _with_unit(text: str) -> tuple[Fraction, bool] | None:
    about = _ABOUT.match(text)
    plain, unit = with_unit(text[about.end() :] if about else text)
    value = plain_number(plain, exponents=True)
    return (value.value, unit == "%") if value else None


def number(test: Test, answer: str, tolerance: float) -> bool:
    """Whether the final number is close to the gold one. Only infinity equals infinity; 0.05 may be given as 5 %."""
    gold = str(test.expected).strip()
    if (ours := _infinity(gold)) is not None:
        found = given_text(answer)
        return found is not None and _infinity(found) == ours
    right, found = _read_number(gold), _read_number(answer)
    if right is None or found is None:
        return False
    (gold_value, per_cent), (value, other_per_cent) = right, found
    share = abs(gold_value) < 1 and gold_value != 0
    if (per_cent == other_per_cent or not share) and _near(gold_value, value, tolerance):
        return True
    if per_cent == other_per_cent:
        return False
    return _near(gold_value, value * 100 if per_cent else value / 100, tolerance)


def _near(gold: Fraction, value: Fraction, tolerance: float) -> bool:
    return abs(gold - value) <= Fraction(tolerance) * max(1, abs(gold))


def _infinity(text: str) -> int | None:
    """1 or -1 if a text is infinity and nothing else; otherwise None."""
    found = _INFINITE.fullmatch(text.strip("$ ").replace(" ", "")) if len(text) < _SHORT else None
    return None if found is None else -1 if found[1] == "-" else 1


def read_choice(text: str) -> str | None:
    """The chosen letter. "A common mistake" is not an A: a letter counts alone, in brackets, in bold, or if marked.
    Several letters are not a choice."""
    part = answer_part(text)
    if not part:
        return None
    mark = final_mark(part)
    if mark or not _lists_options(part):
        letter = _first_letter(mark.text if mark else part.strip())
        if letter is not None:
            return letter or None
    rest = part[mark.end :] if mark else part
    chosen = [found[1] or found[2] for found in _CHOSEN.finditer(rest)]
    for candidate in reversed(chosen):
        letter = _first_letter(candidate)
        if letter is not None:
            return letter or None
    if mark and mark.kind == "sentence":
        # "Thus the answer is the last one, (C)."
        return _only_letter(mark.text)
    return _last_marked(rest)


def _first_letter(text: str) -> str | None:
    """The letter at the start of a text; "" if it names several, None if it names none."""
    text = " ".join(_DROPPED.sub("", _WRAPPER.sub("", text[:_SHORT])).split()).lstrip("_: ")
    found = _LETTER.match(text)
    if not found:
        return None
    bracketed = found[1] is not None
    rest = text[found.end() :]
    if _SEVERAL.match(rest):
        return ""
    if not bracketed and not _LETTER_END.match(rest):
        return None
    return (found[1] or found[2]).upper()


def _only_letter(text: str) -> str | None:
    letters = {a or b for a, b in re.findall(r"\(([A-J])\)|\b([B-HJ])\b", text[:_SHORT])}
    negated = re.search(r"\b(?:not|n't|except|neither|nor|or|than)\b", text[:_SHORT])
    return letters.pop() if len(letters) == 1 and not negated else None


def _last_marked(text: str) -> str | None:
    """The last letter in brackets, in bold or at the start of a line; None if it is one of several alternatives, or if
    the text lists the options."""
    found = list(_MARKED.finditer(text))
    if not found or _lists_options(text):
        return None
    last = found[-1][1] or found[-1][2]
    if len(found) > 1 and last != (found[-2][1] or found[-2][2]):
        between = text[found[-2].end() : min(found[-1].start(), found[-2].end() + 30)]
        if not _BETWEEN.sub("", between) and found[-1].start() - found[-2].end() < 30:
            return None
    return last


def _lists_options(text: str) -> bool:
    """Whether the marked letters of a text are three or more consecutive options, that is, a list of the options."""
    letters = [found[1] or found[2] for found in _MARKED.finditer(text)]
    return len(letters) > 2 and letters == [chr(ord("A") + i) for i in range(len(letters))]


def read_yes_no(text: str) -> str | None:
    """`yes` or `no`: of the marked answer; failing that, at the start of the text; failing that, the last in the text.

    None if the word is negated or joined to the other one.
    """
    part = answer_part(text)
    if not part:
        return None
    mark = final_mark(part)
    for candidate in (mark.text if mark else None, part):
        if candidate and (found := list(_YES_NO.finditer(candidate))):
            opening = _YES_NO.match(_unwrapped(candidate))
            if opening:
                candidate, chosen = _unwrapped(candidate), opening
            else:
                chosen = found[-1]
            return _verdict(candidate, chosen, found[-2] if not opening and len(found) > 1 else None)
    return None


def _unwrapped(text: str) -> str:
    """The text without bold type, brackets or `\\text{` before its first word."""
    return re.sub(r"\\(?:text|textbf|mathrm|mathbf)\s{0,4}\{", "", text[: _SHORT * 10]).lstrip(_OPENING)


def _verdict(text: str, chosen: re.Match, before: re.Match | None) -> str | None:
    """The word, unless it is joined to the other one or negated."""
    word = chosen[1].lower()
    following = _BOTH.match(text, chosen.end())
    if following and following[0].lower().endswith("no" if word == "yes" else "yes"):
        return None
    if before is not None and before[1].lower() != word:
        joined = _BOTH.match(text, before.end())
        if joined and joined.end() == chosen.end():
            return None
    return None if _NEGATED.search(text[max(0, chosen.start() - 30) : chosen.start()]) else word


def exact(test: Test, expected: str, answer: str) -> bool:
    """Whether the final answer is the gold text, ignoring case and whitespace."""
    found = given_text(answer)
    return found is not None and _folded(found) == _folded(str(test.expected))


def _folded(text: str) -> str:
    return " ".join(text.split()).casefold()


def choice(test: Test, expected: str, answer: str) -> bool:
    """Whether the chosen letter is the gold one."""
    return read_choice(answer) == str(test.expected).strip().strip("()").upper()


def yes_no(test: Test, expected: str, answer: str) -> bool:
    """Whether the answer is the gold word, ignoring case."""
    return read_yes_no(answer) == str(test.expected).strip().lower()


def readable(checker: str, text: str, *, cut_off: bool) -> bool:
    """Whether a completion has an answer of the checker's kind: without one it is unparsed, not wrong.

    If the completion was cut off, only a marked answer counts that is not itself cut off.
    """
    part = answer_part(text)
    if not part or not part.strip():
        return False
    if cut_off:
        mark = final_mark(part)
        if mark is None or (mark.kind in ("hashes", "sentence") and mark.end >= len(part)):
            return False
    readers = {"float": read_number, "choice": read_choice, "yes_no": read_yes_no}
    if checker == "float" and _infinity(given_text(text) or "") is not None:
        return True
    return readers[checker](text) is not None if checker in readers else True

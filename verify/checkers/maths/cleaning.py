"""Normalises notation: spaces, signs, degrees, words, thousands."""

import re

from verify.checkers.maths.numbers import tidy

_REPLACED = (
    (r"\dfrac", r"\frac"),
    (r"\tfrac", r"\frac"),
    (r"\cfrac", r"\frac"),
    (r"\lbrace", r"\{"),
    (r"\rbrace", r"\}"),
    (r"\varnothing", r"\emptyset"),
    ("\u2205", r"\emptyset"),
    ("\u211d", r"\mathbb{R}"),
    ("\u221e", r"\infty "),
    ("\u222a", r"\cup "),
    ("\u2208", r"\in "),
    ("\u2264", r"\le "),
    ("\u2265", r"\ge "),
    ("\u2260", r"\ne "),
    ("\u2248", r"\approx "),
    ("\u221a", r"\sqrt "),
    ("\u00d7", r"\times "),
    ("\u00b7", r"\cdot "),
    ("\u00f7", r"\div "),
    ("\u03c0", r"\pi "),
    ("\u00b1", r"\pm "),
    (r"^{\circ}", r"\degree"),
    (r"^\circ", r"\degree"),
    ("\u00b0", r"\degree"),
    (r"\%", "%"),
    (r"\qquad", " "),
    (r"\quad", " "),
)
_DROPPED = (r"\displaystyle", r"\limits", r"\$", "$", r"\(", r"\)", r"\[", r"\]", "**", "`")
_SIZE = re.compile(r"\\(?:left|right|bigl|bigr|Bigl|Bigr|big|Big)(?![a-zA-Z])\.?")
_RELATION_SIGN = re.compile(r"\\(leqslant|leq|geqslant|geq|neq|lt|gt)(?![a-zA-Z])")
_PLAIN_RELATION = {
    "leqslant": r"\le",
    "leq": r"\le",
    "geqslant": r"\ge",
    "geq": r"\ge",
    "neq": r"\ne",
    "lt": "<",
    "gt": ">",
}
_TEXT = re.compile(
    r"\\(?:text|textbf|textit|textrm|textsf|mathrm|mathbf|mathit|mathsf|mbox|operatorname)\s*\{([^{}]*)\}"
)
_REAL_NUMBERS = re.compile(
    r"\\mathbb\s*(?:R(?![a-zA-Z])|\{\s*R\s*\})|\\mathbf\s*\{\s*R\s*\}|\\(?:R|Reals|reals)(?![a-zA-Z])"
)
_EMPTY = re.compile(r"\\\{\s*\\\}|\s*(?:the )?empty set\s*", re.IGNORECASE)
_NUMBERED = {chr(0x2460 + number - 1): str(number) for number in range(1, 21)}
_WORD = re.compile(r"[^\W\d_]+(?:[ '-]+[^\W\d_]+)*")
_PLAIN_WORDS = ("yes", "no", "true", "false", "none", "even", "odd")
"""Short words that are not products of variables."""


def clean(text):
    """The text in normalised notation. The empty set is `\\emptyset`, the real numbers are `\\mathbb{R}`."""
    text = tidy(text)
    for old, new in _REPLACED:
        text = text.replace(old, new)
    text = _RELATION_SIGN.sub(lambda m: _PLAIN_RELATION[m[1]], _SIZE.sub("", text))
    text = _REAL_NUMBERS.sub(r"\\mathbb{R}", text)
    for word in _DROPPED:
        text = text.replace(word, "")
    text = _TEXT.sub(r" \1 ", text)
    for sign, digits in _NUMBERED.items():
        text = text.replace(sign, digits)
    text = text.strip().rstrip(".").strip()
    return r"\emptyset" if _EMPTY.fullmatch(text) else text


def bare(text):
    """The text without meaningless spaces: those between two numbers or two words are kept."""
    return re.sub(r"\s+", " ", re.sub(r"(?<!\w)\s+|\s+(?!\w)", "", text))


def same_words(gold, answer, ours, theirs):
    """Whether both are the same words, ignoring case. Letters that may be variables are not words: `ab` is not `AB`.

    `gold` and `answer` are the original texts, `ours` and `theirs` the cleaned ones.
    """
    if not (_WORD.fullmatch(ours) and _WORD.fullmatch(theirs)) or ours.casefold() != theirs.casefold():
        return False
    written_as_words = (_TEXT.search(gold) or _TEXT.search(answer)) and len(ours) > 2
    return bool(written_as_words or len(ours) > 4 or ours.casefold() in _PLAIN_WORDS)

"""Untrusted text on a terminal and in logs: from a model, a teacher, a data set or a folder's name.

Such text may hold escape sequences, which move the cursor, forge links or change the window's title; carriage returns
and overrides of the writing direction, which hide other text; and brackets, which rich takes for its own markup.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
LONGEST_LINE = 2000
"""Maximum characters of one line of a log or an error."""

_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_LINE_END = re.compile(r"\r\n?")
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without tab and newline, DEL, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # the writing direction
    "\u2028\u2029\ufff9-\ufffb\ud800-\udfff]"  # further ends of lines, annotations, halves of characters
)


def plain_text(text: object) -> str:
    """Printable text: colours are removed, carriage returns become newlines, and all other control characters except
    tab and newline are replaced."""
    return _CONTROL.sub(REPLACEMENT, _LINE_END.sub("\n", _COLOUR.sub("", str(text))))


def storable(text: str) -> str:
    """The text with lone surrogates escaped: models and the programs they write produce them, and UTF-8 has none."""
    return text.encode("utf-8", "backslashreplace").decode()


def one_line(text: object, longest: int = LONGEST_LINE) -> str:
    """The same in one line of at most `longest` characters, with each run of white space as one space."""
    # Processing all of a much longer text would be wasted work.
    line = " ".join(plain_text(str(text)[: 8 * longest]).split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def shown(text: object, style: str = "") -> Text:
    """Text for rich, in a console or a table: without markup and emoji codes."""
    from rich.text import Text  # not at the top: actors that only judge or log do not need it

    return Text(plain_text(text), style=style)

"""Foreign text on a terminal and in logs: what a model, a teacher, a data set or a folder's name may say there.

Such text may hold escape sequences, which move the cursor, forge links or retitle the window, carriage returns and
overrides of the writing direction, which hide what stands there, and brackets, which rich takes for its own markup.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.text import Text

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
LONGEST_LINE = 2000
"""Characters of one line of a log or an error."""

_COLOUR = re.compile(r"\x1b\[[0-9;:]*m")
_LINE_END = re.compile(r"\r\n?")
_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 without tab and newline, DEL, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # the writing direction
    "\u2028\u2029\ufff9-\ufffb\ud800-\udfff]"  # further ends of lines, annotations, halves of characters
)


def plain_text(text: object) -> str:
    """Text that only prints: colours are left out, carriage returns end a line, and every other control character but
    tab and newline is replaced."""
    return _CONTROL.sub(REPLACEMENT, _LINE_END.sub("\n", _COLOUR.sub("", str(text))))


def storable(text: str) -> str:
    """The text with lone surrogates escaped: models and the programs they write produce them, and UTF-8 has none."""
    return text.encode("utf-8", "backslashreplace").decode()


def one_line(text: object, longest: int = LONGEST_LINE) -> str:
    """The same in one line, runs of white space as one space; what is longer than `longest` characters is cut."""
    # Of what is far longer than a line only the beginning is worth the work.
    line = " ".join(plain_text(str(text)[: 8 * longest]).split())
    return line if len(line) <= longest else f"{line[: longest - 1]}…"


def shown(text: object, style: str = "") -> Text:
    """Text for rich, in a console or a table: no bracket in it is markup, no word of it an emoji."""
    from rich.text import Text  # here, for actors that only judge or log

    return Text(plain_text(text), style=style)

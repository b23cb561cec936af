"""Where a row of a data set has a worked answer to its question: a program, the reasoning, or the whole response."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import BaseModel, ConfigDict

from problems import cells
from problems.rows import MissingColumnError, Row, SourceError, column

LONGEST = 2**20
"""Maximum characters of a program, of the reasoning and of a response: more than models write."""


class TraceMapping(BaseModel):
    """The columns of a worked answer, each as in `answer.column`. A row needs `code` or `response`, or a `solution`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str = ""
    """Column of the program alone; empty takes the mapping's `solution`."""
    thinking: str = ""
    """Column of the reasoning alone; a row may lack it."""
    response: str = ""
    """Column of the whole answer, reasoning and all; of a chat, its last answer. A row with `code` may lack it."""
    until: str = ""
    """Take of `response` only what comes before the last occurrence of this text."""


@dataclass(frozen=True, slots=True)
class Worked:
    """A worked answer; "" for what the row does not have."""

    code: str
    thinking: str
    response: str


def worked_of(mapping: TraceMapping, row: Row, solution: Callable[[], str]) -> Worked:
    """The worked answer of a row; `solution` gives its reference program, "" if there is none.

    Raises MissingColumnError if the row has no column for it, SourceError if that is empty, too long or no text.
    """
    code, response = _text(mapping.code, row), _text(mapping.response, row)
    if code is None and response is None:
        code = solution() or None
    if code is None and response is None:
        named = " or ".join(repr(name) for name in (mapping.code, mapping.response) if name) or "of a solution"
        there = ", ".join(str(name)[:80] for name in list(row.values)[:100])
        raise MissingColumnError(f"{row.place}: no column {named} with a worked answer; there are {there or 'none'}")
    if mapping.until and response and mapping.until in response:
        response = response.rpartition(mapping.until)[0]
    found = Worked((code or "").strip(), (_text(mapping.thinking, row) or "").strip(), (response or "").strip())
    if not found.code and not found.response:
        named = " and ".join(repr(name) for name in (mapping.code, mapping.response) if name)
        raise SourceError(f"{row.place}: column {named} is empty, so there is no worked answer")
    return found


def _text(name: str, row: Row) -> str | None:
    """The text in a column, "" for an empty cell, None if the row lacks the column."""
    if not name:
        return None
    try:
        value = column(row, name)
        parts = [""] if value is None else cells.answers(value)
    except MissingColumnError:
        return None
    except cells.CellError as error:
        raise SourceError(f"{row.place}: column {name!r} {error}".replace("COLUMN", name)) from None
    if len(parts) > 1:
        raise SourceError(f"{row.place}: column {name!r} holds {len(parts)} texts; name one, for example {name}.0")
    if len(parts[0]) > LONGEST:
        raise SourceError(f"{row.place}: column {name!r} has {len(parts[0]):,} characters; {LONGEST:,} is the most")
    return parts[0]

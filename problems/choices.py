"""Multiple choice: the options of a row, and the letter of the right one, however the row names it."""

from __future__ import annotations

import string
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, model_validator

from problems import cells
from problems.rng import Rng
from problems.rows import Row, SourceError, column

LETTERS = string.ascii_uppercase


class OptionsMapping(BaseModel):
    """Options of a multiple-choice question; the gold answer becomes a letter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str = ""
    """Column with the list of options; `answer` then says which is right."""
    columns: tuple[str, ...] = ()
    """Columns with one option each, in their order; `answer` then says which is right."""
    answer_is: Literal["letter", "label", "index", "number", "text"] = "letter"
    """How `answer` names the right option: its letter, its label in `labels`, its place counted from 0 (index) or from
    1 (number), or its text."""
    labels: str = ""
    """Column with a label for each option, for `answer_is: label`."""
    right: str = ""
    """Column with the right option, where options are columns of their own and no `answer` is needed."""
    wrong: tuple[str, ...] = ()
    """Columns with wrong options: all are shuffled by the row's id, and the gold letter follows."""

    @model_validator(mode="before")
    @classmethod
    def _labels_are_looked_up(cls, values: Any) -> Any:
        if isinstance(values, dict) and values.get("labels"):
            return {"answer_is": "label", **values}
        return values

    @model_validator(mode="after")
    def _usable(self) -> OptionsMapping:
        ways = [bool(self.column), bool(self.columns), bool(self.right and self.wrong)]
        if sum(ways) != 1 or bool(self.right) != bool(self.wrong):
            raise ValueError(
                "options are either one `column` with a list, or several `columns`, or the columns `right` and `wrong`"
            )
        if bool(self.labels) != (self.answer_is == "label"):
            raise ValueError("`labels` and `answer_is: label` go together; give both or neither")
        if self.right and self.answer_is != "letter":
            raise ValueError("`answer_is` has no effect beside `right`; leave it out")
        return self


def options_of(rule: OptionsMapping, row: Row, seed: tuple[str, ...], gold: str) -> tuple[list[str], str]:
    """The options in the order shown, and the letter of the correct one.

    `gold` is the row's `answer`. Raises SourceError if there are not 2 to 26 options, or none of them is correct.
    """
    if rule.right:
        texts = [gold, *(_text(row, name, column(row, name)) for name in rule.wrong)]
        if texts.count(gold) > 1:
            raise SourceError(f"{row.place}: a wrong option is the right one: {gold!r}")
        options = Rng("options", *seed).shuffled(texts)
        return options, LETTERS[options.index(gold)]
    if rule.column:
        found = _list(row, rule.column)
        options = [_text(row, rule.column, option) for option in found]
    else:
        options = [_text(row, name, column(row, name)) for name in rule.columns]
    if not 2 <= len(options) <= len(LETTERS):
        raise SourceError(f"{row.place}: {len(options)} options; a question of choice has 2 to {len(LETTERS)}")
    return options, gold if rule.answer_is == "letter" else LETTERS[_place(rule, row, options, gold.strip())]


def _place(rule: OptionsMapping, row: Row, options: list[str], gold: str) -> int:
    if rule.answer_is in ("index", "number"):
        first = int(rule.answer_is == "number")
        if not gold.isdecimal() or not 0 <= int(gold) - first < len(options):
            last = len(options) - 1 + first
            raise SourceError(
                f"{row.place}: the right option is {gold!r}, which is no {rule.answer_is} {first} to {last}"
            )
        return int(gold) - first
    known = options
    if rule.answer_is == "label":
        known = [_text(row, rule.labels, label) for label in _list(row, rule.labels)]
        if len(known) != len(options):
            raise SourceError(f"{row.place}: {len(known)} labels for {len(options)} options")
    if known.count(gold) != 1:
        raise SourceError(f"{row.place}: the right option is {gold!r}, which is not one of {', '.join(known)[:200]}")
    return known.index(gold)


def _list(row: Row, name: str) -> list[Any]:
    try:
        found = cells.as_list(column(row, name))
    except cells.CellError as error:
        raise SourceError(f"{row.place}: column {name!r} {error}") from None
    if found is None:
        raise SourceError(f"{row.place}: column {name!r} is no list of options")
    return found


def _text(row: Row, name: str, value: Any) -> str:
    try:
        text = cells.plain(value).strip()
    except cells.CellError as error:
        raise SourceError(f"{row.place}: an option in column {name!r} {error}") from None
    if not text:
        raise SourceError(f"{row.place}: an option in column {name!r} is empty")
    return text

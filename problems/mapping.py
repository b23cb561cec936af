"""From a row of somebody's data set to a problem, by a mapping declared in YAML.

A mapping says which columns are the question, the answer or the tests. The ones that come with the product lie in
`problems/mappings/`; your own is a file of a few lines beside your data.
"""

from __future__ import annotations

import string
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from problems import layouts
from problems.draw import Draw
from problems.problem import Kind, Problem, Split, Test
from problems.rows import Row, SourceError, column

FOLDER = Path(__file__).parent / "mappings"
LETTERS = string.ascii_uppercase


class AnswerMapping(BaseModel):
    """Where the gold answer stands, and how it is taken out of its column."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str
    """Column that holds it; `a.b` looks inside an object."""
    after: str = ""
    """Take what follows the last occurrence of this text."""
    boxed: bool = False
    """Take the content of the last balanced \\boxed{...}."""
    strip: str = ""
    """Characters to remove, for example a thousands comma."""
    whole: bool = False
    """Write a number without fraction as a whole number: 8.0 becomes 8."""


class OptionsMapping(BaseModel):
    """Options of a multiple-choice question; the gold answer is a letter."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str = ""
    """Column with the list of options; the gold letter is then in `answer`."""
    right: str = ""
    """Column with the right option, where options are columns of their own."""
    wrong: tuple[str, ...] = ()
    """Columns with wrong options: all are shuffled by the row's id, and the gold letter follows."""


class Mapping(BaseModel):
    """How the rows of a data set become problems."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    """Name of the source; ids and the problems' `family` begin with it."""
    hub: str = ""
    """Name on the Hugging Face hub, used where no local path is given."""
    subset: str = ""
    """Configuration of the hub data set."""
    hub_split: str = "test"
    """Split of the hub data set."""
    kind: Kind = "answer"
    """What is asked for: a final answer, or a program and by which sort of tests it is judged."""
    checker: str = "math"
    """Name of the checker, with its parameter after a colon."""
    id: str = ""
    """Column that identifies a row; the row's number where it is empty."""
    statement: str
    """Text of the question with `{column}` in place of columns."""
    where: dict[str, str | int | tuple[str | int, ...]] = Field(default_factory=dict)
    """Only rows whose columns have these values (one of them, where several are given); texts may end in * ."""
    difficulty: int | dict[str, Any] = 5
    """1 to 10, or {column: ..., values: {easy: 2, ...}} or {column: ..., scale: 2}."""
    answer: AnswerMapping | None = None
    """Gold answer, for kind answer."""
    options: OptionsMapping | None = None
    """Options of a multiple-choice question."""
    tests: Literal["", "humaneval", "mbpp", "livecodebench"] = ""
    """Layout of the tests, for programs (see problems/layouts.py)."""
    solution: str = ""
    """Column with a reference program, with `{column}` places where it is put together."""


@cache
def names() -> tuple[str, ...]:
    """Names of the mappings that come with the product."""
    return tuple(sorted(p.stem for p in FOLDER.glob("*.yaml")))


def load(name_or_path: str) -> Mapping:
    """A mapping by name or from a YAML file. Raises SourceError for an unknown name or a malformed file."""
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        path = FOLDER / f"{name_or_path}.yaml"
    if not path.is_file():
        raise SourceError(
            f"no mapping is called {name_or_path!r}; use one of {', '.join(names())} or the path of a .yaml file"
        )
    try:
        return Mapping.model_validate(yaml.safe_load(path.read_text()))
    except (ValidationError, yaml.YAMLError) as error:
        raise SourceError(f"{path}: {error}") from None


def wanted(mapping: Mapping, row: Row) -> bool:
    """Whether the mapping's `where` takes this row. Raises SourceError for a missing column."""
    for name, values in mapping.where.items():
        found = column(row, name)
        allowed = values if isinstance(values, tuple) else (values,)
        if not any(_matches(found, value) for value in allowed):
            return False
    return True


def _matches(found: Any, value: str | int) -> bool:
    text, pattern = str(found), str(value)
    return text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern


def to_problem(mapping: Mapping, row: Row, split: Split) -> tuple[Problem, str]:
    """The problem of a row, and its gold answer or reference program ("" where the row has none).

    Raises SourceError for a missing column, an answer that is not there, tests that cannot be read.
    """
    key = str(column(row, mapping.id)) if mapping.id else str(row.number)
    statement = fill(mapping.statement, row).strip()
    if not statement:
        raise SourceError(f"{row.place}: the statement is empty")
    common = {
        "id": f"{mapping.name}-{key}",
        "family": mapping.name,
        "family_version": 1,
        "difficulty": _difficulty(mapping, row),
        "split": split,
        "checker": mapping.checker,
        "mode": mapping.kind,
        "params": {"id": key},
    }
    if mapping.tests:
        parts = layouts.READERS[mapping.tests](row)
        solution = fill(mapping.solution, row) if mapping.solution else ""
        return Problem(**common, statement=statement, **parts), solution
    gold = _gold(mapping, row)
    if mapping.options:
        options, gold = _options(mapping, row, key, gold)
        statement += "\n" + "\n".join(f"({LETTERS[i]}) {o}" for i, o in enumerate(options))
        common["params"]["options"] = len(options)
    problem = Problem(
        **common, statement=statement, entry_point="", signature="", public_examples=(),
        hidden_tests=(Test((), gold),), kind=mapping.kind,
    )  # fmt: skip
    return problem, gold


def fill(template: str, row: Row) -> str:
    """A template with its `{column}` places filled. Raises SourceError for a missing column."""
    parts = []
    for text, name, _, _ in string.Formatter().parse(template):
        parts.append(text)
        if name is not None:
            value = column(row, name)
            parts.append("" if value is None else str(value))
    return "".join(parts)


def _gold(mapping: Mapping, row: Row) -> str:
    rule = mapping.answer
    if rule is None:
        if mapping.options and mapping.options.right:
            return str(column(row, mapping.options.right))
        raise SourceError(f"mapping {mapping.name} has neither `answer` nor `tests`; say where the gold answer is")
    text = str(column(row, rule.column))
    if rule.after:
        if rule.after not in text:
            raise SourceError(f"{row.place}: column {rule.column!r} has no {rule.after!r} before its answer")
        text = text.rpartition(rule.after)[2]
    if rule.boxed:
        boxed = layouts.last_box(text)
        if boxed is None:
            raise SourceError(f"{row.place}: column {rule.column!r} has no \\boxed answer")
        text = boxed
    for char in rule.strip:
        text = text.replace(char, "")
    text = text.strip()
    if rule.whole:
        try:
            text = str(int(float(text))) if float(text).is_integer() else text
        except ValueError:
            raise SourceError(f"{row.place}: column {rule.column!r} is {text!r}, which is not a number") from None
    return text


def _options(mapping: Mapping, row: Row, key: str, gold: str) -> tuple[list[str], str]:
    rule = mapping.options
    if rule.column:
        options = column(row, rule.column)
        if not isinstance(options, list) or not 2 <= len(options) <= len(LETTERS):
            raise SourceError(f"{row.place}: column {rule.column!r} is no list of 2 to {len(LETTERS)} options")
        return [str(o) for o in options], gold
    options = [gold, *(str(column(row, name)) for name in rule.wrong)]
    options = Draw("options", mapping.name, key).shuffled([o.strip() for o in options])
    return options, LETTERS[options.index(gold.strip())]


def _difficulty(mapping: Mapping, row: Row) -> int:
    rule = mapping.difficulty
    if isinstance(rule, int):
        return rule
    found = column(row, rule["column"])
    if "values" in rule:
        return int(rule["values"].get(str(found), rule.get("otherwise", 5)))
    return min(max(round(float(found) * rule.get("scale", 1)), 1), 10)

"""From a row of somebody's data set to a problem, by a mapping declared in YAML.

A mapping says which columns are the question, the answer or the tests. The ones that come with the product lie in
`problems/mappings/`; your own is a file of a few lines beside your data.
"""

from __future__ import annotations

import hashlib
import string
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from problems import layouts
from problems.draw import Draw
from problems.family import MAX_DIFFICULTY, MIN_DIFFICULTY
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


class DifficultyMapping(BaseModel):
    """Where a row says how hard it is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str
    """Column that holds it, as a word or a number."""
    values: dict[str, int] = Field(default_factory=dict)
    """Difficulty 1 to 10 of each word."""
    otherwise: int = Field(default=5, ge=MIN_DIFFICULTY, le=MAX_DIFFICULTY)
    """Difficulty where the column is empty, or its word is not among `values`."""
    scale: float = Field(default=1.0, gt=0)
    """Without `values`: what the number is multiplied by, then rounded and cut to 1 to 10."""

    @field_validator("values")
    @classmethod
    def _known(cls, values: dict[str, int]) -> dict[str, int]:
        for word, difficulty in values.items():
            if not MIN_DIFFICULTY <= difficulty <= MAX_DIFFICULTY:
                raise ValueError(f"difficulty {difficulty} of {word!r} does not exist; use 1 to 10")
        return values


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
    """Column that identifies a row; a hash of the question where it is empty."""
    statement: str
    """Text of the question with `{column}` in place of columns."""
    where: dict[str, str | int | tuple[str | int, ...]] = Field(default_factory=dict)
    """Only rows whose columns have these values (one of them, where several are given); texts may end in * ."""
    difficulty: int | DifficultyMapping = 5
    """1 to 10, or {column: ..., values: {easy: 2, ...}} or {column: ..., scale: 2}."""
    answer: AnswerMapping | None = None
    """Gold answer, for kind answer."""
    options: OptionsMapping | None = None
    """Options of a multiple-choice question."""
    tests: Literal["", "humaneval", "mbpp", "livecodebench"] = ""
    """Layout of the tests, for programs (see problems/layouts.py)."""
    solution: str = ""
    """Column with a reference program, with `{column}` places where it is put together."""

    @model_validator(mode="after")
    def _usable(self) -> Mapping:
        for name in ("statement", "solution"):
            try:
                list(string.Formatter().parse(getattr(self, name)))
            except ValueError as error:
                raise ValueError(f"{name}: {error}; write {{{{ and }}}} for braces that are no column") from None
        if isinstance(self.difficulty, int) and not MIN_DIFFICULTY <= self.difficulty <= MAX_DIFFICULTY:
            raise ValueError(f"difficulty {self.difficulty} does not exist; use 1 to 10")
        if self.tests and self.kind == "answer":
            raise ValueError(f"tests: {self.tests} are tests of programs; set kind to function, stdin or assert")
        if not self.tests and not self.answer and not (self.options and self.options.right):
            raise ValueError("neither `answer` nor `tests` is given; say where the gold answer is")
        if self.options and bool(self.options.column) == bool(self.options.right and self.options.wrong):
            raise ValueError("options are either one `column` with a list, or the columns `right` and `wrong`")
        return self


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
        return Mapping.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}".removeprefix(": ") for e in error.errors()]
        raise SourceError(f"{path}: {'; '.join(faults).replace('Value error, ', '')}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SourceError(f"{path} is not YAML: {' '.join(str(error).split())}") from None


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
    statement = fill(mapping.statement, row).strip()
    if not statement:
        raise SourceError(f"{row.place}: the statement is empty")
    key = str(column(row, mapping.id)) if mapping.id else fingerprint(statement)
    common = {
        "id": f"{mapping.name}-{key}",
        "family": mapping.name,
        "family_version": 1,
        "difficulty": _difficulty(mapping, row),
        "split": split,
        "checker": mapping.checker,
        "mode": mapping.kind,
        "params": {"question": fingerprint(statement)},
    }
    if mapping.tests:
        parts = layouts.READERS[mapping.tests](row)
        solution = fill(mapping.solution, row) if mapping.solution else ""
        return Problem(**common, statement=statement, **parts), solution
    gold = _gold(mapping, row)
    if mapping.options:
        options, gold = _options(mapping, row, key, gold)
        statement += "\n" + "\n".join(f"({LETTERS[i]}) {o}" for i, o in enumerate(options))
        common["params"] = {"question": fingerprint(statement), "options": len(options)}
    problem = Problem(
        **common, statement=statement, entry_point="", signature="", public_examples=(),
        hidden_tests=(Test((), gold),), kind=mapping.kind,
    )  # fmt: skip
    return problem, gold


def fingerprint(statement: str) -> str:
    """What a question is known by wherever it stands: 16 hex digits, the same whatever its case and spacing."""
    return hashlib.sha256(" ".join(statement.split()).casefold().encode("utf-8", "surrogatepass")).hexdigest()[:16]


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
        return str(column(row, mapping.options.right))
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
        except (ValueError, OverflowError):
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
    found = column(row, rule.column)
    if rule.values:
        return rule.values.get(str(found), rule.otherwise)
    if found is None or found == "":
        return rule.otherwise
    try:
        return round(min(max(float(found) * rule.scale, MIN_DIFFICULTY), MAX_DIFFICULTY))
    except (TypeError, ValueError):
        raise SourceError(f"{row.place}: column {rule.column!r} is {found!r}, which is not a number") from None

"""Turns the rows of a data set into problems, by a mapping declared in YAML.

A mapping says which columns are the question, the answer or the tests. The built-in ones are in `problems/mappings/`;
your own is a file of a few lines next to your data.
"""

from __future__ import annotations

import hashlib
import string
from collections.abc import Callable
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, StrictBool, ValidationError, field_validator, model_validator

from problems import benchmark_formats, cells
from problems.choices import LETTERS, OptionsMapping, options_of
from problems.family import MAX_DIFFICULTY, MIN_DIFFICULTY
from problems.io_cases import CasesMapping, declared, input_output
from problems.problem import Kind, Problem, Split, Test
from problems.rows import MissingColumnError, Row, SourceError, column
from problems.worked import TraceMapping, Worked, worked_of

FOLDER = Path(__file__).parent / "mappings"
OF_TRACES = FOLDER / "traces"
"""Built-in mappings whose rows are worked answers and no problems that could be asked."""
LONGEST_STATEMENT = 2**20
"""Maximum characters of a question: more than models read."""
_BIGGEST_FILE = 2**20
Cell = StrictBool | str | int
_LONGEST_NUMBER = 1000
"""Maximum digits before or after the point of a number that `whole` writes out."""


class AnswerMapping(BaseModel):
    """Where the gold answer is, and how to extract it from its column."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str
    """Its column; `a.b` is a field of an object, `a.0` an item of a list, `a|b` the first that exists. Of a chat, the
    last answer is taken; the items of a list are one answer together."""
    after: str = ""
    """Take the text after the last occurrence of this one."""
    boxed: bool = False
    """Take the content of \\boxed{...}; of several that belong together, all. A row with other boxes is excluded."""
    strip: str = ""
    """Characters to remove, for example a thousands comma."""
    whole: bool = False
    """Write a number without a fraction as an integer: 8.0 becomes 8."""


class DifficultyMapping(BaseModel):
    """Where a row has its difficulty."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str
    """Its column, with words or numbers."""
    values: dict[str, int] = Field(default_factory=dict)
    """Difficulty 1 to 10 of each word."""
    otherwise: int = Field(default=5, ge=MIN_DIFFICULTY, le=MAX_DIFFICULTY)
    """Difficulty if the column is empty, or its word is not in `values`."""
    scale: float = Field(default=1.0, gt=0)
    """Factor for numbers that are not in `values`; the product is rounded and clipped to 1 to 10."""
    optional: bool = False
    """Take `otherwise` for a row without the column, instead of excluding the row."""

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
    """Name on the Hugging Face hub, used if no local path is given."""
    hub_files: tuple[str, ...] = ()
    """Files of the hub data set to read directly, for one that cannot be loaded by name (a loading script)."""
    revision: str = ""
    """Branch, tag or commit of the hub data set; empty takes the main branch."""
    subset: str = ""
    """Configuration of the hub data set."""
    hub_split: str = "test"
    """Split of the hub data set; has no effect with `hub_files`."""
    kind: Kind = "answer"
    """What a solution is: a final answer, or a program that is judged by tests of this kind."""
    checker: str = ""
    """Name of the checker, with its parameter after a colon; empty: math for answers and exact for programs."""
    id: str = ""
    """Column that identifies a row; empty: a hash of the question."""
    statement: str = ""
    """Text of the question, with `{column}` for columns, which may be `{a.b}`, `{a.0}` and `{a|b}` as in
    `answer.column`. Of a chat, the messages of system and user are taken."""
    where: dict[str, Cell | tuple[Cell, ...]] = Field(default_factory=dict)
    """Take only rows whose columns have these values (one of them, if several are given); texts may end in * ."""
    difficulty: int | DifficultyMapping = 5
    """1 to 10, or {column: ..., values: {easy: 2, ...}} or {column: ..., scale: 2}."""
    answer: AnswerMapping | None = None
    """Gold answer, for kind answer."""
    options: OptionsMapping | None = None
    """Options of a multiple-choice question."""
    tests: Literal["", "humaneval", "mbpp", "livecodebench", "input_output"] = ""
    """Layout of the tests, for programs; input_output is lists of inputs and outputs."""
    cases: CasesMapping | None = None
    """Columns of `tests: input_output`, if their names are not those of APPS and TACO."""
    solution: str = ""
    """The reference program, as a template with `{column}` for columns."""
    trace: TraceMapping | None = None
    """Where the rows have a worked answer, to be learned from."""
    problem: str = ""
    """Column with the id of the problem that a row's worked answer is for: the rows have no questions themselves."""

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
        if bool(self.problem) == bool(self.statement) or (self.problem and not self.trace):
            raise ValueError("give `statement`, or for worked answers to other files' problems `problem` and `trace`")
        if not (self.tests or self.answer or (self.options and self.options.right) or self.trace):
            raise ValueError("neither `answer` nor `tests` is given; give the place of the gold answer")
        if self.options and bool(self.options.right) == bool(self.answer):
            raise ValueError("the right option is either in the column `options.right` or named by `answer`; give one")
        if self.cases and self.tests != "input_output" and not (self.trace and self.cases.signature):
            raise ValueError("`cases` are columns of tests: input_output; set that, or leave them out")
        if self.hub_files and not self.hub:
            raise ValueError("hub_files are files of a hub data set; give its name in `hub`")
        if not self.checker:
            object.__setattr__(self, "checker", "math" if self.kind == "answer" else "exact")
        return self


@cache
def names() -> tuple[str, ...]:
    """Names of the built-in mappings."""
    return tuple(sorted(p.stem for p in FOLDER.glob("*.yaml")))


def load(name_or_path: str) -> Mapping:
    """A mapping by name or from a YAML file. Raises SourceError for an unknown name or a malformed file."""
    path = Path(name_or_path)
    if path.suffix not in (".yaml", ".yml"):
        folders = (OF_TRACES, FOLDER)
        path = next((at for f in folders if (at := f / f"{name_or_path}.yaml").is_file()), FOLDER / name_or_path)
    if not path.is_file():
        raise SourceError(
            f"no mapping is called {name_or_path!r}; use one of {', '.join(names())} or the path of a .yaml file"
        )
    try:
        if path.stat().st_size > _BIGGEST_FILE:
            raise SourceError(f"{path} has more than {_BIGGEST_FILE >> 20} MiB: it is no mapping")
        return Mapping.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")))
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}".removeprefix(": ") for e in error.errors()]
        raise SourceError(f"{path}: {'; '.join(faults).replace('Value error, ', '')}") from None
    except RecursionError:
        raise SourceError(f"{path} is nested too deep for a mapping") from None
    except (yaml.YAMLError, ValueError, OSError) as error:
        if isinstance(error, SourceError):
            raise
        raise SourceError(f"{path} is not YAML: {' '.join(str(error).split())}") from None


def showing(mapping: Mapping, show: int | None) -> Mapping:
    """The mapping with another number of tests to show; None changes nothing. Raises SourceError if it has none."""
    if show is None:
        return mapping
    if mapping.tests != "input_output":
        raise SourceError(
            f"show {show} has no effect: mapping {mapping.name} reads no inputs and outputs; leave it out"
        )
    cases = (mapping.cases or CasesMapping()).model_copy(update={"show": show})
    return mapping.model_copy(update={"cases": cases})


def selects(mapping: Mapping, row: Row) -> bool:
    """Whether the mapping's `where` selects this row. Raises SourceError for a missing column."""
    for name, values in mapping.where.items():
        found = _cell(row, name, _word)
        allowed = values if isinstance(values, tuple) else (values,)
        if not any(_matches(found, _word(value)) for value in allowed):
            return False
    return True


def _word(value: Any) -> str:
    """A value as it is written in `where` and `values` of a mapping: true, 3, text."""
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else cells.plain(value)


def _matches(found: str, pattern: str) -> bool:
    if pattern in ("true", "false"):
        return found.lower() == pattern
    return found.startswith(pattern[:-1]) if pattern.endswith("*") else found == pattern


def to_problem(mapping: Mapping, row: Row, split: Split) -> tuple[Problem, str]:
    """The problem of a row, and its gold answer or reference program ("" if the row has none).

    Raises SourceError for a missing column, a missing answer, and tests that cannot be read.
    """
    if mapping.problem:
        raise SourceError(f"{row.place}: mapping {mapping.name} reads worked answers, and its rows are no problems")
    statement = fill(mapping.statement, row).strip()
    if not any(_cell(row, name, cells.question_text).strip() for name in _places(mapping.statement)):
        raise SourceError(f"{row.place}: the statement is empty")
    if len(statement) > LONGEST_STATEMENT:
        raise SourceError(
            f"{row.place}: the statement has {len(statement):,} characters; {LONGEST_STATEMENT:,} is the most"
        )
    key = _cell(row, mapping.id, cells.plain) if mapping.id else fingerprint(statement)
    common = {
        "id": f"{mapping.name}-{key}",
        "family": mapping.name,
        "family_version": 1,
        "difficulty": _difficulty(mapping, row),
        "split": split,
        "checker": mapping.checker,
        "variant": mapping.kind,
        "params": {"question": fingerprint(statement)},
    }
    if mapping.tests:
        if mapping.tests == "input_output":
            parts = input_output(row, mapping.cases or CasesMapping(), mapping.kind)
        else:
            parts = benchmark_formats.tests_of(mapping.tests, row)
        return Problem(**common, statement=statement, **parts), _solution(mapping, row)
    if not mapping.answer and not mapping.options:  # worked answers that nothing can judge
        parts = declared(row, mapping.cases or CasesMapping()) if mapping.kind == "function" else _UNTESTED
        return Problem(**common, statement=statement, **{**_UNTESTED, **parts, "kind": mapping.kind}), ""
    gold = _gold(mapping, row)
    if mapping.options:
        options, gold = options_of(mapping.options, row, (mapping.name, key), gold)
        statement += "\n" + "\n".join(f"({LETTERS[i]}) {o}" for i, o in enumerate(options))
        common["params"] = {"question": fingerprint(statement), "options": len(options)}
    problem = Problem(
        **common, statement=statement, entry_point="", signature="", public_examples=(),
        hidden_tests=(Test((), gold),), kind=mapping.kind,
    )  # fmt: skip
    return problem, gold


_UNTESTED = {"entry_point": "", "signature": "", "public_examples": (), "hidden_tests": ()}


def worked(mapping: Mapping, row: Row) -> Worked:
    """The worked answer of a row, by the mapping's `trace`. Raises SourceError where there is none."""
    if mapping.trace is None:
        raise SourceError(f"{row.place}: mapping {mapping.name} says nothing of worked answers; give it a `trace`")
    return worked_of(mapping.trace, row, lambda: _solution(mapping, row))


def text_of(row: Row, name: str) -> str:
    """The plain text or number in a column. Raises SourceError."""
    return _cell(row, name, cells.plain)


def fingerprint(statement: str) -> str:
    """The identity of a question in any data set: 16 hex digits that do not depend on case and spacing."""
    return hashlib.sha256(" ".join(statement.split()).casefold().encode("utf-8", "surrogatepass")).hexdigest()[:16]


def fill(template: str, row: Row) -> str:
    """A template with its `{column}` placeholders filled in.

    Raises SourceError for a missing column, and for a cell without plain text.
    """
    parts = []
    for text, name, _, _ in string.Formatter().parse(template):
        parts.append(text)
        if name is not None:
            parts.append(_cell(row, name, cells.question_text))
    return "".join(parts)


def _places(template: str) -> list[str]:
    return [name for _, name, _, _ in string.Formatter().parse(template) if name is not None]


def _cell(row: Row, name: str, read: Callable[[Any], Any]) -> Any:
    try:
        return read(column(row, name))
    except cells.CellError as error:
        hint = str(error).replace("COLUMN", name)
        raise SourceError(f"{row.place}: column {name!r} {hint}") from None


def _solution(mapping: Mapping, row: Row) -> str:
    """The reference program; "" if the mapping or the row has none."""
    try:
        empty = any(column(row, name) in (None, "") for name in _places(mapping.solution))
        return "" if empty else fill(mapping.solution, row)
    except MissingColumnError:
        raise
    except SourceError:  # the column for it is empty
        return ""


def _gold(mapping: Mapping, row: Row) -> str:
    if mapping.options and mapping.options.right:
        return _cell(row, mapping.options.right, cells.plain).strip()
    rule = mapping.answer
    assert rule is not None, "a mapping has `answer` or `options.right`"
    if mapping.checker == "yes_no" and isinstance(column(row, rule.column), bool):
        return "yes" if column(row, rule.column) else "no"
    parts = [_taken(rule, row, text) for text in _cell(row, rule.column, cells.answers)]
    if len(parts) > 1 and mapping.checker.partition(":")[0] != "math":
        raise SourceError(
            f"{row.place}: column {rule.column!r} holds {len(parts)} answers and checker {mapping.checker} compares "
            f"one; name an item, for example {rule.column}.0"
        )
    try:
        return cells.joined(parts)
    except cells.CellError as error:
        raise SourceError(f"{row.place}: column {rule.column!r} {error}".replace("COLUMN", rule.column)) from None


def _taken(rule: AnswerMapping, row: Row, text: str) -> str:
    """The answer, extracted from a longer text."""
    if rule.after:
        if rule.after not in text:
            raise SourceError(f"{row.place}: column {rule.column!r} has no {rule.after!r} before its answer")
        text = text.rpartition(rule.after)[2]
    if rule.boxed:
        try:
            text = benchmark_formats.boxed_answer(text)
        except ValueError as error:
            raise SourceError(f"{row.place}: column {rule.column!r} {error}") from None
    for char in rule.strip:
        text = text.replace(char, "")
    text = text.strip()
    if rule.whole:
        try:
            number = Decimal(text)
            if not number.is_finite() or abs(number.adjusted()) > _LONGEST_NUMBER:
                raise ArithmeticError
            text = format(number, "f").partition(".")[0] if number == number.to_integral_value() else text
        except ArithmeticError:
            raise SourceError(f"{row.place}: column {rule.column!r} is {text!r}, which is not a number") from None
    return text


def _difficulty(mapping: Mapping, row: Row) -> int:
    rule = mapping.difficulty
    if isinstance(rule, int):
        return rule
    try:
        found = column(row, rule.column)
    except MissingColumnError:
        if rule.optional:
            return rule.otherwise
        raise
    word = _cell(row, rule.column, _word).strip()
    if word in rule.values:
        return rule.values[word]
    if not word:
        return rule.otherwise
    try:
        return round(min(max(float(word) * rule.scale, MIN_DIFFICULTY), MAX_DIFFICULTY))
    except ValueError:
        if rule.values:
            return rule.otherwise
        raise SourceError(f"{row.place}: column {rule.column!r} is {found!r}, which is not a number") from None

"""Problems from outside: files in our own schema, and any data set with a declared mapping.

Reading is a plain iterator of problems (`read`), which Ray Data runs file by file (`dataset`). A row that cannot
be used is excluded, counted and reported with its place; in strict mode it ends the reading.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast, get_args

from pydantic import BaseModel, ConfigDict, Field, model_validator

from problems import mapping as mappings
from problems.data_files import find_files, of_split, of_subset
from problems.family import MAX_DIFFICULTY, MIN_DIFFICULTY
from problems.hub import hub_rows
from problems.in_order import in_order
from problems.mapping import LONGEST_STATEMENT, Mapping
from problems.plain_text import one_line
from problems.problem import Kind, Problem, Split, column_of
from problems.python_code import CodeError, parse
from problems.rows import MissingColumnError, NoRowsError, Row, SourceError, column, read_rows
from problems.splits import split_of

if TYPE_CHECKING:
    import ray.data

    from problems.mix import Part

OWN = "own"
"""Name of the mapping for files written by `Problem.to_row`."""
SHOWN = 20
"""Excluded rows that a report shows; all are counted."""
LONGEST_REASON = 600
"""Maximum characters of the reason why a row is excluded."""

Prove = Callable[[Problem, str], str]
"""(problem, gold answer or reference program) to why it fails its own checker, "" if it passes. May raise
NothingScoredError."""


class NothingScoredError(SourceError):
    """The problem's tests pass a program that answers nothing."""


class SourceConfig(BaseModel):
    """A data set of problems."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mapping: str = OWN
    """Name of a mapping (`crucible problems sources` lists them), path of a YAML file, or `own` for our own schema."""
    path: str = ""
    """File or folder (.jsonl, .json, .csv, .tsv, .parquet, .arrow), also as downloaded from the hub or written by
    `save_to_disk`; empty takes the mapping's data set from the Hugging Face hub."""
    glob: str = ""
    """Files to take from a folder, for example `test*.parquet`; empty takes those of `split` if the names of the files
    have splits, otherwise all."""
    hub_split: str = ""
    """Split of the hub's data set; empty takes the mapping's."""
    split: Split | Literal["by_hash"] = "test"
    """Split that these problems belong to; by_hash assigns them by question: 80 % train, 10 % val, 10 % test."""
    prove: bool = True
    """Run each gold answer or reference program, and programs that answer nothing, through the problem's checker in the
    sandbox; false checks only its form."""
    strict: bool = False
    """Stop at the first row that cannot be used, instead of excluding and counting it."""
    limit: int = Field(default=0, ge=0)
    """Maximum number of problems; 0 takes all."""
    show: int | None = Field(default=None, ge=0)
    """First tests of each program's problem to show instead of scoring, for tests given as inputs and outputs; None: as
    the mapping says."""

    @model_validator(mode="after")
    def _one_place(self) -> SourceConfig:
        if self.path and self.hub_split:
            raise ValueError(f"hub_split {self.hub_split} has no effect with `path`; leave one of them out")
        if self.show is not None and self.mapping == OWN:
            raise ValueError(f"show {self.show} has no effect on problems of our own schema; leave it out")
        if self.glob and not self.path:
            raise ValueError(f"glob {self.glob} has no effect without `path`; leave it out")
        return self


@dataclass
class Report:
    """What happened to a source's rows."""

    kept: int = 0
    passed_over: int = 0
    """Rows that the mapping's `where` skips."""
    excluded: int = 0
    """Rows that could not be used."""
    leaked: int = 0
    """Rows of the train split left out because a val or test source has the same question."""
    reasons: list[str] = field(default_factory=list)
    """Place and reason of the first excluded rows."""
    notes: list[str] = field(default_factory=list)
    """What else was left out, and why: files of other splits."""

    def add(self, other: Report) -> None:
        """Adds the counts of another report."""
        self.kept += other.kept
        self.passed_over += other.passed_over
        self.excluded += other.excluded
        self.leaked += other.leaked
        self.reasons = (self.reasons + other.reasons)[:SHOWN]
        self.notes += [note for note in other.notes if note not in self.notes]

    def exclude(self, reason: str, strict: bool) -> None:
        """Counts a row that cannot be used. Raises SourceError in strict mode."""
        reason = one_line(reason, LONGEST_REASON)
        if strict:
            raise SourceError(f"{reason} (strict mode stops here)")
        self.excluded += 1
        if len(self.reasons) < SHOWN:
            self.reasons.append(reason)


def read(config: SourceConfig, report: Report | None = None, prove: Prove | None = None) -> Iterator[Problem]:
    """The problems of a source, in order; memory is constant except for the ids already seen.

    `prove` checks more of each problem than `self_check` can, for example its reference program in a sandbox; one with
    several `workers` is called by as many threads.
    Raises SourceError for a source that cannot be used at all, such as a data set without a mapped column.
    """
    report = Report() if report is None else report
    files = source_files(config, report)
    workers = getattr(prove, "workers", 1) if config.prove else 1
    converted = in_order(lambda item: _convert(config, item, prove), mapped_rows(config, files), workers)
    yield from _unique(config, report, converted, files)


@dataclass(frozen=True, slots=True)
class Converted:
    """A row as a problem, or the reason why it is not one."""

    place: str
    problem: Problem | None = None
    reason: str = ""
    """Why it cannot be used; "" without a problem means that the mapping skips the row."""
    fatal: bool = False
    """Whether the reason, if it applies to the first row, applies to the whole data set."""


def _unique(
    config: SourceConfig, report: Report, converted: Iterator[Converted], files: Sequence[Path]
) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    held: set[str] = set()  # files of which a row was kept
    given_up: dict[str, str] = {}
    for item in converted:
        file = item.place.rpartition(":")[0]
        if file in given_up:
            continue
        if item.problem is None:
            if not item.reason:
                report.passed_over += 1
                continue
            if item.fatal and file not in held:
                if len(files) < 2:
                    raise SourceError(item.reason)
                given_up[file] = item.reason
                report.exclude(f"{item.reason}; no row of this file is read", config.strict)
                continue
            report.exclude(item.reason, config.strict)
        elif item.problem.id in seen:
            first = seen[item.problem.id]
            report.exclude(f"{item.place}: duplicate id {item.problem.id!r}, first at {first}", config.strict)
        else:
            seen[item.problem.id] = item.place
            held.add(file)
            report.kept += 1
            yield item.problem
            if report.kept == config.limit:
                return
    if given_up and not held:
        raise SourceError(next(iter(given_up.values())))


def source_files(config: SourceConfig, report: Report | None = None) -> list[Path]:
    """The files to read, [] for the hub. Raises SourceError if there are none."""
    mapping = _mapping(config)
    if not config.path:
        return []
    root, found = Path(config.path), find_files(config.path, config.glob)
    if config.glob or root.is_file():
        return found
    chosen = of_split(of_subset(found, root, mapping.subset if mapping else ""), root, config.split)
    if report is not None and len(chosen) < len(found):
        subset = f" and configuration {mapping.subset}" if mapping and mapping.subset else ""
        report.notes.append(
            f"{root}: {len(chosen)} of {len(found)} files, by the names those of split {config.split}{subset}"
        )
    return chosen


def mapped_rows(config: SourceConfig, files: Sequence[Path]) -> Iterator[tuple[Mapping | None, Row]]:
    mapping = _mapping(config)
    if mapping is not None and not config.path:
        for row in hub_rows(mapping, config.hub_split or mapping.hub_split):
            yield mapping, row
    for file in files:
        try:
            for row in read_rows(file):
                yield mapping, row
        except NoRowsError as error:
            if file == Path(config.path):
                raise
            yield mapping, Row({}, str(file), 1, str(error).removeprefix(f"{file}: "))


def _mapping(config: SourceConfig) -> Mapping | None:
    if config.mapping == OWN:
        if not config.path:
            raise SourceError("a source in our own schema needs `path`, its file or folder")
        return None
    return mappings.showing(mappings.load(config.mapping), config.show)


def _convert(config: SourceConfig, item: tuple[Mapping | None, Row], prove: Prove | None) -> Converted:
    mapping, row = item
    if row.error:
        return Converted(row.place, reason=f"{row.place}: {row.error}")
    try:
        if mapping is None:
            problem, gold = own_problem(row)
        elif not mappings.selects(mapping, row):
            return Converted(row.place)
        else:
            problem, gold = mappings.to_problem(mapping, row, "test")
        why = self_check(problem, gold)
        split = split_of(problem.question_hash) if config.split == "by_hash" else config.split
    except MissingColumnError as error:
        return Converted(row.place, reason=str(error), fatal=True)
    except SourceError as error:
        return Converted(row.place, reason=str(error))
    except OF_STRANGE_CELLS as error:
        name = mapping.name if mapping else OWN
        return Converted(row.place, reason=f"{row.place}: does not have the layout of mapping {name}: {error!r}")
    except MemoryError:
        return Converted(row.place, reason=f"{row.place}: it needs more memory than there is")
    problem = replace(problem, split=split)
    try:
        if not why and prove and config.prove:
            why = prove(problem, gold)
    except NothingScoredError as error:
        return Converted(row.place, reason=f"{row.place}: {error}")
    if why:
        return Converted(row.place, reason=f"{row.place}: the gold answer fails its own check: {why}")
    return Converted(row.place, problem)


OF_STRANGE_CELLS = (TypeError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError)
"""What layout readers raise for a cell of an unexpected type."""


_TEXTS = ("id", "family", "split", "statement", "entry_point", "signature", "checker", "kind", "variant", "preamble")


def own_problem(row: Row) -> tuple[Problem, str]:
    """A problem in our own schema, and its gold answer. Raises SourceError."""
    for name in Problem.__dataclass_fields__.keys() - {"preamble"}:
        column(row, column_of(name))
    try:
        problem = Problem.from_row(row.values)
    except OF_STRANGE_CELLS as error:
        raise SourceError(f"{row.place}: not a problem of our schema: {error}") from None
    for name in _TEXTS:
        if not isinstance(getattr(problem, name), str):
            raise SourceError(f"{row.place}: column {column_of(name)!r} holds no text")
    if not isinstance(problem.params, dict):
        raise SourceError(f"{row.place}: column 'params' holds no object")
    if len(problem.statement) > LONGEST_STATEMENT:
        raise SourceError(f"{row.place}: the statement is no text of up to {LONGEST_STATEMENT:,} characters")
    if problem.kind not in get_args(Kind):
        raise SourceError(f"{row.place}: there is no kind of problem {problem.kind!r}; use {', '.join(get_args(Kind))}")
    if not isinstance(problem.difficulty, int) or not MIN_DIFFICULTY <= problem.difficulty <= MAX_DIFFICULTY:
        raise SourceError(f"{row.place}: difficulty {problem.difficulty!r} does not exist; use 1 to 10")
    gold = problem.hidden_tests[0].expected if problem.kind == "answer" and problem.hidden_tests else ""
    return problem, str(gold)


def self_check(problem: Problem, gold: str) -> str:
    """Why a gold answer cannot pass its checker, "" if it may. Runs no code."""
    if not problem.hidden_tests:
        return "there is no hidden test, so nothing could be scored"
    if problem.kind != "answer":
        return _check_program(problem, gold) if gold else ""
    if not gold.strip():
        return "it is empty"
    match problem.checker.partition(":")[0]:
        case "choice":
            letters = mappings.LETTERS[: problem.params.get("options", 10)]
            return "" if gold.strip("() ").upper() in list(letters) else f"{gold!r} is none of {', '.join(letters)}"
        case "yes_no":
            return "" if gold.strip().lower() in ("yes", "no") else f"{gold!r} is neither YES nor NO"
        case "float":
            return "" if _is_number(gold) else f"{gold!r} is not a number"
        case "math":
            unbalanced = gold.count("{") != gold.count("}")
            empty = not any(c.isalnum() or c in "\\∞" for c in gold)
            return f"{gold!r} is no mathematical expression" if unbalanced or empty else ""
    return ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _check_program(problem: Problem, code: str) -> str:
    try:
        tree = parse(code)
    except CodeError as error:
        return f"the reference program is not Python: {error}"
    defined = {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)}
    if problem.entry_point and problem.entry_point not in defined:
        return f"the reference program does not define {problem.entry_point}"
    return ""


def dataset(config: SourceConfig, prove: Prove | None = None) -> ray.data.Dataset:
    """The source as a lazy Ray Data set, with one task per file; rows are those of `_as_row`.

    `problems_of` yields its problems and also finds duplicates. Raises SourceError for missing files.
    """
    import ray.data

    files = [str(f) for f in source_files(config)] or [""]
    whole = config.model_copy(update={"strict": False, "limit": 0})

    def rows(item: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for pair in mapped_rows(whole, [Path(item["file"])] if item["file"] else []):
            yield _as_row(_convert(whole, pair, prove))

    return ray.data.from_items([{"file": f} for f in files], override_num_blocks=len(files)).flat_map(rows)


def problems_of(data: ray.data.Dataset, config: SourceConfig, report: Report | None = None) -> Iterator[Problem]:
    """Streams the problems of a data set from `dataset`; excluded rows are counted in `report`."""
    report = Report() if report is None else report
    yield from _unique(config, report, (_of_row(row) for row in data.iter_rows()), source_files(config, report))


def stream_dataset(part: Part, start: int, stop: int) -> ray.data.Dataset:
    """The problems of a stream or mix from index `start` up to `stop` as a lazy Ray Data set of problem rows.

    Every worker generates its own problems: only the configuration is sent.
    """
    import ray.data

    def rows(batch: dict[str, Any]) -> dict[str, list[Any]]:
        made = [part.problem(start + int(i)).to_row() for i in batch["id"]]
        return {name: [row[name] for row in made] for name in made[0]}

    return ray.data.range(stop - start).map_batches(cast(Any, rows), batch_size=256)  # its stubs leave out lists


def _as_row(converted: Converted) -> dict[str, Any]:
    """A row of place, reason, fatal, and the problem as JSON ("" if there is none)."""
    problem = json.dumps(converted.problem.to_row()) if converted.problem else ""
    return {"place": converted.place, "reason": converted.reason, "fatal": converted.fatal, "problem": problem}


def _of_row(row: dict[str, Any]) -> Converted:
    problem = Problem.from_row(json.loads(row["problem"])) if row["problem"] else None
    return Converted(row["place"], problem, row["reason"], row["fatal"])

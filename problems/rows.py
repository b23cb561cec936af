"""Rows of data files, with their places.

JSONL, JSON, CSV, TSV, Parquet and Arrow files, also packed where they are text, are read a row at a time, in constant
memory (JSON, which is one value, excepted).
"""

from __future__ import annotations

import codecs
import csv
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Any

from problems import arrow_files, cells, json_text, tables, text_files
from problems.plain_text import one_line
from problems.text_files import inner_suffix as suffix_of

SUFFIXES = (".jsonl", ".ndjson", ".json", ".parquet", ".arrow", ".feather", ".csv", ".tsv")
_WIDTH = "this row has another number of fields than the header; correct its commas and quotes"
_WHOLE = 4 * json_text.BIGGEST
"""Maximum bytes of the value of a JSON file that is read whole."""
_LONGEST_RECORD = 128 * 2**20
"""Maximum characters of a CSV record."""
_MOST_COLUMNS = 10_000
_POINTER = b"version https://git-lfs"


class SourceError(ValueError):
    """A data source that cannot be used; the message is one line with the file, the place and the fix."""

    def __init__(self, message: object) -> None:
        super().__init__(one_line(message))


class NoRowsError(SourceError):
    """A valid file that is not a table of rows."""


class MissingColumnError(SourceError):
    """A row lacks a column that the mapping names."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row and its place."""

    values: Mapping[str, Any]
    file: str
    number: int
    """Line of a text file (JSONL, CSV), otherwise number of the row; both from 1."""
    error: str = ""
    """Why this row could not be read; then it has no values."""

    @property
    def place(self) -> str:
        """For messages: file and line."""
        return f"{self.file}:{self.number}"


def read_rows(file: str | Path) -> Iterator[Row]:
    """The rows of one file; a broken JSONL line is a row with an error. Raises SourceError for a broken file."""
    path = Path(file)
    reader = _READERS.get(suffix_of(path))
    if reader is None:
        kind = suffix_of(path) or "none"
        raise SourceError(f"{path}: files of kind {kind} are not read; use one of {', '.join(SUFFIXES)}")
    try:
        with path.open("rb") as opened:
            start = opened.read(len(_POINTER))
    except OSError as error:
        raise SourceError(f"{path}: cannot be read ({error.strerror})") from None
    if start == _POINTER:
        raise SourceError(f"{path}: is Git LFS's pointer to the data and not the data; run `git lfs pull` there")
    try:
        yield from reader(path)
    except (text_files.TextFileError, arrow_files.ArrowFileError) as error:
        raise SourceError(error) from None
    except MemoryError:
        raise SourceError(f"{path}: a row of it takes more memory than there is") from None


def _read_jsonl(path: Path) -> Iterator[Row]:
    if (content := _as_one_list(path)) is not None:
        yield from _rows_of(content, path)
    else:
        yield from _read_lines(path)


def _read_lines(path: Path) -> Iterator[Row]:
    for number, line in text_files.lines(path):
        if line is None:
            most = text_files.LONGEST_LINE >> 20
            yield Row({}, str(path), number, f"this line has more than {most} MiB, which are not read")
        else:
            yield _json_row(line, path, number)


def _as_one_list(path: Path) -> list[dict[str, Any]] | None:
    """The content of a file of JSON lines that is really one JSON list of objects; None if it has lines."""
    with text_files.opened(path) as file:
        start = file.read(64)
    if not start.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"["):
        return None
    try:
        content = json_text.loads(text_files.whole(path).decode("utf-8-sig"), _WHOLE)
    except ValueError:
        return None
    return content if content and all(isinstance(row, dict) for row in content) else None


def _json_row(line: bytes, path: Path, number: int) -> Row:
    try:
        value = json_text.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except json_text.TooMuchError as error:
        return Row({}, str(path), number, f"this line is not read: {error}")
    except ValueError as error:  # bytes that are no UTF-8 are a ValueError too
        return Row({}, str(path), number, f"this line is not JSON ({error}); repair or remove it")
    if not isinstance(value, dict):
        return Row({}, str(path), number, f"this line is a JSON {type(value).__name__}, not an object")
    return _row(value, path, number)


def _row(value: Mapping[str, Any], path: Path, number: int) -> Row:
    values, error = tables.unwrapped(value)
    return Row({} if error else values, str(path), number, error)


def _read_json(path: Path) -> Iterator[Row]:
    first, second = itertools.islice(itertools.chain(text_files.lines(path), [(0, b""), (0, b"")]), 2)
    if second[0] and first[1] and _is_object(first[1]):
        yield from _read_lines(path)  # as `datasets` and pandas write them
        return
    try:
        content = json_text.loads(text_files.whole(path).decode("utf-8-sig"), _WHOLE)
    except text_files.TextFileError:
        raise
    except ValueError as error:
        raise SourceError(f"{path}: not JSON ({error})") from None
    yield from _rows_of(content, path)


def _is_object(line: bytes) -> bool:
    try:
        return isinstance(json_text.loads(line.decode("utf-8-sig")), dict)
    except ValueError:
        return False


def _rows_of(content: Any, path: Path) -> Iterator[Row]:
    rows = tables.rows_of(content)
    if isinstance(rows, str):
        raise NoRowsError(f"{path}: holds no table of rows: {rows}")
    for number, row in enumerate(rows, start=1):
        yield _row(row, path, number)


def _read_csv(path: Path) -> Iterator[Row]:
    csv.field_size_limit(_LONGEST_RECORD)
    with text_files.opened(path) as file:
        lines = _Records(TextIOWrapper(file, encoding="utf-8-sig", newline=""))
        line = 0
        try:
            header = next(lines, "")
            reader = csv.DictReader(itertools.chain([header], lines), delimiter=_delimiter(path, header))
            if (columns := len(reader.fieldnames or ())) > _MOST_COLUMNS:
                raise SourceError(f"{path}: its first line names {columns:,} columns")
            for values in reader:
                line, lines.length = reader.line_num, 0
                wrong = "" if None not in values and None not in values.values() else _WIDTH
                yield Row({} if wrong else values, str(path), line, wrong)
        except (csv.Error, UnicodeDecodeError) as error:
            raise SourceError(f"{path}:{line + 1}: not CSV in UTF-8 ({error})") from None


class _Records:
    """Lines of CSV. Raises csv.Error if a record, which may span several lines, is too long."""

    def __init__(self, text: TextIOWrapper) -> None:
        self._text = text
        self.length = 0
        """Characters since the end of the last record."""

    def __iter__(self) -> Iterator[str]:
        return self

    def __next__(self) -> str:
        line = self._text.readline(_LONGEST_RECORD + 1)
        self.length += len(line)
        if self.length > _LONGEST_RECORD:
            raise csv.Error(f"a record has more than {_LONGEST_RECORD >> 20} Mi characters")
        if not line:
            raise StopIteration
        return line


def _delimiter(path: Path, header: str) -> str:
    if suffix_of(path) == ".tsv":
        return "\t"
    return next((sign for sign in ",;\t|" if sign in header), ",")


def _read_columns(path: Path) -> Iterator[Row]:
    """Parquet, Arrow's stream format, as `save_to_disk` writes it, and its file format (Feather)."""
    for number, (values, error) in enumerate(arrow_files.read_rows(path), start=1):
        yield Row(values, str(path), number, error)


_READERS: dict[str, Callable[[Path], Iterator[Row]]] = {
    ".jsonl": _read_jsonl,
    ".ndjson": _read_jsonl,
    ".json": _read_json,
    ".csv": _read_csv,
    ".tsv": _read_csv,
    ".parquet": _read_columns,
    ".arrow": _read_columns,
    ".feather": _read_columns,
}


def column(row: Row, name: str) -> Any:
    """A row's value in a column.

    `a.b` looks inside an object, or inside every object of a list; `a.0` is the first item of a list, `a.-1` its last;
    `a|b` is the first of several columns that is there. Texts that hold JSON are looked into too. Raises
    MissingColumnError naming the columns there are, SourceError where a list is too short or nothing is inside.
    """
    if name in row.values:
        return row.values[name]
    choices = [choice.strip() for choice in name.split("|")]
    there = next((c for c in choices if c in row.values or c.partition(".")[0] in row.values), name)
    return _inside(row, there, row.values)


def _inside(row: Row, name: str, value: Any) -> Any:
    left = name
    while left:
        if isinstance(value, str):
            try:
                value = cells.parsed(value)
            except cells.CellError as error:
                raise SourceError(f"{row.place}: column {name!r} {error}") from None
        if isinstance(value, Mapping) and left in value:  # a name with points in it, as tables flatten objects
            return value[left]
        part, _, left = left.partition(".")
        if isinstance(value, list | tuple):
            value = _item(row, name, part, value)
        elif isinstance(value, Mapping):
            if part not in value:
                raise MissingColumnError(_missing(row, name, list(value)))
            value = value[part]
        else:
            kind = "empty" if value is None else f"{type(value).__name__}, no object or list"
            raise SourceError(f"{row.place}: column {name!r}: what should hold {part!r} is {kind}")
    return value


def _item(row: Row, name: str, part: str, items: Sequence[Any]) -> Any:
    if part.removeprefix("-").isdecimal():
        at = int(part)
        if not -len(items) <= at < len(items):
            raise SourceError(f"{row.place}: column {name!r}: there is no item {part} in a list of {len(items)}")
        return items[at]
    if all(isinstance(item, Mapping) and part in item for item in items):
        return [item[part] for item in items]
    raise SourceError(f"{row.place}: column {name!r}: a list of {len(items)} has no {part!r}; name an item by number")


def _missing(row: Row, name: str, there: Sequence[Any]) -> str:
    from difflib import get_close_matches

    names = [str(column)[:80] for column in there[:100]]
    near = get_close_matches(name, names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{row.place}: no column {name!r}; {hint}there are {', '.join(names) or 'none'}: correct the mapping"

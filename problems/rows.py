"""Rows of data files, with the place that each came from.

JSONL, JSON, Parquet and CSV files, plain or gzipped where they are text, are read a row at a time, in constant memory
(JSON, which is one value, excepted).
"""

from __future__ import annotations

import csv
import gzip
import json
import sys
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import Any, BinaryIO

SUFFIXES = (".jsonl", ".json", ".parquet", ".csv")
_WIDTH = "this row has another number of fields than the header; mend its commas and quotes"


class SourceError(ValueError):
    """A data source that cannot be used as it is: the message names the file, the place and the mend."""


class MissingColumnError(SourceError):
    """A row lacks a column that the mapping names."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row and where it stands."""

    values: Mapping[str, Any]
    file: str
    number: int
    """Line of a text file (JSONL, CSV), otherwise row; both counted from 1."""
    error: str = ""
    """Why this row could not be read; its values are then empty."""

    @property
    def place(self) -> str:
        """For messages: file and line."""
        return f"{self.file}:{self.number}"


def find_files(path: str | Path, glob: str = "") -> list[Path]:
    """The data files at a path: itself, or those below a folder, in order. Raises SourceError where there are none."""
    path = Path(path)
    if path.is_file():
        return [path]
    if not path.exists():
        raise SourceError(f"there is no file or folder {path}; download the data set there, or correct `path`")
    files = sorted(p for p in path.rglob(glob or "*") if p.is_file() and _suffix(p) in SUFFIXES)
    if not files:
        kinds = ", ".join(SUFFIXES)
        raise SourceError(f"folder {path} holds no {glob or 'data'} files ({kinds}); correct `path` or `glob`")
    return files


def read_rows(file: str | Path) -> Iterator[Row]:
    """The rows of one file; a broken JSONL line is a row with an error. Raises SourceError for a broken file."""
    path = Path(file)
    match _suffix(path):
        case ".jsonl":
            yield from _read_jsonl(path)
        case ".json":
            yield from _read_json(path)
        case ".csv":
            yield from _read_csv(path)
        case ".parquet":
            yield from _read_parquet(path)
        case suffix:
            raise SourceError(
                f"{path}: files of kind {suffix or 'none'} are not read; use one of {', '.join(SUFFIXES)}"
            )


def _suffix(path: Path) -> str:
    return Path(path.stem).suffix if path.suffix == ".gz" else path.suffix


@contextmanager
def _open(path: Path) -> Iterator[BinaryIO]:
    """The bytes of a text file. Raises SourceError where it cannot be read or unpacked."""
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            yield file
    except (OSError, EOFError, zlib.error) as error:
        raise SourceError(f"{path}: cannot be read ({error})") from None


def _read_jsonl(path: Path) -> Iterator[Row]:
    with _open(path) as lines:
        for number, line in enumerate(lines, start=1):
            if line.strip():
                yield _json_row(line, path, number)


def _json_row(line: bytes, path: Path, number: int) -> Row:
    try:
        value = json.loads(line.decode("utf-8-sig" if number == 1 else "utf-8"))
    except (ValueError, RecursionError) as error:  # bytes that are no UTF-8 are a ValueError too
        return Row({}, str(path), number, f"this line is not JSON ({error}); mend or remove it")
    if not isinstance(value, dict):
        return Row({}, str(path), number, f"this line is a JSON {type(value).__name__}, not an object")
    return Row(value, str(path), number)


def _read_json(path: Path) -> Iterator[Row]:
    with _open(path) as file:
        try:
            content = json.loads(file.read().decode("utf-8-sig"))
        except (ValueError, RecursionError) as error:
            raise SourceError(f"{path}: not JSON ({error})") from None
    if isinstance(content, dict):  # some sets keep their rows under one key
        lists = [v for v in content.values() if isinstance(v, list)]
        content = lists[0] if len(lists) == 1 else content
    if not isinstance(content, list) or not all(isinstance(row, dict) for row in content):
        raise SourceError(f"{path}: neither a JSON list of objects nor an object with one such list")
    for number, row in enumerate(content, start=1):
        yield Row(row, str(path), number)


def _read_csv(path: Path) -> Iterator[Row]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    with _open(path) as file:
        reader = csv.DictReader(TextIOWrapper(file, encoding="utf-8-sig", newline=""))
        try:
            for values in reader:
                wrong = "" if None not in values and None not in values.values() else _WIDTH
                yield Row({} if wrong else values, str(path), reader.line_num, wrong)
        except (csv.Error, UnicodeDecodeError) as error:
            raise SourceError(f"{path}:{reader.line_num + 1}: not CSV in UTF-8 ({error})") from None


def _read_parquet(path: Path) -> Iterator[Row]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.ParquetFile(path)
    except pa.ArrowInvalid as error:
        raise SourceError(f"{path}: not a Parquet file ({error})") from None
    number = 0
    batches = table.iter_batches(batch_size=256)
    while True:
        try:
            batch = next(batches, None)
        except (pa.ArrowException, OSError) as error:
            raise SourceError(f"{path}: damaged behind row {number} ({error})") from None
        if batch is None:
            return
        for values in batch.to_pylist():
            number += 1
            yield Row(values, str(path), number)


def column(row: Row, name: str) -> Any:
    """A row's value in a column; `a.b` looks inside an object. Raises MissingColumnError naming those there are."""
    value: Any = row.values
    for part in name.split("."):
        if not isinstance(value, Mapping) or part not in value:
            raise MissingColumnError(_missing(row, name, list(value) if isinstance(value, Mapping) else []))
        value = value[part]
    return value


def _missing(row: Row, name: str, there: Sequence[Any]) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, list(map(str, there)), n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return (
        f"{row.place}: no column {name!r}; {hint}there are {', '.join(map(str, there)) or 'none'}: correct the mapping"
    )

"""Files of problems in our own schema: written one problem after another, whole files or none."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from problems.arrow_files import BIGGEST_ROW
from problems.files import replacing
from problems.problem import Problem

GROUP_ROWS = 5000
GROUP_BYTES = 32 * 2**20
"""At most so many rows and bytes are held before they are written, unless one problem is larger."""

Add = Callable[[dict[str, Any], bytes], None]
"""Writes a problem, given as its row and as a line of JSON."""


def check_target(path: str | Path) -> Path:
    """The file to write. Raises ValueError for another format, for a missing folder, and for a file that exists."""
    path = Path(path)
    if path.suffix not in _FORMATS:
        raise ValueError(f"cannot write problems to {path}; use a .jsonl or .parquet file")
    if path.exists() or path.is_symlink():
        raise ValueError(f"{path} exists already; remove it, or name another file")
    if not path.parent.is_dir():
        raise ValueError(f"there is no folder {path.parent} to write {path.name} to; make it first")
    return path


def write(problems: Iterable[Problem], path: str | Path, wanted: int = 0) -> int:
    """Writes problems to a .jsonl or .parquet file, which exists only once all are in it; returns their number.

    Raises ValueError as `check_target` does, for fewer problems than `wanted`, for a problem that is too large to be
    read again, and where the file system refuses.
    """
    path, count = check_target(path), 0
    try:
        with replacing(path) as file, _FORMATS[path.suffix](file) as add:
            for problem in problems:
                row = problem.to_row()
                line = json.dumps(row).encode() + b"\n"
                if len(line) > BIGGEST_ROW:
                    raise ValueError(
                        f"problem {problem.id} takes {len(line) >> 20} MiB, and rows of up to {BIGGEST_ROW >> 20} MiB "
                        "are read; request fewer tests"
                    )
                add(row, line)
                count += 1
            if count < wanted:
                raise ValueError(f"there are only {count} different questions, and count is {wanted}; lower it")
    except OSError as error:
        raise ValueError(f"cannot write problems to {path}: {error.strerror or error}") from None
    return count


@contextmanager
def _jsonl(file: BinaryIO) -> Iterator[Add]:
    def add(row: dict[str, Any], line: bytes) -> None:
        file.write(line)

    yield add


@contextmanager
def _parquet(file: BinaryIO) -> Iterator[Add]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    numbers = ("family_version", "difficulty")
    columns = Problem("", "", 1, 1, "test", "", "", "", (), ()).to_row()
    schema = pa.schema([(name, pa.int64() if name in numbers else pa.string()) for name in columns])
    held: list[dict[str, Any]] = []
    size = 0

    def flush() -> None:
        nonlocal size
        writer.write_table(pa.Table.from_pylist(held, schema))
        held.clear()
        size = 0

    def add(row: dict[str, Any], line: bytes) -> None:
        nonlocal size
        if held and (len(held) == GROUP_ROWS or size + len(line) > GROUP_BYTES):
            flush()
        held.append(row)
        size += len(line)

    with pq.ParquetWriter(file, schema) as writer:
        yield add
        flush()


_FORMATS = {".jsonl": _jsonl, ".parquet": _parquet}

"""Files of our own, read and written in one way: JSON lines, and files that are replaced whole or not at all.

Such files are copied and fetched, so others may have written what is read here: lines are bounded in bytes
and depth, and only regular files are opened.
"""

from __future__ import annotations

import contextlib
import json
import os
import stat
import uuid
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from problems import json_text
from problems.plain_text import one_line

MAX_LINES_BYTES = 1 << 30
"""Bytes of a file of JSON lines."""
MAX_LINE_BYTES = 16 << 20
PARTIAL = ".partial"
"""Suffix of a file that is still being written; one that is left over was interrupted."""


class FileError(ValueError):
    """A file that is not what it should be; the message is one line with the file, the reason and the fix."""


@contextlib.contextmanager
def open_regular(path: Path) -> Iterator[BinaryIO]:
    """A regular file, open for reading. Raises FileError for anything else (a pipe, say), FileNotFoundError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # without O_NONBLOCK, a pipe blocks
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileError(f"{path} is no plain file")
    with os.fdopen(descriptor, "rb") as file:
        yield file


def read_json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number from 1, object) of each line; a torn last line is left out. Raises FileError, FileNotFoundError."""
    with open_regular(path) as file:
        if os.fstat(file.fileno()).st_size > MAX_LINES_BYTES:
            raise FileError(f"{path} is larger than {MAX_LINES_BYTES >> 20} MiB; is it what it is named?")
        number = 0
        while line := file.readline(MAX_LINE_BYTES):
            number += 1
            if not line.endswith(b"\n"):
                if len(line) == MAX_LINE_BYTES:
                    raise FileError(f"{path}, line {number} is longer than {MAX_LINE_BYTES >> 20} MiB; remove it")
                return
            try:
                value = json_text.strict_loads(line)
            except ValueError as error:
                reason = one_line(error, 200) or type(error).__name__
                raise FileError(f"{path}, line {number} is not JSON ({reason}); repair or remove it") from None
            if not isinstance(value, dict):
                raise FileError(f"{path}, line {number} is no JSON object; repair or remove it")
            yield number, value


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The objects of a file of JSON lines, [] if there is no file; a torn last line is left out. Raises FileError."""
    return [row for _, row in read_json_lines(path)] if path.exists() else []


def append_rows(path: Path, rows: Iterable[Mapping[str, Any]], *, private: bool = True) -> None:
    """Appends JSON lines, after cutting off a torn last line, and syncs them to disk.

    A `private` file is readable by its owner only, and a link is not followed. Raises ValueError for a number that is
    not finite.
    """
    content = "".join(json.dumps(row, allow_nan=False) + "\n" for row in rows).encode()
    with open(path, "ab+", opener=private_opener if private else None) as file:
        _cut_torn_line(file)
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@contextlib.contextmanager
def replacing(path: Path, *, private: bool = False) -> Iterator[BinaryIO]:
    """A new file to write, which takes the place of `path`, synced, when the block ends without an exception.

    So a reader, or a resumed run, finds the old file or the new one, and never half of one. A `private` file is
    readable by its owner only.
    """
    partial = path.with_name(f".{path.name}-{uuid.uuid4().hex[:8]}{PARTIAL}")
    try:
        with open(partial, "xb", opener=private_opener if private else None) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)
    sync(path.parent)


def replace_file(path: Path, content: str | bytes, *, private: bool = False) -> Path:
    """Replaces a whole file (see `replacing`); returns its path."""
    with replacing(path, private=private) as file:
        file.write(content.encode() if isinstance(content, str) else content)
    return path


def sync(path: Path) -> None:
    """Waits until a file, or a folder's list of names, is on disk: a rename must not overtake the content."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def private_opener(path: str, flags: int) -> int:
    """An opener for `open`: the file is readable by its owner only, and a link is not followed."""
    descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with contextlib.suppress(PermissionError):  # the file of another user that this one was allowed to write
        os.fchmod(descriptor, 0o600)
    return descriptor


def _cut_torn_line(file: BinaryIO) -> None:
    size = file.seek(0, os.SEEK_END)
    if not size:
        return
    file.seek(size - 1)
    if file.read(1) != b"\n":
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)

"""Reads files that somebody else may have written, as run folders are copied and fetched: JSON, YAML, lines of JSON.

What is read is bounded in bytes, depth and size, so that no file takes the machine's memory or its hours; and it is
data alone.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import yaml

from cluster.names import quoted
from pipelines.artifacts.location import RunFolderError
from problems import files, json_text
from problems.json_text import DEEPEST
from problems.plain_text import one_line

LARGEST_YAML = 1 << 20
LARGEST_JSON = 64 << 20
"""Bytes."""
MOST_ENTRIES = 2_000_000
"""Files and folders of a run folder."""
MOST_NODES = 100_000
"""Values of a YAML file, what aliases stand for counted each time."""
LONGEST_NUMBER = 64
"""Characters of a number or date in YAML: reading longer ones takes the square of their length."""
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""libyaml's, ten times as fast, where PyYAML was built with it."""
_NUMBERS = tuple(f"tag:yaml.org,2002:{kind}" for kind in ("int", "float", "timestamp"))


class Unreadable(RunFolderError):
    """A file that is not what it should be; the message is one line that names it and says why."""


@contextlib.contextmanager
def reading(what: str, *passed: type[Exception]) -> Iterator[None]:
    """Turns whatever fails in the block into Unreadable: files can be whole and hold what no job has written.

    RunFolderError and the errors in `passed`, which say themselves what is wrong, are left alone.
    """
    try:
        yield
    except (RunFolderError, *passed):
        raise
    except Exception as error:  # any access to such content may fail, in any way
        raise Unreadable(
            f"{what} holds what no job writes ({type(error).__name__}: {_line(error)}); was it damaged, or written by "
            "another program?"
        ) from error


def refuse_links(folder: Path) -> None:
    """Raises Unreadable where something in a folder is a link that leads out of it, or neither file nor folder.

    What is written to such a place would be written elsewhere, and what is read from it may be anything of this user's.
    """
    root, count = os.path.realpath(folder), 0
    waiting = [root] if os.path.isdir(root) else []
    while waiting:
        with contextlib.suppress(FileNotFoundError), os.scandir(waiting.pop()) as entries:  # removed meanwhile
            for entry in entries:
                count += 1
                if count > MOST_ENTRIES:
                    raise Unreadable(f"{folder} holds more than {MOST_ENTRIES} files; is it a run folder?")
                if entry.is_symlink():
                    if not os.path.realpath(entry.path).startswith(root + os.sep):
                        raise Unreadable(
                            f"{folder} holds the link {quoted(os.path.relpath(entry.path, root))}, which leads out of "
                            "it; put what it leads to in its place, or remove it"
                        )
                elif entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
                elif not entry.is_file(follow_symlinks=False):
                    raise Unreadable(
                        f"{folder} holds {quoted(os.path.relpath(entry.path, root))}, which is neither a file nor a "
                        "folder; remove it"
                    )


def read_bytes(path: Path, most: int) -> bytes:
    """A file's content. Raises Unreadable above `most` bytes, and for what is no plain file; FileNotFoundError."""
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise Unreadable(f"{path} is larger than {most >> 20} MiB; is it what it is named?")
        return file.read(size)


def read_tail(path: Path, most: int) -> bytes:
    """The last `most` bytes of a plain file. Raises Unreadable, FileNotFoundError."""
    with _opened(path) as file:
        file.seek(max(0, os.fstat(file.fileno()).st_size - most))
        return file.read(most)


def read_json(path: Path, most: int = LARGEST_JSON) -> Any:
    """What a JSON file holds. Raises Unreadable, FileNotFoundError."""
    content = read_bytes(path, most)
    try:
        return json_text.strict_loads(content)
    except ValueError as error:
        raise Unreadable(f"{path} is not JSON that can be used ({_line(error)}); repair or remove it") from None


def read_object(path: Path) -> dict[str, Any]:
    """The object that a JSON file holds. Raises Unreadable, FileNotFoundError."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise Unreadable(f"{path} must hold a JSON object, and holds a {type(value).__name__}; repair or remove it")
    return value


def json_lines(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """`problems.files.read_json_lines` of a run folder's file. Raises Unreadable, FileNotFoundError."""
    with _as_unreadable():
        yield from files.read_json_lines(path)


def read_rows(path: Path) -> list[dict[str, Any]]:
    """`problems.files.read_rows` of a run folder's file. Raises Unreadable."""
    with _as_unreadable():
        return files.read_rows(path)


def read_yaml(path: Path) -> Any:
    """What a YAML file holds: plain data, no tags of Python's. Raises Unreadable, FileNotFoundError."""
    content = read_bytes(path, LARGEST_YAML)
    try:
        text = content.decode()
        _check_events(text)
        root = yaml.compose(text, _LOADER)
        if root is None:
            return None
        _check_size(root, {})
        return yaml.SafeLoader("").construct_document(root)
    except (yaml.YAMLError, ValueError, ArithmeticError, RecursionError, TypeError, AttributeError) as error:
        raise Unreadable(f"{path} is not YAML that can be used ({_line(error)})") from None


@contextlib.contextmanager
def _as_unreadable() -> Iterator[None]:
    try:
        yield
    except files.FileError as error:
        raise Unreadable(str(error)) from None


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    with _as_unreadable(), files.open_regular(path) as file:
        yield file


def _check_events(text: str) -> None:
    """Raises ValueError for depth, before anything calls itself for it, and for too many values."""
    depth = 0
    for count, event in enumerate(yaml.parse(text, _LOADER)):
        if count > MOST_NODES:
            raise ValueError(f"it holds more than {MOST_NODES} values")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > DEEPEST:
            raise ValueError(f"it is deeper than {DEEPEST} levels")


def _check_size(node: yaml.Node, sizes: dict[int, int]) -> int:
    """Values below a node, what aliases stand for counted each time. Raises ValueError for too many, and for a node
    within itself."""
    known = sizes.get(id(node))
    if known is not None:
        if known < 0:
            raise ValueError("a value holds itself")
        return known
    sizes[id(node)], size = -1, 1
    if isinstance(node, yaml.ScalarNode):
        if node.tag in _NUMBERS and len(node.value) > LONGEST_NUMBER:
            raise ValueError(f"a number has more than {LONGEST_NUMBER} characters")
    else:
        pairs = isinstance(node, yaml.MappingNode)
        size += sum(_check_size(inner, sizes) for each in node.value for inner in (each if pairs else (each,)))
    if size > MOST_NODES:
        raise ValueError(f"its aliases make more than {MOST_NODES} values")
    sizes[id(node)] = size
    return size


def _line(error: Exception) -> str:
    return one_line(error, 200) or type(error).__name__

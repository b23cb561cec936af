"""The memory needed to decode a Parquet file, from its page headers, before any page is decoded. Pure Python.

The file's footer may claim anything about its pages; only the header of each page counts, as for the decoder. A page is
decompressed whole, so a few KiB may need GiB; run lengths and dictionaries may need even more.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO

from problems.thrift import Reader, ThriftError

MAGIC = b"PAR1"
LONGEST_FOOTER = 64 * 2**20
"""Maximum bytes of a footer; real ones have a few KiB per row group."""
_LONGEST_HEADER = 16 * 2**20
_MOST_VALUES = 2**25
"""Values of one page."""
_BYTE_ARRAY, _FIXED = 6, 7
_DATA, _DICTIONARY, _DATA_V2 = 0, 2, 3
_BY_DICTIONARY, _BY_PREFIX = (2, 8), 7
_SMALL_DICTIONARY = 2**16
"""Bytes up to which a dictionary's entries are copied into each row."""


class PagesError(ValueError):
    """A damaged or dangerous file; the message continues the file's name."""


@dataclass(frozen=True, slots=True)
class RowGroup:
    """The memory needed to decode a row group."""

    rows: int
    unpacked: int
    """Bytes of all its pages, decompressed."""
    at_once: int
    """Bytes of the pages held at the same time: one data page and one dictionary per column."""
    row_bytes: int
    """Bytes that a row may take, by its densest page."""
    nested_values: int
    """Values of its largest column inside lists, all of which may be in one row."""
    by_dictionary: frozenset[str]
    """Paths of columns to read as dictionaries: their texts, copied into each row, could have any size."""


@dataclass(frozen=True, slots=True)
class Layout:
    """The contents of a file's metadata."""

    size: int
    """Bytes of the file."""
    columns: int
    depth: int
    """Levels of its schema."""
    arrow_schema: bytes
    """The Arrow schema that its writer stored, b"" if it stored none."""
    groups: tuple[RowGroup, ...]


def layout(file: BinaryIO) -> Layout:
    """The layout of an open Parquet file. Raises PagesError for another or a damaged file."""
    try:
        return _layout(file)
    except EOFError:
        raise PagesError("it ends too early, or says that more is there than is") from None
    except ThriftError as error:
        raise PagesError(str(error)) from None
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        if isinstance(error, PagesError):
            raise
        raise PagesError(f"its metadata make no sense ({type(error).__name__}: {error})") from None


def _layout(file: BinaryIO) -> Layout:
    size = file.seek(0, os.SEEK_END)
    if size < 12 or _at(file, 0, 4) != MAGIC or (end := _at(file, size - 8, 8))[4:] != MAGIC:
        raise PagesError("it does not begin and end as such a file does")
    length = int.from_bytes(end[:4], "little")
    if length > min(size - 12, LONGEST_FOOTER):
        raise PagesError(f"its footer has {length:,} bytes")
    footer = Reader(_at(file, size - 8 - length, length)).struct()
    leaves, depth = _schema(footer[2])
    groups = tuple(_group(file, size, group, leaves) for group in _list(footer.get(4, [])))
    return Layout(size, len(leaves), depth, _stored_schema(footer), groups)


def _at(file: BinaryIO, place: int, length: int) -> bytes:
    file.seek(place)
    return file.read(length)


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise PagesError("a list of its metadata is none")
    return value


def _stored_schema(footer: dict[int, Any]) -> bytes:
    found = [pair.get(2, b"") for pair in _list(footer.get(5, [])) if pair[1] == b"ARROW:schema"]
    try:
        return b"".join(base64.b64decode(text, validate=True) for text in found)
    except binascii.Error:
        raise PagesError("the Arrow schema in it is not base64") from None


@dataclass(frozen=True, slots=True)
class _Leaf:
    """A column of the file."""

    kind: int
    width: int
    nested: bool


def _schema(elements: Any) -> tuple[list[_Leaf], int]:
    """The leaves of a schema, which is stored as a flattened tree, and its depth."""
    leaves: list[_Leaf] = []
    open_groups: list[list[Any]] = []  # [remaining children, inside a list]
    depth = 0
    for element in _list(elements)[1:] if elements else []:
        while open_groups and not open_groups[-1][0]:
            open_groups.pop()
        repeated = element.get(3) == 2 or bool(open_groups and open_groups[-1][1])
        if open_groups:
            open_groups[-1][0] -= 1
        depth = max(depth, len(open_groups) + 1)
        if 1 in element:
            leaves.append(_Leaf(element[1], element.get(2, 0), repeated))
        else:
            open_groups.append([element[5], repeated])
    return leaves, depth


def _group(file: BinaryIO, size: int, group: dict[int, Any], leaves: list[_Leaf]) -> RowGroup:
    columns = _list(group[1])
    if len(columns) != len(leaves):
        raise PagesError(f"a row group has {len(columns)} columns and its schema {len(leaves)}")
    rows, unpacked, at_once, weight, nested, by_dictionary = group[3], 0, 0, 0.0, 0, set()
    for column, leaf in zip(columns, leaves, strict=True):
        if 1 in column or 8 in column:
            raise PagesError("a column of it is encrypted, or lies in another file")
        metadata = column[3]
        pages = list(_pages(file, size, metadata))
        data = [page for page in pages if page.kind != _DICTIONARY]
        dictionary = sum(page.unpacked for page in pages if page.kind == _DICTIONARY)
        biggest = max((page.unpacked for page in data), default=0)
        unpacked += sum(page.unpacked for page in pages)
        at_once += biggest + dictionary
        if leaf.nested:
            nested = max(nested, sum(page.values for page in data))
        if leaf.kind == _BYTE_ARRAY and dictionary > _SMALL_DICTIONARY:
            by_dictionary.add(b".".join(metadata[3]).decode())
            dictionary = 0
        weight += _row_bytes(leaf, data, dictionary, rows)
    return RowGroup(rows, unpacked, at_once, int(weight), nested, frozenset(by_dictionary))


def _row_bytes(leaf: _Leaf, data: list[_Page], dictionary: int, rows: int) -> float:
    """Bytes that a row of a column may take, by its densest page; inside lists on average."""
    if leaf.kind == _FIXED:
        return 16 + leaf.width
    if leaf.kind != _BYTE_ARRAY:
        return 16
    dense = 16 + dictionary
    for page in data:
        if page.encoding == _BY_PREFIX:
            dense = max(dense, page.unpacked)
        elif page.encoding not in _BY_DICTIONARY and not leaf.nested:
            dense = max(dense, page.unpacked / max(page.values, 1))
    if leaf.nested:
        return dense * max(1, sum(page.values for page in data) / max(rows, 1))
    return dense


@dataclass(frozen=True, slots=True)
class _Page:
    kind: int
    unpacked: int
    values: int
    encoding: int


def _pages(file: BinaryIO, size: int, metadata: dict[int, Any]) -> Iterator[_Page]:
    """The pages of a column, by their headers. A column without values is not read, and may claim any place."""
    if metadata[5] <= 0:
        return
    start = metadata[9]
    if 0 < metadata.get(11, 0) < start:
        start = metadata[11]
    end = start + metadata[7]
    if not 4 <= start <= end <= size:
        raise PagesError("a column lies outside of it")
    values = 0
    while start < end and values < metadata[5]:
        header, start = _header(file, start, end)
        kind, unpacked, packed = header[1], header[2], header[3]
        if unpacked < 0 or not 0 <= packed <= end - start:
            raise PagesError("a page of it has an impossible size")
        start += packed
        details = header.get({_DATA: 5, _DICTIONARY: 7, _DATA_V2: 8}.get(kind, 0))
        if details is None:  # an index, which is skipped
            continue
        if not 0 <= details[1] <= _MOST_VALUES:
            raise PagesError(f"a page of it holds {details[1]:,} values")
        if kind != _DICTIONARY:
            values += details[1]
        yield _Page(kind, unpacked, details[1], details[4 if kind == _DATA_V2 else 2])


def _header(file: BinaryIO, start: int, end: int) -> tuple[dict[int, Any], int]:
    """A page's header, and the position after it."""
    length = 256
    while True:
        reader = Reader(_at(file, start, min(length, end - start)))
        try:
            return reader.struct(), start + reader.at
        except EOFError:
            if length >= min(end - start, _LONGEST_HEADER):
                raise
            length *= 16

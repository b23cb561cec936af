"""The messages of Arrow files (.arrow, .feather), read before any of them is decoded. Pure Python.

A file is a stream of messages, or ends with an index of them; each message starts with a flatbuffer that describes it.
Compressed buffers begin with their decompressed size.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

MAGIC = b"ARROW1"
_SCHEMA, _DICTIONARY, _BATCH = 1, 2, 3
_CONTINUED = b"\xff\xff\xff\xff"


class MessagesError(ValueError):
    """A file that is damaged or not Arrow's; the message continues the file's name."""


@dataclass(frozen=True, slots=True)
class Messages:
    """The contents of a file's messages."""

    schemas: tuple[bytes, ...]
    """All flatbuffers that hold the schema."""
    unpacked: int
    """Bytes of all buffers, decompressed."""
    largest: int
    """Bytes of the largest batch, decompressed."""


class _Table:
    """A table of a flatbuffer."""

    def __init__(self, data: Any, at: int) -> None:
        self._data, self._at = data, at
        self._fields = at - _number("<i", data, at)

    @classmethod
    def root(cls, data: Any) -> _Table:
        return cls(data, _number("<I", data, 0))

    def _place(self, field: int) -> int:
        if 4 + 2 * field >= _number("<H", self._data, self._fields):
            return 0
        offset = _number("<H", self._data, self._fields + 4 + 2 * field)
        return self._at + offset if offset else 0

    def number(self, field: int, form: str) -> int:
        place = self._place(field)
        return _number(form, self._data, place) if place else 0

    def table(self, field: int) -> _Table | None:
        place = self._place(field)
        return _Table(self._data, place + _number("<I", self._data, place)) if place else None

    def structs(self, field: int, form: str) -> list[tuple[int, ...]]:
        """A vector of structs."""
        place = self._place(field)
        if not place:
            return []
        start = place + _number("<I", self._data, place)
        count, size = _number("<I", self._data, start), struct.calcsize(form)
        if start + 4 + count * size > len(self._data):
            raise MessagesError("a list of its metadata ends outside of them")
        return [struct.unpack_from(form, self._data, start + 4 + i * size) for i in range(count)]


def _number(form: str, data: Any, at: int) -> int:
    if at < 0:
        raise MessagesError("its metadata point outside of them")
    return struct.unpack_from(form, data, at)[0]


def messages(data: Any) -> Messages:
    """The messages of a file with the bytes `data`, for example a memory map. Raises MessagesError."""
    try:
        return _messages(data)
    except struct.error:
        raise MessagesError("it ends too early, or says that more is there than is") from None


def _messages(data: Any) -> Messages:
    schemas, unpacked, largest = [], 0, 0
    places = _stream(data, 0)
    if bytes(data[:6]) == MAGIC:
        footer = _footer(data)
        schemas.append(footer)
        table = _Table.root(footer)
        blocks = table.structs(2, "<qi4xq") + table.structs(3, "<qi4xq")
        places = ((start, start + length) for start, length, _ in blocks)
    for start, body in places:
        head = bytes(data[start:body])
        head = head[8:] if head[:4] == _CONTINUED else head[4:]
        message = _Table.root(head)
        kind, content = message.number(1, "<B"), message.table(2)
        if kind == _SCHEMA:
            schemas.append(head)
        elif kind in (_DICTIONARY, _BATCH) and content is not None:
            size = _unpacked(data, body, content.table(1) if kind == _DICTIONARY else content)
            unpacked, largest = unpacked + size, max(largest, size)
    return Messages(tuple(schemas), unpacked, largest)


def _stream(data: Any, at: int) -> Iterator[tuple[int, int]]:
    """The start of each message of a stream, and the start of its body."""
    while at + 4 <= len(data):
        long = bytes(data[at : at + 4]) == _CONTINUED
        length = _number("<i", data, at + 4 if long else at)
        if length == 0:
            return
        body = at + (8 if long else 4) + length
        if length < 0 or body > len(data):
            raise MessagesError("a message of it ends outside of it")
        yield at, body
        size = _Table.root(bytes(data[body - length : body])).number(3, "<q")
        if not 0 <= size <= len(data) - body:
            raise MessagesError("a message of it ends outside of it")
        at = body + size


def _footer(data: Any) -> bytes:
    length = _number("<i", data, len(data) - 10)
    if not 0 < length <= len(data) - 10 or bytes(data[-6:]) != MAGIC:
        raise MessagesError("it does not end as such a file does")
    return bytes(data[len(data) - 10 - length : len(data) - 10])


def _unpacked(data: Any, body: int, batch: _Table | None) -> int:
    if batch is None:
        return 0
    packed, size = batch.table(3) is not None, 0
    for offset, length in batch.structs(2, "<qq"):
        if not 0 <= offset <= offset + length <= len(data) - body:
            raise MessagesError("a column of it lies outside of it")
        claimed = _number("<q", data, body + offset) if packed and length >= 8 else -1
        size += claimed if claimed >= 0 else length
    return size

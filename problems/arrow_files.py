"""The only reader of Parquet and Arrow files. They are untrusted: it runs no code, and its memory is bounded.

The schema is checked before Arrow reads it: extension types, whose values may be code (Ray Data registers one that is
unpickled when read), are refused at any depth. The memory for decoding is computed from the pages or messages before
any of them is decoded, because a file of a few KiB may decode to GiB. Decoded values are measured before they become
Python objects.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from problems import arrow_messages, parquet_pages
from problems.plain_text import one_line

if TYPE_CHECKING:
    import pyarrow as pa

BIGGEST_ROW = 256 * 2**20
"""Maximum bytes of one row: the test cases of a problem may have tens of MiB."""
FREE = 512 * 2**20
EXPANSION = 256
"""A file may unpack to FREE bytes and as many times its own size; text compresses 3 to 30 times."""
_BATCH_ROWS = 256
_BATCH_BYTES = 64 * 2**20
"""Bytes of rows decoded at once, unless one row is larger."""
_AT_ONCE = 2**30
_NESTED_VALUES = 2**27
_ROWS = 2**20
"""Rows that a file of any size may have; more rows need a byte each."""
_CELLS, _CELLS_A_BYTE = 2**25, 16
"""Cells that a file of any size may have, and further ones per byte: empty cells take no space."""
_DEEPEST = 32
_EXTENSION = b"ARROW:extension:name"


class ArrowFileError(ValueError):
    """A Parquet or Arrow file that is refused; the message is one line with the file and the reason."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Consecutive rows of bounded total size, or one row that is too large."""

    rows: pa.RecordBatch
    first: int
    """Number of its first row, counted from 1."""
    size: int
    """Bytes of its values; more than BIGGEST_ROW if the row is too large."""


def room(packed: int) -> int:
    """Bytes that a file of `packed` bytes may decompress to."""
    return FREE + EXPANSION * packed


def read_batches(path: Path, columns: Sequence[str] | None = None) -> Iterator[Batch]:
    """The rows of a Parquet file (.parquet) or Arrow file, in order; `columns` None for all. Raises ArrowFileError."""
    decoded, most = 0, room(_size(path))
    number = 0
    opened = _parquet(path, columns) if path.suffix.lower() == ".parquet" else _arrow(path, columns)
    for batch in opened:
        for part in _parts(batch):
            decoded += part.size
            if decoded > most:
                raise ArrowFileError(
                    f"{path}: behind row {number} it unpacks to more than {_mib(most)}, {EXPANSION} times its size and "
                    "more; write it again in smaller parts"
                )
            yield Batch(part.rows, number + 1, part.size)
            number += part.rows.num_rows


def read_rows(path: Path) -> Iterator[tuple[dict[str, Any], str]]:
    """(values, "") of each row, or ({}, why it cannot be used). Raises ArrowFileError."""
    for batch in read_batches(path):
        if batch.size > BIGGEST_ROW:
            yield {}, f"this row has {_mib(batch.size)}; rows of up to {_mib(BIGGEST_ROW)} are read"
            continue
        try:
            yield from ((row, "") for row in batch.rows.to_pylist())
        except (ValueError, OverflowError, ArithmeticError):  # a time before the year 1, for example
            yield from (_row(batch.rows.slice(i, 1)) for i in range(batch.rows.num_rows))


def _row(batch: pa.RecordBatch) -> tuple[dict[str, Any], str]:
    try:
        return batch.to_pylist()[0], ""
    except (ValueError, OverflowError, ArithmeticError) as error:
        return {}, f"a cell of this row cannot be read: {one_line(error, 200)}"


def check_schema(path: Path) -> None:
    """Raises ArrowFileError for a file that is refused because of what precedes its first row."""
    next(_parquet(path, None) if path.suffix.lower() == ".parquet" else _arrow(path, None), None)


def read_table(path: Path, schema: pa.Schema) -> pa.Table:
    """The columns of `schema` that a file has, as a table. Raises ArrowFileError if one has another type."""
    import pyarrow as pa

    batches = []
    wanted: pa.Schema | None = None
    for batch in read_batches(path, schema.names):
        if batch.size > BIGGEST_ROW:
            raise ArrowFileError(f"{path}: row {batch.first} has {_mib(batch.size)}; rows of up to {_mib(BIGGEST_ROW)}")
        wanted = wanted or _same_types(path, batch.rows.schema, schema)
        with _one_line(path, "is damaged"):
            batches.append(pa.Table.from_batches([batch.rows]).cast(wanted))
    return pa.concat_tables(batches) if batches else schema.empty_table()


def _same_types(path: Path, found: pa.Schema, schema: pa.Schema) -> pa.Schema:
    for field in found:
        if _written_out(field.type) != schema.field(field.name).type:
            raise ArrowFileError(
                f"{path}: column {one_line(field.name, 60)} is {one_line(field.type, 80)}, not "
                f"{schema.field(field.name).type}"
            )
    return schema.empty_table().select(found.names).schema


def _written_out(kind: pa.DataType) -> pa.DataType:
    import pyarrow as pa

    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError as error:
        raise ArrowFileError(f"{path}: cannot be read ({error.strerror})") from None


def _mib(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB"


@contextmanager
def _one_line(path: Path, what: str) -> Iterator[None]:
    """Turns a library's errors about a file into ArrowFileError."""
    try:
        yield
    except ArrowFileError:
        raise
    except (parquet_pages.PagesError, arrow_messages.MessagesError) as error:
        raise ArrowFileError(f"{path}: {what}: {error}") from None
    except MemoryError:
        raise ArrowFileError(f"{path}: {what}: it asks for more memory than there is") from None
    except Exception as error:
        raise ArrowFileError(f"{path}: {what} ({one_line(error, 300) or type(error).__name__})") from None


# --- Parquet


def _parquet(path: Path, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
    import pyarrow.parquet as pq

    with _one_line(path, "not a Parquet file, or a damaged one"), path.open("rb") as file:
        layout = parquet_pages.layout(file)
        _refuse_extensions(path, layout.arrow_schema)
        _refuse_bombs(path, layout)
        by_dictionary = sorted(frozenset().union(*(group.by_dictionary for group in layout.groups)))
        table = pq.ParquetFile(file, read_dictionary=by_dictionary, pre_buffer=False, buffer_size=2**20)
        _refuse_types(path, table.schema_arrow)
        wanted = None if columns is None else [name for name in columns if name in table.schema_arrow.names]
        for number, group in enumerate(layout.groups):
            size = max(1, min(_BATCH_ROWS, _BATCH_BYTES // max(group.row_bytes, 1)))
            rows = 0
            for batch in table.iter_batches(size, [number], wanted, use_threads=False):
                rows += batch.num_rows
                yield batch
            if rows != group.rows and wanted != []:
                raise ArrowFileError(
                    f"{path}: row group {number} says that it has {group.rows:,} rows, and has {rows:,}"
                )


def _refuse_bombs(path: Path, layout: parquet_pages.Layout) -> None:
    """Raises ArrowFileError for a file that would take more memory or time than allowed."""
    unpacked = sum(group.unpacked for group in layout.groups)
    rows = sum(group.rows for group in layout.groups)
    if unpacked > room(layout.size):
        why = f"its pages unpack to {_mib(unpacked)}, {unpacked // layout.size:,} times its size"
    elif rows > max(_ROWS, layout.size):
        why = f"it says that it has {rows:,} rows, in {layout.size:,} bytes"
    elif rows * layout.columns > _CELLS + _CELLS_A_BYTE * layout.size:
        why = f"it says that it has {rows:,} rows of {layout.columns:,} columns, in {layout.size:,} bytes"
    elif layout.depth > 3 * _DEEPEST:
        why = f"its columns are {layout.depth} levels deep"
    elif any(group.rows < 0 for group in layout.groups):
        why = "it says that it has less than no rows"
    elif (most := max((group.at_once for group in layout.groups), default=0)) > _AT_ONCE:
        why = f"its pages take {_mib(most)} at once, and {_mib(_AT_ONCE)} is the most; write it with smaller pages"
    elif any(group.nested_values > _NESTED_VALUES for group in layout.groups):
        why = f"a row group has more than {_NESTED_VALUES:,} values in lists; write it with smaller row groups"
    elif (widest := max((group.row_bytes for group in layout.groups), default=0)) > 2 * BIGGEST_ROW:
        why = f"a row of it may take {_mib(widest)}; rows of up to {_mib(BIGGEST_ROW)} are read"
    else:
        return
    raise ArrowFileError(f"{path}: {why}")


# --- Arrow's own files


def _arrow(path: Path, columns: Sequence[str] | None) -> Iterator[pa.RecordBatch]:
    """Arrow's stream format, as written by `save_to_disk`, or its file format (Feather)."""
    import pyarrow as pa

    with _one_line(path, "not an Arrow file, or a damaged one"), pa.memory_map(str(path)) as file:
        data = memoryview(file.read_buffer())
        found = arrow_messages.messages(data)
        for schema in found.schemas:
            _refuse_extensions(path, schema)
        if found.unpacked > room(len(data)) or found.largest > _AT_ONCE + len(data):
            raise ArrowFileError(
                f"{path}: it unpacks to {_mib(found.unpacked)}, {found.unpacked // len(data):,} times its size"
            )
        file.seek(0)
        if bytes(data[:6]) == arrow_messages.MAGIC:
            table = pa.ipc.open_file(file)
            batches = (table.get_batch(i) for i in range(table.num_record_batches))
        else:
            table = batches = pa.ipc.open_stream(file)
        _refuse_types(path, table.schema)
        rows = 0
        for batch in batches:
            batch.validate(full=True)
            rows += batch.num_rows
            if rows > max(_ROWS, len(data)) or rows * batch.num_columns > _CELLS + _CELLS_A_BYTE * len(data):
                raise ArrowFileError(
                    f"{path}: it says that it has {rows:,} rows of {batch.num_columns:,} columns, in {len(data):,} "
                    "bytes"
                )
            for start in range(0, batch.num_rows, _BATCH_ROWS):
                part = batch.slice(start, _BATCH_ROWS)
                yield part if columns is None else part.select([n for n in columns if n in batch.schema.names])


# --- types and sizes


def _refuse_extensions(path: Path, schema: bytes) -> None:
    """Raises ArrowFileError if a flatbuffer with a schema names an extension type. Its strings are stored verbatim, so
    this needs no parser, and comes before Arrow would construct the type."""
    if _EXTENSION in schema:
        raise ArrowFileError(
            f"{path}: a column of it is of an Arrow extension type, whose values may be code; write it again with "
            "plain columns"
        )


def _refuse_types(path: Path, schema: pa.Schema) -> None:
    """Raises ArrowFileError for extension types at any depth, and for types that data sets do not use."""
    for field in schema:
        if why := _unreadable(field.type, 1):
            raise ArrowFileError(
                f"{path}: column {one_line(field.name, 60)} is {why}, which is not read; write it again with plain "
                "columns"
            )


def _unreadable(kind: pa.DataType, depth: int) -> str:
    import pyarrow as pa

    types = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return "of an Arrow extension type"
    if depth > _DEEPEST:
        return f"more than {_DEEPEST} levels deep"
    if types.is_dictionary(kind):
        return _unreadable(kind.value_type, depth + 1)
    if types.is_union(kind) or types.is_run_end_encoded(kind) or str(kind).startswith(("list_view", "large_list_view")):
        return f"of the type {one_line(kind, 60)}"
    if types.is_fixed_size_list(kind) and kind.list_size > _NESTED_VALUES // _BATCH_ROWS:
        return f"of lists of {kind.list_size:,} items"
    inner = (kind.field(i).type for i in range(kind.num_fields)) if types.is_nested(kind) else ()
    return next(filter(None, (_unreadable(child, depth + 1) for child in inner)), "")


def _parts(batch: pa.RecordBatch) -> Iterator[Batch]:
    """Splits a batch into parts of up to _BATCH_BYTES and at least one row."""
    if not batch.num_rows:
        return
    size = sum(map(_bytes, batch.columns))
    if size <= _BATCH_BYTES or batch.num_rows == 1:
        yield Batch(batch, 0, size)
        return
    half = batch.num_rows // 2
    yield from itertools.chain(_parts(batch.slice(0, half)), _parts(batch.slice(half)))


def _bytes(array: pa.Array) -> int:
    """Bytes of the values of an array, without sharing by dictionaries and views."""
    import pyarrow as pa
    from pyarrow import compute

    pc: Any = compute  # its functions are generated at import, where no type checker sees them

    types, kind = pa.types, array.type
    if types.is_dictionary(kind):
        return _bytes_by_dictionary(array)
    if types.is_string(kind) or types.is_large_string(kind) or types.is_binary(kind) or types.is_large_binary(kind):
        return 8 * len(array) + int(pc.sum(pc.binary_length(array)).as_py() or 0)
    if types.is_string_view(kind) or types.is_binary_view(kind):
        most = len(array) * (16 + sum(buffer.size for buffer in array.buffers()[2:] if buffer))
        if most > BIGGEST_ROW or (most > _BATCH_BYTES and len(array) > 1):
            return most  # so that it is split until it may be cast
        return _bytes(array.cast(pa.large_binary() if types.is_binary_view(kind) else pa.large_string()))
    if types.is_struct(kind):
        return 8 * len(array) + sum(map(_bytes, array.flatten()))
    if types.is_map(kind):
        first, last = array.offsets[0].as_py(), array.offsets[len(array)].as_py()
        return 8 * len(array) + sum(_bytes(part.slice(first, last - first)) for part in (array.keys, array.items))
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return 8 * len(array) + _bytes(array.flatten())
    return len(array) * max(8, getattr(kind, "byte_width", 8) if types.is_fixed_size_binary(kind) else 8)


def _bytes_by_dictionary(array: pa.Array) -> int:
    import pyarrow as pa
    from pyarrow import compute

    pc: Any = compute  # its functions are generated at import, where no type checker sees them

    kind = array.type.value_type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_binary(kind):
        lengths = pc.take(pc.cast(pc.binary_length(array.dictionary), pa.int64()), array.indices)
        return 8 * len(array) + int(pc.sum(lengths).as_py() or 0)
    if pa.types.is_primitive(kind):
        return 8 * len(array)
    return len(array) * (8 + _bytes(array.dictionary))

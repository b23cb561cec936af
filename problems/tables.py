"""Converts a JSON value to rows, from any layout that a library or web page writes.

A list of objects; an object with one such list; a page of the Hugging Face datasets server (`rows: [{row: ...}]`); and
what pandas and `datasets` write by column: `{column: [..]}`, `{column: {"0": ..}}`, `{columns: [..], data: [[..]]}`, or
by a key of its own for each row.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

PAGE = ("row_idx", "row", "truncated_cells")
"""Keys of a row on a page of the datasets server."""
WRAPPERS = ("rows", "data")
"""Keys of the rows in an object with several lists."""


def unwrapped(row: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """A row without the wrapping of a page of the datasets server, and why it cannot be used ("" if it can)."""
    inner = row.get("row")
    if not isinstance(inner, Mapping) or not row.keys() <= set(PAGE):
        return row, ""
    cut = row.get("truncated_cells") or ()
    return inner, f"the page cut off {', '.join(map(str, cut))}; download the whole data set" if cut else ""


def rows_of(content: Any) -> list[Mapping[str, Any]] | str:
    """The rows of a value, or why it has none."""
    if isinstance(content, list):
        return content if all(isinstance(row, dict) for row in content) else "it is a list, but not one of objects"
    if not isinstance(content, dict):
        return f"it is a JSON {type(content).__name__}"
    lists = {key: value for key, value in content.items() if _is_list_of_objects(value)}
    named = [key for key in WRAPPERS if key in lists]
    if len(lists) == 1 or named:
        return lists[named[0] if named else next(iter(lists))]
    if len(lists) > 1:
        return f"it holds several lists of objects ({', '.join(lists)}); write each to a file of its own"
    return _by_column(content)


def _by_column(content: dict[str, Any]) -> list[Mapping[str, Any]] | str:
    header, data = content.get("columns"), content.get("data")
    if (
        isinstance(header, list)
        and isinstance(data, list)
        and _is_list_of(data, list)
        and all(len(row) == len(header) for row in data)
    ):
        return [dict(zip(map(str, header), row, strict=True)) for row in data]
    values = list(content.values())
    if _is_list_of(values, list) and len({len(value) for value in values}) == 1 and values[0]:
        return [dict(zip(content, row, strict=True)) for row in zip(*values, strict=True)]
    if _is_list_of(values, dict):
        keys = list(values[0])
        if keys and all(key.isdecimal() for key in keys) and all(value.keys() == values[0].keys() for value in values):
            return [{name: value[key] for name, value in content.items()} for key in keys]
        return [{"key": key, **value} for key, value in content.items()]
    if "rows" in content or "data" in content:
        return "it holds no rows"
    return "it is neither a list of objects nor an object with one such list"


def _is_list_of(value: Any, kind: type) -> bool:
    return isinstance(value, Sequence) and bool(value) and all(isinstance(item, kind) for item in value)


def _is_list_of_objects(value: Any) -> bool:
    return isinstance(value, list) and _is_list_of(value, dict)

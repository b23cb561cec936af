"""Reads the files of an adapter, which may be anybody's: what they say of themselves is checked before it is used."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, BinaryIO

LARGEST_WEIGHTS = 16 << 30
LARGEST_HEADER = 16 << 20
LARGEST_OBJECT = 1 << 20
"""Bytes."""
DTYPES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
"""Bytes of a number, of the kinds that LoRA tensors have."""


def read_object(path: Path) -> dict[str, Any]:
    """The JSON object that a small file holds. Raises ValueError."""
    with open(path, "rb") as file:
        content = file.read(LARGEST_OBJECT + 1)
    if len(content) > LARGEST_OBJECT:
        raise ValueError(f"{path.name} is larger than {LARGEST_OBJECT >> 20} MiB")
    value = _parsed(content, path.name)
    if not isinstance(value, dict):
        raise ValueError(f"{path.name} must hold a JSON object, and holds a {type(value).__name__}")
    return value


def read_weights(path: Path) -> bytes:
    """The content of a file of weights. Raises ValueError for one that is larger than an adapter's."""
    size = path.stat().st_size
    if size > LARGEST_WEIGHTS:
        raise ValueError(f"{path.name} has {size >> 30} GiB, and {LARGEST_WEIGHTS >> 30} are the most of an adapter")
    with open(path, "rb") as file:
        return file.read(size)


def check_weights(path: Path) -> None:
    """Raises ValueError for what is no safetensors file, or one whose header does not agree with its size.

    Of a file it reads the header alone.
    """
    with open(path, "rb") as file:
        _check_header(file, path.stat().st_size, path.name)


def _check_header(file: BinaryIO, size: int, name: str) -> None:
    length = int.from_bytes(file.read(8), "little")
    if size < 8 or length > min(LARGEST_HEADER, size - 8):
        raise ValueError(f"{name} is no safetensors file: its header does not fit into it")
    header = _parsed(file.read(length), name)
    if not isinstance(header, dict):
        raise ValueError(f"{name} is no safetensors file: its header is no object")
    try:
        ends = sorted(_span(entry) for key, entry in header.items() if key != "__metadata__")
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{name} is no safetensors file of LoRA tensors: {error!r}") from None
    if not ends:
        raise ValueError(f"{name} holds no tensors")
    reached = 0
    for begin, end in ends:
        if begin != reached:
            raise ValueError(f"{name} is damaged: its tensors overlap, or leave bytes out")
        reached = end
    if reached != size - 8 - length:
        raise ValueError(f"{name} is damaged: its tensors have {reached} bytes, and it holds {size - 8 - length}")


def _span(entry: Any) -> tuple[int, int]:
    begin, end = entry["data_offsets"]
    shape = entry["shape"]
    if not all(type(number) is int and number >= 0 for number in (begin, end, *shape)) or len(shape) > 4:
        raise ValueError("a shape or offset is no count")
    if end - begin != math.prod(shape) * DTYPES[entry["dtype"]]:
        raise ValueError("a tensor has other bytes than its shape")
    return begin, end


def _parsed(content: bytes, name: str) -> Any:
    try:
        return json.loads(content)
    except RecursionError:
        raise ValueError(f"{name} is JSON that is too deep") from None
    except ValueError as error:
        raise ValueError(f"{name} is not JSON ({error})") from None

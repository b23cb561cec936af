"""The files of an adapter's folder, which may be anybody's: read within bounds, and checked before they are used.

A safetensors file is eight bytes with the length of a header, the header (JSON: dtype, shape and place of each tensor)
and the tensors' bytes, one behind the other.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from problems import json_text
from problems.plain_text import one_line

BIGGEST_CONFIG = 2**22
"""Bytes of a JSON file of an adapter; peft's have a few KiB."""
BIGGEST_WEIGHTS = 2**34
"""Bytes of an adapter: rank 512 on all layers of a model of 70B has 13 GiB in 16-bit numbers."""
_BIGGEST_HEADER = 2**25
_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I64": 8, "I32": 4, "I16": 2, "I8": 1,
          "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1}  # fmt: skip
_FLOATS = ("F64", "F32", "F16", "BF16")


def read_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file. Raises ValueError, in one line, where it holds none, or too much."""
    try:
        if path.stat().st_size > BIGGEST_CONFIG:
            raise ValueError(f"it has more than {BIGGEST_CONFIG >> 20} MiB")
        found = json_text.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {one_line(error, 200)}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} holds a JSON {type(found).__name__}, not an object")
    return found


def read_weights(path: Path) -> bytes:
    """The content of a safetensors file of floating-point tensors. Raises ValueError, in one line, where it is none."""
    size = path.stat().st_size
    if size > BIGGEST_WEIGHTS:
        raise ValueError(f"{path} has {size >> 30:,} GiB; adapters of up to {BIGGEST_WEIGHTS >> 30} GiB are read")
    weights = path.read_bytes()
    try:
        tensors_of(weights)
    except ValueError as error:
        raise ValueError(f"{path} is no safetensors file of an adapter: {one_line(error, 300)}") from None
    return weights


def tensors_of(weights: bytes) -> tuple[dict[str, dict[str, Any]], int]:
    """(dtype, shape and data_offsets of each tensor by its name, where their bytes begin) of a safetensors file.

    Raises ValueError for a header that does not fit what follows.
    """
    size = int.from_bytes(weights[:8], "little")
    if len(weights) < 8 or size > min(len(weights) - 8, _BIGGEST_HEADER):
        raise ValueError(f"its header would have {size:,} bytes, in a file of {len(weights):,}")
    header = json_text.loads(weights[8 : 8 + size])
    if not isinstance(header, dict):
        raise ValueError("its header is no object")
    tensors = {name: value for name, value in header.items() if name != "__metadata__"}
    places = sorted(_place(name, value) for name, value in tensors.items())
    end = 0
    for start, stop, name in places:
        if start != end:
            raise ValueError(f"tensor {name[:80]!r} does not begin where the one before it ends")
        end = stop
    if end != len(weights) - 8 - size:
        raise ValueError(f"its tensors have {end:,} bytes, and {len(weights) - 8 - size:,} follow its header")
    return tensors, 8 + size


def _place(name: str, tensor: Any) -> tuple[int, int, str]:
    """Start, end and name of a tensor. Raises ValueError where they do not fit its shape and dtype."""
    if not isinstance(tensor, dict):
        raise ValueError(f"tensor {name[:80]!r} is no object")
    dtype, shape, place = tensor.get("dtype"), tensor.get("shape"), tensor.get("data_offsets")
    if not _are_sizes(shape) or not _are_sizes(place) or len(place) != 2 or dtype not in _BYTES:
        raise ValueError(f"tensor {name[:80]!r} has no shape, place or dtype that there is")
    if dtype not in _FLOATS:
        raise ValueError(f"tensor {name[:80]!r} holds {dtype}, and an adapter's hold floating-point numbers")
    if place[1] - place[0] != math.prod(shape) * _BYTES[dtype]:
        raise ValueError(f"tensor {name[:80]!r} has {place[1] - place[0]:,} bytes, which is not what its shape takes")
    return place[0], place[1], name


def _are_sizes(value: Any) -> bool:
    return isinstance(value, list) and len(value) <= 16 and all(type(n) is int and 0 <= n < 2**63 for n in value)

"""A LoRA adapter merged into a base model's weights: W + s B A, computed in float32 and rounded once to W's own dtype.

The base's safetensors files are copied as they are, and only the adapted matrices are written over in the copies, some
rows at a time: memory holds no tensor whole, whatever the model's size, shards keep their names, and all that the
adapter says nothing of (tied embeddings, norms, towers) stays the same to the bit.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import torch
from safetensors.torch import load as load_safetensors
from torch import Tensor

from problems import json_text
from problems.plain_text import one_line
from rollout.adapter import TENSOR, check_adapter, layer_scale
from rollout.policy import PolicyVersion

INDEX, SINGLE = "model.safetensors.index.json", "model.safetensors"
DTYPES = {"F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
BLOCK = 1 << 24
"""Numbers of a matrix that are merged at a time."""
PREFIXES = (("", ""), ("", "model."), ("model.", ""), ("model.", "model.language_model."), ("", "language_model."))
"""(what the name of an adapted layer may lose, what it may gain) to be that of its weight: files of models with a
vision tower call the language model's layers otherwise than the module that was trained."""
_LARGEST_HEADER = 1 << 27
_SUM_ERRORS = 64
"""Roundings of float32 by which two sums over an adapter's rank may differ."""


class MergeError(ValueError):
    """An adapter that cannot be merged into these files; the message is one line with the fix."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where the bytes of a tensor lie."""

    file: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    """In bytes, from the file's beginning."""


@dataclass(frozen=True, slots=True)
class Delta:
    """What a layer's adapter adds: `scale * up @ down`."""

    down_R_I: Tensor
    up_O_R: Tensor
    scale: float

    def rows(self, start: int, stop: int) -> Tensor:
        """float32 [stop - start, in]."""
        return self.scale * (self.up_O_R[start:stop].float() @ self.down_R_I.float())


@dataclass(frozen=True, slots=True)
class Merged:
    """What merging did."""

    matrices: int
    dtype: str
    changed: float
    """Share of the numbers of these matrices that are others now: small steps may be lost to a 16-bit rounding."""
    names: Mapping[str, str]
    """Adapted layer, as the adapter calls it -> its weight's name in the files."""


def weight_files(model: Path) -> list[str]:
    """The names of a model folder's safetensors files. Raises MergeError where it has none."""
    if (model / INDEX).is_file():
        index = json_text.loads((model / INDEX).read_bytes())
        names = index.get("weight_map") if isinstance(index, dict) else None
        if not isinstance(names, dict) or not all(isinstance(name, str) for name in names.values()):
            raise MergeError(f"{model / INDEX} has no weight_map; download the model again")
        files = sorted(set(names.values()))
    else:
        files = [SINGLE] if (model / SINGLE).is_file() else []
    if not files:
        raise MergeError(f"{model} has no safetensors files; convert the model, or give one that has them")
    for name in files:
        if Path(name).name != name or not (model / name).is_file():
            raise MergeError(f"{model} has no {one_line(name, 100)}, which its index names; download the model again")
    return files


def places(model: Path) -> dict[str, Place]:
    """Where each tensor of a model folder lies. Raises MergeError."""
    found: dict[str, Place] = {}
    for name in weight_files(model):
        with open(model / name, "rb") as file:
            size = int.from_bytes(file.read(8), "little")
            if size > min(_LARGEST_HEADER, os.fstat(file.fileno()).st_size):
                raise MergeError(f"{model / name} is no safetensors file; download the model again")
            header = json_text.loads(file.read(size))
        for tensor, entry in header.items():
            if tensor != "__metadata__":
                found[tensor] = Place(
                    name, str(entry["dtype"]), tuple(entry["shape"]), 8 + size + int(entry["data_offsets"][0])
                )
    return found


def deltas(adapter: PolicyVersion) -> dict[str, Delta]:
    """What the adapter adds to each layer that it names. Raises MergeError."""
    try:
        check_adapter(adapter.lora_config, adapter.weights, f"adapter {adapter.name}")
    except ValueError as error:
        raise MergeError(str(error)) from None
    tensors: dict[str, dict[str, Tensor]] = {}
    for name, tensor in load_safetensors(adapter.weights).items():
        found = TENSOR.fullmatch(name)
        if found is None:
            raise MergeError(f"the adapter has the tensor {one_line(name, 100)}, which is not merged; train plain LoRA")
        tensors.setdefault(found[1], {})[found[2]] = tensor
    for layer, pair in tensors.items():
        if set(pair) != {"A", "B"}:
            raise MergeError(f"the adapter has only one matrix for {one_line(layer, 100)}; is its file whole?")
    return {
        layer: Delta(pair["A"], pair["B"], layer_scale(adapter.lora_config, layer)) for layer, pair in tensors.items()
    }


def names_in_files(layers: Mapping[str, Delta], known: Mapping[str, Place]) -> dict[str, str]:
    """The weight of each adapted layer in the model's files. Raises MergeError where there is none of its shape."""
    for lost, gained in PREFIXES:
        found = {layer: f"{gained}{layer.removeprefix(lost)}.weight" for layer in layers if layer.startswith(lost)}
        if len(found) == len(layers) and all(name in known for name in found.values()):
            break
    else:
        layer = next(iter(sorted(layer for layer in layers if f"{layer}.weight" not in known)), "")
        raise MergeError(
            f"the model's files have no weight of the adapted layer {one_line(layer, 100)}; give the model that the "
            "adapter was trained on by --model"
        )
    for layer, name in found.items():
        shape = (layers[layer].up_O_R.shape[0], layers[layer].down_R_I.shape[1])
        if known[name].shape != shape:
            raise MergeError(
                f"{one_line(name, 100)} is {known[name].shape} in the model's files, and the adapter's is {shape}; "
                "give the model that the adapter was trained on by --model"
            )
        if known[name].dtype not in DTYPES:
            raise MergeError(
                f"{one_line(name, 100)} is kept as {known[name].dtype}: a quantised model has no room for an adapter; "
                "give the model in 16 or 32 bits by --model"
            )
    return found


def merge(model: Path, adapter: PolicyVersion, target: Path) -> Merged:
    """Copies the weights of a model folder into `target` with the adapter in them.

    Raises MergeError, also where nothing changes, and where a number is too large for the dtype.
    """
    layers, known = deltas(adapter), places(model)
    names = names_in_files(layers, known)
    files = weight_files(model)
    needed = sum((model / name).stat().st_size for name in files)
    if needed > (room := shutil.disk_usage(target).free):
        raise MergeError(f"the merged model takes {needed >> 20:,} MiB, and {target} has room for {room >> 20:,}")
    changed = total = 0
    for name in files:
        shutil.copyfile(model / name, target / name)
        own = {layer: known[weight] for layer, weight in names.items() if known[weight].file == name}
        with open(target / name, "r+b") as file:
            for layer, place in own.items():
                changed += _add(file, place, layers[layer], names[layer])
                total += place.shape[0] * place.shape[1]
            file.flush()
            os.fsync(file.fileno())
    if not changed:
        raise MergeError("the merged model is the base model: the adapter adds nothing that its numbers can hold")
    if (model / INDEX).is_file():
        shutil.copyfile(model / INDEX, target / INDEX)
    dtypes = sorted({known[name].dtype for name in names.values()})
    return Merged(len(layers), ", ".join(dtypes), changed / total, names)


def _add(file: BinaryIO, place: Place, delta: Delta, name: str) -> int:
    """Adds `delta` to one matrix in its file; returns how many of its numbers are others then."""
    changed = 0
    for start, stop, before in read_rows(file, place):
        after = (before.float() + delta.rows(start, stop)).to(before.dtype)
        if not bool(torch.isfinite(after).all()):
            raise MergeError(f"{one_line(name, 100)} has numbers after merging that {place.dtype} cannot hold")
        changed += int((after != before).sum())
        file.seek(place.offset + start * place.shape[1] * before.element_size())
        file.write(after.contiguous().view(torch.uint8).numpy().tobytes())
    return changed


def read_rows(file: BinaryIO, place: Place) -> Iterator[tuple[int, int, Tensor]]:
    """(first row, end, [rows, in]) of a matrix, some rows at a time."""
    dtype, (out, width) = DTYPES[place.dtype], place.shape
    size, step = dtype.itemsize * width, max(1, BLOCK // max(1, width))
    for start in range(0, out, step):
        stop = min(out, start + step)
        file.seek(place.offset + start * size)
        raw = bytearray(file.read((stop - start) * size))
        yield start, stop, torch.frombuffer(raw, dtype=dtype).view(stop - start, width)


def largest_error(folder: Path, place: Place, parts: Callable[[int, int], tuple[Tensor, Tensor]]) -> float:
    """Of a merged matrix, in units of its dtype's rounding: at most 0.5 where it is W + delta rounded once.

    `parts(start, stop)` gives rows of W and of delta in float32, from another hand. Two orders of summing up a delta
    differ by some float32 roundings of its terms, which have the size of the row's largest numbers: these are allowed.
    """
    worst = 0.0
    with open(folder / place.file, "rb") as file:
        for start, stop, found in read_rows(file, place):
            weight, delta = parts(start, stop)
            wanted = weight + delta
            size = (weight.abs() + delta.abs()).amax(dim=1, keepdim=True)
            slack = _SUM_ERRORS * torch.finfo(torch.float32).eps * size
            unit = wanted.abs().clamp_min(torch.finfo(found.dtype).tiny) * torch.finfo(found.dtype).eps
            worst = max(worst, float((((found.float() - wanted).abs() - slack).clamp_min(0) / unit).max()))
    return worst

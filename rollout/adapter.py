"""A LoRA adapter as peft writes it: what its configuration asks for, its files, and the folders that engines keep.

Adapters are untrusted input: files are read within bounds and checked before they are used. A layer adds
`scale * B A x`, and the rank and scale of each layer follow from `r`, `lora_alpha`, `use_rslora`, `rank_pattern` and
`alpha_pattern` as peft reads them (vLLM reads the same five). Every other field of `adapter_config.json` either has no
effect on what the saved tensors compute, or asks for a computation that engine and learner do not do: that is refused.

A safetensors file is eight bytes with the length of a header, the header (JSON: dtype, shape and place of each tensor)
and the tensors' bytes, one behind the other.
"""

from __future__ import annotations

import math
import os
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from problems import json_text
from problems.plain_text import one_line
from rollout.config import LORA_RANKS

SILENT = frozenset(
    {
        # Where the adapter comes from.
        "auto_mapping", "base_model_name_or_path", "inference_mode", "peft_version", "revision",
        # Which layers it has: the tensors say it, and they are compared with the model's.
        "exclude_modules", "layers_pattern", "layers_to_transform", "target_modules",
        # How it was trained or initialised; no effect on saved tensors. peft drops fan_in_fan_out on linear layers.
        "corda_config", "ensure_weight_tying", "eva_config", "fan_in_fan_out", "loftq_config", "lora_dropout",
        "lora_ga_config", "megatron_config", "megatron_core", "qalora_group_size", "runtime_config",
    }
)  # fmt: skip
HONOURED = frozenset({"r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern"})
ACCEPTED: dict[str, tuple[Any, ...]] = {
    "peft_type": (None, "LORA"),
    "task_type": (None, "CAUSAL_LM"),
    "bias": (None, "none"),
    # Such as gaussian initialise the weights alone; PiSSA, OLoRA, CorDA and LoftQ change the base model with them.
    "init_lora_weights": (None, True, False, "gaussian", "eva", "orthogonal", "mica", "lora_ga"),
}
"""Fields of which some values are refused, with those that are not. All fields besides must be empty."""

_MAX_PATTERNS = 2000
_MAX_REPEATS = 2
_LONGEST_NAME = 300
"""Characters of a layer's name, and of a pattern for one."""
TENSOR = re.compile(r"(?:base_model\.model\.)?(.+)\.lora_([AB])\.weight")
"""Name of a layer's matrix in the adapter's file."""

BIGGEST_CONFIG = 2**22
"""Bytes of a JSON file of an adapter; peft's have a few KiB."""
BIGGEST_WEIGHTS = 2**34
"""Bytes of an adapter: rank 512 on all layers of a model of 70B has 13 GiB in 16-bit numbers."""
_BIGGEST_HEADER = 2**25
_BYTES = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2, "F8_E4M3": 1, "F8_E5M2": 1, "I64": 8, "I32": 4, "I16": 2, "I8": 1,
          "U64": 8, "U32": 4, "U16": 2, "U8": 1, "BOOL": 1}  # fmt: skip
_FLOATS = ("F64", "F32", "F16", "BF16")

FOLDER_PREFIX = "crucible-adapters-"
_OWNED_FOLDER = re.compile(re.escape(FOLDER_PREFIX) + r"(\d+)-(\d+)-(\d+)-.+")
"""Namespace of process ids, process id, and the clock ticks at which it was started."""


def check_adapter_config(config: Mapping[str, Any], source: str) -> None:
    """Raises ValueError, naming the field and its value, where the adapter asks for what is not computed here."""
    for name, value in config.items():
        if name in SILENT or name in HONOURED:
            continue
        known = ACCEPTED.get(name)
        plain = value.lower() if name == "init_lora_weights" and isinstance(value, str) else value
        if (known is not None and not any(plain is one or plain == one for one in known)) or (known is None and value):
            raise ValueError(
                f"{source} has {one_line(name, 60)} {one_line(repr(value), 200)} in its adapter_config.json, which is "
                "not supported; give a plain LoRA adapter (peft can convert or merge this one)"
            )
    for name in ("r", "lora_alpha"):
        value = config.get(name, 8)
        _check_positive(value, f"{source} has {name} {one_line(repr(value), 60)} in its adapter_config.json")
    if not isinstance(config.get("use_rslora", False), bool | None):
        raise ValueError(f"{source} has a use_rslora in its adapter_config.json that is neither true nor false")
    for name in ("rank_pattern", "alpha_pattern"):
        patterns = config.get(name) or {}
        if not isinstance(patterns, Mapping) or len(patterns) > _MAX_PATTERNS:
            raise ValueError(f"{source} has a {name} that is no object of up to {_MAX_PATTERNS:,} patterns")
        for key, value in patterns.items():
            _check_pattern(key, f"{source} has {name} {one_line(repr(key), 100)}")
            _check_positive(value, f"{source} has {name} {one_line(key, 100)}: {one_line(repr(value), 60)}")
    if (rank := largest_rank(config)) > LORA_RANKS[-1]:
        raise ValueError(f"{source} has rank {rank:,}, and {LORA_RANKS[-1]} is the most that vLLM accepts")


def _check_positive(value: Any, what: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"{what}; it must be a positive number")


def _check_pattern(key: str, what: str) -> None:
    """Raises ValueError where it is no regular expression, or one that may take for ever to match a layer's name."""
    try:
        re.compile(key)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"{what}, which is no regular expression: {one_line(error, 100)}") from None
    if len(key) > _LONGEST_NAME or re.search(r"\)[*+{]", key) or len(re.findall(r"(?<!\\)[*+{]", key)) > _MAX_REPEATS:
        raise ValueError(f"{what}, which is a pattern that may take for ever to match; name the layers")


def check_adapter_shapes(config: Mapping[str, Any], shapes: Mapping[str, Sequence[int]], source: str) -> None:
    """Raises ValueError where the adapter's matrices, by their names in its file, are not of the ranks that its
    configuration gives them."""
    if not shapes:
        raise ValueError(f"{source} has no weights in its file")
    for name, shape in shapes.items():
        found = TENSOR.fullmatch(name) if len(name) <= _LONGEST_NAME else None
        if found is None:
            continue  # refused by whoever loads it, who knows the model's layers
        rank = layer_rank(config, found[1])
        if len(shape) != 2 or shape[0 if found[2] == "A" else 1] != rank:
            raise ValueError(
                f"{source} does not fit itself: {one_line(name, 120)} is {tuple(shape)}, and its adapter_config.json "
                f"gives it rank {rank}"
            )


def check_adapter(config: Mapping[str, Any], weights: bytes, source: str) -> None:
    """Raises ValueError for an adapter whose configuration is not supported or does not fit the tensors of its file."""
    check_adapter_config(config, source)
    check_adapter_shapes(config, {name: tensor["shape"] for name, tensor in tensors_of(weights)[0].items()}, source)


def layer_rank(config: Mapping[str, Any], layer: str) -> int:
    """Rank of the adapter on the layer named as in the model, such as `model.layers.0.self_attn.q_proj`."""
    return int(_matched(config.get("rank_pattern"), layer, config.get("r", 8)))


def layer_scale(config: Mapping[str, Any], layer: str) -> float:
    """Factor of `B A x` on that layer: alpha / rank, or alpha / sqrt(rank) with use_rslora (arXiv 2312.03732)."""
    alpha = float(_matched(config.get("alpha_pattern"), layer, config.get("lora_alpha", 8)))
    rank = layer_rank(config, layer)
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def largest_rank(config: Mapping[str, Any]) -> int:
    """What an engine needs room for."""
    return max(int(rank) for rank in (config.get("r", 8), *(config.get("rank_pattern") or {}).values()))


def _matched(pattern: Mapping[str, Any] | None, layer: str, otherwise: Any) -> Any:
    """peft's rule: a key is a regular expression for the end of the layer's name; the first that fits counts."""
    for key, value in (pattern or {}).items():
        if re.match(rf"(.*\.)?({key})$", layer):
            return value
    return otherwise


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


def _are_sizes(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and len(value) <= 16 and all(type(n) is int and 0 <= n < 2**63 for n in value)


def adapter_folder(parent: Path | None = None) -> Path:
    """A new folder for this process, which only its user may enter.

    Folders of processes that have ended, killed before they could, are removed.

    `parent` is /dev/shm where there is one.
    """
    if parent is None:
        parent = Path("/dev/shm") if os.path.isdir("/dev/shm") else Path(tempfile.gettempdir())
    remove_stale_folders(parent)
    pid = os.getpid()
    return Path(tempfile.mkdtemp(prefix=f"{FOLDER_PREFIX}{_namespace()}-{pid}-{_started(pid)}-", dir=parent))


def remove_stale_folders(parent: Path) -> list[Path]:
    """Removes this user's adapter folders in `parent` whose process has ended.

    Those of other containers' processes stay.
    """
    gone = []
    for path in parent.glob(f"{FOLDER_PREFIX}*"):
        found = _OWNED_FOLDER.fullmatch(path.name)
        if found is None or int(found[1]) != _namespace():
            continue
        if _started(int(found[2])) != int(found[3]) and _is_own(path):
            shutil.rmtree(path, ignore_errors=True)
            gone.append(path)
    return gone


def _is_own(path: Path) -> bool:
    try:
        return path.lstat().st_uid == os.geteuid()
    except OSError:  # removed meanwhile
        return False


def _namespace() -> int:
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


def _started(pid: int) -> int:
    """Clock ticks after boot at which a process was started; 0 where there is none, or it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    fields = text.rpartition(")")[2].split()
    return 0 if fields[0] in "ZX" else int(fields[19])

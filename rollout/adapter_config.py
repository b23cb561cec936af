"""What peft's `adapter_config.json` says of how an adapter computes: honoured, or refused by name. Pure.

An adapter's layer adds `scale * B A x`. Rank and scale of each layer follow from `r`, `lora_alpha`, `use_rslora`,
`rank_pattern` and `alpha_pattern` as peft reads them (vLLM reads the same five). Every other field either says nothing
of what the saved tensors compute, or stands for a computation that engine and learner do not do: that is an error.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from problems.plain_text import one_line
from rollout.config import LORA_RANKS

SILENT = frozenset(
    {
        # Where the adapter comes from.
        "auto_mapping", "base_model_name_or_path", "inference_mode", "peft_version", "revision",
        # Which layers it has: the tensors say it, and they are compared with the model's.
        "exclude_modules", "layers_pattern", "layers_to_transform", "target_modules",
        # How it was trained or first drawn; no effect on saved tensors. peft drops fan_in_fan_out on linear layers.
        "corda_config", "ensure_weight_tying", "eva_config", "fan_in_fan_out", "loftq_config", "lora_dropout",
        "lora_ga_config", "megatron_config", "megatron_core", "qalora_group_size", "runtime_config",
    }
)  # fmt: skip
HONOURED = frozenset({"r", "lora_alpha", "use_rslora", "rank_pattern", "alpha_pattern"})
ACCEPTED: dict[str, tuple[Any, ...]] = {
    "peft_type": (None, "LORA"),
    "task_type": (None, "CAUSAL_LM"),
    "bias": (None, "none"),
    # Such as gaussian draw the first weights alone; PiSSA, OLoRA, CorDA and LoftQ change the base model with them.
    "init_lora_weights": (None, True, False, "gaussian", "eva", "orthogonal", "mica", "lora_ga"),
}
"""Fields of which some values are refused, with those that are not. All fields besides must be empty."""

_MOST_PATTERNS = 2000
_MOST_REPEATS = 2
_LONGEST_NAME = 300
"""Characters of a layer's name, and of a pattern for one."""
PREFIX = "base_model.model."
TENSOR = re.compile(r"(?:base_model\.model\.)?(.+)\.lora_([AB])\.weight")
"""Name of a layer's matrix in the adapter's file."""


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
        if not isinstance(patterns, Mapping) or len(patterns) > _MOST_PATTERNS:
            raise ValueError(f"{source} has a {name} that is no object of up to {_MOST_PATTERNS:,} patterns")
        for key, value in patterns.items():
            _check_pattern(key, f"{source} has {name} {one_line(repr(key), 100)}")
            _check_positive(value, f"{source} has {name} {one_line(key, 100)}: {one_line(repr(value), 60)}")
    if (most := largest_rank(config)) > LORA_RANKS[-1]:
        raise ValueError(f"{source} has rank {most:,}, and {LORA_RANKS[-1]} is the most that vLLM accepts")


def _check_positive(value: Any, what: str) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise ValueError(f"{what}; it must be a positive number")


def _check_pattern(key: str, what: str) -> None:
    """Raises ValueError where it is no regular expression, or one that may take for ever to match a layer's name."""
    try:
        re.compile(key)
    except (re.error, RecursionError, OverflowError) as error:
        raise ValueError(f"{what}, which is no regular expression: {one_line(error, 100)}") from None
    if len(key) > _LONGEST_NAME or re.search(r"\)[*+{]", key) or len(re.findall(r"(?<!\\)[*+{]", key)) > _MOST_REPEATS:
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

"""What peft's `adapter_config.json` says of how an adapter computes: honoured, or refused by name. Pure.

An adapter's layer adds `scale * B A x`. Rank and scale of each layer follow from `r`, `lora_alpha`, `use_rslora`,
`rank_pattern` and `alpha_pattern` as peft reads them (vLLM reads the same five). Every other field either says nothing
of what the saved tensors compute, or stands for a computation that engine and learner do not do: that is an error.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

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

MOST_PATTERNS, LONGEST_PATTERN, MOST_REPEATS = 10_000, 300, 3
"""Keys of rank_pattern and alpha_pattern, characters of each, and its `*`, `+` and `{`."""
_REPEATED = re.compile(r"(?<!\\)[*+{]")
_REPEATED_GROUP = re.compile(r"(?<!\\)\)[*+{]")
LARGEST_NUMBER = 1e6
"""Of ranks and alphas."""

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
                f"{source} has {name} {value!r} in its adapter_config.json, which is not supported; give a plain LoRA "
                "adapter (peft can convert or merge this one)"
            )
    for name in ("r", "lora_alpha"):
        value = config.get(name, 8)
        if not _is_positive(value):
            raise ValueError(f"{source} has {name} {value!r} in its adapter_config.json; it must be a positive number")
    for name in ("rank_pattern", "alpha_pattern"):
        _check_pattern(name, config.get(name) or {}, source)


def _check_pattern(name: str, pattern: Any, source: str) -> None:
    """Raises ValueError for what is no mapping of layers to numbers, and for expressions that may search for ever."""
    if not isinstance(pattern, Mapping) or len(pattern) > MOST_PATTERNS:
        raise ValueError(f"{source} has a {name} that is no mapping of at most {MOST_PATTERNS} layers")
    for key, value in pattern.items():
        try:
            re.compile(key)
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"{source} has {name} {key[:80]!r}, which is no regular expression: {error}") from None
        if len(key) > LONGEST_PATTERN or len(_REPEATED.findall(key)) > MOST_REPEATS or _REPEATED_GROUP.search(key):
            raise ValueError(
                f"{source} has {name} {key[:80]!r}, which may take for ever to match; name the layers plainly"
            )
        if not _is_positive(value):
            raise ValueError(f"{source} has {name} {key}: {value!r}; it must be a positive number")


def _is_positive(value: Any) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and 0 < value <= LARGEST_NUMBER


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

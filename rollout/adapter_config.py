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
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value <= 0:
            raise ValueError(f"{source} has {name} {value!r} in its adapter_config.json; it must be a positive number")
    for name in ("rank_pattern", "alpha_pattern"):
        for key, value in (config.get(name) or {}).items():
            try:
                re.compile(key)
            except re.error as error:
                raise ValueError(f"{source} has {name} {key!r}, which is no regular expression: {error}") from None
            if isinstance(value, bool) or not isinstance(value, int | float) or value <= 0:
                raise ValueError(f"{source} has {name} {key}: {value!r}; it must be a positive number")


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

"""What memory and placement need to know of a model, read from its Hugging Face config.json. Pure: no torch, no Ray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any, Literal

DTYPE_BYTES = {"float32": 4, "bfloat16": 2, "float16": 2}
"""Bytes of one number."""

ALL_LINEAR = "all-linear"
"""Stands for every linear layer but the output head, as in train.target_modules."""


class UnknownShapes(ValueError):
    """A config.json that does not describe a causal language model; the message names the missing key."""


@dataclass(frozen=True, slots=True)
class Family:
    """How the layers of a model type are built, where config.json does not say."""

    norms: int = 2
    """Norms over the hidden state in one layer."""
    qk_norm: bool = False
    """Whether queries and keys are normalised head by head."""
    qkv_bias: bool = False
    """Whether the query, key and value projections always have a bias."""
    fused_projections: bool = False
    """One `qkv_proj` and one `gate_up_proj` rather than three and two layers."""
    tied: bool = False
    """Whether the output head is the embedding, unless config.json says otherwise."""
    sliding: Literal["no", "flag", "window", "pattern"] = "no"
    """What makes layers slide: nothing, `use_sliding_window`, the presence of `sliding_window`, a pattern of layers."""
    float16: bool = True
    """Whether the model computes well in float16."""
    defaults: tuple[tuple[str, int], ...] = ()
    """Values of keys that published files leave out, as transformers has them."""


_GEMMA_3 = Family(
    norms=4,
    qk_norm=True,
    tied=True,
    sliding="pattern",
    float16=False,
    defaults=(
        ("num_attention_heads", 8),
        ("num_key_value_heads", 4),
        ("head_dim", 256),
        ("vocab_size", 262_208),
        ("sliding_window", 4096),
        ("sliding_window_pattern", 6),
        ("max_position_embeddings", 131_072),
    ),
)

FAMILIES: Mapping[str, Family] = {
    "qwen2": Family(qkv_bias=True, sliding="flag"),
    "qwen3": Family(qk_norm=True, sliding="flag"),
    "llama": Family(),
    "mistral": Family(sliding="window"),
    "phi3": Family(fused_projections=True, sliding="window"),
    "gemma3": _GEMMA_3,
    "gemma3_text": _GEMMA_3,
}
"""The model types whose counts are exact; others are counted as a plain Llama and say so."""


@dataclass(frozen=True, slots=True)
class ModelShapes:
    """The sizes of a decoder-only model. Numbers are counts; a `window` is in tokens."""

    name: str
    model_type: str
    family: Family
    layers: int
    hidden: int
    intermediate: int
    heads: int
    kv_heads: int
    head_dim: int
    vocabulary: int
    max_positions: int
    tied: bool
    dtype: str
    """Of the published weights."""
    windows: tuple[int, ...] = ()
    """For each layer, the tokens that it looks back; 0 for all of them."""
    qkv_bias: bool = False
    o_bias: bool = False
    mlp_bias: bool = False
    experts: int = 1
    """Feed-forward blocks of one layer, all of which lie in memory."""
    notes: tuple[str, ...] = ()
    """What was assumed, for people."""

    @classmethod
    def from_config(cls, config: Mapping[str, Any], name: str = "") -> ModelShapes:
        """Reads a config.json; multimodal ones by their `text_config`.

        A model type that is not in `FAMILIES` is read by the usual keys, with a note. Raises UnknownShapes where a size
        is missing or is no positive whole number.
        """
        text = config.get("text_config")
        nested = isinstance(text, Mapping)
        keys = {**config, **text} if isinstance(text, Mapping) else dict(config)
        return _Reader(keys, name or str(config.get("_name_or_path") or "model"), nested).shapes()

    @property
    def q_dim(self) -> int:
        """Width of all queries of a token."""
        return self.heads * self.head_dim

    @property
    def kv_dim(self) -> int:
        """Width of all keys, and of all values, of a token."""
        return self.kv_heads * self.head_dim

    @property
    def sliding_layers(self) -> int:
        """Layers that look back only so far."""
        return sum(window > 0 for window in self.windows)

    @property
    def linear_layers(self) -> dict[str, tuple[int, int]]:
        """Linear layers of one decoder layer: name to (inputs, outputs)."""
        hidden, inner = self.hidden, self.intermediate
        if self.family.fused_projections:
            return {
                "qkv_proj": (hidden, self.q_dim + 2 * self.kv_dim),
                "o_proj": (self.q_dim, hidden),
                "gate_up_proj": (hidden, 2 * inner),
                "down_proj": (inner, hidden),
            }
        return {
            "q_proj": (hidden, self.q_dim),
            "k_proj": (hidden, self.kv_dim),
            "v_proj": (hidden, self.kv_dim),
            "o_proj": (self.q_dim, hidden),
            "gate_proj": (hidden, inner),
            "up_proj": (hidden, inner),
            "down_proj": (inner, hidden),
        }

    def parameters(self) -> dict[str, int]:
        """Parameters of the whole model by module; a tied head counts once, as the embedding."""
        layers = self.linear_layers
        blocks = {name: inputs * outputs for name, (inputs, outputs) in layers.items()}
        mlp = {name for name in blocks if name in ("gate_proj", "up_proj", "gate_up_proj", "down_proj")}
        attention = sum(count for name, count in blocks.items() if name not in mlp)
        attention += (self.q_dim + 2 * self.kv_dim) * self.qkv_bias + self.hidden * self.o_bias
        feed_forward = sum(blocks[name] for name in mlp) + (2 * self.intermediate + self.hidden) * self.mlp_bias
        router = self.experts * self.hidden if self.experts > 1 else 0
        norms = self.family.norms * self.hidden + 2 * self.head_dim * self.family.qk_norm
        return {
            "embedding": self.vocabulary * self.hidden,
            "head": 0 if self.tied else self.vocabulary * self.hidden,
            "attention": self.layers * attention,
            "mlp": self.layers * (feed_forward * self.experts + router),
            "norms": self.layers * norms + self.hidden,
        }

    @property
    def total_parameters(self) -> int:
        """Parameters of the whole model."""
        return sum(self.parameters().values())

    def targets(self, modules: str | Sequence[str] = ALL_LINEAR) -> tuple[str, ...]:
        """The linear layers of one decoder layer that get an adapter. Raises ValueError for one that is not there."""
        layers = self.linear_layers
        if modules == ALL_LINEAR:
            return tuple(layers)
        names = (modules,) if isinstance(modules, str) else tuple(modules)
        for name in names:
            if name not in layers:
                raise ValueError(f"target module {name} is no linear layer of {self.name}: choose among {list(layers)}")
        return tuple(name for name in layers if name in names)

    def lora_parameters(self, rank: int, modules: str | Sequence[str] = ALL_LINEAR) -> int:
        """Parameters of a LoRA adapter of this rank on these layers."""
        layers = self.linear_layers
        return self.layers * sum(rank * sum(layers[name]) for name in self.targets(modules))

    def kv_bytes(self, tokens: int, number_bytes: int = 2, block: int = 16) -> int:
        """Bytes of keys and values of one sequence of so many tokens, in whole blocks of `block` tokens."""
        each = 2 * self.kv_dim * number_bytes
        windows = self.windows or (0,) * self.layers
        return sum(each * block * ceil(min(tokens, window or tokens) / block) for window in windows)


class _Reader:
    """The keys of one config.json."""

    def __init__(self, keys: Mapping[str, Any], name: str, nested: bool) -> None:
        self.keys, self.name = keys, name
        self.model_type = str(keys.get("model_type") or "unknown")[:60]
        self.notes: list[str] = []
        known = FAMILIES.get(self.model_type)
        if known is None:
            self.notes.append(
                f"model type {self.model_type} is not one that is known here: counted as a Llama with its sizes"
            )
        if nested:
            self.notes.append("only the text part is counted: images are neither sampled nor trained on")
        self.family = known or Family(
            qkv_bias=bool(keys.get("qkv_bias")), sliding="window", tied=bool(keys.get("tie_word_embeddings", True))
        )
        self.defaults = dict(self.family.defaults)

    def shapes(self) -> ModelShapes:
        hidden, heads, layers = self.number("hidden_size"), self.number("num_attention_heads"), self.layers()
        bias = bool(self.keys.get("attention_bias"))
        experts = self.experts()
        return ModelShapes(
            name=self.name,
            model_type=self.model_type,
            family=self.family,
            layers=layers,
            hidden=hidden,
            intermediate=self.intermediate(hidden, experts),
            heads=heads,
            kv_heads=self.number("num_key_value_heads", heads),
            head_dim=self.number("head_dim", max(1, hidden // heads)),
            vocabulary=self.number("vocab_size"),
            max_positions=self.number("max_position_embeddings", 32_768),
            tied=bool(self.keys.get("tie_word_embeddings", self.family.tied)),
            dtype=self.dtype(),
            windows=self.windows(layers),
            qkv_bias=self.family.qkv_bias or bias,
            o_bias=bias,
            mlp_bias=bool(self.keys.get("mlp_bias")),
            experts=experts,
            notes=tuple(self.notes),
        )

    def number(self, key: str, default: int | None = None) -> int:
        value = self.keys.get(key)
        if value is None:
            value = self.defaults.get(key, default)
        if value is None:
            raise UnknownShapes(f"config.json of {self.name} has no {key}: it describes no causal language model")
        if isinstance(value, bool) or not isinstance(value, int) or not 0 < value < 1 << 40:
            raise UnknownShapes(f"config.json of {self.name}: {key} is not a positive whole number")
        return value

    def layers(self) -> int:
        layers = self.number("num_hidden_layers")
        if layers > 10_000:
            raise UnknownShapes(f"config.json of {self.name}: num_hidden_layers {layers} is not that of any model")
        return layers

    def intermediate(self, hidden: int, experts: int) -> int:
        if experts > 1 and self.keys.get("moe_intermediate_size") is not None:
            return self.number("moe_intermediate_size")
        if self.keys.get("intermediate_size") is None and self.family not in FAMILIES.values():
            self.notes.append("intermediate_size is missing: four times hidden_size is assumed")
            return 4 * hidden
        return self.number("intermediate_size")

    def experts(self) -> int:
        for key in ("num_experts", "num_local_experts", "n_routed_experts"):
            if self.keys.get(key) is not None:
                self.notes.append(
                    "a mixture of experts: weights count all of them, activations one block a token, which is too few"
                )
                return self.number(key)
        return 1

    def dtype(self) -> str:
        value = self.keys.get("dtype") or self.keys.get("torch_dtype") or "bfloat16"
        return value if value in DTYPE_BYTES else "bfloat16"

    def windows(self, layers: int) -> tuple[int, ...]:
        """The look-back of each layer; () where all look back to the start."""
        types, how = self.keys.get("layer_types"), self.family.sliding
        if how == "no" or (how == "flag" and not self.keys.get("use_sliding_window")):
            return ()
        if self.keys.get("sliding_window") is None and "sliding_window" not in self.defaults:
            return ()
        window = self.number("sliding_window")
        if isinstance(types, list) and len(types) == layers:
            return tuple(window if kind == "sliding_attention" else 0 for kind in types)
        if how == "pattern":
            every = self.number("_sliding_window_pattern", self.number("sliding_window_pattern"))
            return tuple(0 if (index + 1) % every == 0 else window for index in range(layers))
        if how == "flag":
            full = self.keys.get("max_window_layers")
            full = full if isinstance(full, int) else 28
            return tuple(0 if index < full else window for index in range(layers))
        return (window,) * layers

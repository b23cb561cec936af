"""What the learner keeps of a forward pass for its backward pass, counted from layer shapes.

The count is of the learner's own forward: peft's LoRA fused into each linear layer (`train.lora`), scaled-dot-product
attention, log-probabilities without whole logits (`train.scorer`), and a frozen base model. Pure: no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cluster.model_shapes import ALL_LINEAR, DTYPE_BYTES, ModelShapes

FLOAT = 4
"""Bytes of float32: norms, log-sum-exp and adapters are computed in it whatever the model's dtype."""


@dataclass(frozen=True, slots=True)
class Rows:
    """One micro-batch: `rows` answers of `answer_tokens`, to `prompts` distinct prompts of `prompt_tokens`, padded."""

    rows: int
    answer_tokens: int
    prompts: int = 1
    prompt_tokens: int = 1

    @property
    def row_tokens(self) -> int:
        """Tokens of a prompt with one answer."""
        return self.prompt_tokens + self.answer_tokens

    def positions(self, shared: bool) -> int:
        """Positions that are computed; `shared` runs each prompt once, without its last token."""
        if shared:
            return self.prompts * (self.prompt_tokens - 1) + self.rows * self.answer_tokens
        return self.rows * self.row_tokens

    @classmethod
    def within(cls, budget: int, prompt_tokens: int, answer_tokens: int, group: int, shared: bool) -> Rows:
        """The largest micro-batch of full-length rows in a budget of padded tokens: at least one row.

        `group` is the number of answers to one prompt.
        """
        if not shared:
            rows = max(1, budget // (prompt_tokens + answer_tokens))
        else:
            rows = max(1, int(budget / (answer_tokens + prompt_tokens / group)))
            while rows > 1 and -(-rows // group) * prompt_tokens + rows * answer_tokens > budget:
                rows -= 1
        return cls(rows, answer_tokens, -(-rows // group), prompt_tokens)


@dataclass(frozen=True, slots=True)
class Backward:
    """How a backward pass is prepared for."""

    dtype: str = "bfloat16"
    lora_r: int = 16
    targets: str | tuple[str, ...] = ALL_LINEAR
    checkpointing: bool = False
    share_prompts: bool = False

    def __post_init__(self) -> None:
        if self.checkpointing and self.share_prompts:
            raise ValueError("checkpointing drops the prompt's keys and values that share_prompts needs: set one")

    @property
    def number(self) -> int:
        """Bytes of one activation."""
        return DTYPE_BYTES[self.dtype]


@dataclass(frozen=True, slots=True)
class Activations:
    """Bytes that live between the forward and the backward pass, and the most that comes on top for a moment."""

    layers: int
    """Kept of all decoder layers and norms, for the whole micro-batch."""
    head: int
    """Kept behind the last layer."""
    workspace: int
    """Of one layer at a time: what is recomputed, gradients on their way, the cache of shared prompts."""

    @property
    def saved(self) -> int:
        """Bytes that `torch.autograd.graph.saved_tensors_hooks` counts, without parameters."""
        return self.layers + self.head


def activations(shapes: ModelShapes, rows: Rows, how: Backward) -> Activations:
    """The activations of one micro-batch."""
    positions, one = rows.positions(how.share_prompts), layer_bytes(shapes, rows, how)
    backward = positions * _backward_bytes(shapes, how)
    if how.checkpointing:
        inputs = positions * shapes.hidden * how.number
        kept = shapes.layers * inputs + positions * (FLOAT * shapes.hidden + FLOAT)
        return Activations(kept, head_bytes(shapes, rows, how), max(one) + backward)
    cache = 0
    if how.share_prompts:
        keys = shapes.layers * 2 * shapes.kv_dim * how.number
        cache = rows.rows * (rows.prompt_tokens - 1 + rows.answer_tokens) * keys
    return Activations(sum(one), head_bytes(shapes, rows, how), max(backward, cache))


def layer_bytes(shapes: ModelShapes, rows: Rows, how: Backward) -> list[int]:
    """Bytes kept of each decoder layer without checkpointing."""
    if how.share_prompts:
        prompts = Rows(rows.prompts, rows.prompt_tokens - 1, prompt_tokens=0)
        first = layer_bytes(shapes, prompts, replace(how, share_prompts=False)) if rows.prompt_tokens > 1 else None
        answers, seen = rows.rows * rows.answer_tokens, rows.prompt_tokens - 1 + rows.answer_tokens
        # A mask keeps attention from sharing keys among heads: they are repeated for each head.
        each = answers * _position_bytes(shapes, how) + _masked(shapes, rows.rows, rows.answer_tokens, seen, how)
        return [each + before for before in first or [0] * shapes.layers]
    positions, length = rows.positions(False), rows.row_tokens
    plain = positions * (_position_bytes(shapes, how) + _kv_bytes(shapes, how))
    masked = positions * _position_bytes(shapes, how) + _masked(shapes, rows.rows, length, length, how)
    windows = shapes.windows or (0,) * shapes.layers
    return [masked if 0 < window < length else plain for window in windows]


def bytes_a_token_and_layer(shapes: ModelShapes, how: Backward, rows: Rows) -> float:
    """Mean over layers and positions, for comparison between models."""
    return sum(layer_bytes(shapes, rows, how)) / shapes.layers / rows.positions(how.share_prompts)


def head_bytes(shapes: ModelShapes, rows: Rows, how: Backward) -> int:
    """Bytes kept behind the last layer: a slope for each hidden state, or the logits where the head is not plain."""
    answers = rows.rows * rows.answer_tokens
    if shapes.plain_head:
        return answers * shapes.hidden * how.number
    positions = answers if how.share_prompts else rows.positions(False)
    return positions * shapes.vocabulary * how.number + answers * shapes.vocabulary * 2 * FLOAT


def _position_bytes(shapes: ModelShapes, how: Backward) -> int:
    """Bytes kept of one position in one layer, without the keys and values that attention reads."""
    number, targets = how.number, shapes.targets(how.targets)
    hidden, inner = shapes.hidden * number, shapes.intermediate * number
    kept = shapes.family.norms * (shapes.hidden + 1) * FLOAT
    if shapes.family.qk_norm:
        kept += (shapes.q_dim + shapes.kv_dim + shapes.heads + shapes.kv_heads) * FLOAT
    kept += 2 * shapes.q_dim * number + shapes.heads * FLOAT  # queries, attention's output, log-sum-exp
    kept += 3 * inner  # the gate before and after its activation, and what it multiplies
    kept += len(targets) * how.lora_r * number
    if any(name in targets for name in ("q_proj", "k_proj", "v_proj", "qkv_proj")):
        kept += hidden
    if any(name in targets for name in ("gate_proj", "up_proj", "gate_up_proj")):
        kept += hidden
    if "down_proj" in targets:
        kept += inner
    return kept


def _kv_bytes(shapes: ModelShapes, how: Backward) -> int:
    """Bytes of the keys and values of one position in one layer."""
    # Values are a part of a fused projection's output, which is kept whole for them.
    values = shapes.q_dim + 2 * shapes.kv_dim if shapes.family.fused_projections else shapes.kv_dim
    return (shapes.kv_dim + values) * how.number


def _masked(shapes: ModelShapes, rows: int, queries: int, keys: int, how: Backward) -> int:
    """Bytes that attention under a mask keeps in one layer: keys and values for every head, and the mask in numbers."""
    return rows * keys * (2 * shapes.q_dim + queries) * how.number


def _backward_bytes(shapes: ModelShapes, how: Backward) -> int:
    """Most bytes of gradients of one position in flight in one layer: those of the feed-forward block."""
    return 4 * shapes.intermediate * how.number + shapes.hidden * (2 * how.number + 2 * FLOAT)


def largest_row(shapes: ModelShapes, how: Backward, budget: int) -> int:
    """The longest row, in tokens, whose activations stay within `budget` bytes; 0 where none does."""
    low, high = 0, shapes.max_positions
    while low < high:
        middle = (low + high + 1) // 2
        each = activations(shapes, Rows(1, middle - 1), replace(how, share_prompts=False))
        if each.saved + each.workspace <= budget:
            low = middle
        else:
            high = middle - 1
    return low


def per_layer_table(models: Sequence[ModelShapes], rows: Rows, lora_r: int = 16) -> list[tuple[str, float, float]]:
    """(name, KiB a token and layer joined, the same with shared prompts) of models in bfloat16."""
    return [
        (
            shapes.name,
            bytes_a_token_and_layer(shapes, Backward(lora_r=lora_r), rows) / 1024,
            bytes_a_token_and_layer(shapes, Backward(lora_r=lora_r, share_prompts=True), rows) / 1024,
        )
        for shapes in models
    ]

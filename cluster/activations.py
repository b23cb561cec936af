"""What the learner keeps of a forward pass for its backward pass, counted from layer shapes.

The count is of the learner's own forward: rows packed into one sequence (`train.packing`), peft's LoRA fused into each
linear layer (`train.lora`), attention by flash attention or block by block (`train.attention`), log-probabilities
without whole logits (`train.head`), and a frozen base model. Pure: no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from cluster.model_shapes import ALL_LINEAR, DTYPE_BYTES, ModelShapes

FLOAT = 4
"""Bytes of float32: norms, log-sum-exp and adapters are computed in it whatever the model's dtype."""


@dataclass(frozen=True, slots=True)
class Rows:
    """One micro-batch: `rows` answers of `answer_tokens`, to `prompts` distinct prompts of `prompt_tokens`."""

    rows: int
    answer_tokens: int
    prompts: int = 1
    prompt_tokens: int = 1

    @property
    def row_tokens(self) -> int:
        """Tokens of a prompt with one answer."""
        return self.prompt_tokens + self.answer_tokens

    def positions(self, shared: bool) -> int:
        """Positions that are computed, all but the last of a row; `shared` runs each prompt once."""
        if shared:
            return self.prompts * (self.prompt_tokens - 1) + self.rows * self.answer_tokens
        return self.rows * (self.row_tokens - 1)

    @classmethod
    def within(cls, budget: int, prompt_tokens: int, answer_tokens: int, group: int, shared: bool) -> Rows:
        """The largest micro-batch of full-length rows in a budget of tokens: at least one row.

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
    flash: bool = True
    """Attention in one call for all rows, as on a GPU; else block by block, which copies what it reads and writes."""

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
    """Of one layer at a time: what is recomputed, gradients on their way."""

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
        return Activations(kept, head_bytes(shapes, rows, how), one + backward)
    return Activations(shapes.layers * one, head_bytes(shapes, rows, how), backward)


def layer_bytes(shapes: ModelShapes, rows: Rows, how: Backward) -> int:
    """Bytes kept of one decoder layer without checkpointing."""
    positions = rows.positions(how.share_prompts)
    kept = positions * _position_bytes(shapes, how)
    # Keys and values of a shared prompt are gathered once for each of its rows.
    seen = rows.rows * (rows.prompt_tokens - 1 + rows.answer_tokens)
    gathered = seen * 2 * shapes.kv_dim * how.number
    if how.flash:
        prompts = rows.prompts * (rows.prompt_tokens - 1) * 2 * shapes.kv_dim * how.number
        return kept + gathered + (prompts if how.share_prompts else 0)
    copied = shapes.q_dim if "o_proj" in shapes.targets(how.targets) else 0
    kept += positions * (_kv_bytes(shapes, how) + copied * how.number)
    return kept + (gathered if how.share_prompts and rows.prompt_tokens > 1 else 0)


def bytes_a_token_and_layer(shapes: ModelShapes, how: Backward, rows: Rows) -> float:
    """Mean over positions, for comparison between models."""
    return layer_bytes(shapes, rows, how) / rows.positions(how.share_prompts)


def head_bytes(shapes: ModelShapes, rows: Rows, how: Backward) -> int:
    """Bytes kept behind the last layer: a state and a slope for each answer token."""
    return rows.rows * rows.answer_tokens * shapes.hidden * how.number


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
    """(name, KiB a token and layer with prompts in each row, the same with shared ones) of models in bfloat16."""
    return [
        (
            shapes.name,
            bytes_a_token_and_layer(shapes, Backward(lora_r=lora_r), rows) / 1024,
            bytes_a_token_and_layer(shapes, Backward(lora_r=lora_r, share_prompts=True), rows) / 1024,
        )
        for shapes in models
    ]

"""Attention over a packed sequence, for transformers' models: who sees whom is the packing's to say.

On a GPU one call of flash attention for sequences of unlike lengths, with grouped queries and no mask. Elsewhere, and
where flash attention has no kernel (float32, soft-capped scores, wide heads), block by block with
scaled-dot-product attention: a prompt causally, its completions together over the prompt's keys and their own.

Shapes: S tokens of the packed sequence, A query heads, K key heads, D width of a head; of a block G spans, T their
longest, P tokens of their prefix.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from train.packing import Block, Packing

NAME = "packed_sdpa"
"""Of this attention, among transformers' implementations; without a packing it is their `sdpa`."""

KINDS = {"full_attention", "sliding_attention"}
"""Kinds of layers, as configurations name them, that a packed sequence can be run through."""

FLASH_WIDTH = 256
"""Widest head that flash attention has kernels for."""


def use_packed_attention(model: PreTrainedModel) -> bool:
    """Makes `model` attend by a packing where it is given one; False where its layers are of kinds that cannot."""
    config = model.config.get_text_config()
    if not getattr(model, "_supports_attention_backend", False) or getattr(config, "attention_chunk_size", None):
        return False
    if not KINDS.issuperset(getattr(config, "layer_types", None) or ()):
        return False
    model.set_attn_implementation(NAME)
    return True


def model_inputs(packing: Packing) -> dict[str, Any]:
    """What a model's forward pass is called with."""
    # A mask of four dimensions is passed on as it is: none of S x S is made.
    nothing = packing.positions.new_zeros((1, 1, 1, 1), dtype=torch.bool)
    return {
        "input_ids": packing.tokens,
        "position_ids": packing.positions,
        "attention_mask": nothing,
        "use_cache": False,
        "packing": packing,
    }


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    dropout: float = 0.0,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    packing: Packing | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Attention [1, S, A, D] of query [1, A, S, D] over key and value [1, K, S, D], by `packing`.

    Raises NotImplementedError for scores with a bias or a sink, which a packing does not know.
    """
    if packing is None:
        if softcap is None:
            return sdpa_attention_forward(module, query, key, value, attention_mask, dropout, scaling, **kwargs)
        return _capped_rows(query, key, value, attention_mask, scaling, softcap).transpose(1, 2).contiguous(), None
    if any(kwargs.get(name) is not None for name in ("position_bias", "s_aux")):
        raise NotImplementedError("attention with biases or sinks runs row by row")
    window = sliding_window or 0
    if softcap is None and _has_flash(query, value):
        return _flash(query, key, value, packing, scaling, window)[None], None
    sizes = [block.tokens for block in packing.blocks]
    # Split once: slices would each be given a whole gradient.
    queries, keys, values = (tensor[0].split(sizes, dim=1) for tensor in (query, key, value))
    outputs = []
    for block, q, k, v in zip(packing.blocks, queries, keys, values, strict=True):
        before = None if block.prefix < 0 else (keys[block.prefix], values[block.prefix])
        outputs.append(_attend(block, q, k, v, before, packing, scaling, window, softcap))
    return torch.cat(outputs)[None], None


def _attend(
    block: Block,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    before: tuple[Tensor, Tensor] | None,
    packing: Packing,
    scaling: float | None,
    window: int,
    softcap: float | None,
) -> Tensor:
    """Attention [tokens, A, D] of one block, from q [A, tokens, D], k and v [K, tokens, D] and those before them."""
    count, longest = len(block.lengths), block.lengths[0]
    padded = None if block.tokens == count * longest else _places(block, q.device)
    q, k, v = (_spread(tensor, count, longest, padded) for tensor in (q, k, v))
    prefix = 0
    if before is not None:
        prefix = before[0].shape[1]
        seen = (tensor.expand(count, *tensor.shape) for tensor in before)
        k, v = (torch.cat(pair, dim=2) for pair in zip(seen, (k, v), strict=True))
    mask = None
    if prefix or softcap is not None or 0 < window < longest:
        mask = _mask(packing, longest, prefix, window, q)
    if softcap is not None:
        assert mask is not None, "made above"
        output = _capped(q, k, v, mask, scaling, softcap)
    else:
        few = q.shape[1] != k.shape[1]
        if few and mask is not None and q.is_cuda:  # its kernels with a mask want a key for each query
            k, v, few = repeat_kv(k, q.shape[1] // k.shape[1]), repeat_kv(v, q.shape[1] // v.shape[1]), False
        causal = mask is None and longest > 1
        output = scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal, scale=scaling, enable_gqa=few)
    output = output.transpose(1, 2).flatten(0, 1)
    return output if padded is None else output[padded[1]]


def _spread(tensor: Tensor, count: int, longest: int, padded: tuple[Tensor, Tensor] | None) -> Tensor:
    """[G, heads, T, D] of [heads, tokens, D]; what is behind the end of a span is any token, which no other sees."""
    if padded is not None:
        tensor = tensor.index_select(1, padded[0])
    return tensor.unflatten(1, (count, longest)).transpose(0, 1)


def _places(block: Block, device: torch.device) -> tuple[Tensor, Tensor]:
    """(token for each of G x T places, place of each token)."""
    lengths, steps = torch.tensor(block.lengths), torch.arange(block.lengths[0])
    starts = lengths.cumsum(0) - lengths
    inside = steps < lengths[:, None]
    return (
        torch.where(inside, starts[:, None] + steps, 0).flatten().to(device),
        inside.flatten().nonzero().squeeze(-1).to(device),
    )


def _mask(packing: Packing, longest: int, prefix: int, window: int, like: Tensor) -> Tensor:
    """0 where a query of a span sees a key, -inf elsewhere: [T, P + T], made once for all layers."""
    name = (longest, prefix, window, like.dtype)
    if name not in packing.masks:
        back = torch.arange(longest)[:, None] + prefix - torch.arange(prefix + longest)
        hidden = (back < 0) | (back >= window if window else False)
        packing.masks[name] = torch.zeros(hidden.shape).masked_fill(hidden, -torch.inf).to(like)
    return packing.masks[name]


def _capped_rows(
    q: Tensor, k: Tensor, v: Tensor, visible: Tensor | None, scaling: float | None, softcap: float
) -> Tensor:
    """Rows without packing, which `sdpa` would not cap: `visible` is its boolean mask, None for a causal one."""
    if visible is None:
        visible = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool, device=q.device).tril(k.shape[2] - q.shape[2])
    mask = torch.zeros(visible.shape, dtype=q.dtype, device=q.device).masked_fill(~visible, -torch.inf)
    return _capped(q, k, v, mask, scaling, softcap)


def _capped(q: Tensor, k: Tensor, v: Tensor, mask: Tensor, scaling: float | None, softcap: float) -> Tensor:
    """Attention whose scores are capped: softcap * tanh(score / softcap), before the mask."""
    k, v = (repeat_kv(tensor, q.shape[1] // tensor.shape[1]) for tensor in (k, v))
    scale = q.shape[-1] ** -0.5 if scaling is None else scaling
    scores = torch.tanh(q @ k.transpose(2, 3) * (scale / softcap)) * softcap + mask
    return scores.softmax(-1, dtype=torch.float32).to(v.dtype) @ v


def _has_flash(query: Tensor, value: Tensor) -> bool:
    """Whether flash attention has a kernel for these."""
    widths = query.shape[-1], value.shape[-1]
    halves = query.dtype in (torch.bfloat16, torch.float16)
    return query.is_cuda and halves and widths[0] == widths[1] <= FLASH_WIDTH and _compute_capability(query.device) >= 8


def _compute_capability(device: torch.device) -> int:
    return torch.cuda.get_device_capability(device)[0]


def _flash(query: Tensor, key: Tensor, value: Tensor, packing: Packing, scaling: float | None, window: int) -> Tensor:
    """[S, A, D]. The last query of a span sees all of its keys: flash attention aligns them at their ends."""
    from torch.nn.attention.varlen import varlen_attn

    query_ends, key_ends, seen, most_queries, most_keys = packing.spans
    q, k, v = (tensor[0].transpose(0, 1) for tensor in (query, key, value))
    if len(seen) != len(q):  # without prefixes every token is seen where it is
        k, v = k.index_select(0, seen), v.index_select(0, seen)
    back = window - 1 if window else -1
    output = varlen_attn(
        q.contiguous(), k.contiguous(), v.contiguous(), query_ends, key_ends, most_queries, most_keys,
        scale=scaling, window_size=(back, 0), enable_gqa=q.shape[1] != k.shape[1],
    )  # fmt: skip
    assert isinstance(output, Tensor), "no log-sum-exp is asked for"
    return output


AttentionInterface.register(NAME, packed_attention)
AttentionMaskInterface.register(NAME, sdpa_mask)

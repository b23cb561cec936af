"""Fresh weights that can already look a token up: an induction circuit, laid into the first two layers.

A tiny model writes well-formed programs long before it finds the value that it is to take over from the question: that
takes two layers that work together, and most of its training goes by before they do. So they start together. In the
first layer a head of each group looks one token back, by the biases of queries and keys alone, and writes what stands
there into directions of its own; in the second, queries read the token itself and keys those directions, so that a head
finds what once came after the same token, and adds it to the stream. All of it goes on to be trained like the rest.

Induction heads: Olsson et al. 2022, "In-context Learning and Induction Heads", arXiv 2209.11895. To start from weights
that look like trained ones: Trockman and Kolter 2023, "Mimetic Initialization of Self-Attention Layers", arXiv
2305.09828.

Shapes: D width of a head, H hidden, K key heads.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor
from transformers import Qwen2ForCausalLM

LOOK_BACK = 5.0
"""Size of the biases that make a head look one token back: enough for four fifths of its attention."""
WRITTEN = 0.05
"""Size of what the two layers add to the stream, where embeddings have 0.02 and are normalised before they are read."""
MATCHED = 3.0
"""Size of the queries and keys that compare tokens."""
FAST = 0.03
"""Radians a token: rotary pairs that turn faster tell distances; slower ones still compare tokens some way apart."""


@torch.no_grad()
def lay_induction(model: Qwen2ForCausalLM) -> None:
    """Changes the first two layers of a fresh model in place; one with fewer layers is left as it is.

    Random directions come from torch's generator of the CPU.
    """
    layers: Any = model.model.layers  # modules, which are but tensors to their types
    config: Any = model.config
    if len(layers) < 2:
        return
    first, second = layers[0].self_attn, layers[1].self_attn
    width, hidden = first.head_dim, config.hidden_size
    queries, keys = config.num_attention_heads, config.num_key_value_heads
    turns = cast(Tensor, model.model.rotary_emb.inv_freq).float()  # radians a token, of each of D/2 pairs
    rows = keys * width
    seen, written, taken = (_directions(rows, hidden) for _ in range(3))

    fast = (turns >= FAST).float()
    here = LOOK_BACK * torch.cat([fast, torch.zeros_like(fast)])
    one_back = LOOK_BACK * torch.cat([fast * turns.cos(), fast * turns.sin()])
    first.v_proj.weight.copy_(seen)
    first.k_proj.bias.view(keys, width).copy_(one_back.expand(keys, width))
    first.q_proj.bias.view(keys, -1, width)[:, 0].copy_(here.expand(keys, width))
    for key in range(keys):
        head = slice(key * (queries // keys) * width, (key * (queries // keys) + 1) * width)
        first.o_proj.weight[:, head] = WRITTEN * written[key * width : (key + 1) * width].T

    slow = torch.cat([1 - fast, 1 - fast])[:, None]
    for projection, read in ((second.q_proj, seen), (second.k_proj, written)):
        heads = read.view(keys, 1, width, hidden) * slow * MATCHED
        weight = projection.weight
        weight.copy_(heads.expand(keys, weight.shape[0] // rows, width, hidden).reshape(weight.shape))
    second.v_proj.weight.copy_(taken)
    added = taken.view(keys, 1, width, hidden).expand(keys, queries // keys, width, hidden)
    second.o_proj.weight.copy_(WRITTEN * added.reshape(queries * width, hidden).T)


def _directions(count: int, hidden: int) -> Tensor:
    """[count, H], at right angles where `count` is no more than H."""
    if count > hidden:
        return torch.nn.functional.normalize(torch.randn(count, hidden), dim=1)
    return torch.linalg.qr(torch.randn(hidden, count))[0].T

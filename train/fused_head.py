"""The head of a model under TRL's trainers on a CPU: only the tokens that are learnt reach the vocabulary.

TRL's own head never holds whole logits either, but where there is no Triton it scores every position of a batch,
prompts and padding included, in tiles of 4,096 x 32,768, and computes them again in the backward pass. This one scores
labelled positions in tiles of `head.HEAD_BYTES` bytes, and forms the gradient while a tile is at hand.

Shapes: B rows, T positions, N labelled positions, H hidden.
"""

from __future__ import annotations

import functools
import types
from typing import Any

import torch
from transformers import PreTrainedModel
from trl.trainer.utils import FusedCausalLMOutput

from train.head import Head

IGNORED = -100
"""Label of a token that the loss leaves out."""


def score_labels_alone(model: PreTrainedModel, head: Head) -> None:
    """Replaces the forward pass that TRL's `add_fused_lm_head` gave `model`, whose own `head` must be frozen.

    The contract is TRL's: with `fused_lm_head=True` and labels [B, T] the fields of the output are [B, T - 1]. A
    mixture of experts whose router has a loss of its own still takes TRL's way.
    """
    trl_forward = model.forward

    # Keeps the signature: peft and transformers look at it.
    @functools.wraps(type(model).forward)
    def forward(self: Any, *args: Any, fused_lm_head: bool = False, labels: Any = None, **kwargs: Any) -> Any:
        if not fused_lm_head or kwargs.get("output_router_logits"):
            return trl_forward(*args, fused_lm_head=fused_lm_head, labels=labels, **kwargs)
        kwargs["use_cache"] = False
        states_B_T_H = self.get_decoder()(*args, **kwargs).last_hidden_state[:, :-1]
        targets_B_T = labels[:, 1:]
        mask_B_T = targets_B_T != IGNORED
        logprobs_N, entropies_N, top1_N = head.logprobs(states_B_T_H[mask_B_T], targets_B_T[mask_B_T])

        def spread(values_N: torch.Tensor) -> torch.Tensor:
            return values_N.new_zeros(mask_B_T.shape).masked_scatter(mask_B_T, values_N)

        return FusedCausalLMOutput(
            log_probs=spread(logprobs_N), entropy=spread(entropies_N), is_top1=spread(top1_N), label_mask=mask_B_T
        )

    model.forward = types.MethodType(forward, model)

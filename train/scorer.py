"""Log-probabilities of completions under a causal model: the one forward pass that training, reference and
proof share.

Shapes: B rows, P distinct prompts, T completion positions, N = completion tokens without padding, H hidden,
V vocabulary.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedModel
from transformers.cache_utils import DynamicLayer

from train.batch import MicroBatch

# Elements of the [tokens, vocabulary] block that the head works on at a time. On a CPU it should fit into the
# second-level cache; on a GPU it bounds memory (float32 and a few temporaries of this many elements).
HEAD_BLOCK = {"cpu": 1 << 18, "cuda": 1 << 26}
MIN_HEAD_ROWS = 32
"""Rows of a block, at least, whatever the vocabulary: a product of fewer rows reads the whole head for little work.
With 262,144 tokens such a block is 32 MiB."""


class Scorer:
    """Scores completions with a Hugging Face causal model, with gradient where gradients are on.

    With `share_prompts` each distinct prompt of a micro-batch runs once; its keys and values are then
    indexed by the rows that continue it, which autograd follows back. The result is that of one forward
    pass a row.
    """

    def __init__(self, model: PreTrainedModel, share_prompts: bool) -> None:
        self.model, self.share_prompts = model, share_prompts
        self.head: Any = model.get_output_embeddings()  # None is possible for transformers, not for a causal model
        self.fused_head = head_is_linear(model)

    def logprobs(self, batch: MicroBatch, temperature: float, entropy_gradient: bool = False) -> tuple[Tensor, Tensor]:
        """(log-probabilities [B, T] float32, entropies [B, T] float32), 0 on padding.

        Both are of softmax(logits / temperature), as vLLM's `processed_logprobs` are where no top-k or
        top-p is set. Entropies have a gradient only on request, since it costs another product with the
        head.
        """
        if self.share_prompts and batch.prompt_ids.shape[1] > 1:
            states = self._shared(batch)
        else:
            states = self._joined(batch)
        mask = batch.mask.bool()
        targets_N = batch.completion_ids[mask]
        if self.fused_head:
            arguments = (states[mask], self.head.weight, self.head.bias, targets_N, temperature, entropy_gradient)
            logprobs_N, entropies_N, _ = HeadLogprobs.apply(*arguments)
        else:
            logprobs_N, entropies_N = _softmax_logprobs(states[mask], targets_N, temperature, entropy_gradient)
        padded = torch.zeros_like(batch.mask)
        return padded.masked_scatter(mask, logprobs_N), padded.masked_scatter(mask, entropies_N)

    def _forward(self, **inputs) -> Tensor:
        """What predicts the next token at each position: hidden states, or logits where the head is not
        plain."""
        if self.fused_head:
            return self.model.base_model(**inputs).last_hidden_state
        return self.model(**inputs).logits

    def _joined(self, batch: MicroBatch) -> Tensor:
        """States [B, T, H or V] from one row of prompt and completion a sample.

        Padding is on the right, where causal attention cannot see it: no attention mask is needed.
        """
        lengths = batch.prompt_lengths[batch.prompt_of_row]
        steps = torch.arange(batch.completion_ids.shape[1], device=lengths.device)
        places = lengths[:, None] + steps
        prompts = batch.prompt_ids[batch.prompt_of_row]
        tokens = torch.cat([prompts, torch.zeros_like(batch.completion_ids)], dim=1)
        tokens = tokens.scatter(1, places, batch.completion_ids)
        states = self._forward(input_ids=tokens, use_cache=False)
        rows = torch.arange(len(tokens), device=tokens.device)
        return states[rows[:, None], places - 1]

    def _shared(self, batch: MicroBatch) -> Tensor:
        """States [B, T, H or V] with each prompt but its last token run once, then all completions on top.

        Prompts are padded on the right, so their own pass needs no mask; the completions' mask hides that padding.
        """
        cache = DynamicCache(config=self.model.config)
        head_ids = batch.prompt_ids[:, :-1]
        self.model.base_model(input_ids=head_ids, past_key_values=cache, use_cache=True)
        cache.batch_select_indices(batch.prompt_of_row)
        before = batch.prompt_lengths[batch.prompt_of_row, None] - 1
        last = batch.prompt_ids[batch.prompt_of_row].gather(1, before)
        tokens = torch.cat([last, batch.completion_ids[:, :-1]], dim=1)
        steps = torch.arange(tokens.shape[1], device=tokens.device)
        seen = torch.arange(head_ids.shape[1], device=tokens.device) < before
        mask = torch.cat([seen, torch.ones_like(tokens, dtype=torch.bool)], dim=1)
        return self._forward(
            input_ids=tokens,
            attention_mask=mask.long(),
            position_ids=before + steps,
            past_key_values=cache,
            use_cache=True,
        )


def can_share_prompts(model: PreTrainedModel) -> bool:
    """Whether every layer keeps all its keys and values in a plain cache (no sliding window, no recurrent
    state)."""
    layers = DynamicCache(config=model.config).layers
    return bool(layers) and all(type(layer) is DynamicLayer for layer in layers)


@torch.no_grad()
def head_is_linear(model: PreTrainedModel) -> bool:
    """Whether logits are the head applied to the last hidden state and nothing else (no scaling, no soft cap).

    Found by trying it on a few tokens, because models name such things differently. `model` must be in evaluation
    mode: with dropout two passes differ.
    """
    head = model.get_output_embeddings()
    if type(head) is not nn.Linear:
        return False
    ids = torch.arange(min(8, model.config.get_text_config().vocab_size), device=model.device)[None]
    hidden = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
    return torch.allclose(head(hidden), model(input_ids=ids, use_cache=False).logits, rtol=1e-3, atol=1e-4)


def _softmax_logprobs(
    logits_N_V: Tensor, targets_N: Tensor, temperature: float, entropy_gradient: bool
) -> tuple[Tensor, Tensor]:
    """Log-probabilities and entropies [N] of logits, the plain way."""
    all_N_V = torch.log_softmax(logits_N_V.float() / temperature, dim=-1)
    seen_N_V = all_N_V if entropy_gradient else all_N_V.detach()
    entropies_N = -(seen_N_V.exp() * seen_N_V).sum(-1)
    return all_N_V.gather(-1, targets_N[:, None]).squeeze(-1), entropies_N


class HeadLogprobs(torch.autograd.Function):
    """Hidden states [N, H] and a frozen head to log-probabilities [N], entropies [N], and whether each target is the
    most likely token, bool [N]; a block of rows at a time.

    The derivative of log p(y) by the hidden state is (W[y] - sum_v p(v) W[v]) / temperature, that of the
    entropy H is -sum_v p(v) (log p(v) + H) W[v] / temperature. They are formed in the forward pass while the
    probabilities are at hand, so no [N, V] tensor outlives its block.
    """

    @staticmethod
    def forward(ctx, hidden_N_H, weight_V_H, bias_V, targets_N, temperature, entropy_gradient):
        count, vocabulary = len(hidden_N_H), len(weight_V_H)
        logprobs_N = hidden_N_H.new_empty(count, dtype=torch.float32)
        entropies_N = torch.empty_like(logprobs_N)
        top1_N = torch.empty(count, dtype=torch.bool, device=hidden_N_H.device)
        slopes_N_H = torch.empty_like(hidden_N_H) if ctx.needs_input_grad[0] else None
        entropy_slopes_N_H = torch.empty_like(hidden_N_H) if ctx.needs_input_grad[0] and entropy_gradient else None
        block = max(MIN_HEAD_ROWS, HEAD_BLOCK.get(hidden_N_H.device.type, 1 << 26) // vocabulary)
        for start in range(0, count, block):
            part = slice(start, start + block)
            logits = torch.nn.functional.linear(hidden_N_H[part], weight_V_H, bias_V).float()
            if temperature != 1.0:
                logits.div_(temperature)
            top = logits.amax(-1, keepdim=True)
            logits.sub_(top)
            chosen = logits.gather(-1, targets_N[part, None]).squeeze(-1)
            top1_N[part] = chosen == 0
            weights = logits.exp()
            total = weights.sum(-1)
            log_total = total.log()
            logprobs_N[part] = chosen - log_total
            entropies_N[part] = log_total - logits.mul_(weights).sum(-1) / total
            if slopes_N_H is not None:
                weights.div_(total[:, None])
                mean = weights.to(weight_V_H.dtype) @ weight_V_H
                slopes_N_H[part] = (weight_V_H[targets_N[part]] - mean).div_(temperature)
            if entropy_slopes_N_H is not None:
                # `logits` holds total * p * (log p + log_total) by now: p * (log p + H) without another block.
                tilt = logits.div_(total[:, None]).add_(weights * (entropies_N[part] - log_total)[:, None])
                entropy_slopes_N_H[part] = (tilt.to(weight_V_H.dtype) @ weight_V_H).div_(-temperature)
        if slopes_N_H is not None:
            ctx.save_for_backward(slopes_N_H, *([] if entropy_slopes_N_H is None else [entropy_slopes_N_H]))
        ctx.mark_non_differentiable(top1_N, *([entropies_N] if entropy_slopes_N_H is None else []))
        return logprobs_N, entropies_N, top1_N

    @staticmethod
    def backward(ctx, grad_N, entropy_grad_N, _):
        slopes_N_H, *entropy_slopes = ctx.saved_tensors
        grad_N_H = slopes_N_H * grad_N[:, None].to(slopes_N_H.dtype)
        for entropy_slopes_N_H in entropy_slopes:
            grad_N_H = grad_N_H + entropy_slopes_N_H * entropy_grad_N[:, None].to(slopes_N_H.dtype)
        return grad_N_H, None, None, None, None, None

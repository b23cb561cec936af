"""The output head of a frozen model: hidden states to log-probabilities, entropies and their gradients, in tiles.

Whole logits are never held. A tile of rows and words is as large as `HEAD_BYTES` allows, whatever the vocabulary; the
softmax over the words is put together from tile to tile as flash attention does it over keys (Dao et al. 2022,
"FlashAttention", arXiv 2205.14135), and the gradient is formed while a tile is at hand, so that each product with the
head is computed once.

Shapes: N tokens without padding, R rows and C words of a tile, H hidden, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from train.numbers import products_dtype
from train.sharding import with_whole_ends

HEAD_BYTES = {"cpu": 1 << 21, "cuda": 1 << 28}
"""Bytes of a tile of float32 logits. On a CPU it stays in the second-level cache; on a GPU it bounds memory."""
TILE_ROWS = {"cpu": 512, "cuda": 2048}
"""Rows of a tile that cannot hold the whole vocabulary: enough to make each read of the head worth its while."""

SCALES = ("logit_scale", "output_multiplier", "lm_head_multiplier")
"""Names that configurations have for a factor of the logits (Cohere, Muse, Falcon-H1)."""


@dataclass(frozen=True, slots=True)
class Head:
    """logits = cap * tanh(scale * (hidden W' + bias) / cap), or without the tanh where `cap` is None."""

    linear: nn.Linear
    scale: float = 1.0
    cap: float | None = None

    def logits(self, hidden: Tensor) -> Tensor:
        """Float32 logits [..., V], whole: for a few tokens."""
        logits = self.linear(hidden).float() * self.scale
        return logits if self.cap is None else torch.tanh(logits / self.cap) * self.cap

    def logprobs(
        self, hidden_N_H: Tensor, targets_N: Tensor, temperature: float = 1.0, entropy_gradient: bool = False
    ) -> tuple[Tensor, Tensor, Tensor]:
        """(log-probabilities float32 [N], entropies float32 [N], whether each target is the most likely word, bool [N])
        of softmax(logits / temperature).

        The head itself gets no gradient, and entropies have one only on request: it costs another product with the
        head.
        """
        return _HeadLogprobs.apply(hidden_N_H, self, targets_N, temperature, entropy_gradient)


@torch.no_grad()
def find_head(model: PreTrainedModel) -> Head | None:
    """How `model` makes logits of its last hidden state; None where that is neither a plain, a scaled nor a soft-capped
    linear layer.

    The form is read from the configuration and tried on a few tokens. `model` must be in evaluation mode: with dropout
    two passes differ.
    """
    linear: Any = model.get_output_embeddings()
    if type(linear) is not nn.Linear:
        return None
    config = model.config.get_text_config()
    ids = torch.arange(min(8, config.vocab_size), device=model.device)[None]
    logits = model(input_ids=ids, use_cache=False).logits.float()
    cap = getattr(config, "final_logit_softcapping", None)
    heads = [Head(linear, scale, cap) for scale in _scales(config)]

    def by_head() -> list[Tensor]:
        hidden = model.get_decoder()(input_ids=ids, use_cache=False).last_hidden_state
        return [head.logits(hidden) for head in heads]

    found = with_whole_ends(model, by_head)
    # Between 16-bit numbers the order of scaling and rounding shows.
    close = (1e-3, 1e-4) if linear.weight.dtype == torch.float32 else (2e-2, 2e-2)
    for head, own in zip(heads, found, strict=True):
        if torch.allclose(own, logits, rtol=close[0], atol=close[1]):
            return head
    return None


def _scales(config: Any) -> list[float]:
    """Factors of the logits that a configuration may mean."""
    found = [getattr(config, name, None) for name in SCALES]
    scaling = getattr(config, "logits_scaling", None)  # Granite divides by it, HyperCLOVA X multiplies
    found += [1 / scaling, scaling] if scaling else []
    return [1.0, *(float(scale) for scale in found if scale)]


def tile_shape(rows: int, vocabulary: int, device: str) -> tuple[int, int]:
    """(rows, words) of a tile: the whole vocabulary where enough rows of it fit."""
    numbers, enough = HEAD_BYTES.get(device, 1 << 28) // 4, TILE_ROWS.get(device, 2048)
    if vocabulary * min(rows, enough // 2) <= numbers:
        return max(1, min(rows, numbers // vocabulary)), vocabulary
    rows = min(rows, enough)
    return rows, max(1, min(vocabulary, numbers // rows))


class _HeadLogprobs(torch.autograd.Function):
    """`Head.logprobs`, with its gradient by the hidden states.

    The derivative of log p(y) by the hidden state is (d(y) W[y] - sum_v p(v) d(v) W[v]) * scale / temperature, that of
    the entropy H is -sum_v p(v) (log p(v) + H) d(v) W[v] * scale / temperature, where d = 1 - tanh^2 is the slope of
    the cap, 1 without one.
    """

    @staticmethod
    def forward(ctx, hidden_N_H, head, targets_N, temperature, entropy_gradient):
        count, device = len(hidden_N_H), hidden_N_H.device
        logprobs_N = hidden_N_H.new_empty(count, dtype=torch.float32)
        entropies_N = torch.empty_like(logprobs_N)
        top1_N = torch.empty(count, dtype=torch.bool, device=device)
        wanted = int(ctx.needs_input_grad[0]) * (1 + bool(entropy_gradient))
        slopes = [torch.empty_like(hidden_N_H) for _ in range(wanted)]
        rows, words = tile_shape(max(1, count), len(head.linear.weight), device.type)
        for start in range(0, count, rows):
            part = slice(start, start + rows)
            block = _Block(hidden_N_H[part], head, targets_N[part], temperature, wanted)
            for first in range(0, len(head.linear.weight), words):
                block.add(slice(first, first + words))
            logprobs_N[part], entropies_N[part], top1_N[part] = block.results()
            for slopes_N_H, slopes_R_H in zip(slopes, block.slopes(), strict=True):
                slopes_N_H[part] = slopes_R_H
        ctx.save_for_backward(*slopes)
        ctx.mark_non_differentiable(top1_N, *([] if wanted == 2 else [entropies_N]))
        return logprobs_N, entropies_N, top1_N

    @staticmethod
    def backward(ctx, grad_N, entropy_grad_N, _):
        slopes_N_H, *entropy_slopes = ctx.saved_tensors
        grad_N_H = slopes_N_H * grad_N[:, None].to(slopes_N_H.dtype)
        for entropy_slopes_N_H in entropy_slopes:
            grad_N_H = grad_N_H + entropy_slopes_N_H * entropy_grad_N[:, None].to(slopes_N_H.dtype)
        return grad_N_H, None, None, None, None


class _Block:
    """Some rows on their way through the vocabulary.

    Sums over words are kept relative to the largest logit so far, `top`, and rescaled where a tile has a larger one:
    `total` of e = exp(logit - top), `tilt` of e (logit - top), `pull` [R, H] of e d W, and `tilted_pull` [R, H] of
    e (logit - top) d W.
    """

    def __init__(self, hidden_R_H: Tensor, head: Head, targets_R: Tensor, temperature: float, slopes: int) -> None:
        self._head, self._targets, self._slopes = head, targets_R, slopes
        self._dtype = products_dtype(head.linear.weight)
        self._hidden = hidden_R_H.to(self._dtype)
        self._temperature = temperature
        self._factor = head.scale / temperature
        self._top = self._total = self._tilt = self._chosen = self._chosen_slope = hidden_R_H.new_zeros(0)
        self._pulls: list[Tensor] = []

    def add(self, words: slice) -> None:
        """Takes one tile of the vocabulary."""
        weight_C_H = self._head.linear.weight[words].to(self._dtype)
        bias = self._head.linear.bias
        bias_C = None if bias is None else bias[words].to(self._dtype)
        logits = nn.functional.linear(self._hidden, weight_C_H, bias_C).float()
        cap_slopes = None
        if self._head.cap is not None:
            logits.mul_(self._head.scale / self._head.cap).tanh_()
            cap_slopes = 1 - logits.square() if self._slopes else None
            logits.mul_(self._head.cap / self._temperature)
        elif self._factor != 1.0:
            logits.mul_(self._factor)
        top = logits.amax(-1, keepdim=True)
        first = not len(self._top)
        if not first:
            top = torch.maximum(top, self._top)
            self._rescale(top)
        self._choose(logits, cap_slopes, words.start, first)
        self._top = top
        logits.sub_(top)
        weights = logits.exp()
        total = weights.sum(-1)
        logits.mul_(weights)
        tilt = logits.sum(-1)
        self._total, self._tilt = (total, tilt) if first else (self._total + total, self._tilt + tilt)
        for index, values in enumerate((weights, logits)[: self._slopes]):
            if cap_slopes is not None:
                values = values.mul_(cap_slopes)
            self._pull(index, values, weight_C_H)

    def results(self) -> tuple[Tensor, Tensor, Tensor]:
        """(log-probabilities, entropies, whether the target is the most likely word), each [R], after all tiles."""
        log_total, top = self._total.log(), self._top.squeeze(-1)
        return self._chosen - top - log_total, log_total - self._tilt / self._total, self._chosen >= top

    def slopes(self) -> list[Tensor]:
        """Derivatives [R, H] of log-probabilities and, where wanted, of entropies by the hidden states."""
        if not self._slopes:
            return []
        mean = self._pulls[0].div_(self._total[:, None])
        own = self._head.linear.weight[self._targets]
        if self._head.cap is not None:
            own = own.float() * self._chosen_slope[:, None]
        found = [(own - mean).mul_(self._factor)]
        if self._slopes == 2:
            # sum of p (log p + H): log p is (logit - top) - log total, and H - log total is -tilt / total.
            tilted = self._pulls[1].div_(self._total[:, None])
            found.append(tilted.sub_(mean * (self._tilt / self._total)[:, None]).mul_(-self._factor))
        return found

    def _rescale(self, top: Tensor) -> None:
        """Makes all sums relative to `top`, which is no smaller than the one they are relative to."""
        shift = self._top - top
        shrink = shift.exp()
        shift_R, shrink_R = shift.squeeze(-1), shrink.squeeze(-1)
        self._tilt = (self._tilt + shift_R * self._total) * shrink_R
        self._total = self._total * shrink_R
        if self._slopes == 2:
            self._pulls[1].add_(self._pulls[0] * shift).mul_(shrink)
        if self._slopes:
            self._pulls[0].mul_(shrink)

    def _choose(self, logits: Tensor, cap_slopes: Tensor | None, start: int, first: bool) -> None:
        """Notes the targets' own logits where they are in this tile."""
        place = self._targets - start
        inside, place = (place >= 0) & (place < logits.shape[-1]), place.clamp(0, logits.shape[-1] - 1)[:, None]
        chosen = logits.gather(-1, place).squeeze(-1)
        self._chosen = chosen if first else torch.where(inside, chosen, self._chosen)
        if cap_slopes is not None:
            slope = cap_slopes.gather(-1, place).squeeze(-1)
            self._chosen_slope = slope if first else torch.where(inside, slope, self._chosen_slope)

    def _pull(self, index: int, values_R_C: Tensor, weight_C_H: Tensor) -> None:
        if values_R_C.dtype == weight_C_H.dtype and index < len(self._pulls):
            self._pulls[index].addmm_(values_R_C, weight_C_H)
            return
        product = (values_R_C.to(weight_C_H.dtype) @ weight_C_H).float()
        if index < len(self._pulls):
            self._pulls[index].add_(product)
        else:
            self._pulls.append(product)

"""The policy objectives, as one pure function of tensors.

Shapes: B rows (samples), T completion positions, right-padded. Everything is float32 and zero (or anything
finite) on padding. All six losses share one form: a per-token loss times a per-token weight, summed; the
weights make sums over micro-batches and workers add up to the loss of the whole batch, however it is split.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from train.config import TrainConfig


@dataclass(frozen=True, slots=True, eq=False)
class LossInputs:
    """The inputs of a loss."""

    logprobs: Tensor
    """[B, T] the learner's, with gradient."""
    old_logprobs: Tensor
    """[B, T] what the ratio is taken to, without gradient."""
    sampler_logprobs: Tensor
    """[B, T] the sampler's own; NaN where it does not know it."""
    advantages: Tensor
    """[B, T]"""
    mask: Tensor
    """[B, T] 1 on completion tokens, 0 on padding."""
    total_rows: int
    """Rows of the whole batch, over all micro-batches and workers."""
    total_tokens: int
    """Completion tokens of the whole batch, over all micro-batches and workers."""
    reference_logprobs: Tensor | None = None
    """[B, T] those of the policy that the KL is to; needed where beta > 0."""
    chosen: Tensor | None = None
    """[B, T] 1 on tokens of high covariance; needed where covariance is not off. See `train.covariance`."""
    entropies: Tensor | None = None
    """[B, T] of the learner's next token, in nats, with gradient; needed where entropy_weight > 0."""
    entropy_weight: float = 0.0
    """Weight of the entropy bonus."""


@dataclass(frozen=True, slots=True, eq=False)
class LossOutputs:
    """The part of the batch's loss that these rows contribute, and its statistics."""

    loss: Tensor
    """Scalar with gradient. Summed over all parts it is the batch's loss."""
    sums: Mapping[str, Tensor]
    """Detached sums over tokens: divide by the tokens seen for a mean."""
    maxima: Mapping[str, Tensor]
    """Detached maxima over tokens."""


def policy_loss(inputs: LossInputs, config: TrainConfig) -> LossOutputs:
    """The configured objective on these rows.

    grpo (arXiv 2402.03300): mean over rows of each row's mean over tokens. dapo (2503.14476) and bnpo
    (2505.23585): mean over all tokens of the batch; they differ in dapo's higher upper clip, because
    normalising by the whole batch rather than by the micro-batch that a token is in makes them
    otherwise the same. dr_grpo (2503.20783): token sum over rows times `length_norm`. gspo (2507.18071):
    grpo with the ratio's geometric mean over the sequence. cispo (2506.13585): the capped ratio weights the
    log-probability, over all tokens. KL is the k3 estimator. On the chosen tokens clip_cov (2505.22617)
    leaves no policy gradient and kl_cov (same source) adds `covariance_beta` * |log ratio|; the authors'
    kl_cov has no clip, here the loss keeps its own. The entropy bonus is minus
    entropy_weight times each token's entropy, weighted as its loss. Raises ValueError where beta > 0 and no
    reference log-probabilities are given, where entropy_weight > 0 and no entropies are, and where covariance is not
    off and no tokens are chosen.
    """
    mask = inputs.mask
    log_ratio = inputs.logprobs - inputs.old_logprobs
    if config.loss == "gspo":
        log_ratio = (log_ratio * mask).sum(-1, keepdim=True) / mask.sum(-1, keepdim=True).clamp(min=1)
    ratio = log_ratio.exp()
    token_loss = _surrogate(ratio, inputs, config)
    if config.covariance == "clip_cov":
        token_loss = token_loss * (1 - _chosen(inputs))
    sums = {"ratio": _token_sum(ratio, mask)}
    maxima = {"ratio": _token_max(ratio, mask)}
    if config.correction != "off":
        weights = importance_weights(inputs.old_logprobs, inputs.sampler_logprobs, mask, config)
        token_loss = token_loss * weights
        sums["importance"], maxima["importance"] = _token_sum(weights, mask), _token_max(weights, mask)
    if config.beta > 0:
        if inputs.reference_logprobs is None:
            raise ValueError("beta > 0 needs the reference log-probabilities: give them or set beta=0")
        gap = inputs.reference_logprobs - inputs.logprobs
        divergence = gap.exp() - gap - 1
        token_loss = token_loss + config.beta * divergence
        sums["kl"] = _token_sum(divergence, mask)
    if config.covariance == "kl_cov":
        beta = 1.0 if config.covariance_beta is None else config.covariance_beta
        token_loss = token_loss + beta * _chosen(inputs) * log_ratio.abs()
    if config.covariance != "off":
        sums["covariance/chosen"] = _token_sum(_chosen(inputs), mask)
    if inputs.entropy_weight:
        if inputs.entropies is None:
            raise ValueError("entropy_weight > 0 needs the entropies: give them or set it to 0")
        token_loss = token_loss - inputs.entropy_weight * inputs.entropies
    loss = (token_loss * _token_weights(inputs, config)).sum()
    sums |= _clip_sums(ratio, inputs, config)
    return LossOutputs(loss, sums, maxima)


def importance_weights(old: Tensor, sampler: Tensor, mask: Tensor, config: TrainConfig) -> Tensor:
    """Weights [B, T] (token modes) or [B, 1] (sequence modes) that correct for the sampler not being the
    learner.

    exp(old - sampler), summed over the row first in sequence modes. truncate clamps the weight into
    [importance_floor, importance_cap]; mask zeroes it outside. A token whose sampler log-probability is NaN
    weighs 1.
    """
    log_weight = torch.nan_to_num((old - sampler) * mask, nan=0.0)
    if config.correction.startswith("sequence"):
        log_weight = log_weight.sum(-1, keepdim=True)
    weight = log_weight.exp()
    floor, cap = config.correction_range
    if config.correction.endswith("truncate"):
        return weight.clamp(min=floor, max=cap)
    outside = weight > cap
    if floor is not None:
        outside = outside | (weight < floor)
    return weight.masked_fill(outside, 0.0)


def _surrogate(ratio: Tensor, inputs: LossInputs, config: TrainConfig) -> Tensor:
    """Per-token policy loss [B, T] before weights and KL; `ratio` is [B, T] or [B, 1]."""
    low, high = config.clip_range
    if config.loss == "cispo":
        return -ratio.clamp(max=high).detach() * inputs.advantages * inputs.logprobs
    clipped = ratio.clamp(1 - low, 1 + high)
    if config.delta is not None:
        ratio = ratio.clamp(max=config.delta)
    return -torch.min(ratio * inputs.advantages, clipped * inputs.advantages)


def _chosen(inputs: LossInputs) -> Tensor:
    if inputs.chosen is None:
        raise ValueError("covariance needs its tokens chosen: give them or set covariance=off")
    return inputs.chosen


def _token_weights(inputs: LossInputs, config: TrainConfig) -> Tensor:
    """Each token's weight [B, T] in the batch's loss."""
    mask = inputs.mask
    if config.loss in ("grpo", "gspo"):
        return mask / (mask.sum(-1, keepdim=True).clamp(min=1) * max(inputs.total_rows, 1))
    if config.length_norm is not None:  # of dr_grpo alone
        return mask / (max(inputs.total_rows, 1) * config.length_norm)
    return mask / max(inputs.total_tokens, 1)


def _clip_sums(ratio: Tensor, inputs: LossInputs, config: TrainConfig) -> dict[str, Tensor]:
    """Tokens on which the clip is active, low and high (a sequence-level ratio counts with all its
    tokens)."""
    low, high = config.clip_range
    ratio, advantages = ratio.detach(), inputs.advantages
    if config.loss == "cispo":
        return {"clip/high": _token_sum((ratio > high) & (advantages > 0), inputs.mask)}
    return {
        "clip/low": _token_sum((ratio < 1 - low) & (advantages < 0), inputs.mask),
        "clip/high": _token_sum((ratio > 1 + high) & (advantages > 0), inputs.mask),
    }


def _token_sum(values: Tensor, mask: Tensor) -> Tensor:
    return (values.detach() * mask).sum()


def _token_max(values: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask.bool(), values.detach(), values.new_zeros(())).max()

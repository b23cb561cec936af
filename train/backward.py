"""One micro-batch forward and backward."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from train.batch import MicroBatch, TrainBatch
from train.config import TrainConfig
from train.loss import LossInputs, LossOutputs, policy_loss
from train.loss_scale import LossScale
from train.scorer import Scorer


@dataclass(frozen=True, slots=True)
class Pass:
    """What the pass of a micro-batch came to; tensors float32 [B, T], without gradient."""

    part: MicroBatch
    output: LossOutputs
    logprobs: Tensor
    entropies: Tensor
    old_logprobs: Tensor
    """What the ratios were taken to."""


def backward_pass(
    scorer: Scorer,
    config: TrainConfig,
    batch: TrainBatch,
    part: MicroBatch,
    reference: Tensor | None,
    old: Tensor | None,
    entropy_weight: float,
    scale: LossScale,
) -> Pass:
    """Adds the gradient of one part of the batch, times `scale`, to the adapter's.

    `reference` and `old` [B, T] are what the KL and the ratios are to. Without `old` the ratio is to this very pass or,
    as the configuration says, to the sampler.
    """
    logprobs, entropies = scorer.logprobs(part, config.temperature, entropy_gradient=entropy_weight > 0)
    if old is None:
        now = logprobs.detach()
        from_learner = config.old_logprobs == "learner"
        old = now if from_learner else torch.where(part.sampler_logprobs.isnan(), now, part.sampler_logprobs)
    inputs = LossInputs(
        logprobs=logprobs,
        old_logprobs=old,
        sampler_logprobs=part.sampler_logprobs,
        advantages=part.advantages,
        mask=part.mask,
        total_rows=len(batch.rows),
        total_tokens=batch.tokens,
        reference_logprobs=reference,
        chosen=part.chosen,
        entropies=entropies,
        entropy_weight=entropy_weight,
    )
    output = policy_loss(inputs, config)
    (output.loss * scale.value).backward()
    return Pass(part, replace(output, loss=output.loss.detach()), logprobs.detach(), entropies.detach(), old)

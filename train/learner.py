"""The learner: groups in, a better adapter out. Without Ray; alone or in a torch process group."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from problems.problem import Group
from rollout.policy import PolicyVersion
from train.backward import Pass, backward_pass
from train.base_model import base_and_identity
from train.batch import AVERAGED, MicroBatch, Row, TrainBatch, micro_batches
from train.compiled import compile_layers
from train.config import TrainConfig
from train.covariance import mark
from train.entropy_guard import guard_entropy
from train.finite import StepGuard
from train.lora import Adapter
from train.loss_scale import LossScale
from train.out_of_memory import with_one_retry
from train.schedule import learning_rate
from train.scorer import Scorer
from train.sharding import Lockstep, shard_base
from train.step_metrics import Gap, StepMetrics, batch_metrics, rank_and_world_size
from train.update import descend, overflows, reduced_gradient

LAUNCH_TOKENS = {"cpu": 96, "cuda": 4096}
"""Fixed cost of a forward and backward pass, in tokens that would take as long."""


@dataclass(frozen=True, slots=True)
class StepResult:
    """What one step did."""

    step: int
    """Steps taken so far, this one included."""
    updated: bool
    """False where no group was informative, or no gradient finite: the weights and the optimiser are as before."""
    metrics: Mapping[str, float]
    """Means are over completion tokens of all workers; seconds/*, micro_batches and padding are this rank's own."""
    gaps: Mapping[int, Gap]
    """By sampling policy version, before the update. Version `step` - 1 is the learner's own."""


class Learner:
    """Trains a LoRA adapter on groups.

    Deterministic: a step depends on the weights, the optimiser's state, the number of the step and its
    groups. In a process group every rank makes the same call with the same groups, trains on its shard, and
    ends with equal weights.
    """

    def __init__(self, model: str | Path | PreTrainedModel, config: TrainConfig, device: str = "auto") -> None:
        """Loads `model` (a folder, a Hugging Face id, or a model, which is then changed in place).

        Raises ValueError for a model that is not there and for options that it does not support.
        """
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.config, self.device = config, torch.device(device)
        base, identity = base_and_identity(model, config, self.device)
        base.requires_grad_(False)
        self.adapter = Adapter(base, config, identity)
        parameters = list(self.adapter.parameters.values())
        if config.shard:
            shard_base(base, parameters, self.device)
        if config.quantise == "none":  # else it is there, and bitsandbytes moves nothing
            self.adapter.model.to(self.device)
        self.adapter.model.eval()
        self.scorer = Scorer(base, config.share_prompts)
        if config.gradient_checkpointing:
            base.gradient_checkpointing_enable({"use_reentrant": False})
        if config.torch_compile:
            compile_layers(base)
        self.optimiser = torch.optim.AdamW(
            parameters,
            lr=config.learning_rate,
            betas=config.adam_betas,
            weight_decay=config.weight_decay,
            fused=True,
        )
        self.lockstep = Lockstep(base, self.device)
        self.lockstep.learn(self.scorer.trial)
        self.optimiser.zero_grad(set_to_none=True)
        self.steps_done = 0
        self.micro_batch_tokens = config.micro_batch_tokens
        """Less than the configuration's once memory did not suffice."""
        self.guard = StepGuard()
        self.scale = LossScale(self.adapter.dtype)
        self.entropy_weight = 0.0
        self.average: dict[str, Tensor] | None = None
        if config.ema_decay is not None:
            self.average = self.adapter.copy()
        self.reference: dict[str, Tensor] | None = None
        """The adapter that the KL is to; None for the base model."""
        self.reference_hash = ""
        """Of that adapter; "" for the base model."""

    def step(self, groups: Sequence[Group]) -> StepResult:
        """One training step on `groups` (all of the step's groups, on every rank).

        An update whose loss or gradient is not finite is skipped on all ranks and counted in `skipped_steps`: weights,
        optimiser and average are as before, while the step's number and with it schedule and policy version go on.
        Raises ValueError for groups that are not ready to be trained on and FloatingPointError, leaving the weights as
        they are, where `finite.MOST_IN_A_ROW` updates in a row had to be skipped. Where the device has no memory left,
        the step is done once more with half the micro-batch; OutOfMemory is raised where that is not enough.
        """
        started = self._clock()
        seconds: dict[str, float] = {}
        batch = TrainBatch.from_groups(groups, self.config)
        if self.config.covariance != "off":
            # The same on every rank: all must choose the same tokens.
            words = [self.config.seed & 0xFFFFFFFF, self.steps_done]
            batch = mark(batch, self.config, np.random.default_rng(words))
        seconds["prepare"] = self._clock() - started
        rate = learning_rate(self.config, self.steps_done)

        def attempt(parts: Sequence[MicroBatch]) -> tuple[Sequence[MicroBatch], StepMetrics, float, bool]:
            step_metrics = StepMetrics(sorted({row.policy_version for row in batch.rows}), self.device)
            if not batch.rows:
                return parts, step_metrics, 0.0, False
            with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
                torch.manual_seed(self._dropout_seed())
                return parts, step_metrics, *self._update(batch, parts, rate, step_metrics, seconds)

        def clear() -> bool:
            self.optimiser.zero_grad(set_to_none=True)
            return not seconds.get("optimiser")  # an epoch that was applied cannot be taken back

        (parts, step_metrics, norm, updated), self.micro_batch_tokens = with_one_retry(
            attempt,
            lambda tokens: self._micro_batches(batch, tokens),
            self.micro_batch_tokens,
            clear,
            alone=not self.config.shard,
        )
        metrics, gaps = step_metrics.summary(self.config.epochs)
        if (fresh := gaps.get(self.steps_done)) is not None:
            metrics["logprob_gap/fresh_max"] = fresh.max
        if (averaged := gaps.get(AVERAGED)) is not None:
            metrics["logprob_gap/averaged_mean"] = averaged.mean
        self.entropy_weight = guard_entropy(metrics, self.entropy_weight, self.config)
        if updated:
            self._average()
        self.steps_done += 1
        metrics |= {
            "grad_norm": norm,
            "skipped_steps": self.guard.skipped,
            "learning_rate": rate,
            **batch_metrics(batch, parts),
        }
        if self.scale.needed:
            metrics["loss_scale"] = self.scale.value
        if self.micro_batch_tokens < self.config.micro_batch_tokens:
            metrics["micro_batch_tokens"] = self.micro_batch_tokens
        seconds["step"] = self._clock() - started
        metrics |= {f"seconds/{name}": value for name, value in seconds.items()}
        return StepResult(self.steps_done, updated, metrics, gaps)

    @torch.no_grad()
    def score(
        self,
        prompt_ids: Sequence[int] | np.ndarray,
        completion_ids: Sequence[int] | np.ndarray,
        *,
        adapter: bool = True,
        temperature: float = 1.0,
    ) -> np.ndarray:
        """Log-probabilities float32 [completion length]; `adapter=False` gives the base model's.

        Where the base is sharded, the other workers do the same, or `go_along` with it.
        """
        completion = np.asarray(completion_ids)
        zeros = np.zeros(len(completion), dtype=np.float32)
        batch = MicroBatch.of([Row(0, np.asarray(prompt_ids), completion, zeros, zeros, 0)], self.device)
        with nullcontext() if adapter else self.adapter.off():
            (logprobs,) = self.lockstep.run(lambda _: self.scorer.logprobs(batch, temperature)[0], [batch])
            return logprobs[0].cpu().numpy()

    def go_along(self) -> None:
        """Takes part in another worker's `score`, for which a sharded base needs all workers."""
        self.lockstep.run(lambda _: None, ())

    def start_from(self, policy: PolicyVersion) -> None:
        """Loads an adapter before the first step, or before a saved state is resumed: the average begins there too, and
        the KL is to it unless the configuration says otherwise. Raises as `Adapter.load`."""
        self.adapter.load(policy)
        if self.average is not None:
            self.average = self.adapter.copy()
        if self.config.beta > 0 and self.config.reference == "start":
            self.reference, self.reference_hash = self.adapter.copy(), policy.adapter_hash

    def policy(self, run: str, number: int) -> PolicyVersion:
        """The adapter as it is now, as version `number` of `run`."""
        return self.adapter.export(run, number)

    def averaged_policy(self, run: str, number: int) -> PolicyVersion | None:
        """The moving average of the adapter, as version `number` of `run`; None where none is kept."""
        return None if self.average is None else self.adapter.export(run, number, self.average)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """The moving average in the adapter's place, for as long as the context lasts. Raises ValueError where none
        is kept."""
        if self.average is None:
            raise ValueError("this learner keeps no moving average: set ema_decay")
        with self.adapter.holding(self.average):
            yield

    @property
    def signature(self) -> dict[str, Any]:
        """What a saved state must agree on to be this learner's: base model and shape of the adapter."""
        config = self.adapter.config
        return {
            "base_model": self.adapter.base["fingerprint"],
            "lora_r": config["r"],
            "lora_alpha": config["lora_alpha"],
            "target_modules": config["target_modules"],
        }

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on besides configuration and groups.

        Schedule and dropout are functions of the step's number, so they have no state of their own.
        """
        return {
            "step": self.steps_done,
            "signature": self.signature,
            "adapter": {name: value.detach().cpu().clone() for name, value in self.adapter.parameters.items()},
            "optimiser": self.optimiser.state_dict(),
            "entropy_weight": self.entropy_weight,
            "loss_scale": (self.scale.value, self.scale.updates),
            "skipped": (self.guard.skipped, self.guard.in_a_row),
            "reference": self.reference_hash,
            "average": None if self.average is None else {n: v.cpu().clone() for n, v in self.average.items()},
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Resumes from `state`, bit for bit on the same kind of device.

        Raises ValueError, changing nothing, for the state of another base model or adapter shape.
        """
        for name, own in self.signature.items():
            if state["signature"][name] != own:
                raise ValueError(
                    f"the saved state has {name} {state['signature'][name]} and this learner {own}: resume with the "
                    "configuration and model it was saved with, or start a new run"
                )
        there, here = state.get("reference", ""), self.reference_hash
        if there and here and there != here:
            raise ValueError(
                f"the saved state's KL is to adapter {there}, and here it is to {here}: resume with the adapter that "
                "the run started from"
            )
        average = state.get("average")
        if self.average is not None and average is None:
            raise ValueError("the saved state has no average of the adapter: resume without ema_decay")
        self.adapter.load_tensors(state["adapter"], "of the saved state")
        self.optimiser.load_state_dict(state["optimiser"])
        self.steps_done = state["step"]
        self.entropy_weight = state.get("entropy_weight", 0.0)
        self.guard.skipped, self.guard.in_a_row = state.get("skipped", (0, 0))
        if self.scale.needed:
            self.scale.value, self.scale.updates = state.get("loss_scale", (self.scale.value, 0))
        if self.average is not None and average is not None:
            for name, value in self.average.items():
                value.copy_(average[name])

    def _micro_batches(self, batch: TrainBatch, tokens: int) -> list[MicroBatch]:
        """This worker's part of the batch, on the device, in micro-batches of at most so many tokens."""
        overhead = LAUNCH_TOKENS.get(self.device.type, 4096)
        rows = batch.shard(*rank_and_world_size())
        parts = micro_batches(rows, tokens, overhead, self.scorer.layout)
        return [MicroBatch.of(part, self.device, self.scorer.layout) for part in parts]

    def _update(
        self,
        batch: TrainBatch,
        parts: Sequence[MicroBatch],
        rate: float,
        step_metrics: StepMetrics,
        seconds: dict[str, float],
    ) -> tuple[float, bool]:
        """All epochs on the batch; returns the last gradient's norm before clipping, and whether any was applied."""
        began = self._clock()
        references = self._references(parts)
        seconds["reference"] = self._clock() - began
        seconds |= {"gradient": 0.0, "reduce": 0.0, "optimiser": 0.0}
        olds: list[Tensor] = []
        updated = False
        self.adapter.model.train(self.config.lora_dropout > 0 or self.config.gradient_checkpointing)
        for epoch in range(self.config.epochs):
            gradient, passes = self._gradient(batch, parts, references, olds, seconds)
            while self.scale.needed and overflows(gradient) and self.scale.shrink():
                if epoch == 0:
                    olds.clear()
                gradient, passes = self._gradient(batch, parts, references, olds, seconds)
            for done in passes:
                if epoch == 0:
                    step_metrics.add_gap(done.part, done.logprobs)
                step_metrics.add(done.part, done.output, done.entropies)
            began = self._clock()
            norm, applied = self._apply(gradient, rate)
            updated |= applied
            seconds["optimiser"] += self._clock() - began
        self.adapter.model.eval()
        step_metrics.reduce()
        return norm, updated

    def _gradient(
        self,
        batch: TrainBatch,
        parts: Sequence[MicroBatch],
        references: Sequence[Tensor | None],
        olds: list[Tensor],
        seconds: dict[str, float],
    ) -> tuple[Tensor, list[Pass]]:
        """The whole batch's gradient with the loss at its end, and what each micro-batch's pass came to.

        The first pass fills `olds`, what the ratios are taken to.
        """
        began = self._clock()

        def one(index: int) -> Pass:
            old = olds[index] if index < len(olds) else None
            return backward_pass(
                self.scorer, self.config, batch, parts[index], references[index], old, self.entropy_weight, self.scale
            )

        passes = self.lockstep.run(one, parts, backward=True)
        olds[:] = [done.old_logprobs for done in passes]
        loss = torch.zeros(1, device=self.device)
        for done in passes:
            loss += done.output.loss
        seconds["gradient"] += self._clock() - began
        began = self._clock()
        gradient = reduced_gradient(self.adapter.parameters.values(), loss)
        if self.scale.needed:
            gradient[:-1] /= self.scale.value
        seconds["reduce"] += self._clock() - began
        return gradient, passes

    def _references(self, parts: Sequence[MicroBatch]) -> list[Tensor | None]:
        """The reference's log-probabilities of each micro-batch, where the loss wants them."""
        if self.config.beta == 0:
            return [None] * len(parts)
        reference = self.adapter.off() if self.reference is None else self.adapter.holding(self.reference)
        with torch.no_grad(), reference:
            return self.lockstep.run(
                lambda index: self.scorer.logprobs(parts[index], self.config.temperature)[0], parts
            )

    def _apply(self, gradient: Tensor, rate: float) -> tuple[float, bool]:
        """Applies the gradient, clipped, unless it or the loss at its end is not finite.

        Returns its norm before that and whether it was applied: the same on all ranks, which hold the same vector.
        """
        loss, gradient = gradient[-1].item(), gradient[:-1]
        norm = gradient.norm().item()
        finite = math.isfinite(norm) and math.isfinite(loss)
        self.guard.observe(finite, f"the loss ({loss}) or the gradient ({norm}) of step {self.steps_done}")
        if finite:
            self.scale.keep()
            excess = norm / (self.config.max_grad_norm or math.inf)
            descend(self.optimiser, self.adapter.parameters.values(), gradient, rate, excess)
        return norm, finite

    @torch.no_grad()
    def _average(self) -> None:
        """Moves the average towards the adapter. Both factors are averaged, not their product."""
        if self.average is None or self.config.ema_decay is None:
            return
        for name, value in self.average.items():
            value.lerp_(self.adapter.parameters[name], 1 - self.config.ema_decay)

    def _dropout_seed(self) -> int:
        words = [self.config.seed & 0xFFFFFFFF, self.steps_done, rank_and_world_size()[0]]
        return int(np.random.SeedSequence(words).generate_state(1, np.uint64)[0] >> np.uint64(1))

    def _clock(self) -> float:
        """Seconds, after the device has finished its work."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        return time.perf_counter()

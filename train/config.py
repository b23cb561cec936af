"""What the learner does with a batch of groups: every choice that changes a weight or the cost of a step."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from problems.auto import AUTO
from problems.problem import GroupFilter

Loss = Literal["grpo", "dapo", "dr_grpo", "bnpo", "gspo", "cispo"]
Estimator = Literal["group_std", "mean_only", "leave_one_out"]
Correction = Literal["off", "token_truncate", "token_mask", "sequence_truncate", "sequence_mask"]
Covariance = Literal["off", "clip_cov", "kl_cov"]
Reference = Literal["start", "base"]

Positive = Annotated[float, Field(gt=0)]
Share = Annotated[float, Field(ge=0, lt=1)]

# Clip range (low, high) where the configuration leaves it open. GSPO's ratio is a geometric mean over the
# sequence and moves a thousand times less than a token's; CISPO has no lower bound and its upper one is a
# plain cap.
DEFAULT_CLIP: dict[str, tuple[float, float]] = {
    "grpo": (0.2, 0.2),
    "dapo": (0.2, 0.28),
    "dr_grpo": (0.2, 0.2),
    "bnpo": (0.2, 0.2),
    "gspo": (3e-4, 4e-4),
    "cispo": (0.0, 5.0),
}

DEFAULT_COVARIANCE_SHARE: dict[str, float] = {"clip_cov": 2e-4, "kl_cov": 2e-3}
"""Share of tokens chosen where the configuration leaves it open: the values of arXiv 2505.22617."""


class TrainConfig(BaseModel):
    """The learner's configuration. A field left at None takes the default of the chosen mode.

    Raises pydantic's ValidationError (a ValueError) for unknown keys, for values out of range and for any
    option that would have no effect in the chosen mode.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    loss: Loss = "grpo"
    """The policy objective; gspo takes its ratio per sequence, all others per token."""
    length_norm: Annotated[int, Field(ge=1)] | None = None
    """Tokens (the sampler's limit): dr_grpo divides each completion's sum by it; dr_grpo only."""
    beta: Annotated[float, Field(ge=0)] = 0.0
    """Weight of the KL to the reference; 0 saves its forward pass."""
    reference: Annotated[Reference, AUTO] = "base"
    """What that KL is to: the adapter that the run starts from, or the model without any, as a fresh adapter is."""
    epsilon_low: Share | None = None
    """The ratio is clipped below at 1 - epsilon_low."""
    epsilon_high: Positive | None = None
    """The ratio is clipped above at 1 + epsilon_high (at epsilon_high itself for cispo)."""
    delta: Annotated[float, Field(gt=1)] | None = None
    """Hard cap on the ratio also where the advantage is negative (two-sided clip); None for no cap."""
    old_logprobs: Literal["learner", "sampler"] = "learner"
    """What the ratio is taken to: the learner before the step, or the sampler itself."""
    importance_correction: Correction | None = None
    """Weight of tokens for the sampler's mismatch; None is token_truncate, or off for old_logprobs=sampler."""
    importance_cap: Positive | None = None
    """Largest correction weight: truncated to it, or masked beyond it; None is 2."""
    importance_floor: Positive | None = None
    """Smallest correction weight: truncated to it, or masked below it; None for no floor."""
    covariance: Covariance = "off"
    """What spares entropy at tokens of high covariance: clip_cov drops their gradient, kl_cov penalises their ratio."""
    covariance_share: Annotated[float, Field(gt=0, le=1)] | None = None
    """Share of a step's tokens that are chosen, at least one token; None is 0.0002 for clip_cov, 0.002 for kl_cov."""
    covariance_range: tuple[float, float] | None = None
    """clip_cov samples among tokens whose covariance lies between these; None is 1 to 5."""
    covariance_beta: Positive | None = None
    """kl_cov adds this times |log ratio| to the loss of each chosen token; None is 1."""
    entropy_alarm: Positive | None = None
    """Nats: a step whose mean token entropy is below this is noted in the log; nothing else changes."""
    entropy_floor: Positive | None = None
    """Nats: an entropy bonus in the loss gains weight by each step whose entropy is below this, and loses it above."""
    entropy_gain: Positive | None = None
    """How much weight the bonus gains or loses by a step; None is 0.005."""
    entropy_filter: Annotated[float, Field(ge=0)] | None = None
    """Leaves samples out whose mean -log p is below Q1 - this x (Q3 - Q1) of the step's, as M-GRPO does with 0.75."""
    entropy_filter_floor: Annotated[float, Field(ge=0)] | None = None
    """Nats: and those whose mean -log p is below this; None is 0.1."""
    temperature: Positive = 1.0
    """Sampling temperature of the rollouts: logits are divided by it before every log-softmax."""

    advantage: Estimator = "group_std"
    """Baseline and scale within a group: (r - mean)/std, r - mean, or r - mean of the others."""
    group_filter: GroupFilter = "outcome"
    """Drop groups whose outcomes are all the same, or whose rewards are all equal, or none."""

    lora_r: Annotated[int, AUTO, Field(ge=1, le=512)] = 8
    """Rank of the adapter."""
    lora_alpha: Annotated[Positive, AUTO] = 16.0
    """The adapter's output is scaled by lora_alpha / lora_r."""
    lora_dropout: Share = 0.0
    """Dropout before the adapter while training; the sampler has none, so above 0 the two disagree."""
    target_modules: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Names of the linear layers that get an adapter; all-linear is every one but the output head."""

    ema_decay: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay of a moving average of the adapter, kept in checkpoints; rollout.ema_samples samples from it."""
    learning_rate: Annotated[Positive, AUTO] = 3e-3
    """Peak learning rate of AdamW."""
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    """Course of the learning rate after warm-up; linear and cosine fall to 0 at the run's end, or at total_steps."""
    warmup_steps: Annotated[int, Field(ge=0)] = 0
    """Steps over which the learning rate rises from 0 to its peak."""
    total_steps: Annotated[int, Field(ge=1)] | None = None
    """Where linear and cosine end, if that is not the run's last step; without effect, so refused, for constant."""
    adam_betas: tuple[Share, Share] = (0.9, 0.99)
    """Decay of AdamW's first and second moments."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """AdamW's decoupled weight decay."""
    max_grad_norm: Positive | None = 1.0
    """The gradient is scaled down to this 2-norm; None for no clipping."""
    epochs: Annotated[int, Field(ge=1)] = 1
    """Optimiser updates made on each batch of groups, every one on the whole batch."""

    micro_batch_tokens: Annotated[int, AUTO, Field(ge=1)] = 8192
    """Tokens of a packed sequence, each run forward at once: bounds activation memory, never changes the result."""
    share_prompts: bool | None = None
    """Run each prompt once for all samples of its group; None is yes wherever the model allows it."""
    gradient_checkpointing: Annotated[bool, AUTO] = False
    """Recompute activations in the backward pass: less memory, a third more time."""
    torch_compile: bool = False
    """Compile the layers: the first step takes minutes, later ones are faster. Needs Triton or, on a CPU, g++."""
    dtype: Annotated[Literal["auto", "float32", "bfloat16", "float16"], AUTO] = "auto"
    """Of the base model; auto is bfloat16 on a GPU, else float32; float16 is for GPUs. Adapters stay float32."""
    quantise: Literal["none", "nf4", "int8"] = "none"
    """Hold the learner's base in 4 bits (nf4, as QLoRA) or 8, unlike the engines': on GPUs, with bitsandbytes."""
    workers: Annotated[int, AUTO, Field(ge=0)] = 1
    """Learner processes that share each batch; 0 runs the learner inside the caller's process."""
    shard: bool = False
    """Split the base over the workers (FSDP), for models that no single device holds: the same result, slower steps."""
    checkpoint_every: Annotated[int, Field(ge=1)] = 10
    """Steps between checkpoints."""
    keep_checkpoints: Annotated[int, Field(ge=1)] = 3
    """Newest checkpoints kept on disk."""
    seed: int = 0
    """Of the adapter's first weights and of dropout."""

    @model_validator(mode="after")
    def _every_option_has_an_effect(self) -> Self:
        for problem in (
            *self._objective_problems(),
            *self._entropy_problems(),
            *self._schedule_problems(),
            *self._sharding_problems(),
        ):
            raise ValueError(problem)
        return self

    def _objective_problems(self):
        if self.loss == "dr_grpo" and self.length_norm is None:
            yield "loss dr_grpo divides by a constant length: set length_norm to the sampler's token limit"
        if self.loss != "dr_grpo" and self.length_norm is not None:
            yield f"length_norm has no effect on loss {self.loss}: remove it or use dr_grpo"
        if self.loss == "cispo":
            for name in ("epsilon_low", "delta"):
                if getattr(self, name) is not None:
                    yield f"{name} has no effect on loss cispo, which caps the ratio at epsilon_high: set that"
        if self.epochs == 1 and self.old_logprobs == "learner":
            for name in ("epsilon_low", "epsilon_high", "delta"):
                if getattr(self, name) is not None:
                    yield (
                        f"{name} has no effect with epochs=1 and old_logprobs=learner, where the ratio is exactly 1: "
                        f"set epochs to 2 or more, set old_logprobs=sampler, or remove {name}"
                    )
        if self.old_logprobs == "sampler" and self.importance_correction not in (None, "off"):
            yield (
                f"importance_correction {self.importance_correction} has no effect with old_logprobs=sampler, where "
                "the ratio itself is taken to the sampler: set it to off or use old_logprobs=learner"
            )
        if self.correction == "off":
            for name in ("importance_cap", "importance_floor"):
                if getattr(self, name) is not None:
                    yield f"{name} has no effect while importance correction is off: remove it"
        if self.importance_floor is not None and self.importance_floor >= self.correction_range[1]:
            yield f"importance_floor {self.importance_floor} must be below importance_cap {self.correction_range[1]}"

    def _entropy_problems(self):
        if self.covariance == "off" and self.covariance_share is not None:
            yield "covariance_share has no effect while covariance is off: remove it or use clip_cov or kl_cov"
        if self.covariance != "clip_cov" and self.covariance_range is not None:
            yield f"covariance_range has no effect on covariance {self.covariance}: remove it or use clip_cov"
        if self.covariance != "kl_cov" and self.covariance_beta is not None:
            yield f"covariance_beta has no effect on covariance {self.covariance}: remove it or use kl_cov"
        if self.covariance_range is not None and self.covariance_range[0] >= self.covariance_range[1]:
            yield f"covariance_range {self.covariance_range} is empty: give the lower bound first"
        if self.covariance != "off" and self.loss == "gspo":
            yield (
                f"covariance {self.covariance} has no effect token by token on loss gspo, where a sequence has but one "
                "ratio: use another loss or remove it"
            )
        if self.covariance == "kl_cov" and self.epochs == 1 and self.old_logprobs == "learner":
            yield (
                "covariance kl_cov has no effect with epochs=1 and old_logprobs=learner, where the ratio is exactly 1: "
                "set epochs to 2 or more, set old_logprobs=sampler, or use clip_cov"
            )
        if self.entropy_filter is None and self.entropy_filter_floor is not None:
            yield "entropy_filter_floor has no effect without entropy_filter: set that, 0.75 say, or remove it"
        if self.entropy_floor is None and self.entropy_gain is not None:
            yield "entropy_gain has no effect without entropy_floor: set the floor or remove it"

    def _schedule_problems(self):
        if self.schedule == "constant" and self.total_steps is not None:
            yield "total_steps has no effect on schedule constant: remove it or use linear or cosine"
        if self.total_steps is not None and self.warmup_steps >= self.total_steps:
            yield f"warmup_steps {self.warmup_steps} must be below total_steps {self.total_steps}"
        if isinstance(self.target_modules, tuple) and not self.target_modules:
            yield "target_modules is empty, so nothing would be trained: name layers or use all-linear"

    def _sharding_problems(self):
        if self.shard and self.workers < 2:
            yield (
                f"shard splits the base over several workers, and workers is {self.workers}: set workers to 2 or more, "
                "or remove shard"
            )
        if self.shard and self.torch_compile:
            yield "torch_compile cannot compile layers whose weights come and go with shard: remove one of the two"
        if self.shard and self.quantise != "none":
            yield f"shard cannot split weights of quantise {self.quantise}: remove one of the two"

    @property
    def clip_range(self) -> tuple[float, float]:
        """Effective (epsilon_low, epsilon_high)."""
        low, high = DEFAULT_CLIP[self.loss]
        return (
            low if self.epsilon_low is None else self.epsilon_low,
            high if self.epsilon_high is None else self.epsilon_high,
        )

    @property
    def correction(self) -> Correction:
        """Effective importance correction."""
        if self.importance_correction is not None:
            return self.importance_correction
        return "token_truncate" if self.old_logprobs == "learner" else "off"

    @property
    def knows_sampler(self) -> bool:
        """Whether the loss weighs each token by its probability under the sampler."""
        return self.old_logprobs == "sampler" or self.correction != "off"

    @property
    def correction_range(self) -> tuple[float | None, float]:
        """Effective (floor, cap) of the correction weights."""
        return self.importance_floor, 2.0 if self.importance_cap is None else self.importance_cap

    @property
    def lowest_entropy(self) -> float:
        """Effective floor of the bound below which a sample's entropy leaves it out."""
        return 0.1 if self.entropy_filter_floor is None else self.entropy_filter_floor

    @property
    def chosen_share(self) -> float:
        """Effective share of tokens that `covariance` chooses; 0 while it is off."""
        if self.covariance == "off":
            return 0.0
        return self.covariance_share or DEFAULT_COVARIANCE_SHARE[self.covariance]

    @property
    def chosen_range(self) -> tuple[float, float]:
        """Effective bounds of the covariance that clip_cov samples from."""
        return self.covariance_range or (1.0, 5.0)

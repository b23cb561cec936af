"""Settings of the rollout room."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from problems.auto import AUTO

LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""Ranks for which vLLM has room (`max_lora_rank`); an adapter of another rank needs the next larger one."""


def lora_rank_room(rank: int) -> int:
    """The smallest `max_lora_rank` of vLLM that holds adapters of `rank`. Raises ValueError, naming the fix."""
    for room in LORA_RANKS:
        if 0 < rank <= room:
            return room
    raise ValueError(f"lora_r {rank} is not one that vLLM accepts; use a rank between 1 and {LORA_RANKS[-1]}")


LONGEST_STOP, MOST_STOPS = 64, 16
"""Characters of a text that ends an answer, and how many of them there may be."""


class Sampling(BaseModel):
    """How completions are sampled."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    temperature: float = Field(default=1.0, ge=0)
    """0 is greedy."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Nucleus mass. Training needs 1: a cut distribution is not the one that the learner differentiates."""
    max_tokens: Annotated[int, AUTO] = Field(default=192, ge=1)
    """Longest completion, in tokens; one that reaches it counts as truncated."""
    stop: tuple[str, ...] | None = None
    """Texts that end an answer where they are written, which is a natural end. None: those that the form of the prompt
    implies, as where a base model is shown examples and would go on with the next question; () for none."""
    top_k: int = Field(default=0, ge=0)
    """Only so many of the likeliest tokens are drawn from; 0 for all."""
    min_p: float = Field(default=0.0, ge=0, le=1)
    """Tokens less likely than this share of the likeliest one are not drawn."""
    repetition_penalty: float = Field(default=1.0, gt=0)
    """Above 1, tokens that were written before become less likely."""

    @field_validator("stop")
    @classmethod
    def _says_something(cls, stop: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if stop is not None and not all(0 < len(text) <= LONGEST_STOP for text in stop):
            raise ValueError(f"stop: each text has 1 to {LONGEST_STOP} characters; to have none, give an empty list")
        if stop is not None and len(stop) > MOST_STOPS:
            raise ValueError(f"stop: {len(stop)} texts; {MOST_STOPS} is the most")
        return stop


class EngineConfig(BaseModel):
    """One vLLM engine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backend: Literal["auto", "in_process", "async"] = "auto"
    """in_process steps vLLM in the actor's own process (CPU); async runs AsyncLLM (GPU); auto chooses by device."""
    dtype: Annotated[Literal["auto", "float32", "bfloat16", "float16"], AUTO] = "auto"
    """Numbers of the weights; auto is float32 on CPU, and on a GPU bfloat16 where it computes in that."""
    max_model_len: Annotated[int, AUTO] = Field(default=1024, ge=16)
    """Longest prompt plus completion, in tokens."""
    max_sequences: Annotated[int, AUTO] = Field(default=64, ge=1)
    """Sequences decoded at once."""
    max_batched_tokens: Annotated[int, AUTO] = Field(default=8192, ge=16)
    """Tokens that one forward pass may hold: prompts are read in pieces of this many. On CPU a prompt is read whole, so
    that it is never less than max_model_len there."""
    kv_cache_gib: Annotated[float, AUTO] = Field(default=0.5, gt=0)
    """Memory for keys and values on CPU, in GiB."""
    gpu_memory_share: Annotated[float, AUTO] = Field(default=0.45, gt=0, lt=1)
    """Share of a GPU's memory that an engine may use."""
    tensor_parallel: Annotated[int, AUTO] = Field(default=1, ge=1)
    """GPUs over which one engine's weights are split."""
    enforce_eager: Annotated[bool, AUTO] = True
    """Skip compilation and CUDA graphs: starts faster, decodes slower on large GPUs."""
    canary_bound: float | None = Field(default=None, gt=0)
    """Mean |engine - learner| log-probability over a canary's tokens above which a run stops, in nats.

    None: by the coarser dtype of the two, 0.001 in float32, 0.05 in float16, 0.25 in bfloat16, and where train.quantise
    is int8 or nf4, 0.5 or 1. It is for gross faults, such as another base model: that an adapter is loaded is proven by
    the checksums of its tensors.
    """
    patience_seconds: float = Field(default=600.0, gt=0)
    """An engine that answers nothing for so many seconds is out: work and policies go to the others."""
    start_seconds: float = Field(default=1200.0, gt=0)
    """Seconds that an engine may take to start; its wait for the model's download does not count while bytes come."""

    @model_validator(mode="after")
    def _has_room_for_a_token_each(self) -> EngineConfig:
        if self.max_batched_tokens <= self.max_sequences:
            raise ValueError(
                f"max_batched_tokens {self.max_batched_tokens} is no more than max_sequences {self.max_sequences}, and "
                "each of them has a token in every forward pass: raise the one or lower the other"
            )
        return self


class RolloutConfig(BaseModel):
    """Who answers, how often, and how far behind the learner it may be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    group_size: Annotated[int, AUTO] = Field(default=8, ge=1)
    """G: completions sampled for one problem."""
    ema_samples: int = Field(default=0, ge=0)
    """How many of the G are sampled from the moving average of the policy (train.ema_decay), which is steadier."""
    groups_per_step: Annotated[int, AUTO] = Field(default=8, ge=1)
    """Groups that one optimiser step learns from."""
    max_staleness: Annotated[int, AUTO] = Field(default=0, ge=0)
    """S: versions by which a sample may lag behind the step that trains on it; 0 is synchronous training."""
    refill: int = Field(default=0, ge=0)
    """Times `groups_per_step` more groups that a step may ask for to replace those whose outcomes are all alike."""
    sampling: Sampling = Sampling()
    """How training completions are sampled."""
    engines: Annotated[int, AUTO] = Field(default=1, ge=1)
    """Engines that share the work."""
    engine: EngineConfig = EngineConfig()
    """Each engine."""
    lease_size: int = Field(default=2, ge=1)
    """Problems that travel together through the stream; more cost less a problem and are verified later."""
    lease_seconds: float = Field(default=600.0, gt=0)
    """After so many seconds without an answer a leased problem is looked for; earlier, after three times the longest
    answer so far, where answers are quicker.

    It is issued again where nobody has it in hand, or an engine has sampled it for three times as long as its longest
    possible answer takes at the speed that was measured: waiting for an engine does not count.
    """

    @property
    def live_adapters(self) -> int:
        """Adapters of one run that an engine must have room for at once."""
        return (self.max_staleness + 1) * (2 if self.ema_samples else 1)

    @model_validator(mode="after")
    def _trainable(self) -> RolloutConfig:
        if self.group_size < 2:
            raise ValueError(
                "group_size 1 gives every sample an advantage of zero, since a group is its own baseline; use 2 or more"
            )
        if self.ema_samples >= self.group_size:
            raise ValueError(
                f"ema_samples {self.ema_samples} leaves none of the group_size {self.group_size} to the "
                f"policy; use {self.group_size - 1} or less"
            )
        plain = Sampling()
        for name in ("top_p", "top_k", "min_p", "repetition_penalty"):
            if getattr(self.sampling, name) != (neutral := getattr(plain, name)):
                raise ValueError(
                    f"sampling.{name} must be {neutral:g} for training: its log-probabilities are of the whole "
                    "distribution; evaluation may cut it"
                )
        if self.sampling.temperature == 0:
            raise ValueError("sampling.temperature 0 makes all samples of a group alike; use 1.0 to train")
        return self

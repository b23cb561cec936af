"""What supervised fine-tuning does with worked answers: every choice that changes a weight or the cost of a step."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from problems.auto import AUTO
from train.config import TrainConfig


class SFTConfig(BaseModel):
    """How an adapter learns from worked answers by TRL's SFTTrainer."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    full: bool = False
    """Train all weights of the model in place of an adapter: what comes of it is a whole model, in `model/`."""
    lora_r: Annotated[int, AUTO] = Field(default=16, ge=1, le=512)
    """Rank of the adapter."""
    lora_alpha: Annotated[float, AUTO] = Field(default=32.0, gt=0)
    """The adapter's output is scaled by lora_alpha / lora_r."""
    lora_dropout: float = Field(default=0.05, ge=0, lt=1)
    """Dropout before the adapter while training."""
    target_modules: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    """Names of the linear layers that get an adapter; all-linear is every one but the output head."""

    epochs: float = Field(default=3.0, gt=0)
    """Times that every example is seen."""
    batch_size: Annotated[int, AUTO] = Field(default=1, ge=1)
    """Examples in one forward pass of a worker."""
    grad_accumulation: Annotated[int, AUTO] = Field(default=8, ge=1)
    """Forward passes before an update: it sees batch_size x grad_accumulation x workers examples."""
    optimiser: Literal["adamw", "muon"] = "adamw"
    """muon (Jordan et al. 2024) orthogonalises each update and learns a tiny model several times faster."""
    learning_rate: Annotated[float, AUTO] = Field(default=2e-4, gt=0)
    """Peak learning rate."""
    schedule: Literal["constant", "linear", "cosine"] = "cosine"
    """Course of the learning rate after warm-up; linear and cosine fall to 0 at the end."""
    warmup: float = Field(default=0.1, ge=0, lt=1)
    """Share of the updates over which the learning rate rises from 0 to its peak."""
    weight_decay: float = Field(default=0.01, ge=0)
    """Decoupled weight decay."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """The gradient is scaled down to this 2-norm."""

    max_length: int = Field(default=2048, ge=16)
    """Longest prompt plus completion, in tokens. Nothing is ever cut to it."""
    too_long: Literal["fail", "drop", "keep"] = "fail"
    """Examples beyond max_length: end the run, leave them out, or train on them whole; each is reported."""
    no_thinking: Literal["fail", "drop"] = "drop"
    """Traces without reasoning, where the prompt's style is think: training on them would teach to skip it."""

    val_share: float = Field(default=0.1, ge=0, lt=1)
    """Share of the questions held out to choose the best checkpoint by; no question is on both sides. 0 learns from all
    of them and keeps the last adapter."""
    evaluations_per_epoch: int = Field(default=1, ge=1)
    """Checkpoints, each with the validation loss where anything is held out."""
    patience: int = Field(default=2, ge=0)
    """Validation losses without improvement after which training stops early; 0 never stops early."""

    gradient_checkpointing: Annotated[bool, AUTO] = False
    """Recompute activations in the backward pass: less memory, a third more time."""
    dtype: Annotated[Literal["auto", "float32", "bfloat16"], AUTO] = "auto"
    """Of the base model; auto is bfloat16 on a GPU, float32 elsewhere. Adapters stay float32."""
    workers: Annotated[int, AUTO] = Field(default=1, ge=1)
    """Learner processes of Ray Train that share each batch."""
    seed: int = 42
    """Of the adapter's first weights, the split and the order of examples."""

    @field_validator("dtype", mode="before")
    @classmethod
    def _numbers_of_trl(cls, dtype: Any) -> Any:
        if dtype == "float16":
            raise ValueError("float16 is for GRPO alone, whose learner scales its losses: use bfloat16, or float32")
        return dtype

    @model_validator(mode="after")
    def _every_option_has_an_effect(self) -> SFTConfig:
        if isinstance(self.target_modules, tuple) and not self.target_modules:
            raise ValueError("target_modules is empty, so nothing would be trained: name layers or use all-linear")
        if self.full and self.optimiser == "muon":
            raise ValueError(
                "optimiser muon is for matrices alone, and full trains embeddings and norms too: leave it out, or full"
            )
        if not self.val_share and self.patience != type(self).model_fields["patience"].default:
            raise ValueError("patience counts validation losses, so it has no effect with val_share 0: leave it out")
        return self

    @property
    def adapter(self) -> TrainConfig:
        """The same adapter, as the GRPO learner describes it."""
        return TrainConfig(
            lora_r=self.lora_r,
            lora_alpha=self.lora_alpha,
            lora_dropout=self.lora_dropout,
            target_modules=self.target_modules,
            seed=self.seed,
            dtype=self.dtype,
        )

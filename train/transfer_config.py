"""Configuration of `train.transfer`, readable without torch."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from train.config import TrainConfig


class TransferConfig(BaseModel):
    """How an adapter learns from worked answers."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    lora_r: int = Field(8, ge=1, le=512)
    """Rank of the adapter."""
    lora_alpha: float = Field(16.0, gt=0)
    """The adapter's output is scaled by lora_alpha / lora_r."""
    lora_dropout: float = Field(0.05, ge=0, lt=1)
    """Dropout before the adapter while training."""
    target_modules: tuple[str, ...] = ("q_proj", "v_proj")
    """Names of the linear layers that get an adapter."""
    learning_rate: float = Field(2e-4, gt=0)
    """Peak learning rate of AdamW; it falls linearly to 0."""
    warmup: float = Field(0.1, ge=0, lt=1)
    """Share of the updates over which it rises first."""
    epochs: int = Field(3, ge=1)
    """Times that each row is learnt from."""
    batch_size: int = Field(8, ge=1)
    """Rows an update."""
    max_length: int = Field(1024, ge=2)
    """Longest row, in tokens, prompt and completion together; a longer one is refused, never cut."""
    seed: int = 0
    """Of the adapter's first weights, the order of rows and dropout."""

    @property
    def adapter(self) -> TrainConfig:
        """The adapter's shape, as the learner's configuration says it."""
        return TrainConfig(
            lora_r=self.lora_r,
            lora_alpha=self.lora_alpha,
            lora_dropout=self.lora_dropout,
            target_modules=self.target_modules,
            seed=self.seed,
        )

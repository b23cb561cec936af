"""What direct preference optimisation does with pairs of a right and a wrong completion."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from problems.auto import AUTO


class DPOConfig(BaseModel):
    """How an adapter learns to prefer verified completions, by TRL's DPOTrainer (Rafailov et al. 2023)."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    stage: Literal["after", "instead"] = "after"
    """After an iteration's fine-tuning, or instead of it."""
    pairs_per_problem: int = Field(default=2, ge=1)
    """Pairs of one problem, of different programs, at most."""
    beta: float = Field(default=0.1, gt=0)
    """How strongly the policy is held to where it started: the weight of the implied KL."""
    sft_weight: float = Field(default=1.0, ge=0)
    """Weight of the right completions' own likelihood; the preference alone may lower that of both."""
    epochs: float = Field(default=1.0, gt=0)
    """Times that each pair is seen."""
    batch_size: Annotated[int, AUTO] = Field(default=4, ge=1)
    """Pairs in one forward pass."""
    grad_accumulation: Annotated[int, AUTO] = Field(default=1, ge=1)
    """Forward passes before an update."""
    learning_rate: Annotated[float, AUTO] = Field(default=2e-4, gt=0)
    """Peak learning rate of AdamW; it falls linearly to 0."""
    warmup: float = Field(default=0.1, ge=0, lt=1)
    """Share of the updates over which it rises first."""
    max_grad_norm: float = Field(default=1.0, gt=0)
    """The gradient is scaled down to this 2-norm."""

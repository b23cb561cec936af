"""Settings of `crucible sweep`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from pipelines.config import GRPOConfig, RunConfig
from pipelines.publish.config import NO_PUSH


class SweepConfig(RunConfig):
    """Many GRPO runs on one fleet of engines: which settings learn best, by held-out skill."""

    unused: ClassVar[Mapping[str, str]] = {
        **{f"grpo.{key}": reason for key, reason in GRPOConfig.unused.items()},
        **NO_PUSH,
        **{f"grpo.{key}": reason for key, reason in NO_PUSH.items()},
        "grpo.name": "trials are named by the sweep; set name",
        "grpo.runs": "trials lie in the sweep's folder; set runs",
        "grpo.seed": "every trial has one of seeds",
        "grpo.require": "the best of the trials is what a sweep looks for",
    }

    space: tuple[str, ...] = ("beta=0,0.05", "num_generations=4,8", "lora_r=4,16")
    """What is varied: KEY=VALUE,VALUE,... or KEY=uniform(a,b), loguniform(a,b), randint(a,b). Keys are the dotted ones
    of `grpo`; beta, num_generations, lora_r and lr are short for what they say."""
    seeds: tuple[int, ...] = (0,)
    """Every setting is run with each: differences between settings come with intervals over them."""
    search: Literal["grid", "random", "optuna"] = "grid"
    """grid: all combinations; random: `trials` draws; optuna: `trials` draws guided by earlier trials."""
    trials: int = Field(default=8, ge=1)
    """Settings that random and optuna draw."""
    scheduler: Literal["none", "asha", "pbt"] = "asha"
    """asha stops trials that fall behind at its rungs; pbt has the last copy the first and vary its setting."""
    grace_steps: int = Field(default=10, ge=1)
    """asha: steps before a trial may be stopped, and the first rung. pbt: steps between exchanges."""
    reduction: int = Field(default=2, ge=2)
    """asha: at each rung one in this many goes on; rungs are this factor apart."""
    report_every: int = Field(default=5, ge=1)
    """Steps between a trial's reports; a report's score is the mean pass rate over them, on problems not yet seen."""
    concurrency: int = Field(default=4, ge=1)
    """Trials at once."""
    dedicated: bool = False
    """Every trial starts engines of its own instead of sharing the sweep's."""
    seed: int = 0
    """Of the search."""
    grpo: GRPOConfig = GRPOConfig()
    """The run that is varied. Trials are measured on the val split, the winner on `grpo.evaluation.split`."""

    @model_validator(mode="after")
    def _fits(self) -> SweepConfig:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise ValueError("seeds must be one or more different numbers")
        if self.search == "optuna" and len(self.seeds) > 1:
            raise ValueError("search optuna proposes one trial after another and takes one seed; use grid or random")
        if self.grpo.evaluation.split == "val":
            raise ValueError("grpo.evaluation.split val chooses the winner, and cannot measure it too: use test")
        every = self.grpo.train.checkpoint_every
        if self.scheduler == "pbt" and every != type(self.grpo.train).model_fields["checkpoint_every"].default:
            raise ValueError("grpo.train.checkpoint_every has no effect with scheduler pbt: set report_every")
        if self.scheduler != "none" and self.grace_steps % self.report_every:
            raise ValueError(
                f"grace_steps {self.grace_steps} is no multiple of report_every {self.report_every}: no report would "
                f"meet a rung"
            )
        return self

    def idle(self) -> dict[str, tuple[str, str]]:
        """See `pipelines.config.refuse_idle`."""
        found: dict[str, tuple[str, str]] = {}
        if self.search == "grid":
            found |= dict.fromkeys(("trials", "seed"), ("search", "grid"))
        if self.scheduler != "asha":
            found["reduction"] = ("scheduler", self.scheduler)
        if self.scheduler == "none":
            found["grace_steps"] = ("scheduler", "none")
        if not any(text.partition("=")[0].strip() in ("beta", "train.beta") for text in self.space):
            found |= {f"grpo.{key}": (f"grpo.{decides}", value) for key, (decides, value) in self.grpo.idle().items()}
        return found

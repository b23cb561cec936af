"""Configuration of `crucible expert-iteration`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from cluster.hardware import HardwareConfig
from cluster.recipes import Kind
from pipelines.config import (
    ANSWERS_TOGETHER,
    NO_CANARY,
    NO_FULL,
    NO_REWARD,
    NO_TEACHER,
    STUDENT,
    EvaluationConfig,
    JobConfig,
    RunConfig,
)
from pipelines.jobs.expert.replay_mix import ReplayOrder
from pipelines.jobs.rollback import check_patience
from pipelines.measure.conditions import Conditions
from pipelines.trace_config import Places, TraceDataConfig
from problems.auto import AUTO, is_auto
from problems.questions import QuestionsConfig
from rollout.config import EngineConfig, lora_rank_room
from rollout.prompts import PromptConfig
from train.dpo_config import DPOConfig
from train.sft_config import SFTConfig
from verify.config import VerifyConfig

FOCUS = ("remove_duplicates", "fibonacci")
GENERAL = ("max_subarray", "binary_search")
DIFFICULTIES = (1, 2, 3, 4, 5)
SEEDS_APART = 1000
"""Between the sampling seeds of two runs, so that no iteration of one samples as an iteration of another."""


def _fixed(config: DPOConfig) -> dict[str, object]:
    """Without what follows the model, which is filled whether it is used or not."""
    return {name: getattr(config, name) for name, field in DPOConfig.model_fields.items() if not is_auto(field)}


class ExpertConfig(RunConfig):
    """Teaches a model a few families from its own verified samples, and keeps what else it knows.

    Each iteration samples new training problems, keeps the programs that pass every hidden test, each once, mixes them
    with replay, fine-tunes one adapter, and measures focus and general validation. Where either falls beyond its paired
    interval, the iteration is rolled back. The best iteration is measured on test problems that chose nothing.
    """

    recipe_kind: ClassVar[Kind] = "expert"
    unused: ClassVar[Mapping[str, str]] = {
        **ANSWERS_TOGETHER, **NO_CANARY, **NO_REWARD, **NO_FULL, **NO_TEACHER,
        "focus.curriculum": "every iteration asks all difficulties",
        "general.curriculum": "every iteration asks all difficulties",
        "focus.seed": "set seed",
        "general.seed": "set seed",
        "sft.seed": "set seed",
    }  # fmt: skip

    model: str = STUDENT
    """`student` (the tiny default, made on first use), a Hugging Face id, or a folder."""
    adapter: str = ""
    """Folder of a LoRA adapter to start from, of the shape that `sft` says; "" starts with the model alone."""
    address: str = ""
    """Ray cluster to join; "" joins RAY_ADDRESS if set, and else starts Ray on this machine."""
    seed: int = 0
    """Of the problems, the sampling, the replay mix and the training."""

    focus: QuestionsConfig = QuestionsConfig(families=FOCUS, difficulties=DIFFICULTIES)
    """What is to be learnt: problem families (or data sets, from a configuration file)."""
    general: QuestionsConfig = QuestionsConfig(families=GENERAL, difficulties=DIFFICULTIES)
    """What must not be forgotten: other families that the model knows."""

    iterations: int = Field(default=3, ge=1)
    """Times, at most, that the model samples and learns."""
    focus_problems: int = Field(default=64, ge=2)
    """Focus problems that an iteration samples; each iteration has new ones for as long as there are any."""
    general_problems: int = Field(default=64, ge=0)
    """General problems that it samples beside them, for replay."""
    samples: int = Field(default=8, ge=1)
    """Completions of each problem."""
    temperature: float = Field(default=1.0, gt=0)
    """Of those completions."""
    keep: int = Field(default=2, ge=1)
    """Solutions kept of one problem, at most; those that differ in layout, comments, annotations or the names of
    variables alone count once."""

    replay: float = Field(default=0.5, ge=0, lt=1)
    """Share of the training set that is replay: verified solutions of general problems and of earlier iterations. 0
    learns the focus alone, and shows what that does to the rest."""
    replay_traces: Places = ()
    """Files, folders, run folders or hub:OWNER/NAME with solutions that replay has from the start, beside those of the
    run; each is judged again."""
    data: TraceDataConfig = TraceDataConfig()
    """How the rows of `replay_traces` are read."""
    draw: ReplayOrder = "balanced"
    """How replay is sampled: families in turn either way; `balanced` at random in each, `diverse` unlike ones first."""
    grow: Literal["adapter", "base"] = "adapter"
    """What an iteration trains: the one adapter of the last good iteration goes on (a rollback then undoes one
    iteration, and each costs but its own data), or, as in STaR, a fresh one from the start, on all solutions so far."""
    rollback: bool = True
    """Go back to the last good adapter where focus or general validation falls below the start beyond its interval."""
    patience: int = Field(default=2, ge=1)
    """Rollbacks in a row after which the run ends."""
    negatives: Literal["none", "dpo"] = "none"
    """dpo also learns to prefer verified samples to failed ones of the same prompt."""

    val_problems: int = Field(default=96, ge=2)
    """Validation problems of the focus, and as many general ones."""
    test_problems: int = Field(default=128, ge=2)
    """Test problems of the focus, and as many general ones; measured once, before and after."""
    measured: int = Field(default=4, ge=1)
    """Completions of each of them, at temperature 1."""

    prompt: PromptConfig = PromptConfig()
    """In which words the model is asked."""
    max_tokens: Annotated[int, AUTO] = Field(default=160, ge=1)
    """Longest completion, in tokens."""
    engines: Annotated[int, AUTO] = Field(default=1, ge=1)
    """Engines that share the work."""
    engine: EngineConfig = EngineConfig()
    """Each engine."""
    require: Conditions = ()
    """Conditions on the test problems, focus and general together, as "overall >= 50" "fibonacci > 80"; `before` is the
    start. The exit status is 3 where one does not hold."""
    sft: SFTConfig = SFTConfig(epochs=3, lora_dropout=0.0, val_share=0.15)
    """How the adapter learns."""
    dpo: DPOConfig = DPOConfig()
    """How it learns from negatives."""
    verify: VerifyConfig = VerifyConfig()
    """How answers are checked."""
    hardware: HardwareConfig = HardwareConfig()
    """Where engine and learner are placed."""

    @model_validator(mode="after")
    def _every_option_has_an_effect(self) -> ExpertConfig:
        lora_rank_room(self.sft.lora_r)
        shared = set(self.focus.full_names) & set(self.general.full_names)
        if shared and not (self.focus.parts or self.general.parts):
            raise ValueError(f"{', '.join(sorted(shared))} cannot be focus and general: name it once")
        if self.replay and not self.general_problems:
            raise ValueError("general_problems 0 leaves nothing general to replay: raise it, or set replay to 0")
        if not self.replay and self.draw != "balanced":
            raise ValueError("draw has no effect with replay 0: leave it out")
        if not self.replay and self.replay_traces:
            raise ValueError("replay_traces has no effect with replay 0: leave it out, or raise replay")
        if not self.replay_traces and self.data != TraceDataConfig():
            raise ValueError("data has no effect without replay_traces, which it says how to read: leave it out")
        check_patience(self)
        if self.negatives == "none" and _fixed(self.dpo) != _fixed(DPOConfig()):
            raise ValueError("dpo has no effect without negatives: set negatives to dpo, or leave dpo out")
        return self

    def idle(self) -> dict[str, tuple[str, str]]:
        """See `pipelines.config.refuse_idle`."""
        return {"dpo": ("negatives", "none")} if self.negatives == "none" else {}

    def asking(self, questions: QuestionsConfig) -> JobConfig:
        """What the engine and its evaluations need to know of this job where it asks `questions`."""
        return JobConfig(
            model=self.model,
            name=self.name,
            runs=self.runs,
            address=self.address,
            problems=questions,
            prompt=self.prompt,
            verify=self.verify,
            hardware=self.hardware,
            evaluation=EvaluationConfig(samples=self.measured, seed=self.seed, split="val"),
        )

    def drawing(self, iteration: int) -> EvaluationConfig:
        """How an iteration samples training problems."""
        seed = SEEDS_APART * self.seed + iteration
        return EvaluationConfig(samples=self.samples, temperature=self.temperature, seed=seed, split="train")

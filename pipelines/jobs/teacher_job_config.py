"""Configuration of the jobs that learn from a teacher: distil, sft, hard-distil."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field, model_validator

from cluster.hardware import HardwareConfig
from cluster.recipes import Kind
from pipelines.config import (
    ANSWERS_TOGETHER,
    NO_CANARY,
    NO_CURRICULUM,
    NO_FULL,
    NO_REWARD,
    NO_TEACHER,
    GRPOConfig,
    JobConfig,
    RunConfig,
    without_kl,
)
from pipelines.measure.conditions import Conditions
from pipelines.publish.config import PublishConfig
from pipelines.trace_config import Places, TraceDataConfig
from problems.auto import AUTO
from problems.questions import QuestionsConfig
from rollout.config import EngineConfig, RolloutConfig, lora_rank_room
from rollout.prompts import PromptConfig, TaughtStyle
from rollout.teacher.config import TeacherConfig
from train.config import TrainConfig
from train.sft_config import SFTConfig
from verify.config import VerifyConfig

HARD_FAMILIES = ("coin_change", "knapsack", "n_queens")
HARD_DIFFICULTIES = (3, 5, 7)
TEACHER_MAY_CHANGE = (
    "teacher.budget", "teacher.concurrency", "teacher.patience", "teacher.backoff", "teacher.timeout",
    "teacher.sdk_retries", "teacher.poll_seconds", "teacher.key_variable", "teacher.env_file",
)  # fmt: skip
"""Keys that a resumed run may have other values for: none changes the requests to the teacher."""
ADAPTER_SHAPE = ("lora_r", "lora_alpha", "target_modules")
"""What two stages must agree on for one adapter to go through both."""


def check_total(problems: QuestionsConfig, total: int) -> None:
    """Raises ValueError where it is open how many problems the teacher is asked."""
    if total and not problems.parts:
        raise ValueError("total has no effect without problems.parts: set count, of each family and difficulty")
    if not total and any(part.procedural and part.weight for part in problems.parts):
        raise ValueError("problems.parts has families, which have no end: set total, the number of traces requested")


def count_is_idle(problems: QuestionsConfig) -> dict[str, tuple[str, str]]:
    """What has no effect where the teacher is asked `problems.parts`."""
    return {"count": ("problems.parts", "given, which total counts")} if problems.parts else {}


def teacher_is_idle(teacher: TeacherConfig, section: str = "hardware.teacher") -> dict[str, tuple[str, str]]:
    """What has no effect where no engines of a teacher are placed."""
    return {} if teacher.on_engines else {section: ("teacher.protocol", teacher.protocol)}


def shape_is_idle(sft: SFTConfig) -> dict[str, tuple[str, str]]:
    """What of `sft` has no effect where it trains no adapter."""
    names = (*ADAPTER_SHAPE, "lora_dropout") if sft.full else ()
    return {f"sft.{name}": ("sft.full", "True") for name in names}


def check_shots(prompt: PromptConfig, style: TaughtStyle | None) -> None:
    """Raises ValueError for examples without thoughts before answers that are to have some."""
    if prompt.few_shot and style == "think":
        raise ValueError("prompt.few_shot draws answers without thoughts, which style think teaches: set style direct")


class DistilConfig(RunConfig):
    """Has a teacher write worked traces of training problems, and keeps those that pass every hidden test."""

    unused: ClassVar[Mapping[str, str]] = {
        **ANSWERS_TOGETHER, **NO_CURRICULUM, **NO_REWARD,
        "problems.weights": "each family and difficulty gets `count` traces",
        "prompt.few_shot": "the teacher is shown no examples",
        "prompt.shots": "the teacher is shown no examples",
        "prompt.system": "the system message is this command's own",
        "prompt.chat": "the teacher's server has its own template",
        **{f"hardware.{name}": "the teacher's engines are all that is placed; set hardware.teacher"
           for name in ("engine", "learner", "profiles")},
    }  # fmt: skip

    address: str = ""
    """Ray cluster to join; "" joins RAY_ADDRESS if set, and else starts Ray on this machine."""
    count: int = Field(default=3, ge=1)
    """Traces requested for each family and difficulty."""
    total: int = Field(default=0, ge=0)
    """Traces requested in all with `problems.parts`, of different problems; 0 asks each training problem of the data
    sets once."""
    corrections: int = Field(default=1, ge=0)
    """Times that a failed trace is sent back with the test that it failed."""
    problems: QuestionsConfig = QuestionsConfig(families=HARD_FAMILIES, difficulties=HARD_DIFFICULTIES)
    """The problems; always of the train split."""
    prompt: PromptConfig = PromptConfig(style="think")
    """The teacher's prompt; the student's own is `sft`'s."""
    teacher: TeacherConfig = TeacherConfig()
    """Who answers."""
    verify: VerifyConfig = VerifyConfig()
    """How answers are checked."""
    hardware: HardwareConfig = HardwareConfig()
    """Where the engines of a teacher with protocol engine are placed."""

    @model_validator(mode="after")
    def _every_option_has_an_effect(self) -> DistilConfig:
        if self.prompt.style != "think":
            raise ValueError("prompt.style must be think: a trace is reasoning and code")
        check_total(self.problems, self.total)
        return self

    def idle(self) -> dict[str, tuple[str, str]]:
        """See `pipelines.options.refuse_idle`."""
        return count_is_idle(self.problems) | teacher_is_idle(self.teacher, "hardware")


class SFTJobConfig(JobConfig):
    """Fine-tunes a LoRA adapter, or all weights, on verified traces, and keeps those of lowest validation loss."""

    recipe_kind: ClassVar[Kind] = "sft"
    unused: ClassVar[Mapping[str, str]] = {
        **ANSWERS_TOGETHER, **NO_CURRICULUM, **NO_CANARY, **NO_REWARD, **NO_TEACHER,
        "problems.seed": "set evaluation.seed, or sft.seed",
    }  # fmt: skip

    traces: Places = ()
    """Files of traces (JSON lines, JSON, CSV, Parquet), folders of them, run folders of distil, undo or
    expert-iteration, or data sets of the Hugging Face hub as hub:OWNER/NAME."""
    data: TraceDataConfig = TraceDataConfig()
    """How the rows of traces are read."""
    adapter: str = ""
    """Folder of a LoRA adapter to go on from; "" starts with a fresh one."""
    style: TaughtStyle | None = None
    """think learns reasoning and answer, direct the answer alone; None: as the model's prompt says."""
    evaluate: bool = False
    """Also measure held-out problems before and after."""
    max_tokens: Annotated[int, AUTO] = Field(default=512, ge=1)
    """Longest completion of those evaluations, in tokens."""
    engines: Annotated[int, AUTO] = Field(default=1, ge=1)
    """Engines that share those evaluations."""
    engine: EngineConfig = EngineConfig()
    """Each engine."""
    sft: SFTConfig = SFTConfig()
    """How the adapter learns."""
    require: Conditions = ()
    """Conditions on held-out skill in the end, as "overall > 50" "easy > 80"; the exit status is 3 where one does not
    hold. They need `evaluate`."""

    @model_validator(mode="after")
    def _rooms_agree(self) -> SFTJobConfig:
        lora_rank_room(self.sft.lora_r)
        if self.adapter and self.sft.full:
            raise ValueError("adapter has no effect with sft.full, which trains the model itself: leave out either")
        check_shots(self.prompt, self.style)
        if self.require and not self.evaluate:
            raise ValueError("require is measured on held-out problems: set evaluate to True, or leave it out")
        return self

    def idle(self) -> dict[str, tuple[str, str]]:
        """See `pipelines.config.refuse_idle`."""
        of_evaluations = ["evaluation", "engines", "engine", "max_tokens", "hardware.engine"]
        if not self.prompt.few_shot:  # examples are of the problems too
            of_evaluations.append("problems")
        found = {} if self.evaluate else dict.fromkeys(of_evaluations, ("evaluate", "False"))
        return found | shape_is_idle(self.sft)


class HardDistilConfig(JobConfig):
    """Distils traces of hard families, fine-tunes an adapter on them, and lets that adapter go on by GRPO."""

    recipe_kind: ClassVar[Kind] = "hard-distil"
    unused: ClassVar[Mapping[str, str]] = {
        **ANSWERS_TOGETHER,
        "problems.weights": "each family and difficulty gets `count` traces",
        "sft.seed": "set seed",
        "train.seed": "set seed",
        **NO_FULL,
    }  # fmt: skip

    auto_like: ClassVar[Mapping[str, str]] = {f"train.{name}": f"sft.{name}" for name in ("lora_r", "lora_alpha")}

    problems: QuestionsConfig = QuestionsConfig(families=HARD_FAMILIES, difficulties=HARD_DIFFICULTIES)
    """What is taught, and measured on held-out questions."""
    seed: int = 42
    """Of the split of traces, the stream of GRPO's problems and its sampling."""
    skip_traces: bool = False
    """Take the traces that `traces`, or an earlier run of this name, has."""
    skip_sft: bool = False
    """Take the adapter that an earlier run of this name fine-tuned."""
    skip_grpo: bool = False
    """End with the fine-tuned adapter."""
    traces: Places = ()
    """Files, folders or data sets of traces to use with skip_traces, as of `crucible sft`; () takes those of an earlier
    run of this name."""
    data: TraceDataConfig = TraceDataConfig()
    """How the rows of `traces` are read."""
    count: int = Field(default=3, ge=1)
    """Traces requested for each family and difficulty."""
    total: int = Field(default=0, ge=0)
    """Traces requested in all with `problems.parts`, of different problems; 0 asks each training problem of the data
    sets once."""
    corrections: int = Field(default=1, ge=0)
    """Times that a failed trace is sent back with the test that it failed."""
    teacher: TeacherConfig = TeacherConfig()
    """Who writes the traces."""
    style: TaughtStyle | None = "think"
    """think learns reasoning and answer, direct the answer alone; None: as the model's prompt says."""
    sft: SFTConfig = SFTConfig()
    """How the adapter learns from traces; its shape is GRPO's too."""
    steps: int = Field(default=10, ge=1)
    """Optimiser steps of GRPO."""
    rollout: RolloutConfig = RolloutConfig()
    """How GRPO's completions, and those of evaluations, are sampled."""
    train: TrainConfig = TrainConfig()
    """How the adapter learns by GRPO."""
    require: Conditions = ("before overall < 20", "overall > 80", "every family > 80")
    """Conditions on held-out skill before all and in the end; the exit status is 3 where one does not hold. Where the
    untaught model solves much, little was there to teach."""

    @model_validator(mode="after")
    def _every_option_has_an_effect(self) -> HardDistilConfig:
        if self.traces and not self.skip_traces:
            raise ValueError("traces has no effect unless skip_traces is set: set it, or leave traces out")
        if self.data != TraceDataConfig() and not self.traces:
            raise ValueError("data has no effect without traces, which it says how to read: name some, or leave it out")
        check_total(self.problems, self.total)
        check_shots(self.prompt, self.style)
        plain = TrainConfig()
        for name in ADAPTER_SHAPE:
            # Which keys were given is not known once options and files are merged; the values are.
            if getattr(self.train, name) not in (getattr(self.sft, name), getattr(plain, name)):
                unlike = f"train.{name} {getattr(self.train, name)} is not sft.{name} {getattr(self.sft, name)}"
                raise ValueError(f"{unlike}: one adapter goes through both stages, so leave train's out")
        self.grpo_stage("", Path())
        return self

    def idle(self) -> dict[str, tuple[str, str]]:
        """See `pipelines.options.refuse_idle`."""
        return count_is_idle(self.problems) | without_kl(self.train) | teacher_is_idle(self.teacher)

    def distil_stage(self, runs: Path) -> DistilConfig:
        """The first stage's own configuration."""
        return DistilConfig(
            name="distil", runs=runs, address=self.address, count=self.count, total=self.total,
            corrections=self.corrections, problems=self.problems, teacher=self.teacher, verify=self.verify,
            hardware=HardwareConfig(device=self.hardware.device, teacher=self.hardware.teacher),
        )  # fmt: skip

    def sft_stage(self, traces: Sequence[str], runs: Path) -> SFTJobConfig:
        """The second stage's own configuration."""
        return SFTJobConfig(
            **self._shared("sft", runs), traces=tuple(traces), data=self.data, style=self.style, evaluate=True,
            engines=self.rollout.engines,
            engine=self.rollout.engine, max_tokens=self.rollout.sampling.max_tokens,
            sft=self.sft.model_copy(update={"seed": self.seed}),
        )  # fmt: skip

    def grpo_stage(self, adapter: str, runs: Path) -> GRPOConfig:
        """The third stage's own configuration: the fine-tuned adapter itself goes on."""
        return GRPOConfig(
            **self._shared("grpo", runs), adapter=adapter, seed=self.seed, steps=self.steps, rollout=self.rollout,
            train=self.agreed().train,
        )  # fmt: skip

    def agreed(self) -> HardDistilConfig:
        """The same with the adapter's shape in `train` too, as both stages will have it."""
        shape = {name: getattr(self.sft, name) for name in ADAPTER_SHAPE}
        return self.model_copy(update={"train": self.train.model_copy(update=shape)})

    def _shared(self, name: str, runs: Path) -> dict[str, Any]:
        own = {key: getattr(self, key) for key in JobConfig.model_fields}
        return {**own, "name": name, "runs": runs, "push": "", "publish": PublishConfig()}

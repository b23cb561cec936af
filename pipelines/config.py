"""Configuration of the jobs: the rooms' models put together. `pipelines.options` reads it."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from cluster.hardware import HardwareConfig
from cluster.names import check_run_name
from cluster.recipes import Kind
from pipelines.errors import ConfigError as ConfigError
from pipelines.measure.conditions import Conditions
from pipelines.measure.suites import load_suite, suite_names
from pipelines.publish.config import NO_PUSH, PublishConfig, Repository, check_needs_push
from problems.auto import AUTO
from problems.problem import Split
from problems.questions import PartConfig, QuestionsConfig
from problems.sources import SourceConfig
from rollout.config import EngineConfig, RolloutConfig, Sampling, lora_rank_room
from rollout.prompts import PromptConfig
from train.config import TrainConfig
from verify.config import VerifyConfig

STUDENT = "student"
"""Stands for the default student, which `crucible student` makes."""

RUNS_VARIABLE = "CRUCIBLE_RUNS"

ANSWERS_TOGETHER = {"verify.batch_size": "the answers to a problem are judged together"}
NO_CURRICULUM = {"problems.curriculum": "only training by GRPO moves difficulty"}
NO_CANARY = {"engine.canary_bound": "only adapters that a learner publishes are proven on a canary"}
NO_REWARD = {"verify.reward": "only training by GRPO earns rewards; this command counts what passed"}
NO_FULL = {"sft.full": "its engines serve what it trains as adapters; crucible sft and undo train whole models"}
NO_TEACHER = {"hardware.teacher": "this command asks no teacher"}
NO_LEARNER = {"hardware.learner": "no learner is placed on the cluster"}
"""Keys that a command does not use, or sections of them, and why: each model of a command has its own in `unused`."""


def default_runs() -> Path:
    """Where run folders lie unless `runs` says otherwise: CRUCIBLE_RUNS, and then `runs`."""
    return Path(os.environ.get(RUNS_VARIABLE, "") or "runs")


RunName = Annotated[str, AfterValidator(lambda name: check_run_name(name) if name else name)]
"""The name of a run: "", or a path below the folder of runs."""


def without_kl(train: TrainConfig) -> dict[str, tuple[str, str]]:
    """What of `train` has no effect without a KL."""
    return {} if train.beta else {"train.reference": ("train.beta", "0")}


class EvaluationConfig(BaseModel):
    """What held-out skill is measured on."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    replaces: ClassVar[Mapping[str, tuple[str, ...]]] = {"per_cell": ("problems",)}
    """See `QuestionsConfig.replaces`."""

    problems: int = Field(default=192, ge=1)
    """Held-out problems, of any of the families and difficulties."""
    per_cell: int = Field(default=0, ge=0)
    """In place of `problems`, a full grid: so many of each family at each difficulty; 0 for none."""
    samples: int = Field(default=8, ge=1)
    """Completions sampled for each; pass@k is given for k up to this."""
    temperature: float = Field(default=1.0, ge=0)
    """0 is greedy: one completion a problem, and `samples` is ignored."""
    split: Split = "test"
    """Which split's problems; train is for curiosity, never for a result."""
    seed: int = 0
    """Of the choice of problems and of the sampling."""
    top_p: float = Field(default=1.0, gt=0, le=1)
    """Tokens beyond this probability mass are not drawn."""
    top_k: int = Field(default=0, ge=0)
    """Only so many of the likeliest tokens are drawn from; 0 for all."""
    min_p: float = Field(default=0.0, ge=0, le=1)
    """Tokens less likely than this share of the likeliest one are not drawn."""
    repetition_penalty: float = Field(default=1.0, gt=0)
    """Above 1, tokens that were written before become less likely."""
    stop: tuple[str, ...] | None = None
    """Texts that end an answer, which is a natural end. None: those that the form of the prompt implies; () for
    none."""

    def sampling(self, max_tokens: int) -> Sampling:
        """How completions of at most `max_tokens` tokens are sampled."""
        names = ("temperature", "top_p", "top_k", "min_p", "repetition_penalty", "stop")
        return Sampling(max_tokens=max_tokens, **{name: getattr(self, name) for name in names})

    @property
    def group_size(self) -> int:
        """Completions of each problem."""
        return 1 if self.temperature == 0 else self.samples

    @model_validator(mode="after")
    def _can_be_sampled(self) -> EvaluationConfig:
        if self.per_cell and self.problems != type(self).model_fields["problems"].default:
            raise ValueError("evaluation.problems has no effect beside evaluation.per_cell, a grid: give one of them")
        self.sampling(1)
        cut = [name for name in ("top_p", "top_k", "min_p") if getattr(self, name) != getattr(Sampling(), name)]
        if self.temperature == 0 and cut:
            raise ValueError(f"{cut[0]} has no effect at temperature 0, which takes the likeliest token: leave it out")
        return self


class RunConfig(BaseModel):
    """What every job has: a run folder."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    recipe_kind: ClassVar[Kind] = "evaluate"

    name: RunName = ""
    """Name of the run: its folder under `runs`. "" makes one of the job, its model or teacher, and the time."""
    runs: Path = Field(default_factory=default_runs)
    """Where run folders lie: a folder, or s3://BUCKET/PREFIX (also gs://, abfs://). The environment variable
    CRUCIBLE_RUNS is the default, and then `runs`."""
    push: Repository = ""
    """Repository of the Hugging Face Hub, OWNER/NAME, to which the run's data (as the data set of that name) and
    adapters (as the model) are uploaded; "" uploads nothing."""
    publish: PublishConfig = PublishConfig()
    """What is uploaded there, and how."""

    @model_validator(mode="after")
    def _publish_needs_push(self) -> RunConfig:
        check_needs_push(self.push, self.publish)
        return self


class JobConfig(RunConfig):
    """What jobs with a model to sample share."""

    model: str = STUDENT
    """`student` (the tiny default, made on first use), a Hugging Face id, or a folder."""
    address: str = ""
    """Ray cluster to join; "" joins RAY_ADDRESS if set, and else starts Ray on this machine."""
    problems: QuestionsConfig = QuestionsConfig()
    """The problems."""
    prompt: PromptConfig = PromptConfig()
    """How problems are put into prompts."""
    verify: VerifyConfig = VerifyConfig()
    """How answers are checked and rewarded."""
    hardware: HardwareConfig = HardwareConfig()
    """Where engines and learners are placed."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """What held-out skill is measured on."""

    @model_validator(mode="after")
    def _has_cells(self) -> Self:
        if self.evaluation.per_cell and self.problems.parts:
            raise ValueError(
                "evaluation.per_cell fills cells of family and difficulty, and problems.parts has none: leave it out"
            )
        return self


class GRPOConfig(JobConfig):
    """Group-relative policy optimisation of a LoRA adapter on verified rewards."""

    recipe_kind: ClassVar[Kind] = "grpo"
    unused: ClassVar[Mapping[str, str]] = {**ANSWERS_TOGETHER, **NO_TEACHER, "train.seed": "set seed"}

    steps: int = Field(default=40, ge=1)
    """Optimiser steps."""
    seed: int = 0
    """Of the stream of problems, the sampling and the adapter's first weights."""
    adapter: str = ""
    """Folder of a LoRA adapter to go on from; "" starts with a fresh one."""
    control: Literal["none", "shuffled_rewards"] = "none"
    """shuffled_rewards deals each group's rewards out at random: a control that must not learn."""
    rollout: RolloutConfig = RolloutConfig()
    """How completions are sampled."""
    train: TrainConfig = TrainConfig()
    """How the adapter learns."""
    require: Conditions = ()
    """Conditions on held-out skill in the end, as "overall >= 50" "easy > 80"; the exit status is 3 where one does not
    hold."""

    @model_validator(mode="after")
    def _rooms_agree(self) -> GRPOConfig:
        lora_rank_room(self.train.lora_r)
        if self.train.temperature != self.rollout.sampling.temperature:
            raise ValueError(
                f"train.temperature {self.train.temperature} is not rollout.sampling.temperature "
                f"{self.rollout.sampling.temperature}: the learner would score other probabilities than were sampled"
            )
        if (end := self.learner.total_steps) is not None and not self.train.warmup_steps < end >= self.steps:
            raise ValueError(
                f"train.schedule {self.train.schedule} ends at step {end}, after {self.train.warmup_steps} steps of "
                f"warm-up, in a run of {self.steps} steps: let warm-up end before it, and it not before the run"
            )
        if self.rollout.ema_samples:
            if self.train.ema_decay is None:
                raise ValueError(
                    f"rollout.ema_samples {self.rollout.ema_samples} has no average to sample from: set "
                    f"train.ema_decay, 0.99 say, or leave it out"
                )
            if not self.train.knows_sampler:
                raise ValueError(
                    "rollout.ema_samples are of another policy than the one that learns, and nothing here "
                    "corrects for it: set train.old_logprobs=sampler, or train.importance_correction=token_truncate"
                )
        return self

    def idle(self) -> dict[str, tuple[str, str]]:
        """See `pipelines.options.refuse_idle`."""
        return without_kl(self.train)

    @property
    def learner(self) -> TrainConfig:
        """`train` as the learner gets it: the seed of the run is that of its adapter and dropout too, and its end is
        that of a falling rate."""
        end = None if self.train.schedule == "constant" else self.train.total_steps or self.steps
        return self.train.model_copy(update={"seed": self.seed, "total_steps": end})


class EvaluateConfig(JobConfig):
    """Measures a model, with or without an adapter, on held-out problems."""

    unused: ClassVar[Mapping[str, str]] = {
        **ANSWERS_TOGETHER, **NO_CURRICULUM, **NO_CANARY, **NO_LEARNER, **NO_REWARD, **NO_TEACHER, **NO_PUSH,
        "problems.seed": "set evaluation.seed",
    }  # fmt: skip

    presets: ClassVar[Mapping[str, Callable[[str], Mapping[str, Any]]]] = {"suite": load_suite}
    """Key -> what its value sets, below what is given beside it."""

    adapter: str = ""
    """Folder of a LoRA adapter (a checkpoint's, say); "" measures the model alone."""
    suite: str = ""
    """A shipped evaluation, one name for problems, sampling and conditions: hard_distil, sft_baseline, focused, lrl,
    undo or benchmarks. What is given beside it comes on top."""
    require: Conditions = ()
    """Conditions that must hold in the end, as "overall >= 50" "easy > 80"; the exit status is 3 where one does not."""
    against: str = ""
    """What to compare with on the same problems: `base` (the model alone), an adapter, or a run folder."""
    seeds: tuple[int, ...] = ()
    """Problems are sampled once with each of these, and none is used twice; () is evaluation.seed alone."""
    suites: tuple[str, ...] = ()
    """Data sets to measure on, whole, in place of `problems`: NAME=PATH, or NAME to take it from the Hugging Face hub;
    `crucible problems sources` lists the names. Each is a row of the tables."""
    suite_limit: int = Field(default=0, ge=0)
    """At most so many problems of each suite, its first; 0 uses all."""
    engines: Annotated[int, AUTO] = Field(default=1, ge=1)
    """Engines that share the work."""
    engine: EngineConfig = EngineConfig()
    """Each engine."""
    max_tokens: Annotated[int, AUTO] = Field(default=192, ge=1)
    """Longest completion, in tokens."""

    @model_validator(mode="after")
    def _every_option_has_an_effect(self) -> EvaluateConfig:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {list(self.seeds)} name one twice, which would add nothing: name each once")
        if self.against == "base" and not self.adapter:
            raise ValueError("against base compares the model with itself: give --adapter, or leave --against out")
        if self.suite_limit and not self.suites:
            raise ValueError("suite_limit has no effect without suites: name them, or set evaluation.problems")
        if self.suites:
            plain = EvaluationConfig()
            if shipped := [name for name in self.suites if name in suite_names()]:
                raise ValueError(f"suites: {shipped[0]} is a shipped evaluation and no data set: give it as --suite")
            idle = {
                "problems": self.problems != QuestionsConfig(),
                "seeds": bool(self.seeds),
                "evaluation.per_cell": bool(self.evaluation.per_cell),
                "evaluation.problems": self.evaluation.problems != plain.problems,
                "evaluation.seed": self.evaluation.seed != plain.seed,
            }
            if given := [name for name, is_given in idle.items() if is_given]:
                raise ValueError(f"{', '.join(given)} has no effect beside suites, which are used whole")
        return self

    @model_serializer(mode="wrap")
    def _with_all_that_the_suite_sets(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A default that came on top of the suite's own value is written too: left out, as some are, it would read
        back as the suite's."""
        data = handler(self)
        for section, values in (load_suite(self.suite) if self.suite in suite_names() else {}).items():
            for key in values if isinstance(values, Mapping) and section in data else ():
                data[section].setdefault(key, getattr(getattr(self, section), key))
        return data

    @property
    def questions(self) -> QuestionsConfig:
        """`problems`, or the suites in their place."""
        if not self.suites:
            return self.problems
        named = [suite.partition("=") for suite in self.suites]
        split, limit = self.evaluation.split, self.suite_limit
        sources = [SourceConfig(mapping=name, path=path, split=split, limit=limit) for name, _, path in named]
        return QuestionsConfig(parts=tuple(PartConfig(source=source) for source in sources))

    @property
    def sampling(self) -> Sampling:
        """How completions are sampled."""
        return self.evaluation.sampling(self.max_tokens)

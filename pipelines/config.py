"""Configuration of the jobs: the rooms' models put together, read from YAML and from dotted options."""

from __future__ import annotations

import contextlib
import difflib
import functools
import io
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args

import tyro
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from cluster.address import NoCluster, check_cluster
from cluster.hardware import HardwareConfig
from cluster.names import check_run_name
from pipelines.artifacts.plain_files import Unreadable, read_yaml
from problems.plain_text import one_line
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

ANSWERS_TOGETHER = {"verify.batch_size": "the answers to a problem are judged together as they come"}
NO_CURRICULUM = {"problems.curriculum": "only training by GRPO moves difficulty"}
NO_CANARY = {"engine.canary_bound": "only adapters that a learner publishes are proven on a canary"}
NO_SHOTS = {"prompt.few_shot": "this command draws no examples; write them into prompt.shots"}
NO_LEARNER = {"hardware.learner": "no learner is placed on the cluster"}
"""Keys that a command does not use, or sections of them, and why: each model of a command has its own in `unused`."""

_MARKERS = (tyro.conf.FlagConversionOff,)

Model = TypeVar("Model", bound=BaseModel)


class ConfigError(ValueError):
    """A configuration that cannot be used; the message is one line that names the key and the mend."""


def default_runs() -> Path:
    """Where run folders lie unless `runs` says otherwise: CRUCIBLE_RUNS, and then `runs`."""
    return Path(os.environ.get(RUNS_VARIABLE, "") or "runs")


RunName = Annotated[str, AfterValidator(lambda name: check_run_name(name) if name else name)]
"""The name of a run: "", or a path below the folder of runs."""


class EvaluationConfig(BaseModel):
    """What held-out skill is measured on."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    problems: int = Field(192, ge=1)
    """Held-out problems."""
    samples: int = Field(8, ge=1)
    """Completions sampled for each; pass@k is given for k up to this."""
    temperature: float = Field(1.0, ge=0)
    """0 is greedy: one completion a problem, whatever `samples` says."""
    split: Split = "test"
    """Which split's problems; train is for curiosity, never for a result."""
    seed: int = 0
    """Of the choice of problems and of the sampling."""


class JobConfig(BaseModel):
    """What all jobs share."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    model: str = STUDENT
    """`student` (the tiny default, made on first use), a Hugging Face id, or a folder."""
    name: RunName = ""
    """Name of the run: its folder under `runs`. "" makes one of the job, the model and the time."""
    runs: Path = Field(default_factory=default_runs)
    """Where run folders lie: a folder, or s3://BUCKET/PREFIX (also gs://, abfs://). The environment variable
    CRUCIBLE_RUNS is the default, and then `runs`."""
    address: str = ""
    """Ray cluster to join; "" joins RAY_ADDRESS if set, and else starts Ray on this machine."""
    problems: QuestionsConfig = QuestionsConfig()
    """What is asked."""
    prompt: PromptConfig = PromptConfig()
    """In which words."""
    verify: VerifyConfig = VerifyConfig()
    """How answers are checked and rewarded."""
    hardware: HardwareConfig = HardwareConfig()
    """Where engines and learners are placed."""
    evaluation: EvaluationConfig = EvaluationConfig()
    """What held-out skill is measured on."""


class GRPOConfig(JobConfig):
    """Group-relative policy optimisation of a LoRA adapter on verified rewards."""

    unused: ClassVar[Mapping[str, str]] = ANSWERS_TOGETHER

    steps: int = Field(40, ge=1)
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

    @model_validator(mode="after")
    def _rooms_agree(self) -> GRPOConfig:
        lora_rank_room(self.train.lora_r)
        if self.train.temperature != self.rollout.sampling.temperature:
            raise ValueError(
                f"train.temperature {self.train.temperature} is not rollout.sampling.temperature "
                f"{self.rollout.sampling.temperature}: the learner would score other probabilities than were sampled"
            )
        if self.rollout.ema_samples:
            if self.train.ema_decay is None:
                raise ValueError(
                    f"rollout.ema_samples {self.rollout.ema_samples} has no average to draw from: set "
                    f"train.ema_decay, 0.99 say, or leave it out"
                )
            if not self.train.knows_sampler:
                raise ValueError(
                    "rollout.ema_samples are of another policy than the one that learns, and nothing here "
                    "corrects for it: set train.old_logprobs=sampler, or train.importance_correction=token_truncate"
                )
        return self


class EvaluateConfig(JobConfig):
    """Measures a model, with or without an adapter, on held-out problems."""

    unused: ClassVar[Mapping[str, str]] = {
        **ANSWERS_TOGETHER, **NO_CURRICULUM, **NO_CANARY, **NO_LEARNER,
        "problems.seed": "set evaluation.seed",
    }  # fmt: skip

    adapter: str = ""
    """Folder of a LoRA adapter (a checkpoint's, say); "" measures the model alone."""
    against: str = ""
    """What to compare with on the same problems: `base` (the model alone), an adapter, or a run folder."""
    seeds: tuple[int, ...] = ()
    """Problems are drawn once by each of these, and none is asked twice; () is evaluation.seed alone."""
    suites: tuple[str, ...] = ()
    """Data sets to measure on, whole, in place of `problems`: NAME=PATH, or NAME to take it from the Hugging Face hub;
    `crucible problems sources` lists the names. Each is a row of the tables."""
    suite_limit: int = Field(0, ge=0)
    """At most so many problems of each suite, its first; 0 asks all."""
    engines: int = Field(1, ge=1)
    """Engines that share the work."""
    engine: EngineConfig = EngineConfig()
    """Each engine."""
    max_tokens: int = Field(192, ge=1)
    """Longest completion, in tokens."""

    @model_validator(mode="after")
    def _every_option_has_an_effect(self) -> EvaluateConfig:
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {list(self.seeds)} name one twice, which would ask nothing new: name each once")
        if self.against == "base" and not self.adapter:
            raise ValueError("against base compares the model with itself: give --adapter, or leave --against out")
        if self.suite_limit and not self.suites:
            raise ValueError("suite_limit has no effect without suites: name them, or set evaluation.problems")
        if self.suites:
            plain = EvaluationConfig()
            idle = {
                "problems": self.problems != QuestionsConfig(),
                "seeds": bool(self.seeds),
                "evaluation.problems": self.evaluation.problems != plain.problems,
                "evaluation.seed": self.evaluation.seed != plain.seed,
            }
            if given := [name for name, is_given in idle.items() if is_given]:
                raise ValueError(f"{', '.join(given)} would do nothing beside suites, which are asked whole")
        return self

    @property
    def asked(self) -> QuestionsConfig:
        """`problems`, or the suites in their place."""
        if not self.suites:
            return self.problems
        named = [suite.partition("=") for suite in self.suites]
        split, limit = self.evaluation.split, self.suite_limit
        sources = [SourceConfig(mapping=name, path=path, split=split, limit=limit) for name, _, path in named]
        return QuestionsConfig(parts=tuple(PartConfig(source=source) for source in sources))

    @property
    def sampling(self) -> Sampling:
        """How completions are drawn."""
        return Sampling(temperature=self.evaluation.temperature, max_tokens=self.max_tokens)


def parse(model: type[Model], argv: Sequence[str], *, prog: str, default: Model | None = None) -> Model:
    """Reads `--config FILE.yaml` and then dotted options over it. Raises ConfigError, in one line, where something is
    wrong, or where the cluster to join does not answer."""
    argv = list(argv)
    start = default if default is not None else model()
    while (path := take_option(argv, "--config")) is not None:
        start = load_yaml(model, Path(path), start, check_unused=True)
    refuse_unused(model, argv)
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            config = tyro.cli(
                model, prog=prog, args=argv, default=start, description=_description(model), config=_MARKERS
            )
    except SystemExit as ended:
        if ended.code:
            raise ConfigError(_plain_error(said.getvalue())) from None
        raise
    except ValidationError as error:
        raise ConfigError(explain(error, model)) from None
    refuse_idle(config, argv)
    _check_address(config)
    return config


def _check_address(config: BaseModel) -> None:
    """Finds out before anything is made that the cluster to join does not answer. Raises ConfigError."""
    parts = (config, *(getattr(config, name) for name in type(config).model_fields))
    address = next((part.address for part in parts if isinstance(getattr(part, "address", None), str)), None)
    if address is not None:
        try:
            check_cluster(address)
        except NoCluster as error:
            raise ConfigError(str(error)) from None


def refuse_unused(model: type[BaseModel], argv: Sequence[str] = (), data: Mapping[str, Any] = {}) -> None:
    """Raises ConfigError, naming key and reason, for an option that the command of `model` does not use.

    Refused are options in `argv`, whatever their value, and keys of a configuration file's `data` with another value
    than the default: what a run folder records holds all keys, and can be given to `--config` again.
    """
    unused: Mapping[str, str] = getattr(model, "unused", {})
    options = _options(argv)
    for key, reason in unused.items():
        given = next((option for option in options if option == key or option.startswith(f"{key}.")), None)
        if given is None and _differs(functools.reduce(_inner, key.split("."), data), _value_of(model(), key)):
            given = key
        if given is not None:
            raise ConfigError(f"{given} has no effect here: {reason}; leave it out")


def refuse_idle(config: BaseModel, argv: Sequence[str]) -> None:
    """Raises ConfigError for an option in `argv` that has no effect beside the others.

    A model says so by `idle()`: key, or section -> the option that decides it, and its value. What stands in a
    configuration file for another value of the deciding option is left alone.
    """
    idle: Mapping[str, tuple[str, str]] = config.idle() if hasattr(config, "idle") else {}
    for option in _options(argv):
        for key, (decides, value) in idle.items():
            if option == key or option.startswith(f"{key}."):
                raise ConfigError(f"{option} has no effect with {decides} {value}: leave it out, or change {decides}")


def _options(argv: Sequence[str]) -> list[str]:
    """Dotted keys of the options in `argv`."""
    return [a.partition("=")[0].removeprefix("--").replace("-", "_") for a in argv if a.startswith("--")]


def _inner(data: Any, key: str) -> Any:
    return data.get(key) if isinstance(data, Mapping) else None


def _differs(given: Any, default: Any) -> bool:
    """Whether something else is given than the default; what is left out of a section is not given."""
    if given is None:
        return False
    if isinstance(default, BaseModel):
        default = {name: getattr(default, name) for name in type(default).model_fields}
    if isinstance(given, Mapping) and isinstance(default, Mapping) and default:
        return any(_differs(value, default.get(key)) for key, value in given.items())
    return given != (list(default) if isinstance(default, tuple) else default)


def _value_of(config: BaseModel, key: str) -> Any:
    value = functools.reduce(getattr, key.split("."), config)
    return str(value) if isinstance(value, Path) else value


def resumed_config(model: Any, where: Path) -> Any:
    """The configuration of the run in a folder, wherever that has been moved to. Raises ConfigError."""
    from pipelines.artifacts.location import RunFolderError, recorded_config

    try:
        with recorded_config(where) as recorded:
            if recorded is None:
                raise ConfigError(f"{where} holds no run to resume (no config.yaml); give a run folder, as runs/NAME")
            return load_yaml(model, recorded).model_copy(update={"runs": where.parent, "name": where.name})
    except RunFolderError as error:
        raise ConfigError(str(error)) from None


def _plain_error(boxed: str) -> str:
    """What tyro says in a box of several lines, in one, without pydantic's dump of the input."""
    lines = [line.strip("│╭╮╰╯─ \t") for line in boxed.splitlines()]
    text = " ".join(line for line in lines if line and line not in ("Value error", "Parsing error"))
    text = re.sub(r"\s*\[type=.*?(https://errors\.pydantic\.dev/\S+|$)", "", text)
    text = re.sub(r"Error parsing (\S+): \d+ validation errors? for \S+", r"\1:", text)
    return re.sub(r"\s*For full helptext, (run|see) ", "; see ", text.replace("Value error, ", ""))


def load_yaml(model: type[Model], path: Path, base: Model | None = None, check_unused: bool = False) -> Model:
    """A configuration file over `base`. Raises ConfigError, naming file, key and the nearest known key."""
    if not path.is_file():
        raise ConfigError(f"there is no configuration file {path}")
    try:
        data = read_yaml(path) or {}
    except Unreadable as error:
        raise ConfigError(str(error)) from None
    if not isinstance(data, Mapping):
        raise ConfigError(f"{path} must hold keys and values, and holds a {type(data).__name__}")
    if check_unused:
        refuse_unused(model, data=data)
    merged = _merge(base.model_dump(exclude_unset=True) if base is not None else {}, data)
    try:
        return model.model_validate(merged)
    except ValidationError as error:
        raise ConfigError(f"{path}: {explain(error, model)}") from None


def explain(error: ValidationError, model: type[BaseModel]) -> str:
    """The first fault of a validation error in one line; for an unknown key, with the nearest known one."""
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        known = option_keys(model)
        near = difflib.get_close_matches(where, known, n=1, cutoff=0.5)
        leaf = where.rpartition(".")[2]
        near = near or [key for key in known if key.rpartition(".")[2] == leaf][:1]
        hint = f"did you mean {near[0]}?" if near else "see --help for those there are"
        return f"unknown configuration key {where}; {hint}"
    message = first["msg"].removeprefix("Value error, ")
    return f"{where}: {message}" if where else message


def take_option(argv: list[str], flag: str) -> str | None:
    """Removes `flag VALUE` (or `flag=VALUE`) from `argv` and returns the value; the first there is."""
    for index, argument in enumerate(argv):
        if argument == flag:
            if index + 1 >= len(argv):
                raise ConfigError(f"{flag} needs a value")
            value = argv[index + 1]
            del argv[index : index + 2]
            return value
        if argument.startswith(flag + "="):
            del argv[index]
            return argument.partition("=")[2]
    return None


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        if isinstance(value, Mapping) and isinstance(merged.get(key), Mapping):
            value = _merge(merged[key], value)
        merged[key] = value
    return merged


def option_keys(model: type[BaseModel], prefix: str = "") -> list[str]:
    """All dotted keys of a configuration, those of whole sections included."""
    found = []
    for name, field in model.model_fields.items():
        found.append(prefix + name)
        for kind in (field.annotation, *get_args(field.annotation)):
            if isinstance(kind, type) and issubclass(kind, BaseModel):
                found += option_keys(kind, f"{prefix}{name}.")
    return found


def _description(model: type[BaseModel]) -> str:
    return f"{model.__doc__}\n\n--config FILE.yaml sets any of these by the same names, nested; options win over it."


def fail(message: str) -> int:
    """Prints one line for people on standard error and returns the exit status of a usage error."""
    print(f"crucible: {one_line(message)}", file=sys.stderr)
    return 2

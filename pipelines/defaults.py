"""The options of a job that follow from its model, the hardware and the job itself: filled when it starts.

The recipe (`cluster.recipes`) knows them by the names of `crucible grpo`. Jobs whose options are called otherwise, such
as `engine` for `rollout.engine`, are translated here.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError
from rich.console import Console

from cluster.devices import Hardware, hardware_here, session_hardware
from cluster.hardware import Demand
from cluster.job_plan import Tenant, tenants
from cluster.loads import SHARE
from cluster.model_shapes import ModelShapes, UnknownShapes
from cluster.nodes import Node
from cluster.plan_text import headline, summary_lines
from cluster.recipes import Job, Recipe, recipe, warn
from cluster.shares import DoesNotFit
from pipelines.artifacts.plain_files import Unreadable, read_yaml
from pipelines.errors import ConfigError
from pipelines.options import explain, is_used, leaves, merged, nested
from pipelines.teacher_defaults import (
    NAMES,
    Division,
    TeacherDefaults,
    divisions,
    scaled,
    teacher_defaults,
    teacher_given,
    teacher_job,
)
from problems.auto import as_set, is_auto, unset
from problems.plain_text import one_line, shown
from train.quantised import refuse_quantising

REASONING = {
    "aime24", "aime25", "gpqa", "gpqa_diamond", "livecodebench", "math500", "mmlu_pro_math", "numina_math_cot",
}  # fmt: skip
"""Mappings of data sets whose problems are reasoned about at length."""
KINDS = ("hardware.profiles", "hardware.engine.accelerator", "hardware.learner.accelerator")
"""Options that a recipe fills where GPUs differ, and that are empty otherwise."""
SHOT_TOKENS = 256
"""Taken for one worked example in a prompt, where its length is not known yet."""
_ALIASES = {"engines": "rollout.engines", "max_tokens": "rollout.sampling.max_tokens"}


@dataclass(frozen=True)
class Defaults:
    """A job's configuration with everything filled, and what follows from it."""

    config: Any
    recipe: Recipe
    shapes: ModelShapes
    job: Job
    given: Mapping[str, Any]
    """What the user had set, by the recipe's names."""
    values: Mapping[str, Any]
    """Every option, by the recipe's names."""
    own_names: Mapping[str, str]
    """The recipe's name of an option -> the job's own."""
    teacher: TeacherDefaults | None = None
    """Of a teacher on engines of the job's; None where the job has none, or has nothing else on engines."""

    @property
    def teachers(self) -> tuple[int, int]:
        """Engines of the teacher, and the GPUs that each is split over."""
        one = getattr(self.config, "teacher", None)
        one = one.on_engines if one is not None and self.job.kind != "hard-distil" else None
        return (one.engines, one.engine.tensor_parallel) if one is not None else (0, 1)

    @property
    def counts(self) -> tuple[int, int, int]:
        """Engines, workers of each learner, and learners of the job's session."""
        if self.is_teacher_alone:
            return 0, 0, 1
        engines = self.values.get("rollout.engines", 0) if self.job.samples else 0
        workers = [self.values.get(f"{section}.workers", 0) for section in ("train", "sft")]
        return engines, max(workers) if self.job.learns else 0, self.job.trials

    @property
    def is_teacher_alone(self) -> bool:
        """Whether the teacher's engines are all that the job has: then these are its settings."""
        return self.teacher is None and self.teachers[0] > 0

    @property
    def tensor_parallel(self) -> int:
        """GPUs that an engine is split over."""
        return self.values.get("rollout.engine.tensor_parallel", 1)

    def place(self, fleet: Sequence[Demand], learner: Demand, hardware: Hardware) -> tuple[Tenant, ...]:
        """What the planned actors take. Raises ConfigError, with what would fit, where a device is overfull."""
        try:
            of_teacher = self.teacher.engines if self.teacher is not None else None
            return tenants(self.shapes, hardware, fleet, learner, self.job, self.values, of_teacher)
        except (DoesNotFit, ValueError) as error:
            raise ConfigError(in_own_words(str(error), self.own_names)) from None

    def announce(self, console: Console) -> Callable[[Sequence[Demand], Demand, Sequence[Node]], None]:
        """What a session calls once it knows the places of its actors: prints in short who takes what.

        It raises ConfigError where they do not fit.
        """

        def check(fleet: Sequence[Demand], learner: Demand, nodes: Sequence[Node]) -> None:
            hardware = session_hardware(nodes)
            found = self.place(fleet, learner, hardware)
            try:
                refuse_quantising(self.values.get("train.quantise", "none"), on_gpu=learner.gpus > 0, section="train.")
            except ValueError as error:
                raise ConfigError(in_own_words(str(error), self.own_names)) from None
            lines = [headline(self.shapes, hardware, "teacher" if self.is_teacher_alone else "")]
            lines += [headline(self.teacher.engines.shapes, hardware, "teacher")] if self.teacher is not None else []
            for line in (*lines, *summary_lines(hardware, found)):
                console.print(shown(line), soft_wrap=True)
            for text in [*self.recipe.warnings, *warn(self.values, self.shapes)]:
                console.print(shown(f"warning: {in_own_words(text, self.own_names)}", "yellow"), soft_wrap=True)

        return check


def fill(
    config: Any, part: str, shapes: ModelShapes | None, hardware: Hardware, teacher: ModelShapes | None = None
) -> Defaults:
    """`config` with what nobody has set filled by the recipe for this model and hardware. `part` as of `Job`.

    `teacher` is the model of a teacher on the job's engines; without `shapes` those are all that there are. Raises
    ConfigError where nothing that fits is found.
    """
    if shapes is None:
        assert teacher is not None, "a job has engines of a model, of a teacher, or of both"
        return _fill_teacher(config, teacher, hardware)
    names = _names(type(config), part)
    job, given = job_of(config, part), _given(config, names)
    teacher = None if job.kind == "hard-distil" else teacher  # whose stages have engines of their own
    if getattr(config, "dedicated", False) and hardware.devices:  # every trial has a part of the devices
        each = max(1, len(hardware.devices) // config.concurrency)
        hardware = replace(hardware, devices=hardware.devices[:each])
    own_names = {canonical: own for own, canonical in names.items()}
    try:
        found, guest = _recipes(config, shapes, hardware, job, given, teacher)
    except ValueError as error:
        raise ConfigError(in_own_words(str(error), own_names)) from None
    known = set(marked(type(config)))
    own = {n: c for n, c in found.choices.items() if own_names.get(n) in known or n.startswith("hardware.")}
    found = replace(found, choices=own)
    filled = with_values(
        config,
        {own_names[name]: value for name, value in found.values.items() if name in own_names}
        | (guest.chosen if guest is not None else {}),
        refined=[own_names["hardware.profiles"]] if "hardware.profiles" in given else [],
    )
    return Defaults(filled, found, shapes, job, given, _values(filled, names), own_names, guest)


def _recipes(
    config: Any,
    shapes: ModelShapes,
    hardware: Hardware,
    job: Job,
    given: Mapping[str, Any],
    teacher: ModelShapes | None,
) -> tuple[Recipe, TeacherDefaults | None]:
    """The job's recipe, and that of its teacher's engines: of the first division of the hardware that both fit in.
    Raises ValueError."""
    if teacher is None:
        return recipe(shapes, hardware, job, given), None
    if given.get("hardware.device") == "cpu":
        hardware = replace(hardware, devices=())
    of_teacher, reason, largest = teacher_given(config), None, 0.0
    engines = of_teacher.get("rollout.engines", 0) * of_teacher.get("rollout.engine.tensor_parallel", 1)
    for division in divisions(hardware, engines):
        own = {name: value for name, value in given.items() if name != SHARE or not division.is_shared}
        try:
            guest = teacher_defaults(teacher, division, teacher_job(config), of_teacher)
            found = recipe(shapes, division.others, job, own)
        except ValueError as error:
            if division.part > largest:  # what does not fit in the largest part fits in none
                reason, largest = error, division.part
            continue
        return scaled(found, 1 - division.part if division.is_shared else 1.0), guest
    raise ValueError(f"a teacher on engines beside {shapes.name}: {reason}")


def _fill_teacher(config: Any, shapes: ModelShapes, hardware: Hardware) -> Defaults:
    """Of a job whose teacher's engines are all that it has."""
    if config.hardware.device == "cpu":
        hardware = replace(hardware, devices=())
    own_names = {canonical: own for own, canonical in NAMES.items()}
    try:
        guest = teacher_defaults(shapes, Division(hardware, hardware), teacher_job(config), teacher_given(config))
    except ValueError as error:
        raise ConfigError(in_own_words(str(error), own_names)) from None
    filled = with_values(config, guest.chosen)
    choices = {name: choice for name, choice in guest.recipe.choices.items() if name in own_names}
    found = replace(guest.recipe, choices=choices)
    values = {**guest.engines.values, **teacher_given(filled)}
    return Defaults(filled, found, shapes, guest.engines.job, guest.given, values, own_names)


def with_values(config: Any, values: Mapping[str, Any], refined: Sequence[str] = ()) -> Any:
    """`config` with `values`, by its own dotted names, where they may be filled and nobody has set them. Those of
    `refined` are set, and `values` has them with what they left open.

    Raises ConfigError where the result is no valid configuration.
    """
    model, open_keys = type(config), {*unset(config), *refined}
    open_keys |= {key for key in values if key.startswith("hardware.teacher.") and not _at(config, key)}
    open_keys |= {key for key in values if key.endswith(KINDS) and is_used(model, key) and not _at(config, key)}
    chosen = {key: value for key, value in values.items() if key in open_keys}
    for key, other in getattr(model, "auto_like", {}).items():
        if key in open_keys:
            chosen[key] = chosen.get(other, _at(config, other))
    if not chosen:
        return config
    try:
        return model.model_validate(merged(model, as_set(config), nested(chosen)))
    except ValidationError as error:
        raise ConfigError(explain(error, model)) from None


def recorded_values(config: Any, part: str, file: Path) -> dict[str, Any]:
    """What a run folder's config.yaml holds of the options that `config` leaves open, by dotted name. Raises
    ConfigError."""
    kinds = [f"{part}.{key}" if part else key for key in KINDS]
    try:
        data, found = read_yaml(file), {}
    except Unreadable as error:
        raise ConfigError(str(error)) from None
    for key in [*unset(config), *kinds]:
        value = data
        for name in key.split("."):
            value = value.get(name) if isinstance(value, Mapping) else None
        if value is not None:
            found[key] = value
    return found


def hardware_now(address: str) -> Hardware | None:
    """The hardware of the session to come; None where only the cluster that is to be joined can tell."""
    import sys

    from cluster.address import named_address

    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        from cluster.connect import live_nodes

        return session_hardware(live_nodes())
    return None if named_address(address or None)[0] else hardware_here()


def read_shapes(model: str) -> ModelShapes:
    """The sizes of a model in a folder, or of one on the Hugging Face hub. Raises ConfigError."""
    path, name = Path(model) / "config.json", Path(model).name
    if not Path(model).is_dir():
        from huggingface_hub import hf_hub_download

        try:
            path = Path(hf_hub_download(model, "config.json"))
        except Exception as error:  # whatever the hub's client raises
            raise ConfigError(f"config.json of {model} cannot be read: {one_line(error, 200)}") from None
    try:
        keys = json.loads(path.read_bytes())
        if not isinstance(keys, dict):
            raise ValueError("it holds no keys")
        return ModelShapes.from_config(keys, name)
    except UnknownShapes as error:
        return _by_attributes(model, name, error)
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"config.json of {model} cannot be read: {one_line(error, 200)}") from None


_SIZES = (
    "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads", "head_dim",
    "vocab_size", "max_position_embeddings", "tie_word_embeddings",
)  # fmt: skip


def _by_attributes(model: str, name: str, error: UnknownShapes) -> ModelShapes:
    """The sizes under the names that transformers gives them, for configurations that call them otherwise."""
    from rollout.model_files import load_config

    try:
        config = load_config(model)
        keys = {key: value for key in _SIZES if (value := getattr(config, key, None)) is not None}
        return ModelShapes.from_config({**keys, "model_type": config.model_type}, name)
    except ValueError:
        raise ConfigError(f"{error}; give a model that transformers loads as a causal language model") from None


def job_of(config: Any, part: str) -> Job:
    """What of the job its defaults depend on."""
    own = getattr(config, part) if part else config
    prompt = getattr(own, "prompt", None)
    shots = (getattr(prompt, "few_shot", 0) + len(getattr(prompt, "shots", ()))) if prompt is not None else 0
    suites = [suite.partition("=")[0] for suite in getattr(own, "suites", ())]
    parts = getattr(getattr(own, "problems", None), "parts", ())
    suites += [part.source.mapping for part in parts if part.source is not None]
    thinks = getattr(prompt, "style", "") == "think" or getattr(own, "style", "") == "think"
    return Job(
        kind=type(own).recipe_kind,
        prompt_tokens=Job().prompt_tokens + SHOT_TOKENS * shots,
        reasoning=thinks or bool(REASONING & set(suites)),
        samples=getattr(own, "evaluate", True),
        from_adapter=bool(getattr(own, "adapter", "")) or type(own).recipe_kind == "hard-distil",
        trials=1 if getattr(config, "dedicated", False) else getattr(config, "concurrency", 1),
    )


def in_own_words(text: str, own_names: Mapping[str, str]) -> str:
    """A message about the recipe's options, by the job's own names."""
    for name, own in sorted(own_names.items(), key=lambda pair: -len(pair[0])):
        if name != own:
            text = text.replace(name, own)
    return text


def _names(model: type[BaseModel], part: str) -> dict[str, str]:
    """The job's own name of an option -> the recipe's."""
    found = {}
    for key in leaves(model):
        inner = key.removeprefix(f"{part}.") if part else key
        if part and inner == key:
            continue
        name = _ALIASES.get(inner, inner)
        found[key] = f"rollout.{name}" if name.startswith("engine.") else name
    return found


def _given(config: Any, names: Mapping[str, str]) -> dict[str, Any]:
    """What is decided, by the recipe's names: all but what follows from the model and nobody has set."""
    open_keys = set(unset(config))
    found = {
        name: _plain(_at(config, key)) for key, name in names.items() if key not in open_keys and _has(config, key)
    }
    return {name: value for name, value in found.items() if value is not None and value not in ("", (), [], {})}


def _values(config: Any, names: Mapping[str, str]) -> dict[str, Any]:
    return {name: _plain(_at(config, key)) for key, name in names.items() if _has(config, key)}


def _has(config: Any, key: str) -> bool:
    for name in key.split("."):
        if not hasattr(config, name):
            return False
        config = getattr(config, name)
    return True


def _at(config: Any, key: str) -> Any:
    for name in key.split("."):
        config = getattr(config, name)
    return config


def _plain(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return [item.model_dump() if isinstance(item, BaseModel) else item for item in value]
    return value


def marked(model: type[BaseModel]) -> list[str]:
    """The dotted keys of a configuration that are filled when nobody sets them."""
    return [key for key, field in leaves(model).items() if is_auto(field)]

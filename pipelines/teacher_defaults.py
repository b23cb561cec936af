"""A teacher on engines of the run's own: what of the hardware it gets beside the model that it teaches.

With several GPUs it has some of its own. A single one, and a machine without any, is divided: the two are asked in
turn, but both stay loaded. Its settings come from the same recipe as those of any engine.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from cluster.devices import Hardware
from cluster.job_plan import TeacherEngines
from cluster.loads import SHARE
from cluster.model_shapes import ModelShapes
from cluster.recipes import Choice, Job, Recipe, recipe
from problems.auto import unset
from rollout.config import EngineConfig
from rollout.teacher.config import TeacherConfig

PARTS = (0.5, 0.4, 0.6, 0.3, 0.7, 0.8, 0.2)
"""Parts of a device's memory that are tried for the teacher, in this order."""
PROMPT_TOKENS = 1536
"""Taken for a teacher's prompt: instructions with exemplars, the question and what is shown with it."""
NAMES = {
    "teacher.engines": "rollout.engines",
    "teacher.max_tokens": "rollout.sampling.max_tokens",
    **{f"teacher.engine.{name}": f"rollout.engine.{name}" for name in EngineConfig.model_fields},
}
"""Options of a teacher's engines -> the recipe's names."""


@dataclass(frozen=True)
class Division:
    """How the hardware is divided."""

    teacher: Hardware
    others: Hardware
    part: float = 1.0
    """Of each device's memory, of what both share; 1 where each has devices of its own."""
    accelerator: str = ""
    """Kind of the teacher's GPUs, where there are several kinds."""

    @property
    def is_shared(self) -> bool:
        """Whether both are on the same devices."""
        return self.part < 1


@dataclass(frozen=True)
class TeacherDefaults:
    """Settings of a teacher's engines."""

    engines: TeacherEngines
    recipe: Recipe
    given: Mapping[str, Any]
    """What the user had set, by the recipe's names."""
    placement: Mapping[str, Any]
    """What of hardware.teacher follows."""

    @property
    def shown(self) -> tuple[Recipe, Mapping[str, str]]:
        """The recipe of the engines' own options, and these by its names."""
        own = {name: option for option, name in NAMES.items() if option != "teacher.max_tokens"}
        return replace(self.recipe, choices={n: c for n, c in self.recipe.choices.items() if n in own}), own

    @property
    def chosen(self) -> dict[str, Any]:
        """Value by the option's own name."""
        own = {recipe_name: own for own, recipe_name in NAMES.items()}
        values = {own[name]: value for name, value in self.recipe.values.items() if name in own}
        values.pop("teacher.max_tokens", None)
        return values | {f"hardware.teacher.{name}": value for name, value in self.placement.items()}


def divisions(hardware: Hardware, engines: int = 0) -> Iterator[Division]:
    """Ways to divide the hardware, the best first; for so many `engines` of the teacher of one GPU each, if that is
    decided."""
    if not hardware.devices:
        for part in PARTS:
            mine = replace(hardware, memory=int(part * hardware.memory))
            yield Division(mine, replace(hardware, memory=hardware.memory - mine.memory), part)
        return
    if len(hardware.devices) == 1:
        (device,) = hardware.devices
        for part in PARTS:
            mine = replace(device, bytes=int(part * device.bytes))
            rest = replace(device, bytes=device.bytes - mine.bytes)
            yield Division(replace(hardware, devices=(mine,)), replace(hardware, devices=(rest,)), part)
        return
    kinds = {device.name for device in hardware.devices}
    count, half = len(hardware.devices), len(hardware.devices) // 2
    order = sorted(range(count), key=lambda number: (-hardware.devices[number].bytes, -number))
    for own in sorted(range(1, count), key=lambda number: (abs(number - (engines or half)), number)):
        mine = sorted(order[:own])
        taken = [hardware.devices[number] for number in mine]
        kind = taken[0].name if len(kinds) > 1 and len({device.name for device in taken}) == 1 else ""
        left = tuple(device for number, device in enumerate(hardware.devices) if number not in mine)
        yield Division(replace(hardware, devices=tuple(taken)), replace(hardware, devices=left), accelerator=kind)


def teacher_given(config: Any) -> dict[str, Any]:
    """What is decided of a teacher's engines, by the recipe's names."""
    teacher: TeacherConfig = config.teacher
    one = teacher.on_engines
    assert one is not None, "only of a teacher on engines"
    open_keys = set(unset(config))
    found = {}
    for own, name in NAMES.items():
        section, _, leaf = own.removeprefix("teacher.").rpartition(".")
        value = getattr(one.engine if section else one, leaf)
        if own not in open_keys and value is not None:
            found[name] = value
    return found


def teacher_job(config: Any) -> Job:
    """What of a teacher's work its engines' settings depend on."""
    return Job(kind="evaluate", prompt_tokens=PROMPT_TOKENS)


def teacher_defaults(shapes: ModelShapes, division: Division, job: Job, given: Mapping[str, Any]) -> TeacherDefaults:
    """The settings within one division. Raises `cluster.shares.DoesNotFit`."""
    asked = {name: value for name, value in given.items() if name != SHARE or not division.is_shared}
    found = scaled(recipe(shapes, division.teacher, job, asked), division.part if division.is_shared else 1.0)
    values = {**found.values, **given}
    placement: dict[str, Any] = {}
    if division.teacher.devices and not division.is_shared:
        placement["gpus"] = float(values.get("rollout.engine.tensor_parallel", 1))
        placement |= {"accelerator": division.accelerator} if division.accelerator else {}
    return TeacherDefaults(TeacherEngines(shapes, job, values), found, given, placement)


def scaled(found: Recipe, part: float) -> Recipe:
    """A recipe for `part` of a device, as shares of the whole device."""
    if part == 1 or SHARE not in found.choices:
        return found
    choice = found.choices[SHARE]
    share = Choice(
        int(100 * choice.value * part) / 100, f"{100 * part:.0f} % of its GPU, which others have the rest of"
    )
    return replace(found, choices={**found.choices, SHARE: share})

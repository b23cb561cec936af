"""What `crucible plan` prints: who sits on which device, what it takes there, and why each default is what it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from cluster.memory_plan import GIB, MemoryNeed
from cluster.model_shapes import ModelShapes
from cluster.overrides import settle
from cluster.recipes import Job, Recipe, recipe, warn
from cluster.seating import Device, DoesNotFit, Hardware, Seat

COLUMNS = (
    ("weights", ("weights",)),
    ("KV", ("KV",)),
    ("adapters", ("adapters", "adapter", "average")),
    ("optimiser", ("optimiser", "gradients")),
    ("activations", ("activations", "workspace")),
    ("head", ("head",)),
    ("other", ("graphs", "heap", "context")),
)
"""Columns of the table of memory, and the parts of a MemoryNeed that each adds up."""


def plan_text(shapes: ModelShapes, hardware: Hardware, job: Job, values: Mapping[str, Any] | None = None) -> str:
    """The plan of a job, in lines for people; a refusal, with what would fit, where there is none.

    `values` are the options that the user set, by their dotted names: they win over the recipe's.
    """
    given = dict(values or {})
    head = f"{shapes.name}: {shapes.total_parameters / 1e9:.3g} B parameters in {shapes.layers} layers, on {hardware}"
    try:
        found = recipe(shapes, hardware, job)
        seating = settle(shapes, hardware, found.seating, given)
    except DoesNotFit as error:
        return f"{head}\n\nDoes not fit. {error}"
    lines = [head, "", *memory_lines(hardware, seating.seats), "", f"Placement: {seating.rule}."]
    lines += ["", f"Defaults ({found.name}):", *choice_lines(found, given)]
    profiles = found.profiles(hardware)
    if profiles:
        lines += ["", "Engines differ (hardware.profiles):"]
        lines += [
            "  " + ", ".join(f"{name} {_value(value)}" for name, value in profile.items()) for profile in profiles
        ]
    warnings = [*found.warnings, *warn(found.values | given, shapes)]
    if warnings:
        lines += ["", *(f"Warning: {text}" for text in warnings)]
    return "\n".join(lines)


def memory_lines(hardware: Hardware, seats: tuple[Seat, ...]) -> list[str]:
    """One line for each actor on each device, in GiB, and each device's sum."""
    titles = ("device", "who", *(title for title, _ in COLUMNS), "sum", "of")
    rows = [titles, *_rows(hardware, seats)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(titles))]
    return [
        "  ".join(f"{cell:<{w}}" if i < 2 else f"{cell:>{w}}" for i, (cell, w) in enumerate(zip(row, widths))).rstrip()
        for row in rows
    ]


def choice_lines(found: Recipe, given: Mapping[str, Any]) -> list[str]:
    """One line for each option that the recipe sets: its value and why, or that the user set it."""
    shown = {
        name: (str(given[name]), f"set by you; {choice.value} otherwise")
        if name in given
        else (_value(choice.value), choice.reason)
        for name, choice in found.choices.items()
    }
    wide, high = max(map(len, shown)), max(len(value) for value, _ in shown.values())
    return [f"  {name:<{wide}}  {value:>{high}}  {why}" for name, (value, why) in shown.items()]


def _rows(hardware: Hardware, seats: tuple[Seat, ...]) -> Iterator[tuple[str, ...]]:
    devices = hardware.devices or (Device("CPU", hardware.memory),)
    for index, device in enumerate(devices):
        tenants = [seat for seat in seats if index in seat.devices or not hardware.devices]
        where = f"{index}: {device}" if hardware.devices else "CPU"
        if not tenants:
            yield (where, "idle", *("" for _ in COLUMNS), "0.0", f"{device.bytes / GIB:.1f}")
        for seat in tenants:
            split = f" (1/{len(seat.devices)})" if len(seat.devices) > 1 else ""
            yield (
                where,
                seat.role + split,
                *_cells(seat.need),
                f"{seat.need.total / GIB:.1f}",
                f"{device.bytes / GIB:.1f}",
            )
            where = ""
        if len(tenants) > 1:
            total = sum(seat.need.total for seat in tenants)
            yield ("", "together", *("" for _ in COLUMNS), f"{total / GIB:.1f}", f"{device.bytes / GIB:.1f}")


def _cells(need: MemoryNeed) -> Iterator[str]:
    for _, names in COLUMNS:
        count = sum(need.of(name) for name in names)
        yield f"{count / GIB:.1f}" if count >= GIB / 20 else f"{count / GIB:.2f}" if count else "-"


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "auto" if value is None else f"{value:g}" if isinstance(value, float) else str(value)

"""What `crucible plan` prints: who sits on which device, what it takes there, and why each default is what it is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cluster.devices import Device, Hardware
from cluster.job_plan import Tenant
from cluster.memory_plan import GIB, MemoryNeed, gib, size
from cluster.model_shapes import ModelShapes
from cluster.recipes import Recipe

COLUMNS = (
    ("weights", ("weights", "unpacked", "gathered")),
    ("KV", ("KV",)),
    ("adapters", ("adapters", "adapter", "average", "reference")),
    ("optimiser", ("optimiser", "gradients")),
    ("activations", ("activations", "workspace")),
    ("head", ("head",)),
    ("other", ("graphs", "heap", "tokenizers", "context")),
)
"""Columns of the table of memory, and the parts of a MemoryNeed that each adds up."""


def headline(shapes: ModelShapes, hardware: Hardware, role: str = "") -> str:
    """The model, in its role if it has one of its own, and the machines, in one line."""
    who = f"{role} {shapes.name}" if role else shapes.name
    return f"{who}: {size(shapes)} parameters in {shapes.layers} layers, on {hardware}"


def memory_lines(hardware: Hardware, tenants: Sequence[Tenant]) -> list[str]:
    """One line for each actor on each device, in GiB, and each device's sum. Devices that are alike are counted."""
    titles = ("device", "who", *(title for title, _ in COLUMNS), "sum", "of")
    rows = [titles, *_rows(hardware, tenants)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(titles))]
    return [
        "  ".join(f"{cell:<{w}}" if i < 2 else f"{cell:>{w}}" for i, (cell, w) in enumerate(zip(row, widths))).rstrip()
        for row in rows
    ]


def summary_lines(hardware: Hardware, tenants: Sequence[Tenant]) -> list[str]:
    """The same in short: a line for each kind of place."""
    lines = []
    for devices, device, there in _places(hardware, tenants):
        where = devices if device.name == "CPU" else f"{devices}, {device}"
        parts = [f"{tenant.role} {gib(tenant.need.total)} ({_largest(tenant.need)})" for tenant in there]
        lines.append(f"{where}: {', '.join(parts) or 'idle'}; {device.bytes / GIB:.0f} GiB there")
    return lines


def choice_lines(found: Recipe, given: Mapping[str, Any], rename: Mapping[str, str] | None = None) -> list[str]:
    """One line for each option that the recipe sets: its value and why, or that the user set it.

    `rename` has the names that the command at hand uses for options.
    """
    names = rename or {}
    shown = {
        names.get(name, name): (_value(given[name]), "set by you")
        if name in given
        else (_value(choice.value), choice.reason)
        for name, choice in found.choices.items()
        if name != "hardware.profiles"
    }
    wide, high = max(map(len, shown)), max(len(value) for value, _ in shown.values())
    lines = [f"  {name:<{wide}}  {value:>{high}}  {why}" for name, (value, why) in shown.items()]
    if (profiles := found.choices.get("hardware.profiles")) is not None:
        lines.append(f"  {'hardware.profiles':<{wide}}  {profiles.reason}:")
        lines += [f"    {', '.join(f'{key} {_value(v)}' for key, v in profile.items())}" for profile in profiles.value]
    return lines


def _places(hardware: Hardware, tenants: Sequence[Tenant]) -> Iterator[tuple[str, Device, list[Tenant]]]:
    """Name, kind and tenants of each device, those that are alike as one, in the order of the devices."""
    places: dict[tuple[str, int], tuple[Device, list[Tenant]]] = {}
    count: dict[str, int] = {}
    for device in hardware.devices:
        index = count[device.node] = count.get(device.node, -1) + 1
        places[device.node, index] = (device, [])
    for tenant in tenants:
        for index in tenant.devices or (-1,):
            places.setdefault((tenant.node, index), (tenant.device, []))[1].append(tenant)
    alike: dict[Any, list[int]] = {}
    kept = list(places.values())
    for number, (device, there) in enumerate(kept):
        key = (device.name, device.bytes, tuple((t.role, t.name, len(t.devices), t.need) for t in there))
        alike.setdefault(key, []).append(number)
    for numbers in alike.values():
        device, there = kept[numbers[0]]
        yield ("CPU" if device.name == "CPU" else f"GPU {_ranges(numbers)}"), device, there


def _ranges(numbers: Sequence[int]) -> str:
    """0, 1, 2, 5 as 0-2,5."""
    parts: list[list[int]] = []
    for number in numbers:
        if parts and parts[-1][-1] == number - 1:
            parts[-1].append(number)
        else:
            parts.append([number])
    return ",".join(str(part[0]) if len(part) == 1 else f"{part[0]}-{part[-1]}" for part in parts)


def _rows(hardware: Hardware, tenants: Sequence[Tenant]) -> Iterator[tuple[str, ...]]:
    for name, device, there in _places(hardware, tenants):
        where, size = name if name == "CPU" else f"{name}: {device}", f"{device.bytes / GIB:.1f}"
        if not there:
            yield (where, "idle", *("" for _ in COLUMNS), "0.0", size)
        for tenant in there:
            who = tenant.role if tenant.name == tenant.role else f"{tenant.role} {tenant.name}"
            split = f" (1/{len(tenant.devices)})" if len(tenant.devices) > 1 else ""
            yield (where, who + split, *_cells(tenant.need), f"{tenant.need.total / GIB:.1f}", size)
            where = ""
        if len(there) > 1:
            total = sum(tenant.need.total for tenant in there)
            yield ("", "together", *("" for _ in COLUMNS), f"{total / GIB:.1f}", size)


def _cells(need: MemoryNeed) -> Iterator[str]:
    for _, names in COLUMNS:
        count = sum(need.of(name) for name in names)
        yield f"{count / GIB:.1f}" if count >= GIB / 20 else f"{count / GIB:.2f}" if count else "-"


def _largest(need: MemoryNeed) -> str:
    """The two largest parts, for people."""
    parts = sorted(need.parts, key=lambda part: -part.bytes)[:2]
    return ", ".join(f"{part.name} {gib(part.bytes)}" for part in parts)


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "auto" if value is None else f"{value:g}" if isinstance(value, float) else str(value)

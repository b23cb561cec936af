"""What a user's own settings make of a recipe's seats: the same memory, counted again. Pure: no torch, no Ray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from typing import Any

from cluster.memory_plan import (
    GIB,
    SETTINGS,
    USABLE,
    EngineLoad,
    LearnerLoad,
    changes,
    engine_need,
    gib,
    learner_need,
    nearest_engine,
    nearest_learner,
)
from cluster.model_shapes import ModelShapes
from cluster.seating import (
    Device,
    DoesNotFit,
    Hardware,
    Seat,
    Seating,
    engine_dtype,
    engine_with_share,
    learner_dtype,
    with_kv,
)

SHARE, KV_GIB = "rollout.engine.gpu_memory_share", "rollout.engine.kv_cache_gib"


def settle(shapes: ModelShapes, hardware: Hardware, seating: Seating, values: Mapping[str, Any]) -> Seating:
    """The same seats under what the user set, by the options' dotted names; others than memory depends on are passed.

    Nothing is made smaller. Raises DoesNotFit where a device is overfull, naming the options that would fit.
    """
    seats = tuple(_seat(shapes, hardware, seat, values) for seat in seating.seats)
    check_room(shapes, hardware, seats)
    return replace(seating, seats=seats)


def check_room(shapes: ModelShapes, hardware: Hardware, seats: Sequence[Seat]) -> None:
    """Raises DoesNotFit where those on one device take more than it has, naming the options that would fit."""
    places: dict[tuple[int, ...], list[Seat]] = {}
    for seat in seats:
        places.setdefault(seat.devices, []).append(seat)
    for index, tenants in places.items():
        device = hardware.devices[index[0]] if index else Device("CPU", hardware.memory)
        if sum(seat.need.total for seat in tenants) > USABLE * device.bytes:
            raise DoesNotFit(_overfull(shapes, device, tenants))


def learner_load(load: LearnerLoad, values: Mapping[str, Any], device: Device) -> LearnerLoad:
    """`load` with what `values` says of it."""
    found = _direct(values)
    dtype = values.get("train.dtype")
    if dtype == "auto":
        dtype = learner_dtype(device) if load.device == "cuda" else "float32"
    targets = values.get("train.target_modules")
    if found.get("checkpointing"):
        found["share_prompts"] = False
    elif found.get("share_prompts"):
        found["checkpointing"] = False
    found |= {
        "dtype": dtype,
        "lora_r": values.get("train.lora_r"),
        "group": values.get("rollout.group_size"),
        "targets": targets if targets is None or isinstance(targets, str) else tuple(targets),
        "moving_average": True if values.get("train.ema_decay") else None,
    }
    return replace(load, **_known(load, found))


def engine_load(load: EngineLoad, values: Mapping[str, Any], shapes: ModelShapes, device: Device) -> EngineLoad:
    """`load` with what `values` says of it. Over how many devices it is split is the placement's to say."""
    found = _direct(values)
    dtype, rank = values.get("rollout.engine.dtype"), values.get("train.lora_r")
    staleness = values.get("rollout.max_staleness")
    if dtype == "auto":
        dtype = engine_dtype(shapes, device) if load.device == "cuda" else "float32"
    averages = 2 if values.get("rollout.ema_samples") else 1
    found |= {
        "dtype": dtype,
        "lora_rank": None if rank is None else max(8, 1 << (rank - 1).bit_length()),
        "adapters": None if staleness is None else (staleness + 1) * averages,
        "tensor_parallel": None,
    }
    return replace(load, **_known(load, found))


def _seat(shapes: ModelShapes, hardware: Hardware, seat: Seat, values: Mapping[str, Any]) -> Seat:
    device = hardware.devices[seat.devices[0]] if seat.devices else Device("CPU", hardware.memory)
    if isinstance(seat.load, LearnerLoad):
        learner = learner_load(seat.load, values, device)
        return replace(seat, load=learner, need=learner_need(shapes, learner))
    engine = engine_load(seat.load, values, shapes, device)
    room, share = values.get(KV_GIB), values.get(SHARE)
    if engine == seat.load and (room if not seat.devices else share) is None:
        return seat
    settled = replace(seat, load=engine, need=engine_need(shapes, engine))
    if not seat.devices:
        kept = seat.need.of("KV") if room is None else int(room * GIB)
        return replace(settled, need=with_kv(settled.need, kept, KV_GIB))
    return engine_with_share(shapes, settled, device, seat.share if share is None else share)


def _direct(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: values[option] for name, option in SETTINGS.items() if option in values}


def _known(load: EngineLoad | LearnerLoad, found: Mapping[str, Any]) -> dict[str, Any]:
    """What of `found` is a field of the load and is set at all."""
    names = {field.name for field in fields(load)}
    return {name: value for name, value in found.items() if name in names and value is not None}


def _overfull(shapes: ModelShapes, device: Device, tenants: list[Seat]) -> str:
    """One line: who takes what, and the nearest settings of one of them that would fit beside the others."""
    budget, total = int(USABLE * device.bytes), sum(seat.need.total for seat in tenants)
    takes = " and ".join(f"the {seat.role} takes {gib(seat.need.total)}" for seat in tenants)
    fixes = []
    for seat in tenants:
        left = budget - (total - seat.need.total)
        if isinstance(seat.load, LearnerLoad):
            learner = nearest_learner(shapes, seat.load, left)
            fixes += [changes(seat.load, learner)] if learner else []
        else:
            engine = nearest_engine(shapes, seat.load, left)
            share = f", {SHARE}={engine_need(shapes, engine).total / device.bytes + 0.005:.2f}" if engine else ""
            fixes += [(changes(seat.load, engine) + (share if seat.devices else "")).lstrip(", ")] if engine else []
    fit = "; or ".join(fix for fix in fixes if fix) or f"a device of {-(-int(total / USABLE) // GIB)} GiB"
    return f"{device}: {takes}, more than the {gib(budget)} that there are. What would fit: {fit}"

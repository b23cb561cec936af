"""What an engine holds that has a share of a device, and in which numbers it computes there. Pure: no torch, no Ray."""

from __future__ import annotations

from dataclasses import replace

from cluster.devices import Device
from cluster.memory_plan import (
    USABLE,
    EngineLoad,
    MemoryNeed,
    Part,
    engine_need,
    nearest_engine,
    smaller_engines,
)
from cluster.model_shapes import DTYPE_BYTES, ModelShapes


class DoesNotFit(ValueError):
    """The model's engine or learner does not fit on the hardware; the message says what would."""


def engine_dtype(shapes: ModelShapes, device: Device) -> str:
    """What an engine computes in on this device."""
    if device.bfloat16:
        return "bfloat16"
    return "float16" if shapes.family.float16 else "float32"


def learner_dtype(device: Device) -> str:
    """What a learner computes in on this device: float16, whose losses are scaled, is for those who ask for it."""
    return "bfloat16" if device.bfloat16 else "float32"


def fitted_engine(shapes: ModelShapes, load: EngineLoad, budget: int, any_number: bool = False) -> EngineLoad | None:
    """The engine nearest to `load` within so many bytes; None where even the smallest is too large.

    One whose number of sequences was decided elsewhere, or with `any_number`, need not have keys and values for all of
    them at once: it makes the others wait.
    """
    found = nearest_engine(shapes, load, budget)
    if found is not None or not (any_number or "sequences" in load.fixed):
        return found
    for other in (load, *smaller_engines(load)):
        need = engine_need(shapes, other)
        if need.total - need.of("KV") + one_sequence(shapes, other) <= budget:
            return other
    return None


def one_sequence(shapes: ModelShapes, load: EngineLoad) -> int:
    """Bytes of keys and values of a sequence of full length, on each device."""
    whole = shapes.kv_bytes(load.max_model_len, DTYPE_BYTES[load.dtype])
    return whole // min(load.tensor_parallel, shapes.kv_heads)


def need_of_share(shapes: ModelShapes, load: EngineLoad, device: Device, share: float) -> MemoryNeed:
    """What an engine takes that may use this share of a device.

    Raises DoesNotFit where the share holds less than one sequence of full length.
    """
    need = engine_need(shapes, load)
    room = int(share * device.bytes) - (need.total - need.of("KV"))
    each = one_sequence(shapes, load)
    if room < each:
        least = (need.total - need.of("KV") + each) / device.bytes
        fix = f"use {least + 0.005:.2f} or more" if least <= USABLE else "use a larger device"
        raise DoesNotFit(
            f"rollout.engine.gpu_memory_share {share:g} of {device} holds less than one sequence of "
            f"{load.max_model_len:,} tokens of {shapes.name}: {fix}, or lower rollout.engine.max_model_len"
        )
    return with_kv(need, room, f"{room / each:.0f} x {load.max_model_len:,} tokens")


def with_kv(need: MemoryNeed, room: int, note: str) -> MemoryNeed:
    """The same need with `room` bytes for keys and values."""
    return replace(need, parts=tuple(Part("KV", room, note) if p.name == "KV" else p for p in need.parts))

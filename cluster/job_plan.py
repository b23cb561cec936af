"""What a job will take of each device, once `cluster.hardware.plan` has given every actor its place. Pure: no Ray.

The places are those that a session then reserves, and the settings those that its actors get: what is shown is what
happens.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from cluster.devices import Device, Hardware
from cluster.hardware import Demand
from cluster.loads import KV_GIB, SHARE, engine_load, learner_load, sharing, tuner_load
from cluster.memory_plan import (
    GIB,
    USABLE,
    EngineLoad,
    LearnerLoad,
    MemoryNeed,
    changes,
    engine_need,
    gib,
    learner_need,
    nearest_engine,
    nearest_learner,
    sharding_that_fits,
)
from cluster.model_shapes import ModelShapes
from cluster.placement import Seat
from cluster.recipes import Job
from cluster.shares import DoesNotFit, need_of_share, with_kv

Load = EngineLoad | LearnerLoad


@dataclass(frozen=True, slots=True)
class Tenant:
    """One engine, of the model or of its teacher, or one learner worker: where it is placed and what it takes there."""

    role: Literal["engine", "learner", "teacher"]
    name: str
    node: str
    devices: tuple[int, ...]
    """Indices of its GPUs on the node; () on a CPU."""
    device: Device
    """The kind of these; on a CPU the machine."""
    load: Load
    need: MemoryNeed
    """Of it, on each of its devices."""
    shapes: ModelShapes
    """Of its model."""


@dataclass(frozen=True, slots=True)
class TeacherEngines:
    """The teacher that a job has engines of its own for."""

    shapes: ModelShapes
    job: Job
    values: Mapping[str, Any]
    """Its settings, by the names that `crucible grpo` has for those of the model's own engines."""


def tenants(
    shapes: ModelShapes,
    hardware: Hardware,
    fleet: Sequence[Demand],
    learner: Demand,
    job: Job,
    values: Mapping[str, Any],
    teacher: TeacherEngines | None = None,
) -> tuple[Tenant, ...]:
    """What each placed actor takes, by the job's settings (names as for `crucible grpo`).

    Raises DoesNotFit where the share of an engine holds not even one sequence, or where those on one device, or on the
    CPUs of one node, take more than it has; the message names the options that would fit. Raises ValueError for
    float16 and for quantised weights where they are of no use.
    """
    _refuse_numbers(shapes, fleet, learner, job, values, teacher)
    found = []
    for demand in fleet:
        of = teacher if demand.is_teacher and teacher is not None else TeacherEngines(shapes, job, values)
        found += [_seated(demand, seat, hardware, of) for seat in demand.seats]
    for seat in learner.seats:
        device = _device(hardware, seat.node, seat.devices)
        needs = [(learner_need(shapes, load), load) for load in _learners(shapes, device, job, values)]
        need, load = max(needs, key=lambda pair: pair[0].total)
        found.append(Tenant("learner", "learner", seat.node, seat.devices, device, load, need, shapes))
    _check_room(found)
    return tuple(found)


def _seated(demand: Demand, seat: Seat, hardware: Hardware, of: TeacherEngines) -> Tenant:
    """One engine in its seat."""
    shapes, values = of.shapes, of.values
    profile = demand.profile.overrides if demand.profile is not None else {}
    device = _device(hardware, seat.node, seat.devices)
    load = _engine(shapes, device, of.job, values, profile, adapters=0 if demand.is_teacher else 1)
    share = profile.get("gpu_memory_share", values.get(SHARE))
    if seat.devices and share is not None:
        need = need_of_share(shapes, load, device, share)
    elif not seat.devices and (room := values.get(KV_GIB)) is not None:
        need = with_kv(engine_need(shapes, load), int(room * GIB), KV_GIB)
    else:
        need = engine_need(shapes, load)
    role = "teacher" if demand.is_teacher else "engine"
    return Tenant(role, demand.name, seat.node, seat.devices, device, load, need, shapes)


def _refuse_numbers(
    shapes: ModelShapes,
    fleet: Sequence[Demand],
    learner: Demand,
    job: Job,
    values: Mapping[str, Any],
    teacher: TeacherEngines | None,
) -> None:
    """Raises ValueError for float16 and quantised weights on a CPU, and for a learner that overflows in float16."""
    asked = []
    for demand in fleet:
        section, of = ("teacher", teacher.values) if demand.is_teacher and teacher else ("rollout", values)
        own = demand.profile.overrides if demand.profile is not None else {}
        dtype = own.get("dtype", of.get("rollout.engine.dtype"))
        asked.append((f"dtype of {demand.name}" if "dtype" in own else f"{section}.engine.dtype", demand, dtype))
    quantise = values.get("train.quantise", "none")
    if job.rewards and learner.count and not learner.gpus and quantise != "none":
        raise ValueError(f"train.quantise {quantise} is for GPUs: set it to none")
    of_learner = job.rewards and learner.count and values.get("train.dtype") == "float16"
    asked += [("train.dtype", learner, "float16")] if of_learner else []
    for name, demand, dtype in asked:
        if dtype == "float16" and not demand.gpus:
            raise ValueError(f"{name} float16 is for GPUs: set float32, or bfloat16 to save memory")
    if of_learner and not shapes.family.float16:
        raise ValueError(f"{shapes.name} overflows in float16: set train.dtype to bfloat16, or float32")


def _device(hardware: Hardware, node: str, devices: tuple[int, ...]) -> Device:
    if not devices:
        return Device("CPU", hardware.memory)
    return [device for device in hardware.devices if device.node == node][devices[0]]


def _engine(
    shapes: ModelShapes,
    device: Device,
    job: Job,
    values: Mapping[str, Any],
    profile: Mapping[str, Any],
    adapters: int,
) -> EngineLoad:
    on_gpu = device.name != "CPU"
    length = values.get("rollout.engine.max_model_len", 4096)
    base = EngineLoad(
        prompt_tokens=min(job.prompt_tokens, length // 2),
        adapters=adapters,
        eager=not on_gpu,
        device="cuda" if on_gpu else "cpu",
    )
    return engine_load(base, values, shapes, device, profile)


def _learners(shapes: ModelShapes, device: Device, job: Job, values: Mapping[str, Any]) -> list[LearnerLoad]:
    base = LearnerLoad(prompt_tokens=job.prompt_tokens, device="cuda" if device.name != "CPU" else "cpu")
    found = [sharing(learner_load(base, values, device))] if job.rewards else []
    return found + ([tuner_load(base, values, device)] if job.tunes else [])


def _check_room(found: Sequence[Tenant]) -> None:
    places: dict[tuple[str, int], list[Tenant]] = {}
    for tenant in found:
        for index in tenant.devices or (-1,):
            places.setdefault((tenant.node, index), []).append(tenant)
    for there in places.values():
        if sum(tenant.need.total for tenant in there) > USABLE * there[0].device.bytes:
            raise DoesNotFit(_overfull(there[0].device, there))


def _overfull(device: Device, there: Sequence[Tenant]) -> str:
    """One line: who takes what, and the nearest settings of one of them that would fit beside the others."""
    budget, total = int(USABLE * device.bytes), sum(tenant.need.total for tenant in there)
    takes = []
    for role in dict.fromkeys(tenant.role for tenant in there):
        own = [tenant.need.total for tenant in there if tenant.role == role]
        who = f"the {role} takes" if len(own) == 1 else f"{len(own)} {role}s take"
        takes.append(f"{who} {gib(sum(own))}")
    fixes = []
    for tenant in there:
        left = budget - (total - tenant.need.total)
        if isinstance(tenant.load, LearnerLoad):
            free = _free(tenant.load)
            smaller = nearest_learner(tenant.shapes, free, left)
            fixes.append(changes(free, smaller) if smaller else sharding_that_fits(tenant.shapes, free, left))
        elif (engine := nearest_engine(tenant.shapes, _free(tenant.load), left)) is not None:
            share = (
                f"{SHARE}={engine_need(tenant.shapes, engine).total / device.bytes + 0.005:.2f}"
                if tenant.devices
                else ""
            )
            fix = ", ".join(filter(None, (changes(tenant.load, engine), share)))
            fixes.append(fix.replace("rollout.engine.", "teacher.engine.") if tenant.role == "teacher" else fix)
    fit = "; or ".join(dict.fromkeys(fix for fix in fixes if fix)) or f"{-(-int(total / USABLE) // GIB)} GiB there"
    return f"{device}: {' and '.join(takes)}, more than the {gib(budget)} that there are. What would fit: {fit}"


def _free(load: Any) -> Any:
    """The same load, of which everything may be made smaller."""
    return replace(load, fixed=frozenset())

"""Which device each engine and each learner worker gets, and what it takes there. Pure: no torch, no Ray.

One device: engine and learner share it. Several: a third of them learn (at least one, the strongest, all of one kind),
the others sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from cluster.memory_plan import (
    FEWEST_SEQUENCES,
    GIB,
    USABLE,
    EngineLoad,
    LearnerLoad,
    MemoryNeed,
    Part,
    engine_need,
    gib,
    learner_need,
    least_engine,
    least_learner,
    nearest_engine,
    nearest_learner,
    smaller_learners,
)
from cluster.model_shapes import DTYPE_BYTES, ModelShapes

ALONE = 0.9
"""Share of a GPU's memory that an engine takes which has it to itself."""
BUSY_SEQUENCES = 64
"""An engine that decodes fewer at once than this leaves most of a GPU idle: a learner gives way to it first."""


class DoesNotFit(ValueError):
    """The model's engine or learner does not fit on the hardware; the message says what would."""


@dataclass(frozen=True, slots=True)
class Device:
    """One accelerator."""

    name: str
    """Its kind, as Ray labels it: H100, A100, L4."""
    bytes: int
    capability: float = 8.0
    """CUDA compute capability; bfloat16 wants 8.0."""
    node: str = ""

    @property
    def bfloat16(self) -> bool:
        """Whether it computes in bfloat16."""
        return self.capability >= 8.0

    def __str__(self) -> str:
        return f"{self.name} ({self.bytes / GIB:.0f} GiB)"


@dataclass(frozen=True, slots=True)
class Hardware:
    """Everything there is. Without devices the CPUs do the work, in `memory` bytes."""

    devices: tuple[Device, ...] = ()
    cpus: int = 2
    memory: int = 8 * GIB

    def __str__(self) -> str:
        if not self.devices:
            return f"{self.cpus} CPU cores with {gib(self.memory)}"
        kinds = dict.fromkeys(str(device) for device in self.devices)
        return " + ".join(f"{[str(d) for d in self.devices].count(kind)} x {kind}" for kind in kinds)


@dataclass(frozen=True, slots=True)
class Seat:
    """One engine or one learner worker, on devices of `Hardware.devices` by their index; none on a CPU machine."""

    role: str
    devices: tuple[int, ...]
    load: EngineLoad | LearnerLoad
    need: MemoryNeed
    """On each of its devices."""
    share: float = 1.0
    """Share of each device's memory that it may use."""


@dataclass(frozen=True, slots=True)
class Seating:
    """Who sits where, and by which rule."""

    seats: tuple[Seat, ...]
    rule: str
    left_out: tuple[str, ...] = ()
    """What stays idle and why, for people."""

    @property
    def engines(self) -> list[Seat]:
        """The engines."""
        return [seat for seat in self.seats if seat.role == "engine"]

    @property
    def learners(self) -> list[Seat]:
        """The learner workers."""
        return [seat for seat in self.seats if seat.role == "learner"]

    @property
    def shared(self) -> bool:
        """Whether engines and learners share devices."""
        return any(a.devices == b.devices for a in self.engines for b in self.learners)

    def gpus(self, seat: Seat) -> float:
        """GPUs to ask Ray for: whole ones, or 1/k of the one that k actors share; 0 on a CPU machine."""
        if len(seat.devices) != 1:
            return float(len(seat.devices))
        return 1 / sum(other.devices == seat.devices for other in self.seats)


def seat_all(
    shapes: ModelShapes,
    hardware: Hardware,
    engine: EngineLoad,
    learner: LearnerLoad | None,
    most_learners: int = 8,
) -> Seating:
    """Seats engines like `engine`, and learner workers like `learner` if there is one to be.

    Loads are made smaller where a device asks for it. Raises DoesNotFit where even the smallest do not fit.
    """
    devices = hardware.devices
    if not devices:
        return _together(shapes, Device("CPU", hardware.memory), (), engine, learner, "CPU: one engine and one learner")
    if len(devices) == 1:
        rule = "one GPU: engine and learner share it" if learner else "one GPU: it samples"
        return _together(shapes, devices[0], (0,), engine, learner, rule)
    if learner is None:
        return _engines(shapes, devices, range(len(devices)), engine, "nothing learns: every GPU samples")
    order = sorted(range(len(devices)), key=lambda i: (-devices[i].capability, -devices[i].bytes, i))
    alike = [
        i for i in order if (devices[i].name, devices[i].bytes) == (devices[order[0]].name, devices[order[0]].bytes)
    ]
    count = max(1, min(len(devices) // 3, len(alike), most_learners))
    chosen = alike[:count]
    where = devices[chosen[0]]
    fitted = nearest_learner(shapes, replace(learner, dtype=learner_dtype(where)), int(USABLE * where.bytes))
    if fitted is None:
        raise DoesNotFit(_refusal(shapes, where, engine, learner, len(devices)))
    seats = tuple(Seat("learner", (i,), fitted, learner_need(shapes, fitted)) for i in chosen)
    engine = _follow(engine, fitted)
    rule = f"{len(devices)} GPUs: one in three learns, the strongest first and all of one kind, the others sample"
    rest = _engines(shapes, devices, [i for i in range(len(devices)) if i not in chosen], engine, rule, learner)
    return replace(rest, seats=(*rest.seats, *seats))


def engine_dtype(shapes: ModelShapes, device: Device) -> str:
    """What an engine computes in on this device."""
    if device.bfloat16:
        return "bfloat16"
    return "float16" if shapes.family.float16 else "float32"


def learner_dtype(device: Device) -> str:
    """What a learner computes in on this device: float16 would need its losses scaled."""
    return "bfloat16" if device.bfloat16 else "float32"


def _together(
    shapes: ModelShapes,
    device: Device,
    index: tuple[int, ...],
    engine: EngineLoad,
    learner: LearnerLoad | None,
    rule: str,
) -> Seating:
    """One engine and one learner on one device, or the engine alone."""
    if index:
        engine = replace(engine, dtype=engine_dtype(shapes, device))
        learner = learner and replace(learner, dtype=learner_dtype(device))
    budget = int(USABLE * device.bytes)
    if learner is None:
        fitted = nearest_engine(shapes, engine, int((ALONE if index else USABLE) * device.bytes))
        if fitted is None:
            raise DoesNotFit(_refusal(shapes, device, engine, None, 1))
        return Seating((_engine_seat(shapes, fitted, index, device, alone=bool(index)),), rule)
    found = _pair(shapes, budget, engine, learner)
    if found is None:
        raise DoesNotFit(_refusal(shapes, device, engine, learner, 1))
    first, second = found
    seats = (
        _engine_seat(shapes, first, index, device, alone=False),
        Seat("learner", index, second, learner_need(shapes, second)),
    )
    return Seating(seats, rule)


def _pair(
    shapes: ModelShapes, budget: int, engine: EngineLoad, learner: LearnerLoad
) -> tuple[EngineLoad, LearnerLoad] | None:
    """The nearest engine and learner that fit together: shorter answers are the last resort, an idle engine the one
    before."""
    for _, alike in groupby(_from(learner), key=lambda load: load.answer_tokens):
        learners, fewest = list(alike), min(BUSY_SEQUENCES, engine.sequences)
        while fewest >= min(FEWEST_SEQUENCES, engine.sequences):
            for learn in learners:
                sample = nearest_engine(shapes, _follow(engine, learn), budget - learner_need(shapes, learn).total)
                if sample is not None and sample.sequences >= fewest:
                    return sample, learn
            fewest //= 2
    return None


def _from(learner: LearnerLoad) -> Iterator[LearnerLoad]:
    yield learner
    yield from smaller_learners(learner)


def _follow(engine: EngineLoad, learner: LearnerLoad) -> EngineLoad:
    """The engine for answers of the learner's length."""
    return replace(engine, prompt_tokens=learner.prompt_tokens, answer_tokens=learner.answer_tokens)


def _engines(
    shapes: ModelShapes,
    devices: Sequence[Device],
    free: Sequence[int],
    engine: EngineLoad,
    rule: str,
    learner: LearnerLoad | None = None,
) -> Seating:
    """An engine on each free device, or over as few of one kind and node as hold it together."""
    seats: list[Seat] = []
    left_out: list[str] = []
    kinds: dict[tuple[str, int, str], list[int]] = {}
    for i in free:
        kinds.setdefault((devices[i].name, devices[i].bytes, devices[i].node), []).append(i)
    for alike in kinds.values():
        device = devices[alike[0]]
        load = replace(engine, dtype=engine_dtype(shapes, device))
        fitted = _split(shapes, device, load, len(alike))
        if fitted is None:
            left_out.append(
                f"{len(alike)} x {device}: {gib(least_engine(shapes, load))} is the least that an engine takes"
            )
            continue
        over = fitted.tensor_parallel
        whole = len(alike) // over
        seats += [
            _engine_seat(shapes, fitted, tuple(alike[n * over : (n + 1) * over]), device, alone=True)
            for n in range(whole)
        ]
        if len(alike) % over:
            left_out.append(f"{len(alike) % over} x {device}: an engine takes {over} of them")
    if not seats:
        raise DoesNotFit(_refusal(shapes, max((devices[i] for i in free), key=lambda d: d.bytes), engine, learner, 1))
    return Seating(tuple(seats), rule, tuple(left_out))


def _split(shapes: ModelShapes, device: Device, load: EngineLoad, count: int) -> EngineLoad | None:
    """The engine over as few of `count` devices as leave it busy, else over as few as hold it."""
    fitting = []
    for over in (1, 2, 4, 8):
        if over > count or shapes.heads % over or shapes.kv_heads % over:
            break
        fitted = nearest_engine(shapes, replace(load, tensor_parallel=over), int(ALONE * device.bytes))
        if fitted is not None and fitted.sequences >= min(BUSY_SEQUENCES, load.sequences):
            return fitted
        if fitted is not None:
            fitting.append(fitted)
    return fitting[0] if fitting else None


def _engine_seat(shapes: ModelShapes, load: EngineLoad, index: tuple[int, ...], device: Device, alone: bool) -> Seat:
    need = engine_need(shapes, load)
    if not alone:
        return Seat("engine", index, load, need, min(0.95, int(need.total / device.bytes * 100 + 1) / 100))
    return engine_with_share(shapes, Seat("engine", index, load, need), device, ALONE)


def engine_with_share(shapes: ModelShapes, seat: Seat, device: Device, share: float) -> Seat:
    """The engine of `seat` with this share of its device: what it does not need otherwise is room for keys and values.

    Raises DoesNotFit where the share holds less than one sequence of full length.
    """
    load = seat.load
    assert isinstance(load, EngineLoad)
    need = engine_need(shapes, load)
    room = int(share * device.bytes) - (need.total - need.of("KV"))
    each = shapes.kv_bytes(load.max_model_len, DTYPE_BYTES[load.dtype]) // min(load.tensor_parallel, shapes.kv_heads)
    if room < each:
        least = (need.total - need.of("KV") + each) / device.bytes
        fix = f"use {least + 0.005:.2f} or more" if least <= USABLE else "use a larger device"
        raise DoesNotFit(
            f"rollout.engine.gpu_memory_share {share:g} of {device} holds less than one sequence of "
            f"{load.max_model_len:,} tokens of {shapes.name}: {fix}, or lower rollout.engine.max_model_len"
        )
    return replace(seat, share=share, need=with_kv(need, room, f"{room / each:.0f} x {load.max_model_len:,} tokens"))


def with_kv(need: MemoryNeed, room: int, note: str) -> MemoryNeed:
    """The same need with `room` bytes for keys and values."""
    return replace(need, parts=tuple(Part("KV", room, note) if p.name == "KV" else p for p in need.parts))


def _refusal(shapes: ModelShapes, device: Device, engine: EngineLoad, learner: LearnerLoad | None, count: int) -> str:
    """One line: what was asked for, what it takes, and what would fit."""
    if engine.device == "cuda":
        engine = replace(engine, dtype=engine_dtype(shapes, device))
        learner = learner and replace(learner, dtype=learner_dtype(device))
    sample = least_engine(shapes, engine)
    learn = least_learner(shapes, learner) if learner else 0
    parts = f"an engine takes at least {gib(sample)}" + (f" and a learner {gib(learn)}" if learner else "")
    fixes, have = [], int(USABLE * device.bytes)
    if learner and count == 1 and sample <= ALONE * device.bytes and learn <= have and engine.device == "cuda":
        fixes.append("two such devices, one for each")
    one = sample + learn if count == 1 else max(sample, learn)
    fixes.append(f"{'one device' if count == 1 else 'devices'} of {-(-int(one / USABLE) // GIB)} GiB")
    weights = shapes.total_parameters * (DTYPE_BYTES[engine.dtype] + (DTYPE_BYTES[learner.dtype] if learner else 0))
    other = one - weights
    if other < have:
        billions = shapes.total_parameters * (have - other) / weights / 1e9
        fixes.append(f"a model of at most {billions:.1f} B parameters")
    return f"{shapes.name} does not fit on {device}: {parts}. What would fit: {'; '.join(fixes)}"

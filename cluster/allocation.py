"""How many engines and learner workers a job has, on which kind of device, and what each takes there. Pure.

Which device each of them gets is decided in one place, `cluster.placement`. One device: engine and learner share it.
Several: a third of them learn (at least one, the largest, all of one kind), the others sample.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from math import ceil
from typing import Literal

from cluster.devices import Device, Hardware
from cluster.memory_plan import (
    FEWEST_SEQUENCES,
    GIB,
    USABLE,
    EngineLoad,
    LearnerLoad,
    MemoryNeed,
    engine_need,
    gib,
    learner_need,
    least_engine,
    least_learner,
    nearest_learner,
    sharding_that_fits,
    smaller_learners,
)
from cluster.model_shapes import DTYPE_BYTES, ModelShapes
from cluster.shares import DoesNotFit, engine_dtype, fitted_engine, learner_dtype, need_of_share

ALONE = 0.9
"""Share of a GPU's memory that an engine takes which has it to itself."""
BUSY_SEQUENCES = 64
"""An engine that decodes fewer at once than this leaves most of a GPU idle: a learner gives way to it first."""


@dataclass(frozen=True, slots=True)
class Pool:
    """Engines or learner workers that are alike, each on devices of one kind."""

    role: Literal["engine", "learner"]
    count: int
    device: Device
    """The kind; without GPUs the machine itself."""
    load: EngineLoad | LearnerLoad
    need: MemoryNeed
    """Of each, on each of its devices."""
    share: float = 1.0
    """Share of each device's memory that one may use."""

    @property
    def over(self) -> int:
        """Devices that each is split over."""
        return self.load.tensor_parallel if isinstance(self.load, EngineLoad) else 1


@dataclass(frozen=True, slots=True)
class Request:
    """Engines of one kind that somebody described."""

    count: int
    load: EngineLoad
    kind: str = ""
    """Of its devices; "" is any."""
    share: float | None = None


@dataclass(frozen=True, slots=True)
class Wishes:
    """What is decided already; None and "" leave it to the rule."""

    engines: int | None = None
    workers: int | None = None
    """Of one learner."""
    learners: int = 1
    share: float | None = None
    """Of a GPU's memory, for each engine."""
    engine_kind: str = ""
    learner_kind: str = ""
    requests: tuple[Request, ...] = ()
    """All engines, kind by kind; () has an engine wherever there is room."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """Who there is, and by which rule."""

    pools: tuple[Pool, ...]
    rule: str
    shared: bool = False
    """Whether engines and learners share devices."""
    left_out: tuple[str, ...] = ()
    """What stays idle and why, for people."""

    @property
    def engines(self) -> list[Pool]:
        """The engines, the largest devices first."""
        return [pool for pool in self.pools if pool.role == "engine"]

    @property
    def learner(self) -> Pool | None:
        """The learner's workers."""
        return next((pool for pool in self.pools if pool.role == "learner"), None)


def allocate(
    shapes: ModelShapes,
    hardware: Hardware,
    engine: EngineLoad | None,
    learner: LearnerLoad | None,
    wishes: Wishes = Wishes(),
    most_learners: int = 8,
) -> Allocation:
    """Engines like `engine` and learner workers like `learner`, where there is to be such a thing.

    Loads are made smaller where a device asks for it. Raises DoesNotFit where even the smallest do not fit.
    """
    kinds = _kinds(hardware.devices)
    if not kinds:
        machine = Device("CPU", hardware.memory)
        return _together(shapes, machine, engine, learner, wishes, "CPU: one engine and one learner")
    total = len(hardware.devices)
    if engine is None and learner is not None:
        kind = _of_kind(kinds, wishes.learner_kind) or kinds[0]
        count = wishes.workers or min(kind.count, most_learners)
        rule = f"{total} GPU{'s' * (total > 1)}: nothing is sampled, so that all of one kind learn"
        return Allocation((_learners(shapes, kind.device, learner, count, engine),), rule)
    assert engine is not None
    if learner is None:
        rule = "one GPU: it samples" if total == 1 else "nothing learns: every GPU samples"
        return _engines(shapes, kinds, engine, rule, wishes)
    kind = _of_kind(kinds, wishes.learner_kind) or kinds[0]
    count = wishes.workers or (1 if wishes.learners > 1 else max(1, min(total // 3, kind.count, most_learners)))
    count *= wishes.learners
    left = [other for other in (other.without(count) if other is kind else other for other in kinds) if other.count]
    wanted = (wishes.engines or 1) * engine.tensor_parallel
    if wishes.requests:
        wanted = 0
    if total == 1 or count > kind.count or wanted > sum(other.count for other in left):
        smallest = min((kind.device for kind in kinds), key=lambda device: device.bytes)
        rule = "one GPU: engine and learner share it" if total == 1 else "too few GPUs for all: some of them are shared"
        return _together(shapes, smallest, engine, learner, wishes, rule, total)
    pool = _learners(shapes, kind.device, learner, count, engine)
    load = pool.load
    assert isinstance(load, LearnerLoad)
    pool = replace(pool, count=count // wishes.learners)
    rule = f"{total} GPUs: one in three learns, the largest first and all of one kind, the others sample"
    if wishes.learners > 1:
        rule = f"{total} GPUs: each of {wishes.learners} learners has its own, the others sample"
    rest = _engines(shapes, left, _follow(engine, load), rule, wishes, learner)
    return replace(rest, pools=(*rest.pools, pool))


@dataclass(frozen=True, slots=True)
class _Kind:
    """Devices that are alike, by how many a node has."""

    device: Device
    per_node: tuple[int, ...]

    @property
    def count(self) -> int:
        return sum(self.per_node)

    def without(self, count: int) -> _Kind:
        """Without so many of them, from the nodes that have fewest."""
        left = []
        for there in sorted(self.per_node):
            taken = min(there, count)
            count -= taken
            left.append(there - taken)
        return replace(self, per_node=tuple(left))

    def engines(self, over: int) -> int:
        """Engines of `over` devices of one node each."""
        return sum(there // over for there in self.per_node)


def _kinds(devices: Sequence[Device]) -> list[_Kind]:
    """The kinds of devices, the largest first, and of equal ones the newest."""
    nodes: dict[Device, dict[str, int]] = {}
    for device in devices:
        per_node = nodes.setdefault(replace(device, node=""), {})
        per_node[device.node] = per_node.get(device.node, 0) + 1
    order = sorted(nodes, key=lambda device: (-device.bytes, -device.capability, device.name))
    return [_Kind(device, tuple(nodes[device].values())) for device in order]


def _of_kind(kinds: Sequence[_Kind], name: str) -> _Kind | None:
    return next((kind for kind in kinds if name and kind.device.name == name), None)


def _learners(shapes: ModelShapes, device: Device, learner: LearnerLoad, count: int, engine: EngineLoad | None) -> Pool:
    wanted = learner if "dtype" in learner.fixed else replace(learner, dtype=learner_dtype(device))
    fitted = nearest_learner(shapes, wanted, int(USABLE * device.bytes))
    if fitted is None:
        raise DoesNotFit(_refusal(shapes, device, engine, learner, 2))
    return Pool("learner", count, device, fitted, learner_need(shapes, fitted))


def _together(
    shapes: ModelShapes,
    device: Device,
    engine: EngineLoad | None,
    learner: LearnerLoad | None,
    wishes: Wishes,
    rule: str,
    devices: int = 1,
) -> Allocation:
    """An engine and a learner on one of `devices`, or one of them alone."""
    on_gpu = device.name != "CPU"
    if on_gpu and engine and "dtype" not in engine.fixed:
        engine = replace(engine, dtype=engine_dtype(shapes, device))
    if on_gpu and learner and "dtype" not in learner.fixed:
        learner = replace(learner, dtype=learner_dtype(device))
    budget = int(USABLE * device.bytes)
    engines, workers = wishes.engines or 1, wishes.workers or 1
    # Learners go beside the engine or beside one another: the fullest device may have one more than its part.
    learners = -(-wishes.learners // devices) + (wishes.learners > 1 and devices > 1)
    if engine is None or learner is None:
        one = fitted_engine(shapes, engine, budget) if engine else None
        other = nearest_learner(shapes, learner, budget) if learner else None
        if one is None and other is None:
            raise DoesNotFit(_refusal(shapes, device, engine, learner, 1))
        alone = Pool("engine", engines, device, one, engine_need(shapes, one)) if one else None
        alone = alone or Pool("learner", workers, device, other, learner_need(shapes, other))  # type: ignore[arg-type]
        return Allocation((alone,), rule.replace("one engine and one learner", f"one {alone.role}"))
    found = _pair(shapes, device, engine, learner, wishes.share if on_gpu else None, learners)
    if found is None:
        raise DoesNotFit(_refusal(shapes, device, engine, learner, 1))
    first, second, left = found
    pool = Pool("engine", engines, device, first, engine_need(shapes, first))
    if on_gpu:
        share = wishes.share or ceil(100 * min(pool.need.total, left) / device.bytes - 1e-9) / 100
        pool = with_share(shapes, pool, share)
    return Allocation((pool, Pool("learner", workers, device, second, learner_need(shapes, second))), rule, shared=True)


def _pair(
    shapes: ModelShapes, device: Device, engine: EngineLoad, learner: LearnerLoad, share: float | None, sharers: int
) -> tuple[EngineLoad, LearnerLoad, int] | None:
    """The nearest engine and learner that fit together, and the bytes that are left to the engine: shorter answers are
    the last resort, an idle engine the one before. With a `share` the engine has that much; there are `sharers`
    learners like it."""
    budget = int(USABLE * device.bytes)
    for _, alike in groupby(_from(learner), key=lambda load: load.answer_tokens):
        learners, fewest = list(alike), min(BUSY_SEQUENCES, engine.sequences)
        while fewest >= min(FEWEST_SEQUENCES, engine.sequences):
            for learn in learners:
                left = budget - sharers * learner_need(shapes, learn).total
                if share is not None:
                    left = int(share * device.bytes) if share * device.bytes <= left else 0
                elif device.name != "CPU":  # shares are hundredths
                    left = int(max(0, 100 * left // device.bytes) / 100 * device.bytes)
                sample = fitted_engine(shapes, _follow(engine, learn), left, share is not None)
                if sample is not None and sample.sequences >= fewest:
                    return sample, learn, left
            fewest //= 2
    return None


def _from(learner: LearnerLoad) -> Iterator[LearnerLoad]:
    yield learner
    yield from smaller_learners(learner)


def _follow(engine: EngineLoad, learner: LearnerLoad) -> EngineLoad:
    """The engine for answers of the learner's length."""
    if "answer_tokens" in engine.fixed:
        return engine
    return replace(engine, prompt_tokens=learner.prompt_tokens, answer_tokens=learner.answer_tokens)


def _engines(
    shapes: ModelShapes,
    kinds: Sequence[_Kind],
    engine: EngineLoad,
    rule: str,
    wishes: Wishes,
    learner: LearnerLoad | None = None,
) -> Allocation:
    """An engine on each device, or over as few of one kind and node as hold it together."""
    if wishes.requests:
        return Allocation(tuple(_requested(shapes, kinds, request) for request in wishes.requests), rule)
    pools: list[Pool] = []
    left_out: list[str] = []
    wanted, share = wishes.engines, wishes.share or ALONE
    for kind in kinds:
        if wanted == 0 or wishes.engine_kind not in ("", kind.device.name):
            continue
        load = _for_device(shapes, engine, kind.device)
        fitted = _split(shapes, kind.device, load, max(kind.per_node), share, wishes.share is not None)
        if fitted is None and wishes.share is not None:
            need_of_share(shapes, load, kind.device, share)  # says which share would do
        if fitted is None:
            least = gib(least_engine(shapes, load))
            left_out.append(f"{kind.count} x {kind.device}: {least} is the least that an engine takes")
            continue
        over, there = fitted.tensor_parallel, kind.engines(fitted.tensor_parallel)
        count = there if wanted is None else min(there, wanted)
        wanted = None if wanted is None else wanted - count
        pools.append(with_share(shapes, Pool("engine", count, kind.device, fitted, engine_need(shapes, fitted)), share))
        if kind.count > over * count:
            why = f"an engine takes {over} of them" if wishes.engines is None else f"{wishes.engines} engines are set"
            left_out.append(f"{kind.count - over * count} x {kind.device}: {why}")
    if not pools:
        raise DoesNotFit(_refusal(shapes, max((k.device for k in kinds), key=lambda d: d.bytes), engine, learner, 2))
    return Allocation(tuple(pools), rule, left_out=tuple(left_out))


def _requested(shapes: ModelShapes, kinds: Sequence[_Kind], request: Request) -> Pool:
    """Engines as somebody described them, on the smallest devices that they may be on."""
    kind = _of_kind(kinds, request.kind) or min(kinds, key=lambda kind: kind.device.bytes)
    load, share = _for_device(shapes, request.load, kind.device), request.share or ALONE
    fitted = _split(shapes, kind.device, load, max(kind.per_node), share)
    if fitted is None:
        raise DoesNotFit(_refusal(shapes, kind.device, load, None, 2))
    return with_share(shapes, Pool("engine", request.count, kind.device, fitted, engine_need(shapes, fitted)), share)


def _for_device(shapes: ModelShapes, load: EngineLoad, device: Device) -> EngineLoad:
    return load if "dtype" in load.fixed else replace(load, dtype=engine_dtype(shapes, device))


def _split(
    shapes: ModelShapes, device: Device, load: EngineLoad, count: int, share: float, given: bool = False
) -> EngineLoad | None:
    """The engine over as few of `count` devices as leave it busy, else over as few as hold it. A share that is `given`
    need only hold one sequence."""
    fitting = []
    for over in (load.tensor_parallel,) if "tensor_parallel" in load.fixed else (1, 2, 4, 8):
        if over > count or shapes.heads % over or shapes.kv_heads % over:
            break
        fitted = fitted_engine(shapes, replace(load, tensor_parallel=over), int(share * device.bytes), given)
        if fitted is not None and fitted.sequences >= min(BUSY_SEQUENCES, load.sequences):
            return fitted
        if fitted is not None:
            fitting.append(fitted)
    return fitting[0] if fitting else None


def with_share(shapes: ModelShapes, pool: Pool, share: float) -> Pool:
    """The engines of `pool` with this share of their devices: what they do not need is room for keys and values.

    Raises DoesNotFit where the share holds less than one sequence of full length.
    """
    assert isinstance(pool.load, EngineLoad)
    return replace(pool, share=share, need=need_of_share(shapes, pool.load, pool.device, share))


def _refusal(
    shapes: ModelShapes, device: Device, engine: EngineLoad | None, learner: LearnerLoad | None, count: int
) -> str:
    """One line: what was asked for, what it takes, and what would fit. `count` is 1 where both are on one device."""
    on_gpu = device.name != "CPU"
    if on_gpu:
        engine = engine and replace(engine, dtype=engine_dtype(shapes, device))
        learner = learner and replace(learner, dtype=learner_dtype(device))
    sample = least_engine(shapes, engine) if engine else 0
    learn = least_learner(shapes, learner) if learner else 0
    takes = [f"an engine takes at least {gib(sample)}"] if engine else []
    takes += [f"a learner {gib(learn)}"] if learner else []
    fixes, have = [], int(USABLE * device.bytes)
    if sample and learn and count == 1 and sample <= ALONE * device.bytes and learn <= have and on_gpu:
        fixes.append("two such devices, one for each")
    one = sample + learn if count == 1 else max(sample, learn)
    fixes.append(f"{'one device' if count == 1 else 'devices'} of {-(-int(one / USABLE) // GIB)} GiB")
    if learner and learn > have and (sharding := sharding_that_fits(shapes, learner, have)):
        fixes.append(f"{sharding}, each worker on such a device of its own")
    numbers = [DTYPE_BYTES[load.dtype] for load in (engine, learner) if load]
    weights = shapes.total_parameters * (sum(numbers) if count == 1 else max(numbers))
    other = one - weights
    if 0 <= other < have:
        billions = shapes.total_parameters * (have - other) / weights / 1e9
        fixes.append(f"a model of at most {billions:.1f} B parameters")
    return f"{shapes.name} does not fit on {device}: {' and '.join(takes)}. What would fit: {'; '.join(fixes)}"

"""Placement of engines and learners, as data, and whether the cluster has room for it. Pure: no Ray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from cluster.nodes import GPU_LABEL, Node, NoRoom, check_labels, inventory
from cluster.placement import LEVELS, MAX_TRIES, Actor, Found, Seat, bundles_of, find_seats

__all__ = [
    "GPU_LABEL", "Demand", "EngineProfile", "HardwareConfig", "NoRoom", "Node", "Placement", "check_labels", "plan",
]  # fmt: skip


TEACHER, TEACHERS = "teacher", "teacher's engine"
"""Name of the teacher's engines, and what each of them is called."""


class Placement(BaseModel):
    """What one engine or one learner worker takes from a node."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpus: float | None = Field(default=None, ge=0)
    """CPUs to reserve; None: half a CPU on CPU nodes, one with a GPU."""
    gpus: float | None = Field(default=None, ge=0)
    """GPUs, or a share of one; None: derived from the cluster's GPUs."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Ray node labels that the node must have, for example {"ray.io/accelerator-type": "H100"}; values may be Ray's
    selectors (`!x`, `in(x,y)`, `!in(x,y)`)."""
    accelerator: str = ""
    """Kind of GPU: short for the label ray.io/accelerator-type."""
    fallbacks: tuple[dict[str, str], ...] = ()
    """Labels to accept instead, in this order, if no node with the preferred ones has room."""

    @property
    def selector(self) -> dict[str, str]:
        """The preferred labels."""
        return self.labels | ({GPU_LABEL: self.accelerator} if self.accelerator else {})


class EngineProfile(Placement):
    """One kind of rollout engine, for clusters of different machines. A field that is None is as in rollout.engine."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9_]+$")
    """Name of these engines in metrics and reports: letters, digits and _."""
    count: int = Field(default=1, ge=1)
    """Engines of this kind."""
    dtype: Literal["auto", "float32", "bfloat16", "float16"] | None = None
    """Data type of the weights."""
    tensor_parallel: int | None = Field(default=None, ge=1)
    """GPUs over which one engine's weights are split."""
    max_sequences: int | None = Field(default=None, ge=1)
    """Sequences decoded at once."""
    max_batched_tokens: int | None = Field(default=None, ge=16)
    """Tokens that one forward pass may hold."""
    enforce_eager: bool | None = None
    """Skip compilation and CUDA graphs."""
    gpu_memory_share: float | None = Field(default=None, gt=0, lt=1)
    """Share of a GPU's memory for one engine."""
    max_model_len: int | None = Field(default=None, ge=16)
    """Longest prompt plus completion, in tokens."""

    @property
    def overrides(self) -> dict[str, Any]:
        """Settings of rollout.engine that this kind overrides."""
        names = tuple(
            name for name in EngineProfile.model_fields if name not in (*Placement.model_fields, "name", "count")
        )
        return {name: value for name in names if (value := getattr(self, name)) is not None}


class HardwareConfig(BaseModel):
    """Which devices a run uses."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: Literal["auto", "cpu", "gpu"] = "auto"
    """auto uses GPUs if the cluster has any."""
    engine: Placement = Placement()
    """Each rollout engine."""
    learner: Placement = Placement()
    """Each learner worker."""
    teacher: Placement = Field(default=Placement(), exclude_if=lambda placement: placement == Placement())
    """Each engine of a teacher that the run serves itself (teacher.protocol engine)."""
    profiles: tuple[EngineProfile, ...] = ()
    """Kinds of engines for different machines; they replace `engine` and rollout.engines. Set in a configuration
    file."""

    @model_validator(mode="after")
    def _names_differ(self) -> HardwareConfig:
        names = [profile.name for profile in self.profiles]
        if len(set(names)) < len(names):
            raise ValueError(f"profiles need different names; these are {', '.join(names)}")
        if self.profiles and self.engine != Placement():
            raise ValueError("hardware.engine has no effect beside hardware.profiles: set it in each profile")
        return self

    @model_validator(mode="after")
    def _gpus_can_be_had(self) -> HardwareConfig:
        kinds = {"engine": self.engine, "learner": self.learner, "teacher": self.teacher} | {
            f"profiles {p.name}": p for p in self.profiles
        }
        for name, placement in kinds.items():
            gpus = placement.gpus or 0
            if gpus > 1 and gpus % 1:
                raise ValueError(
                    f"{name}.gpus {gpus:g} is no number of whole GPUs, and more than one cannot be shared; use "
                    f"{int(gpus)} or {int(gpus) + 1}"
                )
            if gpus and self.device == "cpu":
                raise ValueError(f"{name}.gpus {gpus:g} has no effect with device cpu: leave one of them out")
        return self


@dataclass(frozen=True, slots=True)
class Demand:
    """`count` actors of one kind, each with these Ray resources on a node with these labels."""

    what: str
    count: int
    cpus: float
    gpus: float
    """GPUs of each. Where actors of one kind share GPUs with more or fewer others, the least that one of them has."""
    labels: Mapping[str, str]
    fallbacks: tuple[Mapping[str, str], ...] = ()
    """Labels to accept instead, in order."""
    profile: EngineProfile | None = None
    """The kind of engine, if the configuration has profiles."""
    seats: tuple[Seat, ...] = ()
    """The planned place of each actor. A learner's workers follow one another."""
    workers: int = 0
    """Workers of each learner; 0 for engines."""
    places: tuple[Any, ...] = ()
    """What a session has reserved for them on the cluster (`cluster.reservation.Place`), one an engine or a learner; ()
    where Ray places them by resources and labels alone."""

    def options(self) -> dict[str, Any]:
        """Ray actor options."""
        options: dict[str, Any] = {"num_cpus": self.cpus}
        if self.gpus:
            options["num_gpus"] = self.gpus
        if self.labels:
            options["label_selector"] = dict(self.labels)
        if self.labels and self.fallbacks:
            options["fallback_strategy"] = [{"label_selector": dict(labels)} for labels in self.fallbacks]
        return options

    @property
    def name(self) -> str:
        """Name of its actors."""
        return self.profile.name if self.profile is not None else TEACHER if self.is_teacher else "engine"

    @property
    def is_teacher(self) -> bool:
        """Whether these are engines of the teacher."""
        return self.what == TEACHERS

    def __str__(self) -> str:
        parts = [f"{self.gpus:g} GPU"] if self.gpus else []
        parts.append(f"{self.cpus:g} CPU")
        wanted = " or ".join(str(dict(labels)) for labels in (self.labels, *self.fallbacks) if labels)
        where = f" on nodes labelled {wanted}" if wanted else ""
        return f"{self.count} {self.what} of {' and '.join(parts)}{where}"


def plan(
    config: HardwareConfig,
    nodes: Sequence[Node],
    engines: int,
    workers: int,
    learners: int = 1,
    tensor_parallel: int = 1,
    teachers: tuple[int, int] = (0, 1),
) -> tuple[tuple[Demand, ...], Demand]:
    """What engines, kind by kind, and `learners` learners of `workers` workers each ask of the cluster; and `teachers`,
    the engines of a teacher and the GPUs that each of them is split over.

    Each takes a whole GPU where there are enough, and an engine that is split over `tensor_parallel` of them (a
    profile's own number counts before it) so many; where there are too few, several take equal shares of one, by the
    rules of `cluster.placement`. The demands hold the seat of each actor, and name the labels that were found to have
    room. Raises NoRoom where it can never be had, with what would fit.
    """
    gpus = sum(node.resources.get("GPU", 0) for node in nodes)
    use_gpu = gpus > 0 if config.device == "auto" else config.device == "gpu"
    if use_gpu and not gpus:
        raise NoRoom(
            f"no GPU in the cluster ({inventory(nodes)}) and hardware.device is gpu; set it to cpu or add a node"
        )
    wanted = [_Wanted("learner worker", learners * workers, config.learner, use_gpu, workers=workers)]
    for profile in config.profiles:
        split = profile.tensor_parallel or tensor_parallel
        wanted.append(_Wanted(f"engine {profile.name}", profile.count, profile, use_gpu, split))
    if not config.profiles:
        wanted.append(_Wanted("engine", engines, config.engine, use_gpu, tensor_parallel))
    if teachers[0]:
        wanted.append(_Wanted(TEACHERS, teachers[0], config.teacher, use_gpu, teachers[1]))
    for kind in wanted:
        kind.check_split()
    found, choice = _search(wanted, nodes)
    if found.seats is None:
        raise NoRoom(_refusal(wanted, nodes, found))
    demands, begin = [], 0
    for kind in wanted:
        demands.append(kind.demand(found.seats[begin : begin + kind.count], choice if kind.workers else 0))
        begin += kind.count
    learner, *fleet = demands
    return tuple(fleet), learner


def check_trials(fleet: Sequence[Demand], learner: Demand, nodes: Sequence[Node], trials: int) -> None:
    """Raises NoRoom where sessions of `trials` trials, each with engines and a learner as planned, cannot be up at
    once: the last ones would wait for the first to end."""
    seats = [seat for demand in (*fleet, learner) for seat in demand.seats]
    bundles, _ = bundles_of(seats, nodes)
    one = [Actor("place", bundle.cpus, bundle.gpus, (bundle.selector,)) for bundle in bundles]
    room = next((n for n in range(trials, 0, -1) if find_seats(one * n, nodes).seats is not None), 0)
    if room < trials:
        wanted = "; ".join(str(demand) for demand in (*fleet, learner) if demand.count)
        raise NoRoom(
            f"there is room for {room} of {trials} trials at once, each with its own engines ({wanted}). It has: "
            f"{inventory(nodes)}. Lower concurrency to {room}, share the engines (dedicated False), or add nodes"
        )


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Actors of one kind, before they have a place."""

    what: str
    count: int
    placement: Placement
    use_gpu: bool
    split: int = 1
    """GPUs that one actor is split over."""
    workers: int = 0
    """Workers of each learner; 0 for engines."""

    @property
    def gpus(self) -> float | None:
        """As `cluster.placement.Actor.gpus`."""
        if self.placement.gpus is not None:
            return self.placement.gpus
        if not self.use_gpu:
            return 0.0
        return float(self.split) if self.split > 1 else None

    @property
    def cpus(self) -> float:
        if self.placement.cpus is not None:
            return self.placement.cpus
        return 0.5 if self.gpus == 0 else 1.0

    @property
    def selectors(self) -> tuple[Mapping[str, str], ...]:
        return (self.placement.selector, *self.placement.fallbacks)

    def actors(self, selectors: tuple[Mapping[str, str], ...]) -> list[Actor]:
        """All of them, each content with any of `selectors`."""
        learner = [number // self.workers if self.workers else None for number in range(self.count)]
        return [Actor(self.what, self.cpus, self.gpus, selectors, number) for number in learner]

    def check_split(self) -> None:
        """Raises NoRoom where the configured GPUs are not those that an actor is split over."""
        taken = self.placement.gpus
        if self.use_gpu and self.split > 1 and taken not in (None, self.split):
            own = {"engine": "hardware.engine", TEACHERS: "hardware.teacher"}
            name = own.get(self.what, f"hardware.profiles {self.what.partition(' ')[2]}")
            raise NoRoom(
                f"{name}.gpus {taken:g} is not tensor_parallel {self.split}: an engine needs that many whole GPUs"
            )

    def demand(self, seats: tuple[Seat, ...] = (), first: int = 0) -> Demand:
        """With the choices from `first` on that the seats need."""
        chosen = first + min((seat.choice for seat in seats), default=0)
        gpus = min((seat.gpus for seat in seats), default=1.0 if self.gpus is None else self.gpus)
        profile = self.placement if isinstance(self.placement, EngineProfile) else None
        left = self.selectors[chosen + 1 :]
        return Demand(
            self.what, self.count, self.cpus, gpus, self.selectors[chosen], left, profile, seats, self.workers
        )


def _search(wanted: Sequence[_Wanted], nodes: Sequence[Node]) -> tuple[Found, int]:
    """Seats for all, and which choice of labels the learners got: all their workers have the same one, since Ray Train
    takes one demand for all. With the first choice that has room; where none has, what came of the first."""
    learner, *engines = wanted
    others = [actor for kind in engines for actor in kind.actors(kind.selectors)]
    results = []
    for choice, selector in enumerate(learner.selectors if learner.count else [{}]):
        results.append((find_seats(learner.actors((selector,)) + others, nodes), choice))
    placed = [result for result in results if result[0].seats is not None]
    # GPUs that are not shared count for more than the order of the learners' fallbacks.
    return min(placed, key=lambda result: result[0].sharers) if placed else results[0]


def _refusal(wanted: Sequence[_Wanted], nodes: Sequence[Node], found: Found) -> str:
    kinds = [kind for kind in wanted for _ in range(kind.count)]
    requested = "; ".join(str(kind.demand()) for kind in wanted if kind.count)
    limit = (
        f" (the search ended after {MAX_TRIES} tries, so there may be a placement that it has not found)"
        if found.exhausted
        else ""
    )
    return (
        f"the cluster has no room for {kinds[found.stuck].demand()}. Requested in all: {requested}. It has: "
        f"{inventory(nodes)}; at most {LEVELS[-1]} share a GPU, and workers of one learner never do{limit}. "
        f"{_what_fits(wanted, kinds[found.stuck], nodes)}Lower or change hardware.engine, hardware.learner, "
        "hardware.profiles, rollout.engines or train.workers, or add nodes"
    )


def _what_fits(wanted: Sequence[_Wanted], stuck: _Wanted, nodes: Sequence[Node]) -> str:
    """The most of one kind that there is room for beside the others, of the kind that failed if that helps."""
    for kind in (stuck, *(other for other in reversed(wanted) if other is not stuck)):
        step = kind.workers if kind.count > kind.workers > 0 else 1  # whole learners, or workers of the only one
        low, high = 0, kind.count // step  # room for `low` times `step` of them; none for `high`
        while high - low > 1:
            middle = (low + high) // 2
            fewer = [replace(k, count=middle * step) if k is kind else k for k in wanted]
            low, high = (middle, high) if _search(fewer, nodes)[0].seats is not None else (low, middle)
        if low:
            others = " beside the others" if sum(k.count > 0 for k in wanted) > 1 else ""
            return f"There is room for {low * step} {kind.what}{'s' if low * step > 1 else ''}{others}. "
    return ""

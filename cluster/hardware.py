"""Placement of engines and learners, as data, and whether the cluster has room for it. Pure: no Ray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

GPU_LABEL = "ray.io/accelerator-type"
"""Ray's own node label for the kind of GPU."""


class NoRoom(RuntimeError):
    """The cluster can never place what was requested; the message says what it has and what to change."""


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
    gpu_memory_share: float | None = Field(default=None, gt=0, lt=1)
    """Share of a GPU's memory for one engine."""
    max_model_len: int | None = Field(default=None, ge=16)
    """Longest prompt plus completion, in tokens."""

    @property
    def overrides(self) -> dict[str, Any]:
        """Settings of rollout.engine that this kind overrides."""
        names = ("dtype", "tensor_parallel", "max_sequences", "gpu_memory_share", "max_model_len")
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


@dataclass(frozen=True, slots=True)
class Node:
    """A live node: its labels and all its resources, free or not."""

    name: str
    resources: Mapping[str, float]
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Demand:
    """`count` actors of one kind, each with these Ray resources on a node with these labels."""

    what: str
    count: int
    cpus: float
    gpus: float
    labels: Mapping[str, str]
    fallbacks: tuple[Mapping[str, str], ...] = ()
    """Labels to accept instead, in order."""
    profile: EngineProfile | None = None
    """The kind of engine, if the configuration has profiles."""

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
        return self.profile.name if self.profile is not None else "engine"

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
) -> tuple[tuple[Demand, ...], Demand]:
    """The demands of the engines, kind by kind, and of `learners` learners of `workers` workers each.

    If the whole cluster has one GPU, engines and learners share it; otherwise each takes a whole GPU, and an engine
    takes `tensor_parallel` of them (a profile's own number has precedence). The demand of the learners has the labels
    that were found to have room. Raises NoRoom if the cluster can never meet the demands.
    """
    gpus = sum(node.resources.get("GPU", 0) for node in nodes)
    use_gpu = gpus > 0 if config.device == "auto" else config.device == "gpu"
    if use_gpu and not gpus:
        raise NoRoom(f"no GPU in the cluster ({_have(nodes)}) and hardware.device is gpu; set it to cpu or add a node")
    workers *= learners
    split = {p.name: p.tensor_parallel or tensor_parallel for p in config.profiles}
    count = sum(p.count * split[p.name] for p in config.profiles) or engines * tensor_parallel
    for what, taken, over in [(f"hardware.profiles {p.name}", p.gpus, split[p.name]) for p in config.profiles] or [
        ("hardware.engine", config.engine.gpus, tensor_parallel)
    ]:
        if use_gpu and over > 1 and taken not in (None, over):
            raise NoRoom(f"{what}.gpus {taken:g} is not tensor_parallel {over}: an engine needs that many whole GPUs")
    share = 1.0 if gpus >= count + workers else gpus / (count + workers)
    if use_gpu and share < 1:
        share = int(share * 100) / 100
    share = share if use_gpu else 0.0
    wanted = [_demand("learner worker", workers, config.learner, share)]
    if config.profiles:
        wanted += [
            _demand(f"engine {p.name}", p.count, p, share and (split[p.name] if split[p.name] > 1 else share))
            for p in config.profiles
        ]
    else:
        whole = tensor_parallel if tensor_parallel > 1 else share
        wanted.append(_demand("engine", engines, config.engine, share and whole))
    learner, *fleet = check_room(wanted, nodes)
    return tuple(fleet), learner


def check_room(demands: Sequence[Demand], nodes: Sequence[Node]) -> list[Demand]:
    """The demands with labels under which the nodes, if they were empty, could hold them all at once (first fit).

    Raises NoRoom if they could not.
    """
    free = {node.name: dict(node.resources) for node in nodes}
    labels = {node.name: node.labels for node in nodes}

    def placed(demand: Demand, wanted: Mapping[str, str]) -> bool:
        before = {name: dict(left) for name, left in free.items()}
        for _ in range(demand.count):
            for name, left in free.items():
                matches = all(_matches(labels[name].get(k, ""), value) for k, value in wanted.items())
                if matches and left.get("CPU", 0) >= demand.cpus - 1e-9 and left.get("GPU", 0) >= demand.gpus - 1e-9:
                    left["CPU"] = left.get("CPU", 0) - demand.cpus
                    left["GPU"] = left.get("GPU", 0) - demand.gpus
                    break
            else:
                free.update(before)
                return False
        return True

    found: dict[int, Demand] = {}
    for index, demand in sorted(enumerate(demands), key=lambda d: (not d[1].labels, -d[1].gpus, -d[1].cpus)):
        choices = [demand.labels, *demand.fallbacks]
        chosen = next((number for number, wanted in enumerate(choices) if placed(demand, wanted)), None)
        if chosen is None:
            requested = "; ".join(map(str, demands))
            raise NoRoom(
                f"the cluster has no room for {demand}. Requested: {requested}. It has: {_have(nodes)}. Lower or "
                f"change hardware.engine, hardware.learner, hardware.profiles, rollout.engines or train.workers, or "
                f"add nodes"
            )
        found[index] = replace(demand, labels=choices[chosen], fallbacks=tuple(choices[chosen + 1 :]))
    return [found[index] for index in range(len(demands))]


def check_labels(what: str, labels: Mapping[str, str], nodes: Sequence[Node]) -> None:
    """Raises NoRoom if no node has all of these labels: Ray would wait for one forever."""
    if not any(all(_matches(node.labels.get(k, ""), value) for k, value in labels.items()) for node in nodes):
        known = sorted(
            {
                f"{key}={value}"
                for node in nodes
                for key, value in node.labels.items()
                if key.partition("/")[0] != "ray.io"
            }
        )
        raise NoRoom(f"no node has {what} {dict(labels)}; nodes have {', '.join(known) or 'no labels'}")


def _demand(what: str, count: int, placement: Placement, gpu_share: float) -> Demand:
    gpus = gpu_share if placement.gpus is None else placement.gpus
    cpus = placement.cpus if placement.cpus is not None else (1.0 if gpus else 0.5)
    profile = placement if isinstance(placement, EngineProfile) else None
    return Demand(what, count, cpus, gpus, placement.selector, placement.fallbacks, profile)


def _matches(value: str, wanted: str) -> bool:
    """Ray's label selectors: `x`, `!x`, `in(x,y)`, `!in(x,y)`."""
    negated, text = wanted.startswith("!"), wanted.removeprefix("!")
    options = text[3:-1].split(",") if text.startswith("in(") and text.endswith(")") else [text]
    return (value in {option.strip() for option in options}) != negated


def _have(nodes: Sequence[Node]) -> str:
    parts = []
    for node in nodes:
        kind = node.labels.get(GPU_LABEL, "")
        gpus = f", {node.resources['GPU']:g} GPU {kind}".rstrip() if node.resources.get("GPU") else ""
        parts.append(f"{node.name}: {node.resources.get('CPU', 0):g} CPU{gpus}")
    return "; ".join(parts) or "no nodes"

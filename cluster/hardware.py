"""Where engines and learners are placed, as data, and whether the cluster has room for them. Pure: no Ray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

GPU_LABEL = "ray.io/accelerator-type"
"""Ray's own node label for the kind of GPU."""


class NoRoom(RuntimeError):
    """The cluster can never place what was asked for; the message says what it has and what to change."""


class Placement(BaseModel):
    """What one engine or one learner worker takes of a node."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cpus: float | None = Field(None, ge=0)
    """CPUs set aside; None: half a CPU on CPU nodes, one beside a GPU."""
    gpus: float | None = Field(None, ge=0)
    """GPUs, or a share of one; None: what the machine suggests."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Ray node labels that the node must carry, for example {"ray.io/accelerator-type": "H100"}."""


class HardwareConfig(BaseModel):
    """Which devices a run uses."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    device: Literal["auto", "cpu", "gpu"] = "auto"
    """auto uses GPUs where the cluster has any."""
    engine: Placement = Placement()
    """Each rollout engine."""
    learner: Placement = Placement()
    """Each learner worker."""


@dataclass(frozen=True, slots=True)
class Node:
    """A live node: its labels and everything it has, free or not."""

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

    def options(self) -> dict[str, Any]:
        """Ray actor options."""
        options: dict[str, Any] = {"num_cpus": self.cpus}
        if self.gpus:
            options["num_gpus"] = self.gpus
        if self.labels:
            options["label_selector"] = dict(self.labels)
        return options

    def __str__(self) -> str:
        parts = [f"{self.gpus:g} GPU"] if self.gpus else []
        parts.append(f"{self.cpus:g} CPU")
        where = f" on nodes labelled {dict(self.labels)}" if self.labels else ""
        return f"{self.count} {self.what} of {' and '.join(parts)}{where}"


def plan(config: HardwareConfig, nodes: Sequence[Node], engines: int, workers: int) -> tuple[Demand, Demand]:
    """What engines and learner workers ask of the cluster. Raises NoRoom where it can never be had.

    With one GPU in the whole cluster engines and learners share it; otherwise each takes whole GPUs.
    """
    gpus = sum(node.resources.get("GPU", 0) for node in nodes)
    use_gpu = gpus > 0 if config.device == "auto" else config.device == "gpu"
    if use_gpu and not gpus:
        raise NoRoom(f"no GPU in the cluster ({_have(nodes)}) and hardware.device is gpu; set it to cpu or add a node")
    share = 1.0 if gpus >= engines + workers else gpus / (engines + workers)
    if use_gpu and share < 1:
        share = int(share * 100) / 100
    demands = (
        _demand("engine", engines, config.engine, share if use_gpu else 0.0),
        _demand("learner worker", workers, config.learner, share if use_gpu else 0.0),
    )
    check_room(demands, nodes)
    return demands


def check_room(demands: Sequence[Demand], nodes: Sequence[Node]) -> None:
    """Raises NoRoom where the nodes, if they were empty, could not hold all demands at once (first fit)."""
    free = {node.name: dict(node.resources) for node in nodes}
    labels = {node.name: node.labels for node in nodes}
    for demand in sorted(demands, key=lambda d: (not d.labels, -d.gpus, -d.cpus)):
        for _ in range(demand.count):
            for name, left in free.items():
                matches = all(_matches(labels[name].get(k, ""), wanted) for k, wanted in demand.labels.items())
                if matches and left.get("CPU", 0) >= demand.cpus - 1e-9 and left.get("GPU", 0) >= demand.gpus - 1e-9:
                    left["CPU"] = left.get("CPU", 0) - demand.cpus
                    left["GPU"] = left.get("GPU", 0) - demand.gpus
                    break
            else:
                asked = "; ".join(map(str, demands))
                raise NoRoom(
                    f"the cluster has no room for {demand}. Asked for in all: {asked}. It has: {_have(nodes)}. Lower "
                    f"hardware.engine, hardware.learner, rollout.engines or train.workers, or add nodes"
                )


def _demand(what: str, count: int, placement: Placement, gpu_share: float) -> Demand:
    gpus = gpu_share if placement.gpus is None else placement.gpus
    cpus = placement.cpus if placement.cpus is not None else (1.0 if gpus else 0.5)
    return Demand(what, count, cpus, gpus, placement.labels)


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

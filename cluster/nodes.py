"""What a cluster has: its nodes, their labels, and Ray's way to select them. Pure: no Ray."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

GPU_LABEL = "ray.io/accelerator-type"
"""Ray's own node label for the kind of GPU."""
NODE_LABEL = "ray.io/node-id"
"""Ray's own node label that only one node has."""


class NoRoom(RuntimeError):
    """The cluster cannot place what was requested; the message says what it has and what to change."""


@dataclass(frozen=True, slots=True)
class Node:
    """A live node: its labels and everything it has, free or not."""

    name: str
    resources: Mapping[str, float]
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Device:
    """One GPU of a node."""

    node: str
    index: int
    """Counts the GPUs of its node; which of them Ray calls so is decided when it is reserved."""
    kind: str
    """As Ray's label ray.io/accelerator-type has it; "" where the node has no such label."""
    free: float = 1.0
    """Share of it that may be planned with."""
    memory: float | None = None
    """GiB; None where it is not known. Ray does not tell."""


def devices_of(nodes: Sequence[Node]) -> list[Device]:
    """The GPUs of the nodes, one by one. A node whose GPUs are no whole number has a last one that is partly free."""
    found = []
    for node in nodes:
        gpus = node.resources.get("GPU", 0.0)
        for index in range(int(gpus) + (gpus % 1 > 0)):
            found.append(Device(node.name, index, node.labels.get(GPU_LABEL, ""), min(1.0, gpus - index)))
    return found


def carries(labels: Mapping[str, str], selector: Mapping[str, str]) -> bool:
    """Whether a node with these labels is selected, by Ray's rules: `x`, `!x`, `in(x,y)`, `!in(x,y)`."""
    return all(_matches(labels.get(key, ""), value) for key, value in selector.items())


def check_labels(what: str, labels: Mapping[str, str], nodes: Sequence[Node]) -> None:
    """Raises NoRoom if no node has all of these labels: Ray would wait for one forever."""
    if not any(carries(node.labels, labels) for node in nodes):
        raise NoRoom(f"no node has {what} {dict(labels)}; nodes have {known_labels(nodes)}")


def known_labels(nodes: Sequence[Node]) -> str:
    """The labels of the nodes, without those that Ray gives to all of them."""
    known = {
        f"{key}={value}" for node in nodes for key, value in node.labels.items() if key.partition("/")[0] != "ray.io"
    }
    return ", ".join(sorted(known)) or "no labels"


def inventory(nodes: Sequence[Node]) -> str:
    """What each node has, in one line; nodes that have the same are counted."""
    alike: dict[str, list[str]] = {}
    for node in nodes:
        kind = node.labels.get(GPU_LABEL, "")
        gpus = f", {node.resources['GPU']:g} GPU {kind}".rstrip() if node.resources.get("GPU") else ""
        alike.setdefault(f"{node.resources.get('CPU', 0):g} CPU{gpus}", []).append(node.name)
    parts = [f"{names[0] if len(names) == 1 else f'{len(names)} nodes'}: {has}" for has, names in alike.items()]
    return "; ".join(parts) or "no nodes"


def _matches(value: str, wanted: str) -> bool:
    negated, text = wanted.startswith("!"), wanted.removeprefix("!")
    options = text[3:-1].split(",") if text.startswith("in(") and text.endswith(")") else [text]
    return (value in {option.strip() for option in options}) != negated

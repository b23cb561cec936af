"""Ray Data without the helper actors that have nothing to do on a Ray of one machine that ends with its program.

Each is a process that imports all of Ray Data: two CPU seconds before it has done anything. One keeps figures for a
dashboard, one asks an autoscaler for nodes, and one tracks on which node an actor is. Where a release of Ray has no
such helper, or calls it otherwise, nothing changes.
"""

from __future__ import annotations

import importlib
from typing import Any

STATS = "ray.data._internal.stats"
AUTOSCALING = "ray.data._internal.cluster_autoscaler.default_autoscaling_coordinator"
ACTOR_POOL = "ray.data._internal.execution.operators.actor_pool_map_operator"


class Nobody:
    """Stands for a helper actor: takes every call and does nothing."""

    def __getattr__(self, name: str) -> Nobody:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> None:
        return None


def spare_helpers() -> None:
    """Holds for this process. Call before a pipeline runs, in the process that will run it."""
    import ray

    _replace(STATS, "get_or_create_stats_actor", Nobody)
    _replace(ACTOR_POOL, "get_or_create_actor_location_tracker", Nobody)
    _replace(ACTOR_POOL, "get_actor_locations", lambda actors: {})
    reserved = {node["NodeID"]: dict(node["Resources"]) for node in ray.nodes() if node["Alive"]}
    coordinator = getattr(importlib.import_module(AUTOSCALING), "DefaultAutoscalingCoordinator", None)
    if coordinator is not None:
        coordinator.request_resources = lambda self, *args, **kwargs: None
        coordinator.cancel_request = lambda self: None
        # All of the machine: no other program's Ray Data shares it.
        coordinator.get_reserved_resources = lambda self: reserved


def _replace(module: str, name: str, value: Any) -> None:
    loaded = importlib.import_module(module)
    if hasattr(loaded, name):
        setattr(loaded, name, value)

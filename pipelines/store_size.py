"""How large a local object store must be: what overflows is written to disk, and read back by each engine."""

from __future__ import annotations

from cluster.connect import LOCAL_STORE
from cluster.model_shapes import ModelShapes, UnknownShapes
from rollout.engine_spec import EngineSpec
from rollout.model_files import read_config

COPIES = 2
"""Of an adapter on its way, beside those that engines may yet ask for: the learner's and the coordinator's."""
NUMBER_BYTES = 4
"""Engines that compute in 16 bits are sent half of it."""


def store_bytes(spec: EngineSpec) -> int:
    """Bytes for the adapters that are under way at once, beside the rows; the usual size where that is enough."""
    try:
        shapes = ModelShapes.from_config(read_config(spec.model), spec.model)
    except UnknownShapes:
        return LOCAL_STORE
    adapter = NUMBER_BYTES * shapes.lora_parameters(spec.lora_rank)
    return max(LOCAL_STORE, LOCAL_STORE // 2 + (COPIES + spec.live_adapters) * adapter)

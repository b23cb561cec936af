"""What an engine is started with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from rollout.config import EngineConfig


def is_everywhere(model: str, progress: Callable[[int, int], None]) -> None:
    """Brings nothing: each node has the model, or downloads it."""


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """What an engine is started with."""

    model: str
    """Hugging Face id or folder."""
    config: EngineConfig = field(default_factory=EngineConfig)
    lora_rank: int = 8
    """Largest rank of an adapter that it will be asked to load; 0: it will be asked for the model alone."""
    live_adapters: int = 2
    """Adapters that may be wanted in the same batch: staleness + 1, times the runs that share the engine. The engine
    has room for one more: the next version is loaded and proven while all of these sample."""
    seed: int = 0
    bring: Callable[[str, Callable[[int, int], None]], None] = is_everywhere
    """Brings a folder to the engine's node where it is not there; reports (bytes done, bytes in all)."""

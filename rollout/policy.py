"""Policy versions: which adapter, of which run, at which step."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rollout.adapter import read_object, read_weights

ADAPTER_WEIGHTS = "adapter_model.safetensors"
ADAPTER_CONFIG = "adapter_config.json"
ADAPTER_BASE = "base.json"
"""Beside these, in adapters that were trained here: `PolicyVersion.base`."""
ADAPTER_FILES = (ADAPTER_WEIGHTS, ADAPTER_CONFIG, ADAPTER_BASE)


@dataclass(frozen=True, slots=True)
class PolicyVersion:
    """A LoRA adapter as it is published: bytes, never merged weights.

    Version 0 is the state that a run starts from. An empty `weights` is the base model without adapter.
    """

    run: str
    number: int
    weights: bytes = field(repr=False, default=b"")
    """Content of `adapter_model.safetensors`."""
    lora_config: Mapping[str, Any] = field(repr=False, default_factory=dict)
    """Content of `adapter_config.json`."""
    base: Mapping[str, str] = field(repr=False, default_factory=dict)
    """`model` and `fingerprint` of the base model that it was trained on; {} where nobody wrote it down."""
    adapter_hash: str = field(init=False, default="")
    """SHA-256 (first 16 hex digits) of weights and configuration; "" for the base model. It travels with them: a
    version of a large adapter is hashed once, where it is made."""

    def __post_init__(self) -> None:
        if self.weights:
            digest = hashlib.sha256(self.weights)
            digest.update(json.dumps(dict(self.lora_config), sort_keys=True).encode())
            object.__setattr__(self, "adapter_hash", digest.hexdigest()[:16])

    @property
    def name(self) -> str:
        """Unique over runs, versions and contents: vLLM's prefix cache is keyed on the adapter's name and path."""
        return f"{self.run}-v{self.number}-{self.adapter_hash or 'base'}"

    def write(self, folder: Path) -> Path:
        """Writes the adapter as peft and vLLM read it into a folder of its name in `folder`, and returns that path."""
        # A run may be called anything, by a checkpoint of somebody else's too: the path stays in `folder`.
        path = folder / re.sub(r"[^\w.+-]", "_", self.name)[-200:]
        path.mkdir(parents=True, exist_ok=True)
        (path / ADAPTER_WEIGHTS).write_bytes(self.weights)
        (path / ADAPTER_CONFIG).write_text(json.dumps(dict(self.lora_config), indent=1))
        if self.base:
            (path / ADAPTER_BASE).write_text(json.dumps(dict(self.base), indent=1))
        return path

    @classmethod
    def read(cls, path: Path, *, run: str, number: int) -> PolicyVersion:
        """Reads an adapter folder. Raises FileNotFoundError, naming the missing file, and ValueError, in one line,
        for files that are no adapter's."""
        for name in (ADAPTER_WEIGHTS, ADAPTER_CONFIG):
            if not (path / name).is_file():
                raise FileNotFoundError(f"{path} is not a LoRA adapter: it has no {name}")
        config = read_object(path / ADAPTER_CONFIG)
        base = read_object(path / ADAPTER_BASE) if (path / ADAPTER_BASE).is_file() else {}
        if not all(isinstance(value, str) for value in base.values()):
            raise ValueError(f"{path / ADAPTER_BASE} holds something else than texts; remove it")
        return cls(run, number, read_weights(path / ADAPTER_WEIGHTS), config, base)


def ema_run(run: str) -> str:
    """The name under which engines hold the moving averages of a run's policies."""
    return f"{run}-average"


@dataclass(frozen=True, slots=True)
class AdapterForm:
    """In which form an engine holds adapters, as far as their checksums depend on it."""

    dtype: str
    placed: bool = True
    """Whether it holds each tensor whole, so that rows count with their position; not so where it splits them over
    devices."""


def published_dtype(forms: Iterable[AdapterForm]) -> str:
    """The numbers in which an adapter is sent to engines of these forms: theirs where they agree, else float32."""
    dtypes = {form.dtype for form in forms}
    return dtypes.pop() if len(dtypes) == 1 else "float32"


@dataclass(frozen=True, slots=True, eq=False)
class Canary:
    """Fixed tokens with the log-probabilities that the learner computes for them under one policy version."""

    prompt_ids: np.ndarray
    """int32 [prompt length]."""
    completion_ids: np.ndarray
    """int32 [completion length]."""
    logprobs: np.ndarray
    """float32 [completion length], at temperature 1."""
    dtype: str = "float32"
    """Numbers in which the learner computes, or holds its weights where that is coarser."""


@dataclass(frozen=True, slots=True, eq=False)
class Publication:
    """A policy version with its canary: what a learner sends and an engine loads."""

    policy: PolicyVersion
    canary: Canary | None = None
    average: Publication | None = None
    """The moving average of the policy, for runs that sample from it too: a policy of the run `ema_run(run)`."""
    proofs: Mapping[AdapterForm, Mapping[str, int]] = field(repr=False, default_factory=dict)
    """Checksums (`rollout.load_proof`) that the learner takes of its own tensors, once a version: in each form in which
    an engine holds adapters, and in that of the file. {} where no learner is at hand."""

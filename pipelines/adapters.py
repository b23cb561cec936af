"""Adapters that a job starts from, or that it compares: read from a folder or an object store, and checked."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from cluster.storage import Storage, StorageError, url_of
from pipelines.artifacts.location import CHECKPOINTS
from pipelines.errors import ConfigError
from problems.plain_text import one_line
from rollout.adapter import check_adapter
from rollout.policy import ADAPTER_FILES, PolicyVersion
from train import checkpoint
from train.config import TrainConfig


def read_adapter(path: str, run: str, model: str = "", learner: TrainConfig | None = None) -> PolicyVersion:
    """An adapter folder, a checkpoint that holds one, or the run folder of such checkpoints, whose newest it is then;
    here or on an object store. "" is the model alone.

    Raises ConfigError, also for one that says it was trained on another base model than `model`, where that is given,
    for one whose configuration asks for what is not computed here, and for one of another rank than that of the
    `learner` that is to go on from it. Its scale need not be the learner's: see `train.lora.Adapter.load`.
    """
    if not path:
        return PolicyVersion(run, 0)
    with _brought(path) as folder:
        newest = checkpoint.latest(folder / CHECKPOINTS)
        inner = [folder / "adapter", *([newest / "adapter"] if newest is not None else [])]
        folder = next((place for place in inner if place.is_dir()), folder)
        try:
            policy = PolicyVersion.read(folder, run=run, number=0)
        except FileNotFoundError as error:
            raise ConfigError(f"{error}; name a run folder, a checkpoint of one, or a folder that peft wrote") from None
        except (OSError, ValueError) as error:
            raise ConfigError(f"adapter {path} cannot be read: {error}") from None
    try:
        check_adapter(policy.lora_config, policy.weights, f"adapter {path}")
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if model:
        _check_base(path, policy.base, model)
    if learner is not None:
        _check_rank(path, policy.lora_config, learner)
    return policy


def _check_rank(adapter: str, config: Mapping[str, Any], learner: TrainConfig) -> None:
    """Raises ConfigError, naming the field, for an adapter that the learner's cannot go on from."""
    rank, ranks = config.get("r", 8), set((config.get("rank_pattern") or {}).values())
    if rank != learner.lora_r:
        raise ConfigError(
            f"adapter {adapter} does not fit: its lora_r is {rank}, and lora_r is {learner.lora_r} here; set it to "
            f"{rank}"
        )
    if ranks - {rank}:
        raise ConfigError(
            f"adapter {adapter} does not fit: its rank_pattern gives some layers the rank {min(ranks - {rank})} and "
            f"lora_r is {rank} for all layers here; train an adapter of one rank"
        )


def _check_base(adapter: str, base: Mapping[str, str], model: str) -> None:
    """Compares fingerprints where the adapter has one and was trained on a model of another name. Raises ConfigError.

    Of equal shape, an adapter of another model would load, and make nonsense of every answer.
    """
    if not base.get("fingerprint") or base.get("model") == model:
        return
    import torch
    from transformers.utils.logging import disable_progress_bar

    from train.base_model import load_base
    from train.lora import fingerprint

    disable_progress_bar()
    try:
        found = fingerprint(load_base(model, TrainConfig(), torch.device("cpu")))
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if found != base["fingerprint"]:
        raise ConfigError(
            f"adapter {adapter} was trained on base model {one_line(base.get('model'), 100)} "
            f"({one_line(base['fingerprint'], 40)}), and {model} is another one ({found}); give the model that it was "
            "trained on, or another adapter"
        )


@contextlib.contextmanager
def _brought(path: str) -> Iterator[Path]:
    """The folder itself, or for the block a copy of what is of use to engines in one on an object store.

    Raises ConfigError.
    """
    try:
        url = url_of(path)
    except StorageError as error:
        raise ConfigError(str(error)) from None
    if url is None:
        yield Path(path).expanduser()
        return
    try:
        names = Storage(url).names()
        wanted = {f"{place}{name}" for place in ("", "adapter/") for name in ADAPTER_FILES} | _newest(names)
        with Storage(url).copied({name: size for name, size in names.items() if name in wanted}) as folder:
            yield folder
    except StorageError as error:
        raise ConfigError(str(error)) from None


def _newest(names: Collection[str]) -> set[str]:
    """Of a run folder's file names: those of the newest checkpoint's head and adapter; none without a whole one."""
    place = checkpoint.latest_name(names, f"{CHECKPOINTS}/")
    if place is None:
        return set()
    return {f"{place}{checkpoint.HEAD}", *(f"{place}adapter/{name}" for name in ADAPTER_FILES)}

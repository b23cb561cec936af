"""Checkpoints `checkpoint-<step>/` of transformers' trainers: which is the newest, and how they outlive their node.

On a store each is `<step>/`: the trainer's newest checkpoint, the best one if that is another, and the head that makes
it complete. Any machine can resume from one `<step>/` alone.
"""

from __future__ import annotations

import json
import os
import shutil
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch.distributed as dist
from transformers import TrainerCallback

from train.checkpoint import HEAD
from train.worker import CheckpointStore

STATE_FILE = "trainer_state.json"
"""The trainer writes it last: a checkpoint without it was interrupted."""
_PREFIX = "checkpoint-"


def newest_checkpoint(folder: Path) -> Path | None:
    """The newest whole checkpoint of a trainer, or None."""
    found = [path.parent for path in folder.glob(f"{_PREFIX}*/{STATE_FILE}") if _step(path.parent) and _state(path)]
    return max(found, key=_step) if found else None


def relocate(checkpoint: Path) -> None:
    """Has a checkpoint name the best one where it now lies: the trainer records whole paths, and folders move."""
    file = checkpoint / STATE_FILE
    state = _state(file)
    best = checkpoint.parent / f"{_PREFIX}{state.get('best_global_step')}"
    if state.get("best_model_checkpoint") not in (None, str(best)):
        aside = file.with_name(f".{STATE_FILE}-{uuid.uuid4().hex[:8]}")
        aside.write_text(json.dumps(state | {"best_model_checkpoint": str(best)}, indent=2))
        os.replace(aside, file)


def restore(folder: Path, store: CheckpointStore) -> None:
    """Brings the store's newest checkpoint into `folder`, as the trainer left it. Raises what the store raises."""
    shelf = folder / "shelf"
    shelf.mkdir(parents=True, exist_ok=True)
    store.pull(shelf)
    for head in shelf.glob(f"*/{HEAD}"):
        for checkpoint in head.parent.glob(f"{_PREFIX}*"):
            shutil.copytree(checkpoint, folder / checkpoint.name, dirs_exist_ok=True)
    shutil.rmtree(shelf)


class Shelve(TrainerCallback):
    """Puts each checkpoint on a store as soon as it is written."""

    def __init__(self, folder: Path, store: CheckpointStore) -> None:
        self._folder, self._store = folder, store

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """On every rank: each has its own random state, and rank 0 takes them all with it."""
        newest = self._folder / f"{_PREFIX}{state.global_step}"
        random_states = _gathered({path.name: path.read_bytes() for path in newest.glob("rng_state*")})
        if not state.is_world_process_zero:
            return
        shelf = self._folder / f".shelf-{uuid.uuid4().hex[:8]}"
        step = shelf / f"{state.global_step:06d}"
        for checkpoint in {newest, Path(state.best_model_checkpoint or newest)}:
            shutil.copytree(checkpoint, step / checkpoint.name)
        for name, content in random_states.items():
            (step / newest.name / name).write_bytes(content)
        # Two checkpoints of one step, of a run before and after it was rolled back, differ in their heads.
        (step / HEAD).write_text(json.dumps({"step": state.global_step, "id": uuid.uuid4().hex}))
        self._store.push(step, keep=1)
        shutil.rmtree(shelf)


def _gathered(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files of all ranks."""
    if not dist.is_initialized():
        return dict(files)
    found: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(found, dict(files))
    return {name: content for each in found for name, content in each.items()}


def _step(checkpoint: Path) -> int:
    """Updates done when a checkpoint was written; 0 for a folder that is called otherwise."""
    number = checkpoint.name.removeprefix(_PREFIX)
    return int(number) if number.isdecimal() else 0


def _state(path: Path) -> dict[str, Any]:
    """The content of a trainer's state, {} where it is damaged."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}

"""Checkpoints of a learner on an object store: the newest outlives the node that wrote it."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from cluster.storage import Storage, is_plain, with_retries


@dataclass(frozen=True, slots=True)
class CheckpointStore:
    """Checkpoints `<step>/` on a store. A checkpoint exists once its head does, so the head is uploaded last."""

    url: str
    head: str
    """Name of the file whose presence makes a checkpoint complete."""

    def push(self, checkpoint: Path, keep: int) -> None:
        """Uploads a checkpoint. Deletes later ones first, since they were rolled back, and old ones afterwards.

        Raises StorageError if the store does not accept it within PATIENCE seconds.
        """
        with_retries(lambda: self._push(checkpoint, keep))

    def pull(self, folder: Path) -> None:
        """Makes the store's newest checkpoint the newest of `folder`. Raises StorageError."""
        with_retries(lambda: self._pull(folder))

    def clear(self) -> None:
        """Deletes all checkpoints. Raises StorageError."""
        with_retries(self._clear)

    def _clear(self) -> None:
        storage = Storage(self.url)
        for names in self._steps(storage).values():
            self._drop(storage, names)

    def _push(self, checkpoint: Path, keep: int) -> None:
        storage, step = Storage(self.url), int(checkpoint.name)
        there = self._steps(storage)
        for later in [number for number in there if number >= step]:
            self._drop(storage, there.pop(later))
        files = [path for path in checkpoint.rglob("*") if is_plain(path)]
        for path in sorted(files, key=lambda path: path.name == self.head):
            storage.upload(path, f"{checkpoint.name}/{path.relative_to(checkpoint).as_posix()}")
        for old in sorted(there)[: max(0, len(there) + 1 - keep)]:
            self._drop(storage, there[old])

    def _pull(self, folder: Path) -> None:
        storage = Storage(self.url)
        there = self._steps(storage)
        whole = {step: names for step, names in there.items() if any(map(self._is_head, names))}
        newest = max(whole, default=-1)
        for path in [path for path in folder.glob("*") if path.name.isdecimal() and int(path.name) > newest]:
            shutil.rmtree(path, ignore_errors=True)
        if not whole:
            return
        name = next(iter(whole[newest])).partition("/")[0]
        local, head = folder / name, storage.read(f"{name}/{self.head}")
        if not self._has(local, head):
            aside = folder / f".{name}-{uuid.uuid4().hex[:8]}"
            storage.download(whole[newest], aside)
            if not self._has(local, head):  # another worker on this node may have been faster
                shutil.rmtree(local, ignore_errors=True)
                (aside / name).rename(local)
            shutil.rmtree(aside)

    def _has(self, local: Path, head: bytes | None) -> bool:
        """Whether a local checkpoint is the one with that head."""
        return (local / self.head).is_file() and (local / self.head).read_bytes() == head

    def _steps(self, storage: Storage) -> dict[int, dict[str, int]]:
        """Names and bytes of the files of each checkpoint, complete or not."""
        found: dict[int, dict[str, int]] = {}
        for name, size in storage.names().items():
            step = name.partition("/")[0]
            if step.isdecimal():
                found.setdefault(int(step), {})[name] = size
        return found

    def _is_head(self, name: str) -> bool:
        return name.partition("/")[2] == self.head

    def _drop(self, storage: Storage, names: Collection[str]) -> None:
        """Deletes the head first: a checkpoint that is losing its files must not look complete."""
        storage.delete(sorted(names, key=lambda name: not self._is_head(name)))

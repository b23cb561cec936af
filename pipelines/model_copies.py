"""A job's model on nodes that do not have it: a folder of the driver's machine is copied to them through Ray.

A node on which the same files lie at the same place (the driver's own, one with a shared file system) reads them there.
Any other fetches them once, into its user's cache, where they stay for the next job until their disk is nearly full. A
model of the Hugging Face hub is not copied: each node downloads it.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from cluster.connect import is_own
from cluster.names import check_path
from cluster.private import LockHeld, cache_folder, locked, take_lock
from rollout.model_files import read_from
from rollout.prompts import PROMPT_FILE
from rollout.starting import wanted_files

PIECE_BYTES = 16 << 20
"""Of one answer of the machine that has the model."""
FREE_SHARE = 0.1
"""Of a disk: less is not left free as long as there are copies that no process uses."""

Progress = Callable[[int, int], None]
Listing = Mapping[str, tuple[int, int]]
"""Relative name -> (bytes, time of the last change in ns) of the files that engines and learners read."""


class ModelError(OSError):
    """A model that cannot be brought to this node; the message says what to do."""


def listing_of(folder: Path) -> dict[str, tuple[int, int]]:
    """The files of a model's folder that are of use; {} where there is none. Links are followed: a cache has them."""
    names = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    wanted = [name for name in wanted_files(list(names)) if name != PROMPT_FILE]
    stats = {name: names[name].stat() for name in sorted(wanted)}
    return {name: (stat.st_size, stat.st_mtime_ns) for name, stat in stats.items()}


class Source(Protocol):
    """Who has a model's files."""

    def listing(self) -> Listing: ...

    def read(self, name: str, offset: int) -> bytes: ...


class FolderSource:
    """A folder of this machine."""

    def __init__(self, folder: str) -> None:
        self._folder = Path(folder)

    def listing(self) -> Listing:
        """What is there now."""
        return listing_of(self._folder)

    def read(self, name: str, offset: int) -> bytes:
        """The next PIECE_BYTES of a file, fewer at its end."""
        with open(self._folder / check_path(name, "a model's file"), "rb") as file:
            file.seek(offset)
            return file.read(PIECE_BYTES)


class _RemoteSource:
    """A `FolderSource` in an actor."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def listing(self) -> Listing:
        import ray

        return ray.get(self._handle.listing.remote())

    def read(self, name: str, offset: int) -> bytes:
        import ray

        return ray.get(self._handle.read.remote(name, offset))


def offer(model: str) -> None:
    """Lets the nodes of the connected cluster fetch a model that is a folder here, for as long as this job lasts."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    if is_own() or not os.path.isdir(model) or _find(model) is not None:
        return
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    options = {"name": _actor_name(model), "num_cpus": 0, "max_concurrency": 8, "scheduling_strategy": here}
    _KEPT.append(ray.remote(FolderSource).options(get_if_exists=True, **options).remote(model))


def bring(model: str, progress: Progress = lambda done, total: None) -> None:
    """Sees to it that this process, a worker of a job, can read the job's model on its node.

    Raises ModelError.
    """
    source = _find(model) if os.path.isabs(model) and not is_own() else None
    if source is not None and (listing := source.listing()) and listing != listing_of(Path(model)):
        read_from(model, str(copied(model, source, listing, cache_folder("models"), progress)))


def copied(model: str, source: Source, listing: Listing, copies: Path, progress: Progress) -> Path:
    """The copy of a model below `copies`, fetched unless it is there. It is this process's until that ends: nobody
    removes it before. Raises ModelError.
    """
    digest = hashlib.sha256(json.dumps([model, sorted(listing.items())]).encode()).hexdigest()[:16]
    folder = copies / digest
    with locked(folder.with_suffix(".lock")):
        if not folder.is_dir():
            for left in copies.glob(f".{digest}-*"):  # of a process that was killed
                shutil.rmtree(left, ignore_errors=True)
            total = sum(size for size, _ in listing.values())
            _make_room(copies, total)
            with _aside(copies, digest) as aside:
                _fetch(source, listing, aside, progress)
                os.replace(aside, folder)
        os.utime(folder)
        _KEPT.append(_hold(folder))
    return folder


_KEPT: list[Any] = []
"""Handles of actors, and descriptors of copies, as long as the process."""


def _actor_name(model: str) -> str:
    return f"model-{hashlib.sha256(model.encode()).hexdigest()[:16]}"


def _find(model: str) -> _RemoteSource | None:
    """Who of this job offers a model."""
    import ray

    try:
        return _RemoteSource(ray.get_actor(_actor_name(model)))
    except ValueError:
        return None


def _fetch(source: Source, listing: Listing, target: Path, progress: Progress) -> None:
    done, total = 0, sum(size for size, _ in listing.values())
    for name, (size, changed) in listing.items():
        path = target / check_path(name, "a model's file")
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "wb") as file:
            while piece := source.read(name, file.tell()):
                file.write(piece)
                progress(done := done + len(piece), total)
                if file.tell() > size:
                    break
            if file.tell() != size:
                raise ModelError(f"{name} of the model changed while it was copied to this node; run the job again")
        os.utime(path, ns=(changed, changed))


@contextlib.contextmanager
def _aside(copies: Path, name: str) -> Iterator[Path]:
    aside = Path(tempfile.mkdtemp(prefix=f".{name}-", dir=copies))
    try:
        yield aside
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def _hold(folder: Path) -> int:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    return descriptor


def _make_room(copies: Path, needed: int) -> None:
    """Removes copies that no process uses, the longest unused first, until the disk is not nearly full."""
    whole = [path for path in copies.iterdir() if path.is_dir() and not path.name.startswith(".")]
    for old in sorted(whole, key=lambda path: path.stat().st_mtime):
        if _room(copies, needed):
            return
        _remove_unused(old)
    if shutil.disk_usage(copies).free < needed:
        raise ModelError(
            f"the model takes {needed >> 20:,} MiB and {copies} has room for {shutil.disk_usage(copies).free >> 20:,}; "
            "free some, or set CRUCIBLE_CACHE to a larger disk"
        )


def _room(copies: Path, needed: int) -> bool:
    usage = shutil.disk_usage(copies)
    return usage.free - needed >= FREE_SHARE * usage.total


def _remove_unused(folder: Path) -> None:
    with contextlib.suppress(LockHeld, BlockingIOError, FileNotFoundError):
        lock = take_lock(folder.with_suffix(".lock"))  # one that is being fetched is held
        try:
            descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(descriptor)
        finally:
            os.close(lock)

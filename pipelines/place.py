"""Where a run folder lies: on this machine, or on an object store with a copy here that mirrors it."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from cluster.storage import Mirror, Storage, StorageError, url_of


class RunFolderError(RuntimeError):
    """A run folder that cannot be used as asked; the message says why and what to do."""


class Place:
    """Where a run folder lies: here, or on an object store with a folder here that mirrors it."""

    NOT_MIRRORED = ("checkpoints", "ray")
    """The learner's, which puts them there itself, and Ray Train's."""

    def __init__(self, path: Path, url: str | None = None, mirror: Mirror | None = None) -> None:
        self.path, self.url = path, url
        self._mirror = mirror
        self._lock: IO[str] | None = None

    @classmethod
    @contextlib.contextmanager
    def find(cls, path: Path | str, alone: bool = True) -> Iterator[Place]:
        """The place that `path` names, with what is on the store brought here; let go where the block fails.

        `alone` for who writes: the copy is the one that all such on this machine use, and held against them.
        """
        with _as_run_folder_error():
            url = url_of(path)
        if url is None:
            yield cls(Path(path))
            return
        parent, _, name = url.rpartition("/")
        digest = hashlib.sha256(parent.encode()).hexdigest()[:12]
        shared = Path(tempfile.gettempdir()) / f"crucible-{os.getuid()}" / digest
        copy = (shared if alone else Path(tempfile.mkdtemp(prefix="crucible-"))) / name
        copy.mkdir(parents=True, exist_ok=True)
        place = cls(copy, url, Mirror(copy, Storage(url), cls.NOT_MIRRORED))
        if alone:
            place.hold()
        try:
            place._bring()
            yield place
        except RunFolderError:
            place._mirror = None
            shutil.rmtree(copy)
            place.leave()
            raise

    def _bring(self) -> None:
        """Makes the copy what the store has, whatever an earlier run left there."""
        for leftover in self.path.iterdir():
            if leftover.name != ".lock":
                shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        with _as_run_folder_error():
            self._mirror.pull()

    def hold(self) -> None:
        """Holds the folder against other processes of this machine. Raises RunFolderError."""
        self._lock = self._lock or _hold(self.path)

    def push(self) -> None:
        """Uploads what has changed. Raises RunFolderError where the store does not take it."""
        if self._mirror is not None:
            with _as_run_folder_error():
                self._mirror.push()

    def changed(self) -> None:
        """Has what has changed uploaded soon."""
        if self._mirror is not None:
            self._mirror.changed()

    def leave(self) -> None:
        """Uploads the rest, removes the copy, lets go. Raises RunFolderError; the copy then stays."""
        if self._mirror is not None:
            mirror, self._mirror = self._mirror, None
            with _as_run_folder_error(f"; what it lacks is in {self.path}"):
                mirror.close()
            shutil.rmtree(self.path)
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def __str__(self) -> str:
        return self.url or str(self.path)


@contextlib.contextmanager
def _as_run_folder_error(more: str = "") -> Iterator[None]:
    try:
        yield
    except StorageError as error:
        raise RunFolderError(f"{error}{more}") from error


@contextlib.contextmanager
def recorded_config(path: Path | str) -> Iterator[Path | None]:
    """The file of a run's recorded configuration, of a run on an object store a copy; None where there is no run.

    Raises RunFolderError where the store cannot be read.
    """
    with _as_run_folder_error():
        url = url_of(path)
        content = Storage(url).read("config.yaml") if url else None
    with tempfile.TemporaryDirectory(prefix="crucible-") as folder:
        file = Path(folder if url else path) / "config.yaml"
        if content is not None:
            file.write_bytes(content)
        yield file if file.is_file() else None


def _hold(path: Path) -> IO[str]:
    lock = open(path / ".lock", "a+")  # noqa: SIM115 - held until close
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        holder = lock.read().strip() or "another process"
        lock.close()
        raise RunFolderError(f"{path} is in use by process {holder}; wait, or choose another name") from None
    lock.truncate(0)
    lock.write(f"{os.getpid()}\n")
    lock.flush()
    return lock

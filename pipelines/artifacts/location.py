"""Where a run folder lies: on this machine, or on an object store with a copy here that mirrors it."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cluster.names import BadName, check_run_name
from cluster.private import LockHeld, NotPrivate, private_folder, take_lock, temporary_folder
from cluster.storage import Mirror, Storage, StorageError, url_of
from pipelines.errors import JobError

CHECKPOINTS = "checkpoints"
"""In a run folder: the learner's."""


class RunFolderError(JobError, RuntimeError):
    """A run folder that cannot be used in this way; the message says why and what to do."""


class RunLocation:
    """Where a run folder lies: here, or on an object store with a folder here that mirrors it."""

    NOT_MIRRORED = (CHECKPOINTS, "ray")
    """The learner's, which puts them there itself, and Ray Train's."""

    def __init__(self, path: Path, url: str | None = None, mirror: Mirror | None = None) -> None:
        self.path, self.url = path, url
        self._mirror = mirror
        self._lock: int | None = None

    @classmethod
    @contextlib.contextmanager
    def find(cls, path: Path | str, alone: bool = True) -> Iterator[RunLocation]:
        """The place that `path` names, with what is on the store brought here; let go where the block fails.

        `alone` for who writes: the copy is the one that all such on this machine use, and held against them. Copies
        are for this user's eyes alone. Raises RunFolderError, also where another user has the copy's place.
        """
        with _as_run_folder_error():
            url = url_of(path)
            copy = None if url is None else _copy_of(url, alone)
        if url is None or copy is None:
            yield cls(Path(path))
            return
        mirror = Mirror(copy, Storage(url), cls.NOT_MIRRORED)
        place = cls(copy, url, mirror)
        if alone:
            place.hold()
        try:
            place._bring(mirror)
            yield place
        except BaseException:
            place._mirror = None
            place._remove_copy()
            place.leave()
            raise

    def _bring(self, mirror: Mirror) -> None:
        """Makes the copy equal to what the store has, and removes what an earlier run left there."""
        for leftover in self.path.iterdir():
            if leftover.name != ".lock":
                is_folder = leftover.is_dir() and not leftover.is_symlink()
                shutil.rmtree(leftover) if is_folder else leftover.unlink()
        with _as_run_folder_error():
            mirror.pull()

    def hold(self) -> None:
        """Holds the folder against other processes of this machine. Raises RunFolderError."""
        if self._lock is None:
            try:
                self._lock = take_lock(self.path / ".lock")
            except LockHeld as error:
                raise RunFolderError(f"{self.path} is {error}; wait, or choose another name") from None
            except NotPrivate as error:
                raise RunFolderError(str(error)) from None

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
            self._remove_copy()
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _remove_copy(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is None:  # a copy for one reader lies in a folder of its own
            shutil.rmtree(self.path.parent, ignore_errors=True)

    def __str__(self) -> str:
        return self.url or str(self.path)


@contextlib.contextmanager
def _as_run_folder_error(more: str = "") -> Iterator[None]:
    try:
        yield
    except (StorageError, NotPrivate, BadName) as error:
        raise RunFolderError(f"{error}{more}") from error


def _copy_of(url: str, alone: bool) -> Path:
    """The folder of this machine in which the run of a URL is worked on. Raises NotPrivate and BadName."""
    parent, _, name = url.rpartition("/")
    check_run_name(name)
    if not alone:
        return private_folder(Path(tempfile.mkdtemp(prefix="crucible-")), name)
    return temporary_folder(hashlib.sha256(parent.encode()).hexdigest()[:12], name)


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

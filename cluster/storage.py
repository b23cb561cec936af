"""Folders on object stores (`s3://`, `gs://`, `abfs://`), through pyarrow's filesystems.

A run is worked on in a folder of its machine and mirrored: whoever has the URL and the credentials can read it, or go
on with it elsewhere. Credentials come from the environment or the machine, as the tools of the store take them:
AWS_ACCESS_KEY_ID, AWS_PROFILE, the role of an instance, GOOGLE_APPLICATION_CREDENTIALS; AWS_ENDPOINT_URL for another
server.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import threading
import time
import urllib.parse
import uuid
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tenacity

from cluster.names import BadName, check_path

SCHEMES = ("s3", "gs", "abfs", "abfss")
PATIENCE = 120.0
"""Seconds for which a store that does not answer is tried again."""
BLOCK = 8 << 20
"""Bytes copied at a time."""
THREADS = 8
"""Files that travel at once."""
MOST_FILES = 200_000
"""Files that one folder of a store may hold."""
LARGEST_READ = 64 << 20
"""Bytes of a file that is read whole."""


class StorageError(RuntimeError):
    """A store that cannot be used; the message says which, why and what to do."""


def url_of(path: Path | str) -> str | None:
    """The URL that a path stands for, None where it is of this machine. pathlib makes one slash of a URL's two.

    Raises StorageError for a scheme that is not served, and for a path such as `a/../b`, which would mean another
    folder to one store than to the next.
    """
    found = re.match(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.*)", str(path), re.DOTALL)
    if found is None:
        return None
    scheme, rest = found[1].lower(), found[2].rstrip("/")
    if scheme not in SCHEMES:
        raise StorageError(f"{scheme}:// is no storage for runs; use {', '.join(f'{s}://' for s in SCHEMES)} or a path")
    _check_names([rest], "the folder of the store")
    return f"{scheme}://{rest}"


@dataclass(frozen=True, slots=True)
class Storage:
    """One folder of an object store. Pickles as its URL alone: credentials are those of the machine it is used on."""

    url: str

    def names(self) -> dict[str, int]:
        """Files in it, by name relative to it, with their bytes.

        Raises StorageError for a name that cannot be a file's on this machine, or would lie outside of a folder.
        """
        from pyarrow.fs import FileSelector, FileType

        system, base = self._open()
        with self._said("list"):
            found = system.get_file_info(FileSelector(base, recursive=True, allow_not_found=True))
        files = [info for info in found if info.type == FileType.File]
        if len(files) > MOST_FILES:
            raise StorageError(f"{self.url} holds {len(files)} files, and {MOST_FILES} are the most; is it a run's?")
        if stray := next((info.path for info in files if not info.path.startswith(f"{base}/")), None):
            raise StorageError(f"{self.url} lists {stray!r}, which is not in it; is this the store that you mean?")
        names = {info.path[len(base) + 1 :]: info.size for info in files}
        _check_names(names, f"an object of {self.url},")
        return names

    def upload(self, source: Path, name: str) -> None:
        """Puts a file there; it is seen whole or not at all."""
        system, base = self._open()
        with self._said("write"), open(source, "rb") as file, system.open_output_stream(f"{base}/{name}") as stream:
            shutil.copyfileobj(file, stream, BLOCK)

    def write(self, name: str, content: bytes) -> None:
        """Puts bytes there."""
        system, base = self._open()
        with self._said("write"), system.open_output_stream(f"{base}/{name}") as stream:
            stream.write(content)

    def read(self, name: str) -> bytes | None:
        """A file's content, None where there is none. Raises StorageError for one above LARGEST_READ bytes."""
        system, base = self._open()
        with self._said("read"):
            try:
                with system.open_input_stream(f"{base}/{name}") as stream:
                    content = stream.read(LARGEST_READ + 1)
            except FileNotFoundError:
                return None
        if len(content) > LARGEST_READ:
            raise StorageError(f"{self.url}/{name} is larger than {LARGEST_READ >> 20} MiB; is it what it is named?")
        return content

    def download(self, names: Iterable[str], target: Path) -> None:
        """Copies files into a folder, by the same names; each is there whole or not at all.

        `names` with their sizes, as `names()` gives them, bounds what comes. Raises StorageError where a file is gone,
        where one is larger than it was listed, where the disk has no room for all, and for a name that leads out of
        the folder.
        """
        names = dict(names) if isinstance(names, Mapping) else dict.fromkeys(names)
        _check_names(names, f"an object of {self.url},")
        target.mkdir(parents=True, exist_ok=True)
        room = shutil.disk_usage(target).free
        if (needed := sum(size or 0 for size in names.values())) > room:
            raise StorageError(
                f"{self.url} takes {needed >> 20} MiB and {target} has room for {room >> 20}; free some, or set TMPDIR "
                f"to a larger disk"
            )
        system, base = self._open()

        def bring(name: str) -> None:
            path = target / name
            with self._said("read"):
                path.parent.mkdir(parents=True, exist_ok=True)
                with system.open_input_stream(f"{base}/{name}") as stream:
                    most = names[name] if names[name] is not None else room
                    if _copy_whole(stream, path, most) is None:
                        raise ValueError(f"{name} is larger than the {most} bytes that it may have")

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(bring, names))

    def delete(self, names: Iterable[str]) -> None:
        """Removes files, in this order; those that are gone already are passed over."""
        system, base = self._open()
        with self._said("delete from"):
            for name in names:
                try:
                    system.delete_file(f"{base}/{name}")
                except FileNotFoundError:
                    continue

    def _open(self) -> tuple[Any, str]:
        with self._said("open"):
            return _filesystem(self.url)

    @contextlib.contextmanager
    def _said(self, what: str) -> Iterator[None]:
        """Turns what pyarrow raises into one line."""
        try:
            yield
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())[-300:]
            raise StorageError(
                f"cannot {what} {self.url} ({reason}); look at the bucket's name, the credentials in the environment, "
                f"and AWS_ENDPOINT_URL where the server is another"
            ) from error


def _check_names(names: Iterable[str], what: str) -> None:
    """Raises StorageError for a name that is not of a file below a folder."""
    for name in names:
        try:
            check_path(name, what)
        except BadName as error:
            raise StorageError(str(error)) from None


def _copy_whole(stream: Any, path: Path, most: int) -> int | None:
    """Writes a stream aside and renames it to `path`; its bytes, or None, with nothing written, above `most`."""
    aside = path.with_name(f".{uuid.uuid4().hex[:8]}.partial")
    done = 0
    try:
        with open(aside, "xb") as file:
            while block := stream.read(BLOCK):
                done += len(block)
                if done > most:
                    return None
                file.write(block)
        os.replace(aside, path)
    finally:
        aside.unlink(missing_ok=True)
    return done


@functools.lru_cache(maxsize=64)
def _filesystem(url: str) -> tuple[Any, str]:
    """pyarrow's filesystem of a URL, and the path in it."""
    from pyarrow.fs import FileSystem

    system, path = FileSystem.from_uri(urllib.parse.quote(url, safe=":/"))
    return system, path.rstrip("/")


class Mirror:
    """Keeps a copy of a folder on a store as it changes. Uploads run beside the caller, one at a time.

    Older files go first, so that a reader who finds a row finds what it speaks of. A store that does not answer delays
    the copy, not the caller: `close` says so when it is still amiss at the end.
    """

    def __init__(self, folder: Path, storage: Storage, without: Collection[str] = ()) -> None:
        """`without` names entries of the folder that are not mirrored; hidden and `.partial` files never are."""
        self._folder, self._storage, self._without = folder, storage, frozenset(without)
        self._copied: dict[str, tuple[int, int]] = {}
        self._wake, self._ending = threading.Event(), False
        self._thread: threading.Thread | None = None

    def pull(self) -> None:
        """Brings what the store holds into the folder."""
        names = {name: size for name, size in self._storage.names().items() if self._is_mirrored(name)}
        self._storage.download(names, self._folder)
        self._copied = self._stand()

    def push(self) -> None:
        """Uploads what has changed since the last time, and removes there what is gone here."""
        here = self._stand()
        for name in sorted(here, key=lambda name: here[name][0]):
            if self._copied.get(name) != here[name]:
                if not (self._folder / name).exists():  # removed meanwhile
                    continue
                self._storage.upload(self._folder / name, name)
                self._copied[name] = here[name]
        for name in [name for name in self._copied if name not in here]:
            self._storage.delete([name])
            del self._copied[name]

    def changed(self) -> None:
        """Asks for a push soon."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="mirror", daemon=True)
            self._thread.start()
        self._wake.set()

    def close(self) -> None:
        """Pushes what is left. Raises StorageError where the store has not taken it within PATIENCE seconds."""
        self._ending = True
        if self._thread is not None:
            self._wake.set()
            self._thread.join()
        patiently(self.push)

    def _run(self) -> None:
        while not self._ending:
            self._wake.wait()
            self._wake.clear()
            try:
                self.push()
            except StorageError:
                time.sleep(1.0)
                self._wake.set()

    def _stand(self) -> dict[str, tuple[int, int]]:
        """Mirrored files as they are: (time of change in ns, bytes)."""
        found = {}
        for path in self._folder.rglob("*"):
            name = path.relative_to(self._folder).as_posix()
            if self._is_mirrored(name) and _is_plain(path):
                with contextlib.suppress(FileNotFoundError):  # removed meanwhile
                    stat = path.stat()
                    found[name] = (stat.st_mtime_ns, stat.st_size)
        return found

    def _is_mirrored(self, name: str) -> bool:
        parts = name.split("/")
        hidden = any(part.startswith(".") or part.endswith(".partial") for part in parts)
        return parts[0] not in self._without and not hidden


@dataclass(frozen=True, slots=True)
class CheckpointStore:
    """Checkpoints `<step>/` on a store: one is there when its head is, and the head goes up last."""

    url: str
    head: str
    """Name of the file that makes a checkpoint whole."""

    def push(self, checkpoint: Path, keep: int) -> None:
        """Uploads a checkpoint; later ones are of a course that was rolled back and go first, old ones afterwards.

        Raises StorageError where the store does not take it within PATIENCE seconds.
        """
        patiently(lambda: self._push(checkpoint, keep))

    def pull(self, folder: Path) -> None:
        """Makes the store's newest checkpoint the newest of `folder`. Raises StorageError."""
        patiently(lambda: self._pull(folder))

    def _push(self, checkpoint: Path, keep: int) -> None:
        storage, step = Storage(self.url), int(checkpoint.name)
        there = self._steps(storage)
        for later in [number for number in there if number >= step]:
            self._drop(storage, there.pop(later))
        files = [path for path in checkpoint.rglob("*") if _is_plain(path)]
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
            if not self._has(local, head):  # another worker of this node may have been quicker
                shutil.rmtree(local, ignore_errors=True)
                (aside / name).rename(local)
            shutil.rmtree(aside)

    def _has(self, local: Path, head: bytes | None) -> bool:
        """Whether a checkpoint of this machine is the one with that head."""
        return (local / self.head).is_file() and (local / self.head).read_bytes() == head

    def _steps(self, storage: Storage) -> dict[int, dict[str, int]]:
        """Names and bytes of the files of each checkpoint, whole or not."""
        found: dict[int, dict[str, int]] = {}
        for name, size in storage.names().items():
            step = name.partition("/")[0]
            if step.isdecimal():
                found.setdefault(int(step), {})[name] = size
        return found

    def _is_head(self, name: str) -> bool:
        return name.partition("/")[2] == self.head

    def _drop(self, storage: Storage, names: Collection[str]) -> None:
        """Head first: what loses its files one by one must not pass for whole."""
        storage.delete(sorted(names, key=lambda name: not self._is_head(name)))


def _is_plain(path: Path) -> bool:
    """Whether it is a file itself: what a link leads to may be anything of this machine."""
    return path.is_file() and not path.is_symlink()


def patiently(call: Callable[[], None]) -> None:
    """Tries again, ever more slowly, for PATIENCE seconds. Raises the last StorageError."""
    tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(StorageError),
        wait=tenacity.wait_exponential(max=10),
        stop=tenacity.stop_after_delay(PATIENCE),
        reraise=True,
    )(call)


def try_storage(url: str) -> str:
    """Writes, reads and removes a small file; "" or what went wrong."""
    storage, name, content = Storage(url), f".probe-{uuid.uuid4().hex[:8]}", uuid.uuid4().bytes
    try:
        storage.write(name, content)
        came = storage.read(name)
        storage.delete([name])
    except StorageError as error:
        return str(error)
    return "" if came == content else f"{url} does not give back what was written"

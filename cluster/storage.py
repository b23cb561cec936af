"""Folders on object stores (`s3://`, `gs://`, `abfs://`), through pyarrow's filesystems.

A run works in a folder on its own machine, which is mirrored: whoever has the URL and the credentials can read the run,
or continue it elsewhere. Credentials come from the environment or the machine, as for the store's own tools:
AWS_ACCESS_KEY_ID, AWS_PROFILE, an instance's role, GOOGLE_APPLICATION_CREDENTIALS; AWS_ENDPOINT_URL selects another
server.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import tempfile
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
"""Seconds for which an operation on a store that does not answer is retried."""
BLOCK = 8 << 20
"""Bytes copied at a time."""
THREADS = 8
"""Files copied at once."""
ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
"""Variables that say which server a URL is of."""
MOST_FILES = 200_000
"""Maximum files in one folder of a store."""
LARGEST_READ = 64 << 20
"""Maximum bytes of a file that is read into memory."""


class StorageError(RuntimeError):
    """A store that cannot be used; the message gives the store, the reason and the fix."""


def url_of(path: Path | str) -> str | None:
    """The URL that a path stands for, None for a local path. A Path has one slash where the URL has two.

    Raises StorageError for an unsupported scheme, and for a path such as `a/../b`, which stores resolve differently.
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
    """One folder of an object store. It pickles as its URL only: each machine uses its own credentials."""

    url: str

    def names(self) -> dict[str, int]:
        """Relative names of its files, with their sizes in bytes.

        Raises StorageError for a name that cannot be a local file's, or that would lie outside a folder.
        """
        from pyarrow.fs import FileSelector, FileType

        system, base = self._open()
        with self._as_storage_error("list"):
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
        """Uploads a file; readers see all of it or nothing."""
        system, base = self._open()
        with (
            self._as_storage_error("write"),
            open(source, "rb") as file,
            system.open_output_stream(f"{base}/{name}") as stream,
        ):
            shutil.copyfileobj(file, stream, BLOCK)

    def write(self, name: str, content: bytes) -> None:
        """Writes bytes to a file."""
        system, base = self._open()
        with self._as_storage_error("write"), system.open_output_stream(f"{base}/{name}") as stream:
            stream.write(content)

    def read(self, name: str) -> bytes | None:
        """A file's content, None if there is no such file. Raises StorageError above LARGEST_READ bytes."""
        system, base = self._open()
        with self._as_storage_error("read"):
            try:
                with system.open_input_stream(f"{base}/{name}") as stream:
                    content = stream.read(LARGEST_READ + 1)
            except FileNotFoundError:
                return None
        if len(content) > LARGEST_READ:
            raise StorageError(f"{self.url}/{name} is larger than {LARGEST_READ >> 20} MiB; is it what it is named?")
        return content

    def download(self, names: Iterable[str], target: Path) -> None:
        """Copies files into a folder under the same names, each of them whole or not at all.

        Sizes in `names`, as `names()` returns them, limit the download. Raises StorageError if a file is missing or
        larger than listed, if the disk has too little room, and for a name that leads out of the folder.
        """
        sizes: dict[str, int | None] = dict(names) if isinstance(names, Mapping) else dict.fromkeys(names)
        _check_names(sizes, f"an object of {self.url},")
        target.mkdir(parents=True, exist_ok=True)
        room = shutil.disk_usage(target).free
        if (needed := sum(size or 0 for size in sizes.values())) > room:
            raise StorageError(
                f"{self.url} takes {needed >> 20} MiB and {target} has room for {room >> 20}; free some, or set TMPDIR "
                f"to a larger disk"
            )
        system, base = self._open()

        def fetch(name: str) -> None:
            path = target / name
            with self._as_storage_error("read"):
                path.parent.mkdir(parents=True, exist_ok=True)
                with system.open_input_stream(f"{base}/{name}") as stream:
                    size = sizes[name]
                    most = room if size is None else size
                    if _copy_whole(stream, path, most) is None:
                        raise ValueError(f"{name} is larger than the {most} bytes that it may have")

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(fetch, sizes))

    @contextlib.contextmanager
    def copied(self, names: Iterable[str]) -> Iterator[Path]:
        """For the block a folder with copies of these files; `names` and errors as of `download`."""
        with tempfile.TemporaryDirectory(prefix="crucible-") as folder:
            self.download(names, Path(folder))
            yield Path(folder)

    def delete(self, names: Iterable[str]) -> None:
        """Removes files in this order; missing ones are skipped."""
        system, base = self._open()
        with self._as_storage_error("delete from"):
            for name in names:
                try:
                    system.delete_file(f"{base}/{name}")
                except FileNotFoundError:
                    continue

    def _open(self) -> tuple[Any, str]:
        with self._as_storage_error("open"):
            return _filesystem(self.url, *(os.environ.get(name, "") for name in ENDPOINTS))

    @contextlib.contextmanager
    def _as_storage_error(self, what: str) -> Iterator[None]:
        """Turns pyarrow's exceptions into a StorageError of one line."""
        try:
            yield
        except (OSError, ValueError) as error:
            reason = " ".join(str(error).split())[-300:]
            raise StorageError(
                f"cannot {what} {self.url} ({reason}); look at the bucket's name, the credentials in the environment, "
                f"and AWS_ENDPOINT_URL where the server is another"
            ) from error


def _check_names(names: Iterable[str], what: str) -> None:
    """Raises StorageError for a name that is not that of a file below a folder."""
    for name in names:
        try:
            check_path(name, what)
        except BadName as error:
            raise StorageError(str(error)) from None


def _copy_whole(stream: Any, path: Path, most: int) -> int | None:
    """Copies a stream to `path`, whole or not at all. Returns its bytes, or None, without a file, above `most`."""
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
def _filesystem(url: str, *endpoints: str) -> tuple[Any, str]:
    """pyarrow's filesystem for a URL, and the path in it. It is kept for as long as `endpoints`, the values of
    ENDPOINTS that pyarrow reads from the environment, stay the same."""
    from pyarrow.fs import FileSystem

    system, path = FileSystem.from_uri(urllib.parse.quote(url, safe=":/"))
    return system, path.rstrip("/")


class Mirror:
    """Keeps a copy of a changing folder on a store. Uploads run in a background thread, one at a time.

    Older files go first, so that a reader who finds a row also finds the files that it refers to. A store that does not
    answer delays the copy and not the caller: `close` raises if it still fails at the end.
    """

    def __init__(self, folder: Path, storage: Storage, without: Collection[str] = ()) -> None:
        """`without` names entries of the folder to leave out; hidden and `.partial` files are never mirrored."""
        self._folder, self._storage, self._without = folder, storage, frozenset(without)
        self._copied: dict[str, tuple[int, int]] = {}
        self._wake, self._ending = threading.Event(), False
        self._thread: threading.Thread | None = None

    def pull(self) -> None:
        """Downloads the store's files into the folder."""
        names = {name: size for name, size in self._storage.names().items() if self._is_mirrored(name)}
        self._storage.download(names, self._folder)
        self._copied = self._stand()

    def push(self) -> None:
        """Uploads the files changed since the last push, and deletes on the store those that were removed locally."""
        here = self._stand()
        for name in sorted(here, key=lambda name: here[name][0]):
            if self._copied.get(name) != here[name]:
                if not (self._folder / name).exists():  # removed in the meantime
                    continue
                self._storage.upload(self._folder / name, name)
                self._copied[name] = here[name]
        for name in [name for name in self._copied if name not in here]:
            self._storage.delete([name])
            del self._copied[name]

    def changed(self) -> None:
        """Requests a push soon."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="mirror", daemon=True)
            self._thread.start()
        self._wake.set()

    def close(self) -> None:
        """Pushes the remaining changes. Raises StorageError if the store does not accept them in PATIENCE seconds."""
        self._ending = True
        if self._thread is not None:
            self._wake.set()
            self._thread.join()
        with_retries(self.push)

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
        """(modification time in ns, bytes) of each mirrored file."""
        found = {}
        for path in self._folder.rglob("*"):
            name = path.relative_to(self._folder).as_posix()
            if self._is_mirrored(name) and is_plain(path):
                with contextlib.suppress(FileNotFoundError):  # removed in the meantime
                    stat = path.stat()
                    found[name] = (stat.st_mtime_ns, stat.st_size)
        return found

    def _is_mirrored(self, name: str) -> bool:
        parts = name.split("/")
        hidden = any(part.startswith(".") or part.endswith(".partial") for part in parts)
        return parts[0] not in self._without and not hidden


def is_plain(path: Path) -> bool:
    """Whether it is a file and not a link, which may lead anywhere on this machine."""
    return path.is_file() and not path.is_symlink()


def with_retries(call: Callable[[], None]) -> None:
    """Retries with growing pauses for PATIENCE seconds. Raises the last StorageError."""
    tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(StorageError),
        wait=tenacity.wait_exponential(max=10),
        stop=tenacity.stop_after_delay(PATIENCE),
        reraise=True,
    )(call)


def try_storage(url: str) -> str:
    """Writes, reads and removes a small file; returns "" or what failed."""
    storage, name, content = Storage(url), f".probe-{uuid.uuid4().hex[:8]}", uuid.uuid4().bytes
    try:
        storage.write(name, content)
        received = storage.read(name)
        storage.delete([name])
    except StorageError as error:
        return str(error)
    return "" if received == content else f"{url} does not return what was written"

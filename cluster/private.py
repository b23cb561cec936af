"""Folders and lock files that belong to this user only, in places where other users can write too."""

from __future__ import annotations

import contextlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import filelock

from cluster.names import check_name

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_LOCK = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class NotPrivate(RuntimeError):
    """A place that another user owns or may write to; the message is one line with the owner and the fix."""


class LockHeld(RuntimeError):
    """Another process has the lock."""

    def __init__(self, holder: str) -> None:
        super().__init__(f"in use by process {holder}")
        self.holder = holder
        """Its process id, or "another process" if the file does not say."""


def private_folder(base: Path, *names: str) -> Path:
    """The folder `base`/names[0]/names[1]/..., created if missing; below `base`, all are this user's with mode 0700.

    No link is followed below `base`. Raises NotPrivate if a folder belongs to another user, is not a folder, or holds
    files that others put there while its mode allowed it.
    """
    path = base
    with contextlib.ExitStack() as stack:
        descriptor = _opened(base, stack)
        for name in names:
            path = path / check_name(name, "the folder")
            with contextlib.suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=descriptor)
            try:
                descriptor = _opened(name, stack, os.O_NOFOLLOW, descriptor)
            except OSError as error:
                raise NotPrivate(
                    f"{path} is no folder of this user ({error.strerror}); remove it, or {_ELSEWHERE}"
                ) from None
            _make_private(path, descriptor)
    return path


def temporary_folder(*names: str) -> Path:
    """A private folder in the temporary directory, the same for all processes of this user. Raises NotPrivate."""
    return private_folder(Path(tempfile.gettempdir()), f"crucible-{os.geteuid()}", *names)


def cache_folder(*names: str) -> Path:
    """A private folder that lasts: in CRUCIBLE_CACHE where that is set, else in the user's cache folder.

    Raises NotPrivate. The cache itself may be a link, to a larger disk, say.
    """
    root = cache_root()
    root.mkdir(mode=0o700, parents=True, exist_ok=True)
    return private_folder(root.resolve(), *names)


def cache_root() -> Path:
    """The folder of caches."""
    given = os.environ.get("CRUCIBLE_CACHE")
    if given:
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "crucible"


def take_lock(path: Path, wait: bool = False) -> int:
    """Locks a file for this process until the returned descriptor is closed; the file holds the process id.

    The kernel releases the lock when the process dies. Without `wait`, raises LockHeld if another process has it.
    Raises NotPrivate, and changes nothing, if the file is a link, has other names, or is not a regular file.
    """
    descriptor = _lock_file(path)
    try:
        taken = filelock.lock_descriptor(descriptor, blocking=wait)
    except BaseException:
        os.close(descriptor)
        raise
    if not taken:
        holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").partition("\n")[0].strip()
        os.close(descriptor)
        raise LockHeld(holder if holder.isdecimal() else "another process")
    os.pwrite(descriptor, f"{os.getpid():>10}\n".encode(), 0)
    return descriptor


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Holds a lock file for the duration of the block, after waiting for it. Raises NotPrivate."""
    descriptor = take_lock(path, wait=True)
    try:
        yield
    finally:
        os.close(descriptor)


def write_private(path: Path, content: bytes) -> Path:
    """Writes a new file with mode 0600, whatever the umask. Raises FileExistsError if the name is taken."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)
        file.write(content)
    return path


_ELSEWHERE = "set TMPDIR (for caches CRUCIBLE_CACHE) to a folder of your own"


def _opened(path: Path | str, stack: contextlib.ExitStack, flags: int = 0, parent: int | None = None) -> int:
    descriptor = os.open(path, _FOLDER | flags, dir_fd=parent)
    stack.callback(os.close, descriptor)
    return descriptor


def _make_private(path: Path, descriptor: int) -> None:
    found = os.fstat(descriptor)
    if found.st_uid != os.geteuid():
        raise NotPrivate(f"{path} belongs to user {found.st_uid}, who may change what lies there; {_ELSEWHERE}")
    if stat.S_IMODE(found.st_mode) & 0o777 == 0o700:
        return
    os.fchmod(descriptor, 0o700)
    if not found.st_mode & 0o022:
        return
    for name in os.listdir(descriptor):
        owner = os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_uid
        if owner != os.geteuid():
            raise NotPrivate(f"{path} was open to others, and user {owner} put something there; remove it")


def _lock_file(path: Path) -> int:
    try:
        descriptor = os.open(path, _LOCK, 0o600)
    except OSError as error:
        raise NotPrivate(f"{path} cannot be a lock ({error.strerror}); remove it") from None
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
        os.close(descriptor)
        raise NotPrivate(f"{path} cannot be a lock (it is not a file, or has another name too); remove it")
    return descriptor

"""Folders and lock files that belong to this user alone, in places where others may have been first."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cluster.names import check_name

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_LOCK = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class NotPrivate(RuntimeError):
    """A place that another user has, or may write to; the message is one line that says whose and what to do."""


class LockHeld(RuntimeError):
    """Another process has the lock."""

    def __init__(self, holder: str) -> None:
        super().__init__(f"in use by process {holder}")
        self.holder = holder
        """Its process id, or "another process" where the file does not say."""


def private_folder(base: Path, *names: str) -> Path:
    """`base`/names[0]/names[1]/..., each of the names a folder of this user with mode 0700, made where it is missing.

    No link is followed below `base`. Raises NotPrivate where a folder belongs to another user, is none, or holds what
    others put there while its mode let them.
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
    """Where caches lie."""
    given = os.environ.get("CRUCIBLE_CACHE")
    if given:
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "crucible"


def take_lock(path: Path, wait: bool = False) -> int:
    """The descriptor of a lock file that this process holds until it closes it; the file says which process that is.

    Without `wait`, raises LockHeld where another process has it. Raises NotPrivate where the file is a link, has other
    names, or is no file: nothing of it is changed then.
    """
    descriptor = _lock_file(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        holder = os.pread(descriptor, 32, 0).decode("ascii", "replace").partition("\n")[0].strip()
        os.close(descriptor)
        raise LockHeld(holder if holder.isdecimal() else "another process") from None
    except BaseException:
        os.close(descriptor)
        raise
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
    """Writes a new file of mode 0600, whatever the umask. Raises FileExistsError where anything has its name."""
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
        raise NotPrivate(f"{path} cannot be a lock (it is no file, or one with another name besides); remove it")
    return descriptor

"""Where an engine keeps its adapters' files: a folder in memory that bears its process's name, and goes with it."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

PREFIX = "crucible-adapters-"
_OWNED = re.compile(re.escape(PREFIX) + r"(\d+)-(\d+)-(\d+)-.+")
"""Namespace of process ids, process id, and the clock ticks at which it was started."""


def adapter_folder(parent: Path | None = None) -> Path:
    """A new folder for this process, which only its user may enter.

    Folders of processes that have ended, killed before they could, are removed.

    `parent` is /dev/shm where there is one.
    """
    if parent is None:
        parent = Path("/dev/shm") if os.path.isdir("/dev/shm") else Path(tempfile.gettempdir())
    sweep(parent)
    pid = os.getpid()
    return Path(tempfile.mkdtemp(prefix=f"{PREFIX}{_namespace()}-{pid}-{_started(pid)}-", dir=parent))


def sweep(parent: Path) -> list[Path]:
    """Removes this user's adapter folders in `parent` whose process has ended.

    Those of other containers' processes stay.
    """
    gone = []
    for path in parent.glob(f"{PREFIX}*"):
        found = _OWNED.fullmatch(path.name)
        if found is None or int(found[1]) != _namespace():
            continue
        if _started(int(found[2])) != int(found[3]) and _is_own(path):
            shutil.rmtree(path, ignore_errors=True)
            gone.append(path)
    return gone


def _is_own(path: Path) -> bool:
    try:
        return path.lstat().st_uid == os.geteuid()
    except OSError:  # removed meanwhile
        return False


def _namespace() -> int:
    try:
        return os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        return 0


def _started(pid: int) -> int:
    """Clock ticks after boot at which a process was started; 0 where there is none, or it has ended."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    fields = text.rpartition(")")[2].split()
    return 0 if fields[0] in "ZX" else int(fields[19])

"""A short path for the Unix sockets of a local Ray, whose names may not be longer than the kernel takes."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cluster.address import NoCluster

LONGEST = (104 if sys.platform == "darwin" else 108) - 1
"""Bytes of a Unix socket's path."""
IN_A_SESSION = "/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store.1"
"""What Ray adds to its folder, at its longest."""
SHORT_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")


@contextlib.contextmanager
def short_temp_dir() -> Iterator[str | None]:
    """A path for Ray's files whose sockets have room in it; None where Ray's own choice has.

    It is a link to where Ray would have put them, so that they lie on the disk that was chosen for them. Raises
    NoCluster where no folder takes the link.
    """
    chosen = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    if len(os.fsencode(os.path.join(chosen, "ray") + IN_A_SESSION)) <= LONGEST:
        yield None
        return
    with contextlib.ExitStack() as stack:
        link = _link(Path(chosen).absolute(), stack)
        # vLLM's engine cores talk by sockets in the temporary folder too.
        os.environ.setdefault("VLLM_RPC_BASE_PATH", str(link))
        yield str(link / "ray")


def _link(target: Path, stack: contextlib.ExitStack) -> Path:
    """A link to `target` in a folder of a short name; both go with `stack`."""
    for parent in SHORT_FOLDERS:
        try:
            target.mkdir(parents=True, exist_ok=True)
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="ray-", dir=parent))
            (link := Path(folder) / "t").symlink_to(target)
        except OSError:
            continue
        return link
    raise NoCluster(
        f"the temporary folder {target} has too long a name for Ray's sockets ({LONGEST} bytes with what Ray adds), "
        f"and none of {', '.join(SHORT_FOLDERS)} takes a link to it; set RAY_TMPDIR to a shorter path"
    )

"""A short path for the Unix sockets of a local Ray: the kernel limits the length of their names."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from cluster.address import NoCluster

LONGEST = (104 if sys.platform == "darwin" else 108) - 1
"""Maximum bytes of a Unix socket's path."""
IN_A_SESSION = "/session_2026-01-01_00-00-00_000000_4194304/sockets/plasma_store.1"
"""The longest path that Ray adds to its folder."""
SHORT_FOLDERS = ("/tmp", "/var/tmp", "/dev/shm")


@contextlib.contextmanager
def short_temp_dir() -> Iterator[str | None]:
    """A path for Ray's files that is short enough for its sockets; None if Ray's own choice is.

    It is a link to where Ray would have put the files, so that they are on the disk that was chosen for them. Raises
    NoCluster if the link cannot be created in any folder.
    """
    chosen = os.environ.get("RAY_TMPDIR") or os.environ.get("TMPDIR") or "/tmp"
    if len(os.fsencode(os.path.join(chosen, "ray") + IN_A_SESSION)) <= LONGEST:
        yield None
        return
    with contextlib.ExitStack() as stack:
        link = _link(Path(chosen).absolute(), stack)
        # vLLM's engine cores also use sockets in the temporary folder.
        os.environ.setdefault("VLLM_RPC_BASE_PATH", str(link))
        yield str(link / "ray")


def _link(target: Path, stack: contextlib.ExitStack) -> Path:
    """A link to `target` in a folder with a short name; `stack` removes both."""
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

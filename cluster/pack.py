"""Runs on a node of the cluster as a separate job: packs a folder into a file that Ray's log service serves.

    python pack.py FOLDER [RUNS]

With RUNS, FOLDER must be a run folder directly in RUNS, as this node expands and resolves it. Prints one JSON line:
`file` (in the node's log folder), `bytes` and `sha256`, or `error`. The file is removed when the job is stopped, or
after KEPT seconds. Needs nothing but Python.
"""

from __future__ import annotations

import hashlib
import json
import os
import signal
import sys
import tarfile
import time
import uuid
from pathlib import Path

KEPT = 900.0
"""Seconds that the packed folder is kept."""
LEFT_BEHIND = "ray"
"""Ray Train's own state, which is of no use elsewhere."""


def main(folder: str, runs: str = "") -> int:
    """Packs `folder`, prints the result, and waits to be stopped."""
    source = Path(folder).expanduser()
    if runs and not is_run_in(source, runs):
        error = (
            f"{source} is no run folder in {runs} of that node, which is the folder of the job's runs; give --folder"
        )
        print(json.dumps({"error": error}), flush=True)
        return 1
    # Ray unpacks a job's directory under its session's folder.
    logs = Path(__file__).resolve().parents[3] / "logs"
    for path, what in ((source, "folder"), (logs, "log folder of Ray")):
        if not path.is_dir():
            print(json.dumps({"error": f"there is no {what} {path} on that node"}), flush=True)
            return 1
    packed = logs / f"crucible-fetch-{uuid.uuid4().hex}.tar"
    os.umask(0o077)  # other users of the node can read Ray's log folder
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        pack(source, packed)
        with open(packed, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        print(json.dumps({"file": packed.name, "bytes": packed.stat().st_size, "sha256": digest}), flush=True)
        time.sleep(KEPT)
    finally:
        packed.unlink(missing_ok=True)
    return 0


def is_run_in(folder: Path, runs: str) -> bool:
    """Whether `folder` is a run folder directly in `runs`, and not a link to elsewhere.

    A relative `runs` may be in any job's working directory; Ray keeps them next to this job's.
    """
    where = os.path.expandvars(runs)
    directories = Path(__file__).resolve().parents[1]
    parents = [Path(where)] if os.path.isabs(where) else [path / where for path in directories.iterdir()]
    parent = folder.resolve().parent
    return (folder / "config.yaml").is_file() and any(parent == each.resolve() for each in parents)


def pack(source: Path, target: Path) -> None:
    """Tars the finished files of `source`: a running run writes new files under hidden or `.partial` names.

    Links are left out: their targets are not the run's. A file with two names is packed twice.
    """
    with tarfile.open(target, "w", dereference=True) as tar:
        for path in sorted(source.rglob("*")):
            inside = path.relative_to(source)
            hidden = any(part.startswith(".") or part.endswith(".partial") for part in inside.parts)
            if inside.parts[0] == LEFT_BEHIND or hidden or path.is_symlink() or not path.is_file():
                continue
            try:
                tar.add(path, str(inside), recursive=False)
            except FileNotFoundError:  # an old checkpoint that was dropped in the meantime
                continue


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

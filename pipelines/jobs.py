"""`crucible jobs`: what was submitted to a Ray cluster, how it stands, and its files."""

from __future__ import annotations

import re
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table

from cluster.jobs import Cluster, JobError
from cluster.storage import Storage, StorageError, url_of
from pipelines.config import fail
from pipelines.run_folder import RUN_FOLDER_LINE
from pipelines.submit import ended, show_log
from problems.plain_text import one_line, plain_text, shown

JobId = tyro.conf.Positional[str]


def list_jobs(address: str = "") -> int:
    """Print the cluster's submitted jobs, the oldest first.

    Args:
        address: the cluster's dashboard, http://HOST:8265.
    """
    table = Table("job", "status", "began", "seconds", "command", box=None)
    for job in Cluster(address).jobs():
        began = time.strftime("%m-%d %H:%M", time.localtime(job.started))
        table.add_row(shown(job.id), job.status, began, f"{job.seconds:.0f}", shown(shorten(job.entrypoint)))
    Console(width=None if sys.stdout.isatty() else 160).print(table)
    return 0


def status(job: JobId, address: str = "") -> int:
    """Print how a job stands; exit status 1 where it failed or was stopped.

    Args:
        job: its id, as `crucible submit` and `crucible jobs list` print it.
        address: the cluster's dashboard, http://HOST:8265.
    """
    found = Cluster(address).job(job)
    print(one_line(f"{found.id} {found.status} after {found.seconds:.0f} s: {shorten(found.entrypoint)}"))
    if found.status == "FAILED":
        print(plain_text(found.message))
    return int(found.status in ("FAILED", "STOPPED"))


def logs(job: JobId, address: str = "", follow: tyro.conf.FlagCreatePairsOff[bool] = False) -> int:
    """Print what a job has said.

    Args:
        job: its id.
        address: the cluster's dashboard, http://HOST:8265.
        follow: go on until the job ends, and exit as it did.
    """
    cluster = Cluster(address)
    if not follow:
        show_log(cluster.logs(job))
        return 0
    where = f" --address {address}" if address else ""
    return ended(cluster.follow(job, show_log), where, Console(file=sys.stderr, highlight=False))


def stop(job: JobId, address: str = "") -> int:
    """End a job.

    Args:
        job: its id.
        address: the cluster's dashboard, http://HOST:8265.
    """
    ended = Cluster(address).stop(job)
    print(f"{ended.id} {ended.status}")
    return 0


def fetch(job: JobId, address: str = "", to: Path = Path("runs"), folder: str = "", python: str = "python") -> int:
    """Copy a job's run folder from its node to this machine, also of a job that is going on.

    Args:
        job: its id.
        address: the cluster's dashboard, http://HOST:8265.
        to: folder that gets the run folder.
        folder: which folder of the node; without it, the run folder that the job's output names.
        python: interpreter on the node.
    """
    cluster = Cluster(address)
    found = cluster.job(job)
    if not folder:
        named = re.findall(rf"^{RUN_FOLDER_LINE}(.+)$", cluster.logs(job), re.MULTILINE)
        if not named:
            raise JobError(f"job {job} ({found.status}) has not named a run folder; give one by --folder")
        folder = named[-1].strip()
    target = to / Path(folder).name
    url = url_of(folder)
    size = bring(Storage(url), target) if url else cluster.fetch(found.node, folder, target, python)
    print(f"{target}: {size / 2**20:.1f} MiB")
    return 0


def bring(storage: Storage, target: Path) -> int:
    """Copies a run folder from an object store, without what Ray keeps there. Returns the bytes that came."""
    if target.exists():
        raise JobError(f"{target} is there already; move it away, or fetch to another place")
    names = {name: size for name, size in storage.names().items() if not name.startswith("ray/")}
    if not names:
        raise JobError(f"{storage.url} holds nothing")
    storage.download(names, target)
    return sum(names.values())


COMMANDS = {"list": list_jobs, "status": status, "logs": logs, "stop": stop, "fetch": fetch}


def main(argv: Sequence[str]) -> int:
    """`crucible jobs`."""
    try:
        return tyro.extras.subcommand_cli_from_dict(COMMANDS, args=list(argv), prog="crucible jobs")
    except (JobError, StorageError) as error:
        return fail(str(error))
    except KeyboardInterrupt:
        return 130


def shorten(entrypoint: str) -> str:
    """The crucible command of a job, without the interpreter before it."""
    words = shlex.split(entrypoint)
    return shlex.join(words[words.index("pipelines.cli") + 1 :]) if "pipelines.cli" in words else entrypoint

"""`crucible jobs`: what was submitted to a Ray cluster, its status and its files."""

from __future__ import annotations

import re
import shlex
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import tyro
from rich.console import Console
from rich.table import Table

from cluster.jobs import Cluster, Job, JobError
from cluster.names import BadName, check_name, check_run_name, quoted
from cluster.storage import Storage, StorageError, url_of
from pipelines.artifacts.run_folder import RUN_FOLDER_LINE
from pipelines.console import open_console
from pipelines.errors import fail
from pipelines.remote.submit import ended, show_log
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
    """Print a job's status; exit status 1 where it failed or was stopped.

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
    """Print a job's output.

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
    return ended(cluster.follow(job, show_log), where, open_console())


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
        folder: which folder of the node; without it, the run folder that the job's output names, if it lies where
            the job was submitted to put it.
        python: interpreter on the node.
    """
    cluster = Cluster(address)
    found = cluster.job(job)
    runs = "" if folder else found.runs
    folder = folder or named_folder(found, cluster.logs(job))
    target = to / check_name(Path(folder).name, "the folder's name")
    url = url_of(folder)
    size = bring(Storage(url), target) if url else cluster.fetch(found.node, folder, target, python, runs)
    print(f"{target}: {size / 2**20:.1f} MiB")
    return 0


def named_folder(job: Job, output: str) -> str:
    """The run folder that a job's output names, where it may be that: anything can print such a line.

    It must have the name that the job was submitted with, if any, and lie in the submitted folder of runs; of a folder
    of a node, which the node alone can resolve, `Cluster.fetch` checks that. Raises JobError.
    """
    lines = [line.strip() for line in re.findall(rf"^{RUN_FOLDER_LINE}(.+)$", output, re.MULTILINE)]
    if not lines:
        raise JobError(f"job {job.id} ({job.status}) has not named a run folder; give one by --folder")
    if not job.runs:
        raise JobError(
            f"job {job.id} was not submitted by `crucible submit`, which notes where runs lie; give --folder"
        )
    # A job names its folder before it asks a model or reads a data set for anything.
    for line in lines:
        if _may_be_run(line, job):
            return line
    raise JobError(
        f"job {job.id} names {quoted(lines[0])} as its run folder, and was submitted to put it into {quoted(job.runs)}"
        f"{f' as {quoted(job.name)}' if job.name else ''}; if you trust it, give --folder"
    )


def _may_be_run(folder: str, job: Job) -> bool:
    parent, _, name = folder.rpartition("/")
    try:
        check_run_name(name)
        url, runs = url_of(folder), url_of(job.runs)
    except (BadName, StorageError):
        return False
    if job.name and name != job.name:
        return False
    if url is None or runs is None:
        return url is runs and parent.startswith("/") and folder.isprintable()
    pattern = re.sub(r"\\\$\\\{\w+\\\}", "[^/]+", re.escape(runs))  # variables are the node's own
    return re.fullmatch(pattern, url.rpartition("/")[0]) is not None


def bring(storage: Storage, target: Path) -> int:
    """Copies a run folder from an object store, without what Ray keeps there. Returns the number of bytes.

    Raises JobError and StorageError; nothing is left at `target` then.
    """
    if target.exists():
        raise JobError(f"{target} is there already; move it away, or fetch to another place")
    names = {name: size for name, size in storage.names().items() if not name.startswith("ray/")}
    if not names:
        raise JobError(f"{storage.url} holds nothing")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".fetch-") as scratch:
        storage.download(names, Path(scratch) / "whole")
        (Path(scratch) / "whole").rename(target)
    return sum(names.values())


COMMANDS = {"list": list_jobs, "status": status, "logs": logs, "stop": stop, "fetch": fetch}


def main(argv: Sequence[str]) -> int:
    """`crucible jobs`."""
    try:
        return tyro.extras.subcommand_cli_from_dict(COMMANDS, args=list(argv), prog="crucible jobs")
    except (BadName, JobError, StorageError) as error:
        return fail(str(error))
    except KeyboardInterrupt:
        return 130


def shorten(entrypoint: str) -> str:
    """The crucible command of a job, without the interpreter before it."""
    words = shlex.split(entrypoint)
    return shlex.join(words[words.index("pipelines.cli") + 1 :]) if "pipelines.cli" in words else entrypoint

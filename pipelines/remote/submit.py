"""`crucible submit`: runs a crucible command on a Ray cluster, from outside of it."""

from __future__ import annotations

import contextlib
import difflib
import os
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import tyro
import yaml
from pydantic import BaseModel, ConfigDict
from rich.console import Console

from cluster.jobs import Cluster, Job, JobError, Submission
from cluster.secret_files import secret_in
from cluster.upload import UploadError, select
from pipelines.config import RUNS_VARIABLE
from pipelines.console import open_console
from pipelines.errors import ConfigError, fail
from pipelines.options import take_option
from problems.plain_text import one_line, plain_text, shown

ENTRY = "pipelines.cli"
"""Module that the job runs."""
NOT_SUBMITTED = ("submit", "jobs", "token")
USAGE = "say after -- what to run: crucible submit [options] -- grpo --config FILE.yaml"


class SubmitConfig(BaseModel):
    """Uploads the working directory and runs a crucible command on a Ray cluster.

    crucible submit [options] -- grpo --config pipelines/configs/demo.yaml --name mine
    """

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    address: str = ""
    """The cluster's dashboard, http://HOST:8265; "" takes RAY_ADDRESS, and then this machine's."""
    working_dir: Path = Path(".")
    """The checkout that is uploaded: what git tracks of it, without secrets, run folders, models, environments, caches
    and what .rayignore names. Where git tracks nothing: all but hidden files and what .gitignore names too."""
    include: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """File or folder of the working directory that is uploaded besides, once for each; a file with secrets by its own
    name alone."""
    runs: str = "${HOME}/crucible/runs"
    """Where the job's run folders lie, unless the command says --runs: a folder of the nodes, or s3://BUCKET/PREFIX."""
    env: tyro.conf.UseAppendAction[tuple[str, ...]] = ()
    """NAME of an environment variable of this shell that the job gets, once for each; values are never shown."""
    install: Literal["none", "uv", "pip"] = "none"
    """What installs packages on the nodes for this job; none uses the cluster's own Python as it is."""
    requirements: Path | None = None
    """Requirements file to install; without one, what pyproject.toml asks for."""
    extra: Literal["cpu", "gpu"] = "gpu"
    """Which vLLM of pyproject.toml is installed."""
    python: str = "python"
    """Interpreter on the nodes; `python` is the one that `ray start` found, or the installed one."""
    open_cluster: bool = False
    """Submit also to a cluster that asks for no token: whoever reaches its ports runs code on it, and sees the job."""
    wait: bool = True
    """Follow the output until the job ends, and exit as it did."""


def submission(config: SubmitConfig, command: Sequence[str]) -> Submission:
    """What is sent to the cluster. Raises ConfigError in one line."""
    _check_command(command)
    folder = config.working_dir.expanduser().resolve()
    if not folder.joinpath(*ENTRY.split(".")).with_suffix(".py").is_file():
        raise ConfigError(f"{folder} is no checkout of crucible (no pipelines/cli.py); give --working-dir")
    unset = [name for name in config.env if name not in os.environ]
    if unset:
        raise ConfigError(f"--env {unset[0]}: this shell has no such variable; export it, or leave the option out")
    if config.install == "none" and config.requirements is not None:
        raise ConfigError("--requirements has no effect with --install none; choose uv or pip")
    wanted = [] if config.install == "none" else requirements(config, folder)
    refuse_secrets(config, command, wanted)
    return Submission(
        module=ENTRY,
        arguments=list(command),
        working_dir=folder,
        python=config.python,
        variables={name: os.environ[name] for name in config.env},
        settings={RUNS_VARIABLE: config.runs},
        installer=config.install,
        requirements=wanted,
        selection=select(folder, config.include),
        **recorded(config, command, folder),
    )


def recorded(config: SubmitConfig, command: Sequence[str], folder: Path) -> dict[str, str]:
    """`runs` and `name` of the run that the command makes, as options or its configuration file give them.

    They are noted with the job: where the run folder lies is not read from what a job prints later.
    """
    found: dict[str, str] = {"runs": config.runs}
    arguments = list(command)
    while (path := take_option(arguments, "--config")) is not None:
        # A file that cannot be read is the job's to complain of.
        with contextlib.suppress(OSError, ValueError, yaml.YAMLError):
            data = yaml.safe_load((folder / path).read_text())
            found |= {key: str(data[key]) for key in ("runs", "name") if isinstance(data, dict) and data.get(key)}
    for key in ("runs", "name"):
        while (value := take_option(arguments, f"--{key}")) is not None:
            found[key] = value
    if (resumed := take_option(arguments, "--resume")) is not None:
        parent, _, name = resumed.rstrip("/").rpartition("/")
        found = {"runs": parent or ".", "name": name}
    return found


def refuse_secrets(config: SubmitConfig, command: Sequence[str], wanted: Sequence[str]) -> None:
    """Raises ConfigError where a secret is part of what Ray shows in its dashboard and writes to its logs."""
    nodes = "write ${NAME}, which pip fills in on the nodes, or put it into their pip.conf"
    places = (
        (command, "the command", "hand it over by --env NAME"),
        ([config.runs], "--runs", "hand it over by --env NAME, or give the nodes a role"),
        (wanted, "the requirements", nodes),
    )
    for texts, what, fix in places:
        if reason := secret_in(texts):
            raise ConfigError(f"{what} would show {reason} in Ray's dashboard and logs; {fix}")


def requirements(config: SubmitConfig, folder: Path) -> list[str]:
    """Lines of a requirements file: those given, or what pyproject.toml asks for, as constraints.txt has it.

    Ray itself is left out: a job's Ray is the cluster's. Raises ConfigError where there is no such file.
    """
    if config.requirements is not None:
        if not config.requirements.is_file():
            raise ConfigError(f"there is no requirements file {config.requirements}")
        return [line for line in config.requirements.read_text().splitlines() if line.split("#")[0].strip()]
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    needed = [*project["dependencies"], *project["optional-dependencies"][config.extra]]
    wanted = [line for line in needed if not line.startswith("ray[")]
    constraints = "--constraint ${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}/constraints.txt"
    return [*wanted, constraints] if (folder / "constraints.txt").is_file() else wanted


def _check_command(command: Sequence[str]) -> None:
    from pipelines.cli import ALIASES, VERBS

    known = [verb for verb in (*VERBS, *ALIASES) if verb not in NOT_SUBMITTED]
    if not command:
        raise ConfigError(USAGE)
    if command[0] not in known:
        near = difflib.get_close_matches(command[0], known, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
        raise ConfigError(f"there is no command {command[0]!r} to submit; {hint}")


def run(config: SubmitConfig, command: Sequence[str], console: Console) -> int:
    """The whole of `crucible submit`."""
    sent = submission(config, command)
    cluster = Cluster(config.address)
    if not config.open_cluster:
        cluster.refuse_open()
    if sent.selection is not None and (stays := sent.selection.summary()):
        console.print(shown(stays), soft_wrap=True)
    job_id = cluster.submit(sent)
    where = f" --address {config.address}" if config.address else ""
    console.print(shown(f"submitted {job_id}: crucible {' '.join(command)}"), soft_wrap=True)
    if not config.wait:
        console.print(shown(f"follow it: crucible jobs logs {job_id} --follow{where}"), soft_wrap=True)
        return 0
    try:
        job = cluster.follow(job_id, show_log)
    except KeyboardInterrupt:
        console.print(shown(f"\nthe job goes on; end it by: crucible jobs stop {job_id}{where}"), soft_wrap=True)
        return 130
    return ended(job, where, console)


def show_log(text: str) -> None:
    """Prints what a job has printed, which may be anybody's text."""
    print(plain_text(text), end="", flush=True)


def ended(job: Job, where: str, console: Console) -> int:
    """Says how a job ended; returns the exit status that goes with it."""
    console.print(shown(f"{job.id} {job.status} after {job.seconds:.0f} s"), soft_wrap=True)
    if job.status == "SUCCEEDED":
        console.print(shown(f"bring its run folder here: crucible jobs fetch {job.id}{where}"), soft_wrap=True)
        return 0
    if job.over:
        console.print(
            shown(one_line(job.message.splitlines()[0]) if job.message else "no reason given"), soft_wrap=True
        )
    return 1


def main(argv: Sequence[str]) -> int:
    """`crucible submit`."""
    cut = list(argv).index("--") if "--" in argv else len(argv)
    options, command = list(argv[:cut]), list(argv[cut + 1 :])
    config = tyro.cli(SubmitConfig, args=options, prog="crucible submit")
    try:
        return run(config, command, open_console())
    except (ConfigError, JobError, UploadError) as error:
        return fail(str(error))

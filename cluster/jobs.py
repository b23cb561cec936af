"""Jobs on a Ray cluster, reached through its dashboard's port only: submit, follow, stop, fetch their files."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
import os
import re
import shlex
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import aiohttp

from cluster import handover, pack
from cluster.address import (
    DASHBOARD_FIX,
    VARIABLE,
    NoCluster,
    check_answer,
    check_dashboard,
    named_address,
    open_dashboard,
)
from cluster.archive import ArchiveError, unpack
from cluster.auth import FIX
from cluster.names import BadName, check_name
from cluster.upload import Selection, pack_directory

HIDDEN_KIND = "crucible-fetch"
"""Metadata of jobs that pack a folder; they are not listed."""
RUNS_KEY, NAME_KEY = "crucible-runs", "crucible-name"
"""Metadata of a submitted job: where its run folders go, and the name of its run; "" is unknown."""
DEFAULT_ADDRESS = "http://127.0.0.1:8265"
SERVER_VARIABLE = "RAY_API_SERVER_ADDRESS"
VARIABLES = (SERVER_VARIABLE, VARIABLE)
BLOCK = 1 << 20
"""Bytes read at a time from the cluster."""


class JobError(RuntimeError):
    """A request to the cluster that failed; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Submission:
    """A command to run on the cluster, with everything that it needs there."""

    module: str
    """Python module of the working directory to run."""
    arguments: Sequence[str]
    working_dir: Path
    python: str = "python"
    """Interpreter on the nodes; `python` is that of `ray start` or of the runtime environment."""
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Environment variables that may be secrets: they do not appear in Ray's logs."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Plain environment variables; Ray logs them, and `${NAME}` in them is the node's own."""
    installer: Literal["none", "uv", "pip"] = "none"
    requirements: Sequence[str] = ()
    """Lines of a requirements file, which the installer installs on each node on top of the cluster's own Python."""
    runs: str = ""
    """Where its run folders go; recorded with the job, for `crucible jobs fetch`."""
    name: str = ""
    """Name of its run, if the command gives one."""
    selection: Selection | None = None
    """Files of the working directory to upload; None takes those of `cluster.upload.select`."""

    @property
    def entrypoint(self) -> str:
        """The shell command."""
        module = [handover.__name__, self.module] if self.variables else [self.module]
        return shlex.join([self.python, "-m", *module, *self.arguments])

    def runtime_env(self, scratch: Path) -> dict[str, Any]:
        """Ray's runtime environment, with the uploads packed under `scratch`. Raises UploadError."""
        packed = pack_directory(self.working_dir, scratch / "working_dir.zip", self.selection)
        environment: dict[str, Any] = {
            "working_dir": str(packed),
            "env_vars": dict(self.settings),
        }
        if self.variables:
            environment["py_modules"] = [str(handover.pack(scratch, self.variables))]
            environment["worker_process_setup_hook"] = f"{handover.__name__}.load"
        if self.installer != "none":
            environment[self.installer] = {"packages": list(self.requirements)}
        return environment


@dataclass(frozen=True, slots=True)
class Job:
    """The current state of a submitted job."""

    id: str
    status: str
    entrypoint: str
    message: str
    started: float
    """Seconds since 1970."""
    ended: float | None
    node: str
    """Id of the node that runs its driver; "" before it starts."""
    runs: str = ""
    """Where its run folders go, as recorded on submission; "" if nothing was recorded."""
    name: str = ""
    """Its run's name, as recorded on submission; "" if the job chose it."""

    @property
    def over(self) -> bool:
        return self.status in ("SUCCEEDED", "FAILED", "STOPPED")

    @property
    def seconds(self) -> float:
        return (self.ended or time.time()) - self.started


@dataclass(frozen=True, slots=True)
class Packed:
    """What `pack` packed on a node, according to its own output."""

    file: str
    """In the node's log folder."""
    bytes: int
    sha256: str

    @classmethod
    def read(cls, line: str) -> Packed:
        """From the line that it printed. Raises JobError for an error that it reports, and for any other line."""
        try:
            output = json.loads(line)
            if "error" in output:
                raise JobError(_last_line(str(output["error"])))
            size = output["bytes"]
            if type(size) is not int or size < 0:
                raise ValueError("no count of bytes")
            return cls(check_name(output["file"], "the packed file"), size, str(output["sha256"]))
        except (BadName, ValueError, KeyError, TypeError, RecursionError):
            raise JobError(f"the node's answer is not one of crucible's packer: {line[:80]!r}") from None


class Cluster:
    """The job service of one cluster. Every failure is a JobError of one line."""

    def __init__(self, address: str = "") -> None:
        """Connects; "" takes RAY_ADDRESS or this machine's cluster. Raises JobError if nobody answers."""
        from ray.job_submission import JobSubmissionClient

        for module in ("job.sdk", "dashboard_sdk"):  # their import sets them to INFO
            logging.getLogger(f"ray.dashboard.modules.{module}").setLevel(logging.ERROR)
        logging.getLogger("ray").setLevel(logging.ERROR)
        where, source = _named(address)
        with self._as_job_error(where or DEFAULT_ADDRESS), _without(VARIABLES):  # Ray would prefer them to its argument
            _check(where, source)
            self._client = JobSubmissionClient(where or None)
        self.address = self._client.get_address()

    def refuse_open(self) -> None:
        """Raises JobError if the cluster answers requests without a token."""
        with self._as_job_error():
            if open_dashboard(self.address):
                raise JobError(
                    f"the Ray cluster at {self.address} answers without a token, so that whoever reaches it runs code "
                    f"there: {FIX} (--open-cluster submits all the same)"
                )

    def submit(self, submission: Submission) -> str:
        """Uploads and starts a job; returns its id."""
        with tempfile.TemporaryDirectory() as scratch, self._as_job_error():
            environment = submission.runtime_env(Path(scratch))
            recorded = {RUNS_KEY: submission.runs, NAME_KEY: submission.name}
            return self._client.submit_job(entrypoint=submission.entrypoint, runtime_env=environment, metadata=recorded)

    def jobs(self) -> list[Job]:
        """All submitted jobs, oldest first."""
        with self._as_job_error():
            found = [j for j in self._client.list_jobs() if j.submission_id and "kind" not in (j.metadata or {})]
        return sorted(map(_job, found), key=lambda job: job.started)

    def job(self, job_id: str) -> Job:
        """One job."""
        with self._as_job_error(job_id=job_id):
            return _job(self._client.get_job_info(job_id))

    def logs(self, job_id: str) -> str:
        """The job's output so far."""
        with self._as_job_error(job_id=job_id):
            return self._client.get_job_logs(job_id)

    def follow(self, job_id: str, show: Callable[[str], None]) -> Job:
        """Passes the job's output to `show` as it arrives, until the job ends; returns the job."""

        async def read() -> None:
            async for text in self._client.tail_job_logs(job_id):
                show(text)

        self.job(job_id)
        try:
            asyncio.run(read())
        except aiohttp.ClientError as error:
            raise JobError(f"lost the cluster at {self.address} ({error}); the job may go on there") from None
        return self.wait(job_id, seconds=30)

    def wait(self, job_id: str, seconds: float) -> Job:
        """Waits for the job to end and returns it. Raises JobError if it has not ended after `seconds`."""
        deadline = time.monotonic() + seconds
        while not (job := self.job(job_id)).over:
            if time.monotonic() > deadline:
                raise JobError(f"job {job_id} is still {job.status} after {seconds:.0f} s; try again")
            time.sleep(0.2)
        return job

    def stop(self, job_id: str) -> Job:
        """Stops a job (SIGTERM, then SIGKILL) and returns it once it has ended."""
        with self._as_job_error(job_id=job_id):
            self._client.stop_job(job_id)
        return self.wait(job_id, seconds=60)

    def fetch(self, node: str, folder: str, target: Path, python: str = "python", runs: str = "") -> int:
        """Copies `folder` of a node to `target`, which must not exist. Returns the bytes of its files.

        A small job packs the folder on that node, and Ray's log service serves the archive. With `runs`, the node
        checks that the folder is a run's and lies directly in it. Raises JobError, and then leaves nothing at `target`.
        """
        self._must_live(node)
        with tempfile.TemporaryDirectory(dir=_parent(target), prefix=".fetch-") as scratch:
            arrived = Path(scratch)
            with self._packed(node, folder, python, runs) as packed:
                self._download(node, packed, arrived / "packed.tar")
            try:
                size = unpack(arrived / "packed.tar", arrived / "whole")
            except ArchiveError as error:
                raise JobError(f"{folder}: {error}") from None
            (arrived / "whole").rename(target)
        return size

    @contextlib.contextmanager
    def _packed(self, node: str, folder: str, python: str, runs: str) -> Iterator[Packed]:
        """Runs `pack` on the node for the duration of the block; yields its result."""
        with tempfile.TemporaryDirectory() as scratch, self._as_job_error():
            shutil.copy(pack.__file__, Path(scratch) / "pack.py")
            job_id = self._client.submit_job(
                entrypoint=shlex.join([python, "pack.py", folder, *([runs] if runs else [])]),
                runtime_env={"working_dir": scratch},
                metadata={"kind": HIDDEN_KIND},
                entrypoint_label_selector={"ray.io/node-id": node},
            )
        try:
            yield self._await_packer(job_id)
        finally:
            with contextlib.suppress(JobError):
                self.stop(job_id)

    def _await_packer(self, job_id: str) -> Packed:
        deadline = time.monotonic() + pack.KEPT
        while time.monotonic() < deadline:
            job, lines = self.job(job_id), self.logs(job_id).splitlines()
            for line in lines:
                if line.startswith("{"):
                    return Packed.read(line)
            if job.over:
                raise JobError(f"the folder could not be packed: {_last_line(job.message)}")
            time.sleep(0.2)
        raise JobError(f"the folder was not packed within {pack.KEPT:.0f} s; is its node gone?")

    def _must_live(self, node: str) -> None:
        """Raises JobError if the node is gone: a job bound to it would wait forever."""
        if not node:
            raise JobError("the job has not started; it has no files yet")
        with self._as_job_error():
            answer = self._client._do_request("GET", "/api/v0/nodes").json()["data"]["result"]["result"]
        if node not in {entry["node_id"] for entry in answer if entry["state"] == "ALIVE"}:
            raise JobError(
                f"node {node[:12]}, which ran the job, is gone and its files with it; the folder of a run with "
                f"--runs s3://BUCKET/PREFIX outlives its nodes"
            )

    def _download(self, node: str, packed: Packed, target: Path) -> None:
        if packed.bytes > (room := shutil.disk_usage(target.parent).free // 2):  # it is unpacked next to the archive
            raise JobError(
                f"the folder packs to {packed.bytes >> 20} MiB, and {target.parent} has room for {room >> 20}"
            )
        query = {"node_id": node, "filename": packed.file, "lines": -1, "timeout": 600, "filter_ansi_code": False}
        digest, received = hashlib.sha256(), 0
        with self._as_job_error(), open(target, "xb") as file:
            # The client has no public call for a binary file of a node; this one carries its token and certificates.
            answer = self._client._do_request("GET", "/api/v0/logs/file", params=query, stream=True)
            for block in answer.iter_content(BLOCK):
                received += len(block)
                if received > packed.bytes:
                    break
                digest.update(block)
                file.write(block)
        if received != packed.bytes or digest.hexdigest() != packed.sha256:
            raise JobError(f"received {received} bytes, which are not the {packed.bytes} that were packed; fetch again")

    @contextlib.contextmanager
    def _as_job_error(self, address: str = "", job_id: str = "") -> Iterator[None]:
        """Turns the exceptions of Ray's client into a JobError of one line."""
        from ray.exceptions import AuthenticationError

        where = address or getattr(self, "address", "")
        try:
            yield
        except AuthenticationError:
            raise JobError(
                f"the cluster at {where} wants its token: export RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH where "
                f"the token is not in ~/.ray/auth_token"
            ) from None
        except (ConnectionError, OSError) as error:
            raise JobError(f"no Ray cluster answers at {where} ({_last_line(str(error))}); {DASHBOARD_FIX}") from None
        except NoCluster as error:
            raise JobError(str(error)) from None
        except ValueError as error:  # Ray raises it for an address that it cannot parse
            raise JobError(
                f"{where} is no address of a Ray cluster ({_last_line(str(error))}); {DASHBOARD_FIX}"
            ) from None
        except RuntimeError as error:
            if isinstance(error, JobError):
                raise
            if job_id and "does not exist" in str(error):
                raise JobError(f"there is no job {job_id} at {where}; see: crucible jobs list") from None
            raise JobError(f"the cluster at {where} refused: {_last_line(str(error))}") from None


def _job(details: Any) -> Job:
    recorded = details.metadata or {}
    return Job(
        id=details.submission_id,
        status=str(details.status.value),
        entrypoint=details.entrypoint,
        message=details.message or "",
        started=(details.start_time or 0) / 1000,
        ended=details.end_time / 1000 if details.end_time else None,
        node=details.driver_node_id or "",
        runs=recorded.get(RUNS_KEY, ""),
        name=recorded.get(NAME_KEY, ""),
    )


def _named(given: str) -> tuple[str, str]:
    """The address to submit to, and where it was given; "" lets Ray look on this machine."""
    served = os.environ.get(SERVER_VARIABLE, "").strip()
    return (served, SERVER_VARIABLE) if served and not given else named_address(given)


@contextlib.contextmanager
def _without(variables: Sequence[str]) -> Iterator[None]:
    """Hides environment variables for the duration of the block."""
    hidden = {name: os.environ.pop(name) for name in variables if name in os.environ}
    try:
        yield
    finally:
        os.environ |= hidden


def _check(address: str, source: str) -> None:
    """Raises NoCluster if nobody answers: Ray's client would wait forever. The address may also be the cluster's own;
    Ray asks it for the dashboard's."""
    if address.startswith(("http:", "https:")):
        check_dashboard(address, source)
    elif address:
        check_answer(address, source, DASHBOARD_FIX)


def _parent(target: Path) -> Path:
    if target.exists():
        raise JobError(f"{target} is there already; move it away, or fetch to another place")
    target.parent.mkdir(parents=True, exist_ok=True)
    return target.parent


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.replace("\\n", "\n").splitlines() if re.search(r"\w", line)]
    return lines[-1][:300] if lines else "no reason given"

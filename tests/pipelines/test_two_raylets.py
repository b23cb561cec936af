"""Jobs from outside on a real cluster of two raylets: submitted, followed, fetched, and one raylet killed under one."""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from job import SMALL, rows, steps

from tests.object_store import free_ports

pytestmark = pytest.mark.timeout(900)
ROOT = Path(__file__).resolve().parents[2]
STEPS = 6
"""So many that the run is not over when the raylet is killed."""
SECRET = "tell-nobody-" + secrets.token_hex(8)


class TwoRaylets:
    """The cluster, from outside: a process of its own, its address and where it writes."""

    def __init__(self):
        self.port, *agents = free_ports(3)
        self.folder = tempfile.mkdtemp(prefix="cr", dir="/tmp")  # short: the sockets in it have names of 107 bytes
        self.environment = {
            **os.environ,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "200",
            "MY_SECRET": SECRET,
        }
        for name in ("RAY_ADDRESS", "CRUCIBLE_RUNS"):
            self.environment.pop(name, None)
        command = [sys.executable, ROOT / "tests" / "two_raylets.py", self.folder, *map(str, (self.port, *agents))]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(command, env=self.environment, text=True, **pipes)
        self.said = self.answer()

    def answer(self):
        return json.loads(next(line for line in self.process.stdout if line.startswith("{")))

    def tell(self, what):
        """`hold` or `kill`: see there."""
        self.process.stdin.write(f"{what}\n")
        self.process.stdin.flush()
        self.answer()

    def crucible(self, *arguments, status=0):
        """Runs a crucible command against the cluster; `--address` goes before a `--`."""
        words = list(map(str, arguments))
        cut = words.index("--") if "--" in words else len(words)
        words[cut:cut] = ["--address", f"http://127.0.0.1:{self.port}"]
        done = subprocess.run(
            [sys.executable, "-m", "pipelines.cli", *words],
            cwd=ROOT, env=self.environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=500,
        )  # fmt: skip
        assert done.returncode == status, done.stdout
        return done.stdout

    def submit(self, *arguments, options=(), status=0):
        return self.crucible("submit", "--python", sys.executable, *options, "--", *arguments, status=status)

    def close(self):
        self.process.stdin.close()
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.process.stdout.close()
        shutil.rmtree(self.folder, ignore_errors=True)


@pytest.fixture(scope="module")
def cluster():
    found = TwoRaylets()
    yield found
    found.close()


def job_id(output):
    return re.search(r"raysubmit_\w+", output)[0]


@pytest.mark.slow
def test_the_doctor_sees_every_node(cluster, tmp_path):
    output = cluster.submit("doctor", "--address", "auto", options=["--env", "MY_SECRET", "--runs", tmp_path])
    assert len(set(re.findall(r"^ (\S+/\w{6}) ", output, re.MULTILINE))) == 2
    assert output.count("isolation level") == 2 and "nothing would break a run" in output
    assert "SUCCEEDED" in output and SECRET not in output


CLIENT = """
import sys
from pathlib import Path
from cluster.jobs import Cluster, Submission
address, folder, secret = sys.argv[1:]
jobs = Cluster(address)
job = jobs.wait(jobs.submit(Submission("tell", [], Path(folder), sys.executable, {"MY_SECRET": secret})), seconds=120)
print(repr(job))
print(jobs.logs(job.id))
"""
TELL = """
import os, ray
ray.init()
print("driver", os.environ["MY_SECRET"][:5])
f = ray.remote(lambda: os.environ["MY_SECRET"][:5])
print("worker", ray.get(f.remote()))
"""


@pytest.mark.slow
def test_a_secret_is_in_no_log_and_in_no_answer(cluster, tmp_path):
    # Not a crucible command: the same way for any module, here one that tells what it got.
    shutil.copytree(ROOT / "cluster", tmp_path / "cluster")
    (tmp_path / "tell.py").write_text(TELL)
    # A process of its own: Ray reads a process's token once, and other tests of this one may have had none.
    client = [sys.executable, "-c", CLIENT, f"http://127.0.0.1:{cluster.port}", tmp_path, SECRET]
    done = subprocess.run(client, cwd=ROOT, env=cluster.environment, text=True, capture_output=True, timeout=200)
    assert f"driver {SECRET[:5]}" in done.stdout and f"worker {SECRET[:5]}" in done.stdout, done.stderr
    assert SECRET not in done.stdout + done.stderr + cluster.crucible("jobs", "status", job_id(done.stdout))
    logs = [path for path in Path(cluster.said["logs"]).rglob("*") if path.is_file()]
    assert len(logs) > 10
    assert not [path for path in logs if SECRET.encode() in path.read_bytes()]


@pytest.mark.slow
def test_a_job_that_fails_says_so_and_one_that_goes_on_is_stopped(cluster, tmp_path):
    output = cluster.submit("grpo", "--rollot.engines=2", status=1)
    assert "FAILED" in output and "rollout" in output
    output = cluster.submit("problems", "validate", "--all", options=["--no-wait"])
    job = job_id(output)
    assert re.search(rf"{job} +(PENDING|RUNNING)", cluster.crucible("jobs", "list"))
    assert cluster.crucible("jobs", "stop", job).strip() == f"{job} STOPPED"
    cluster.crucible("jobs", "status", job, status=1)
    assert "has not named a run folder" in cluster.crucible("jobs", "fetch", job, "--to", tmp_path, status=2)
    for verb in (["status"], ["logs"], ["logs", "--follow"], ["stop"], ["fetch"]):
        assert "there is no job raysubmit_none" in cluster.crucible("jobs", *verb, "raysubmit_none", status=2)


@pytest.mark.slow
def test_a_job_survives_a_raylet_and_its_files_are_fetched(cluster, tiny_student, tmp_path):
    runs = tmp_path / "there"
    command = ["grpo", "--model", tiny_student, "--name", "mine", f"--steps={STEPS}", *SMALL, "--rollout.engines=2"]
    command += ["--hardware.engine.cpus=2", "--hardware.learner.cpus=2"]
    cluster.tell("hold")
    job = job_id(cluster.submit(*command, options=["--no-wait", "--runs", runs]))
    deadline = time.monotonic() + 300
    while max((row["step"] for row in steps(runs / "mine")), default=0) < 1:
        assert time.monotonic() < deadline, cluster.crucible("jobs", "logs", job)
        time.sleep(0.2)
    cluster.tell("kill")
    output = cluster.crucible("jobs", "logs", job, "--follow")
    assert "SUCCEEDED" in output and "held-out pass@1" in output

    output = cluster.crucible("jobs", "fetch", job, "--to", tmp_path / "here", "--python", sys.executable)
    here = tmp_path / "here" / "mine"
    assert str(here) in output
    assert [row["step"] for row in steps(here)] == list(range(1, STEPS + 1))
    assert rows(here) == rows(runs / "mine")
    assert (here / "report.html").read_bytes() == (runs / "mine" / "report.html").read_bytes()
    assert max(path.name for path in (here / "checkpoints").iterdir()) == f"{STEPS:06}"
    tables = [pq.read_table(path).to_pylist() for path in (here / "samples").glob("step-*.parquet")]
    counted = Counter((row["step"], row["sequence"]) for table in tables for row in table)
    assert len(counted) == STEPS * 4 == len({sequence for _, sequence in counted}), "no problem twice"
    assert "started again" in (here / "log.txt").read_text(), "the raylet had something to lose"
    again = cluster.crucible("jobs", "fetch", job, "--to", tmp_path / "here", status=2)
    assert "is there already" in again

"""The cluster of docs/cluster.md, started as it says, on a real Ray: a process without its token gets nothing there."""

import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

from cluster.connect import end_processes
from tests.object_store import free_ports

pytestmark = pytest.mark.timeout(600)
ROOT = Path(__file__).resolve().parents[2]
RAY = Path(sys.executable).with_name("ray")


class ByHand:
    """A head that `ray start` started after the lines before it in docs/cluster.md, with a home of its own."""

    def __init__(self):
        self.folder = Path(
            tempfile.mkdtemp(prefix="cr", dir="/tmp")
        )  # short: the sockets in it have names of 107 bytes
        self.gcs, self.dashboard, self.agent, self.client = free_ports(4)
        plain = {k: v for k, v in os.environ.items() if not k.startswith(("RAY_", "CRUCIBLE_"))}
        self.stranger = plain | {"HOME": str(self.folder / "stranger"), "COLUMNS": "200", "PYTHONPATH": str(ROOT)}
        self.owner = self.stranger | {"HOME": str(self.folder / "owner")}
        for name in ("stranger", "owner"):
            (self.folder / name).mkdir()
        text = (ROOT / "docs" / "cluster.md").read_text()
        commands = re.search(r"## Start a cluster and submit a job\n+```bash\n(.*?)```", text, re.S)[1]
        lines = [line.partition("#")[0].strip() for line in commands.splitlines()]
        before = lines[: next(i for i, line in enumerate(lines) if "ray start" in line)]
        for line in before:
            if line.startswith("crucible token"):
                crucible(self.owner, "token")
            if line.startswith("export "):
                self.owner |= [line.removeprefix("export ").split("=")]
        start = [RAY, "start", "--head", "--block", f"--port={self.gcs}", f"--dashboard-port={self.dashboard}"]
        start += [f"--dashboard-agent-listen-port={self.agent}", f"--ray-client-server-port={self.client}"]
        start += ["--num-cpus=4", "--object-store-memory=100000000", f"--temp-dir={self.folder}/r"]
        with open(self.folder / "out", "w") as out:
            streams = {"stdout": out, "stderr": subprocess.STDOUT, "stdin": subprocess.DEVNULL}
            self.head = subprocess.Popen(start, env=self.owner, start_new_session=True, **streams)
        self.url = f"http://127.0.0.1:{self.dashboard}"

    def wait(self):
        """Until it has said where it is, and the dashboard answers."""
        deadline = time.monotonic() + 200
        while True:
            output = re.sub(r"\x1b\[[0-9;]*m", "", (self.folder / "out").read_text())
            found = re.search(r"--address='([\d.]+):", output)
            if found and self.get(self.url + "/api/gcs_healthz")[0] == 200:
                self.ip = found[1]
                return
            assert time.monotonic() < deadline and self.head.poll() is None, output
            time.sleep(0.5)

    @staticmethod
    def get(url):
        """(status, beginning of the answer); (0, why) where there is none."""
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status, answer.read(300)
        except urllib.error.HTTPError as error:
            return error.code, b""
        except (OSError, ValueError, http.client.HTTPException) as error:
            return 0, str(error).encode()

    def close(self):
        started = psutil.Process(self.head.pid).children(recursive=True)
        os.killpg(self.head.pid, signal.SIGTERM)
        try:
            self.head.wait(5)
        except subprocess.TimeoutExpired:
            os.killpg(self.head.pid, signal.SIGKILL)
        end_processes(started, 5.0)
        shutil.rmtree(self.folder, ignore_errors=True)


def crucible(environment, *words, status=0):
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", *words], cwd=ROOT, env=environment, text=True, capture_output=True,
        timeout=200,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def cluster():
    found = ByHand()
    try:
        found.wait()
        yield found
    finally:
        found.close()


STRANGER = """
import json, sys, threading
gcs, url, client = sys.argv[1:]
found = {}
def attempt(name, work):
    def run():
        try:
            found[name] = repr(work())
        except BaseException as error:
            found[name] = type(error).__name__
    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(10)
def job():
    from ray.job_submission import JobSubmissionClient
    return JobSubmissionClient(url).submit_job(entrypoint="touch /tmp/ran")
def task():
    import ray
    ray.init(gcs, log_to_driver=False)
    return ray.get(ray.remote(lambda: 42).remote())
def over_client():
    import ray
    ray.init(client, log_to_driver=False)
    return ray.get(ray.remote(lambda: 42).remote())
def nodes():
    from ray.util.state import list_nodes
    return list_nodes(address=url)
def store():
    from ray._raylet import GcsClient
    return GcsClient(gcs).internal_kv_keys(b"", None)
for name, work in (("job", job), ("nodes", nodes), ("store", store), ("task", task), ("client", over_client)):
    attempt(name, work)
print(json.dumps(found), flush=True)
import os
os._exit(0)
"""


def test_a_stranger_gets_nothing(cluster):
    """Without a token, and with another one: both at once, for Ray lets some of their calls wait."""
    command = [sys.executable, "-c", STRANGER, f"{cluster.ip}:{cluster.gcs}", cluster.url]
    command.append(f"ray://{cluster.ip}:{cluster.client}")
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    shown = {"none": {}, "wrong": {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "f" * 64}}
    strangers = {
        name: subprocess.Popen(command, env=cluster.stranger | more, **streams) for name, more in shown.items()
    }
    for token, stranger in strangers.items():
        printed, _ = stranger.communicate(timeout=300)
        found = json.loads(next(line for line in printed.splitlines() if line.startswith("{")))
        # A call that is still waiting has no entry: it has got nothing either.
        assert {"job", "store"} <= set(found) and "42" not in str(found), (token, found)
        assert all(answer.endswith("Error") for answer in found.values()), (token, found)


def test_the_dashboard_tells_nothing_without_it(cluster):
    paths = ("/api/jobs/", "/api/version", "/api/v0/nodes", "/api/v0/actors", "/logs/", "/nodes?view=summary")
    paths += ("/api/v0/logs/file?filename=raylet.out", "/api/cluster_status", "/api/packages/gcs/x.zip", "/metrics")
    assert {path: cluster.get(cluster.url + path)[0] for path in paths} == dict.fromkeys(paths, 401)
    agent = f"http://{cluster.ip}:{cluster.agent}"
    assert {cluster.get(agent + path)[0] for path in ("/api/jobs/", "/api/v0/logs", "/metrics", "/")} == {401}


def test_metrics_are_all_that_ray_shows_everybody(cluster):
    """Documented in SECURITY.md: ports that Ray serves without asking for the token hold Prometheus figures alone."""
    pids = {process.pid for process in psutil.Process(cluster.head.pid).children(recursive=True)}
    listening = {c.laddr.port for c in psutil.net_connections("tcp") if c.status == "LISTEN" and c.pid in pids}
    assert {cluster.gcs, cluster.dashboard} <= listening
    served = {port: cluster.get(f"http://{cluster.ip}:{port}/api/jobs/") for port in listening}
    given = {port: text for port, (status, text) in served.items() if status == 200}
    assert all(text.startswith(b"# HELP ") for text in given.values()), given


@pytest.mark.slow
def test_submit_and_doctor_take_it_with_the_token_and_not_without(cluster):
    address, gcs = ["--address", cluster.url], ["--address", f"{cluster.ip}:{cluster.gcs}"]
    assert "submitted raysubmit_" in crucible(cluster.owner, "submit", "--no-wait", *address, "--", "problems", "list")
    assert "isolation level" in crucible(cluster.owner, "doctor", *gcs)
    refused = crucible(cluster.stranger, "submit", "--no-wait", *address, "--", "problems", "list", status=2)
    assert "wants its token: export RAY_AUTH_MODE=token" in refused and refused.count("\n") == 1
    assert "crucible: no Ray cluster answers" in crucible(cluster.stranger, "doctor", *gcs, status=2)
    assert (cluster.folder / "owner/.ray/auth_token").read_text() not in (cluster.folder / "out").read_text()

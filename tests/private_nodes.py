"""A Ray cluster whose nodes share nothing but the network, for tests: a head without CPUs and two workers.

Each node is a real raylet in namespaces of its own: it sees neither /tmp, /dev/shm, home nor processes of another one.
The packages are there, as in an image; the models that are named are on the head alone, whose driver takes them there.
"""

import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.object_store import free_ports

ROOT = Path(__file__).resolve().parents[1]
STORE = 100 * 2**20
CPUS = 6
"""Of each worker, whatever the machine has."""
PORTS = "dashboard-agent-listen-port", "dashboard-agent-grpc-port", "metrics-export-port", "runtime-env-agent-port"
"""Of a node's own services, which would meet on one machine."""
RAY = str(Path(sys.executable).parent / "ray")
APART = ["unshare", *(["--user", "--map-root-user"] if os.geteuid() else []), "--mount", "--pid", "--fork"]
APART += ["--kill-child", "--mount-proc", "--propagation", "private"]
MODELS = "/tmp/models"
"""Where the head has its models."""
ENTER = """
set -e
mkdir -p "$NODE/tmp/home" "$NODE/tmp/models"
for model in $MODELS_FROM; do
    mkdir -p "$NODE/tmp/models/${model##*/}"
    mount --bind -o ro "$model" "$NODE/tmp/models/${model##*/}"
done
mount -t tmpfs -o size=1g tmpfs /dev/shm
mount --rbind "$NODE/tmp" /tmp
exec "$@"
"""


def can_be_apart():
    """Whether this machine lets its user make such namespaces; some containers do not."""
    return subprocess.run([*APART, "sh", "-c", "mount -t tmpfs tmpfs /tmp"], capture_output=True).returncode == 0


class PrivateNodes:
    """`head`, `one` and `two`. `environment` is that of whoever reaches the cluster from outside."""

    def __init__(self, models=(), environment=()):
        self.folder = Path(tempfile.mkdtemp(prefix="nodes"))
        self.gcs, self.dashboard = free_ports(2)
        self.models = [str(path) for path in models]
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
        self.environment = {**os.environ, **dict(environment), **token, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
        for name in ("RAY_ADDRESS", "CRUCIBLE_RUNS", "CRUCIBLE_CACHE", "TMPDIR"):
            self.environment.pop(name, None)
        self.processes = {}
        self.start("head", "--head", f"--port={self.gcs}", "--include-dashboard=true", "--num-cpus=0",
                   "--dashboard-host=127.0.0.1", f"--dashboard-port={self.dashboard}")  # fmt: skip
        self.add("one")
        self.add("two")

    def add(self, name):
        """One more worker, or one again that was killed: then nothing of what it had on disk is there."""
        self.start(name, f"--address=127.0.0.1:{self.gcs}", f"--num-cpus={CPUS}")

    def start(self, name, *arguments):
        node = self.folder / name
        shutil.rmtree(node, ignore_errors=True)
        node.mkdir()
        command = [*APART, "sh", "-c", ENTER, "sh", RAY, "start", "--block", *arguments]
        command += [f"--object-store-memory={STORE}", "--disable-usage-stats", f"--labels=crucible.io/node={name}"]
        command += [f"--{port}={free}" for port, free in zip(PORTS, free_ports(len(PORTS)), strict=True)]
        models = " ".join(self.models) if name == "head" else ""
        inside = {**self.environment, "NODE": str(node), "MODELS_FROM": models, "HOME": "/tmp/home"}
        pipes = {"stdin": subprocess.DEVNULL, "stderr": subprocess.STDOUT, "start_new_session": True}
        with open(self.folder / f"{name}.log", "w") as log:
            self.processes[name] = subprocess.Popen(command, env=inside, stdout=log, **pipes)

    def kill(self, name):
        """As if its machine were gone."""
        process = self.processes.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def await_nodes(self, count=3, seconds=90):
        """Until so many nodes are there."""
        asked = [RAY, "list", "nodes", "--filter", "state=ALIVE", "--format", "json"]
        asked += ["--address", f"http://127.0.0.1:{self.dashboard}"]
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            done = subprocess.run(asked, env=self.environment, capture_output=True, text=True)
            if done.stdout.count('"node_id"') == count:
                return
            time.sleep(1)
        raise AssertionError(done.stderr[-2000:] + "".join(p.read_text()[-1500:] for p in self.folder.glob("*.log")))

    def crucible(self, *arguments, status=0, seconds=900):
        """Runs a crucible command against the cluster, from outside of it; `--address` goes before a `--`."""
        words = list(map(str, arguments))
        cut = words.index("--") if "--" in words else len(words)
        words[cut:cut] = ["--address", f"http://127.0.0.1:{self.dashboard}"]
        command = [sys.executable, "-m", "pipelines.cli", *words]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        done = subprocess.run(command, cwd=ROOT, env=self.environment, timeout=seconds, **pipes)
        assert done.returncode == status, done.stdout
        return done.stdout

    def submit(self, *arguments, options=(), status=0):
        return self.crucible("submit", "--python", sys.executable, *options, "--", *arguments, status=status)

    def close(self):
        for name in list(self.processes):
            self.kill(name)
        shutil.rmtree(self.folder, ignore_errors=True)

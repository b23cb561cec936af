"""Joining and leaving Ray."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil

from cluster.connect import end_processes

HANGS = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"


def test_what_does_not_end_by_itself_is_ended():
    hanging = subprocess.Popen([sys.executable, "-c", HANGS], stdout=subprocess.PIPE)
    ending = subprocess.Popen([sys.executable, "-c", "pass"])
    hanging.stdout.readline()
    end_processes([psutil.Process(p.pid) for p in (hanging, ending)], 0.5)
    assert hanging.wait(5) == -9 and ending.wait(5) == 0


LOCAL = """
import os, re, subprocess, sys
import ray  # Ray's switches are read here, before our own code sets any
from cluster.connect import ray_processes, ray_session
with ray_session() as ray:
    ray.get(ray.remote(lambda: 1).remote())
    pids = {process.pid for process in ray_processes()} | {os.getpid()}
    print(*pids)
    listening = subprocess.run(["ss", "-ltnpH"], capture_output=True, text=True, check=True).stdout.splitlines()
    print(*{line.split()[3].rpartition(":")[0] for line in listening if pids & set(map(int, re.findall("pid=([0-9]+)", line)))})
    assert re.fullmatch("crucible-[0-9a-f]{32}", ray.get_runtime_context().namespace)
    print(ray.get_runtime_context().gcs_address, os.environ.get("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"))
    from cluster.address import open_cluster
    print(open_cluster(ray.get_runtime_context().gcs_address))
"""  # noqa: E501


def test_a_local_ray_is_reached_from_this_machine_only_and_leaves_nothing_behind(tmp_path):
    """Its temporary folder has too long a name for Ray's sockets, so that the short link to it is tested too."""
    (home := tmp_path / "home").mkdir(mode=0o755)
    (temporary := tmp_path / ("x" * 100)).mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    environment |= {"HOME": str(home), "TMPDIR": str(temporary)}
    links = set(Path(tempfile.gettempdir()).glob("ray-*"))
    script = [sys.executable, "-c", LOCAL]
    done = subprocess.run(script, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    processes, addresses, ours, without_token = done.stdout.splitlines()[-4:]
    pids = list(map(int, processes.split()))
    assert len(pids) > 2 and not [pid for pid in pids if psutil.pid_exists(pid)]
    assert addresses and set(addresses.split()) <= {"127.0.0.1", "[::ffff:127.0.0.1]", "[::1]"}
    assert ours.startswith("127.0.0.1:") and ours.endswith(" None"), "what starts later is not bound by it"
    assert without_token == "False"
    token = home / ".ray" / "auth_token"
    assert token.stat().st_mode & 0o777 == 0o600 and token.parent.stat().st_mode & 0o777 == 0o700
    assert (temporary / "ray").is_dir() and set(Path(tempfile.gettempdir()).glob("ray-*")) <= links

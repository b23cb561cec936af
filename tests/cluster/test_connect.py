"""Joining and leaving Ray."""

import subprocess
import sys

import psutil

from cluster.connect import end_processes

HANGS = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True); time.sleep(60)"


def test_what_does_not_end_by_itself_is_ended():
    hanging = subprocess.Popen([sys.executable, "-c", HANGS], stdout=subprocess.PIPE)
    ending = subprocess.Popen([sys.executable, "-c", "pass"])
    hanging.stdout.readline()
    end_processes([psutil.Process(p.pid) for p in (hanging, ending)], 0.5)
    assert hanging.wait(5) == -9 and ending.wait(5) == 0


def test_a_local_ray_leaves_no_process_behind():
    script = (
        "from cluster.connect import ray_processes, ray_session\n"
        "with ray_session() as ray:\n"
        "    ray.get(ray.remote(lambda: 1).remote())\n"
        "    print(*(p.pid for p in ray_processes()))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    pids = list(map(int, done.stdout.splitlines()[-1].split()))
    assert len(pids) > 2 and not [pid for pid in pids if psutil.pid_exists(pid)]

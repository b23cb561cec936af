"""How much memory the engine and the learner of a local Ray take: their processes are looked at twice a second."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import threading
from typing import Any

import psutil

POLL_SECONDS = 0.5
ROLES = {"EngineActor": "engine", "VLLM::": "engine", "RayTrainWorker": "learner"}
"""What the titles of processes hold, and whose they are."""


class MemoryWatch:
    """`with MemoryWatch() as watch: ...; watch.peak("engine")`."""

    def __init__(self) -> None:
        self._peaks: dict[str, int] = {}
        self._gpu = shutil.which("nvidia-smi") is not None
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._work, name="memory-watch", daemon=True)

    @property
    def how(self) -> str:
        """What was measured."""
        return "of the GPU, as the driver counts it" if self._gpu else "resident memory of its processes"

    def peak(self, who: str) -> int:
        """The most bytes that all processes of `who` have had at once; 0 where none was seen."""
        return self._peaks.get(who, 0)

    def __enter__(self) -> MemoryWatch:
        self._thread.start()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._done.set()
        self._thread.join(timeout=10)

    def _work(self) -> None:
        while not self._done.wait(POLL_SECONDS):
            for who, size in self._now().items():
                self._peaks[who] = max(self._peaks.get(who, 0), size)

    def _now(self) -> dict[str, int]:
        held = gpu_bytes() if self._gpu else None
        found: dict[str, int] = {}
        for process in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.Error):
                who = role_of(" ".join(process.cmdline()[:1]))
                if who:
                    size = held.get(process.pid, 0) if held is not None else process.memory_info().rss
                    found[who] = found.get(who, 0) + size
        return found


def role_of(title: str) -> str:
    """Whose a process of this title is; "" for all others."""
    return next((role for part, role in ROLES.items() if part in title), "")


def gpu_bytes() -> dict[int, int]:
    """Bytes of GPU memory by process id; {} where the driver does not say, as inside of most containers."""
    query = ["nvidia-smi", "--query-compute-apps=pid,used_memory", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    return parse_apps(done.stdout)


def parse_apps(text: str) -> dict[int, int]:
    """Bytes by process id, from lines of `pid, MiB`: a process has one for each GPU that it uses."""
    found: dict[int, int] = {}
    for pid, size in re.findall(r"^ *(\d{1,10}) *, *(\d{1,9}) *$", text, re.MULTILINE | re.ASCII):
        found[int(pid)] = found.get(int(pid), 0) + (int(size) << 20)
    return found

"""Watches long-running jobs for two faults: too much time asleep, and too many threads.

The CPU clock does not see a program that sleeps, and wall-time limits must be generous, because a busy machine delays
honest programs. The two are told apart by sampling: at random moments, is any thread of the job runnable, that is, on a
core or waiting for one? The share of such samples estimates the share of time awake. Samples are not taken on wake-ups
of the trusted side: a program can cause those by writing to its channel, and would always be seen awake. The kernel's
counters of CPU time and run-queue delay cover what falls between samples. They would not do alone, because the delay
of threads that have ended is lost.
"""

from __future__ import annotations

import os
import random
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from verify.config import VerifyConfig
from verify.sandbox.protocol import Stop
from verify.sandbox.worker import Ended

_FIRST_LOOK = 0.15
"""Seconds before a job is first looked at."""
_EVERY = (0.03, 0.07)
"""Seconds from one look to the next, uniformly random."""
_AFTER = 0.002
"""Longest random delay of a look, in seconds: whatever woke the trusted side may be over by then."""
_STATE = re.compile(rb"^State:\s+(\S)", re.MULTILINE)
_AWAKE = (b"R", b"D")
_OVER = (b"Z", b"X")


class Watched(Protocol):
    """What the watchdog needs to know about a running child."""

    pid: int
    stop: Stop
    detail: str
    ended: Ended | None

    @property
    def age(self) -> float: ...


@dataclass(frozen=True, slots=True)
class Task:
    """A thread, as seen at one look."""

    ready: bool
    """It runs, waits for a core, or waits for a disk."""
    waited: float
    """Seconds for which it was runnable without a core; the kernel counts them when the thread gets one."""


class Watchdog:
    """Looks at the children of one job at random intervals."""

    def __init__(self, config: VerifyConfig):
        self.config = config
        self._asleep = 0.0
        self._last = 0.0
        self._due = 0.0
        self._used = 0.0
        self._tasks: dict[str, Task] = {}

    def patience(self, age: float) -> float:
        """Seconds until the next look at a job of that age."""
        return max(_FIRST_LOOK - age, self._due - time.monotonic(), 0.0)

    def look(self, runs: Sequence[Watched]) -> None:
        """Stops children that together slept longer, or started more threads, than allowed."""
        if self.patience(runs[0].age) > 0:
            return
        time.sleep(random.uniform(0.0, _AFTER))
        now = time.monotonic()
        since, self._last = now - (self._last or now), now
        self._due = now + random.uniform(*_EVERY)
        tasks, used = {}, 0.0
        for run in runs:
            if run.ended is None:
                tasks |= _tasks(run.pid)
                used += cpu_seconds(run.pid)
        if not tasks:
            return
        awake = since if any(task.ready for task in tasks.values()) else min(since, self._busy_since(tasks, used))
        self._tasks, self._used = tasks, used
        self._asleep = max(0.0, self._asleep + since - 2 * awake)
        if self._asleep > self.config.idle_seconds:
            self._stop(runs, Stop.TIMEOUT, f"asleep for over {self.config.idle_seconds:g} s")
        elif len(tasks) > self.config.threads + len(runs):
            self._stop(runs, Stop.FORBIDDEN, f"over {self.config.threads} threads")

    def _busy_since(self, tasks: dict[str, Task], used: float) -> float:
        """Seconds since the last look in which a child had a core or one of its threads waited for one."""
        waited = sum(t.waited - (self._tasks[n].waited if n in self._tasks else 0.0) for n, t in tasks.items())
        return max(0.0, used - self._used) + waited

    @staticmethod
    def _stop(runs: Sequence[Watched], stop: Stop, detail: str) -> None:
        for run in runs:
            if run.ended is None and not run.stop:
                run.stop, run.detail = stop, detail


def _tasks(pid: int) -> dict[str, Task]:
    """The threads of a process by their /proc folder; empty if /proc cannot be read, or for process 0."""
    folder = f"/proc/{pid}/task"
    try:
        names = [f"{folder}/{task}" for task in os.listdir(folder)] if pid else []
    except OSError:
        return {}
    return {name: task for name in names if (task := _task(name)) is not None}


def _task(folder: str) -> Task | None:
    status = _read(f"{folder}/status")
    state = _STATE.search(status)
    if state is None or state[1] in _OVER:
        return None  # it has ended, and a busy zygote has not reported it yet
    times = _read(f"{folder}/schedstat").split()
    waited = int(times[1]) / 1e9 if len(times) > 1 else 0.0
    return Task(state[1] in _AWAKE, waited)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb", 0) as f:
            return f.read(65536)
    except OSError:
        return b""


def cpu_seconds(pid: int) -> float:
    """CPU time of a process, including its ended threads; 0 if it is gone."""
    try:
        return time.clock_gettime(~pid << 3 | 2) if pid else 0.0
    except OSError:
        return 0.0

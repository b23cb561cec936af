"""Looks after jobs that take long: asleep for too long, or too many threads.

The CPU clock does not see a program that sleeps, and wall time must be generous, because a busy machine delays honest
programs. What tells them apart is the kernel's accounts: the time for which a program ran or waited for a core, and
whether a thread that is ready now has slept since the last look. To be awake at the very moment of a look is not
enough: a program may choose that moment, by writing to its channel, on which the trusted side wakes up.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from verify.config import VerifyConfig
from verify.sandbox.jobs import Stop
from verify.sandbox.worker import Ended

_FIRST_LOOK = 0.15
"""Seconds that a job runs unwatched."""
_EVERY = 0.05
"""Seconds between two looks, at least."""
_STATE = re.compile(rb"^State:\s+(\S)", re.MULTILINE)
_SLEPT = re.compile(rb"^voluntary_ctxt_switches:\s+(\d+)", re.MULTILINE)
_AWAKE = (b"R", b"D")
_OVER = (b"Z", b"X")


class Watched(Protocol):
    """What is looked at of a run."""

    pid: int
    age: float
    stop: Stop
    detail: str
    ended: Ended | None


@dataclass(frozen=True, slots=True)
class Task:
    """A thread at one look."""

    ready: bool
    """It runs, waits for a core, or waits for a disk."""
    slept: int
    """Times that it has gone to sleep by itself."""
    waited: float
    """Seconds for which it was ready and had no core; counted when it gets one."""


class Watch:
    """Looks at the runs of one flight, again and again."""

    def __init__(self, config: VerifyConfig):
        self.config = config
        self._asleep = 0.0
        self._last = 0.0
        self._used = 0.0
        self._tasks: dict[str, Task] = {}

    def look(self, runs: Sequence[Watched]) -> None:
        """Stops runs that have slept, all of them together, or that bred threads, beyond what is granted."""
        now = time.monotonic()
        if runs[0].age < _FIRST_LOOK or now - self._last < _EVERY:
            return
        since, self._last = now - (self._last or now), now
        tasks, used = {}, 0.0
        for run in runs:
            if run.ended is None:
                tasks |= _tasks(run.pid)
                used += cpu_seconds(run.pid)
        if not tasks:
            return
        awake = since if self._some_stayed_ready(tasks) else self._accounted(tasks, used)
        self._tasks, self._used = tasks, used
        self._asleep = max(0.0, self._asleep + since - 2 * min(awake, since))
        if self._asleep > self.config.idle_seconds:
            self._stop(runs, Stop.TIMEOUT, f"asleep for over {self.config.idle_seconds:g} s")
        elif len(tasks) > self.config.threads + len(runs):
            self._stop(runs, Stop.FORBIDDEN, f"over {self.config.threads} threads")

    def _some_stayed_ready(self, tasks: dict[str, Task]) -> bool:
        """Whether a thread was ready at the last look and is now, and has not slept in between."""
        before = self._tasks
        return any(t.ready and n in before and before[n].ready and before[n].slept == t.slept for n, t in tasks.items())

    def _accounted(self, tasks: dict[str, Task], used: float) -> float:
        """Seconds since the last look for which the runs had a core, or a thread of theirs waited for one."""
        waited = sum(task.waited - self._tasks[name].waited for name, task in tasks.items() if name in self._tasks)
        return max(0.0, used - self._used) + waited

    @staticmethod
    def _stop(runs: Sequence[Watched], stop: Stop, detail: str) -> None:
        for run in runs:
            if run.ended is None and not run.stop:
                run.stop, run.detail = stop, detail


def _tasks(pid: int) -> dict[str, Task]:
    """Every thread of a process by its folder; nothing where /proc does not tell, or for 0."""
    folder = f"/proc/{pid}/task"
    try:
        names = [f"{folder}/{task}" for task in os.listdir(folder)] if pid else []
    except OSError:
        return {}
    return {name: task for name in names if (task := _task(name)) is not None}


def _task(folder: str) -> Task | None:
    status = _read(f"{folder}/status")
    state, slept = _STATE.search(status), _SLEPT.search(status)
    if state is None or state[1] in _OVER:
        return None  # it has ended, and a busy zygote has not said so yet
    times = _read(f"{folder}/schedstat").split()
    waited = int(times[1]) / 1e9 if len(times) > 1 else 0.0
    return Task(state[1] in _AWAKE, int(slept[1]) if slept else 0, waited)


def _read(path: str) -> bytes:
    try:
        with open(path, "rb", 0) as f:
            return f.read(65536)
    except OSError:
        return b""


def cpu_seconds(pid: int) -> float:
    """CPU time of a process, its ended threads included; 0 where it is gone."""
    try:
        return time.clock_gettime(~pid << 3 | 2) if pid else 0.0
    except OSError:
        return 0.0

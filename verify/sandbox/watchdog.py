"""Looks after jobs that take long: asleep for too long, or too many threads.

The CPU clock does not see a program that sleeps, and wall time must be generous, because a busy machine delays honest
programs. What tells them apart is whether a thread of theirs is ready, that is, has a core or waits for one, at moments
drawn by chance: the share of such moments is the share of the time. A program that could choose the moment, by writing
to its channel, on which the trusted side wakes up, would be seen awake always, so looks do not wait for wake-ups.
The kernel's accounts of time on a core and of waiting for one add what no look met. They alone would not do: they do
not keep what threads waited that have ended.
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
"""Seconds that a job runs unwatched."""
_EVERY = (0.03, 0.07)
"""Seconds from one look to the next, drawn evenly."""
_AFTER = 0.002
"""Seconds by which a look is put off at most, also drawn: what woke the trusted side up may be over by then."""
_STATE = re.compile(rb"^State:\s+(\S)", re.MULTILINE)
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
    waited: float
    """Seconds for which it was ready and had no core; counted when it gets one."""


class Watchdog:
    """Looks at the runs of one flight, again and again."""

    def __init__(self, config: VerifyConfig):
        self.config = config
        self._asleep = 0.0
        self._last = 0.0
        self._due = 0.0
        self._used = 0.0
        self._tasks: dict[str, Task] = {}

    def patience(self, age: float) -> float:
        """Seconds until the next look at jobs of that age."""
        return max(_FIRST_LOOK - age, self._due - time.monotonic(), 0.0)

    def look(self, runs: Sequence[Watched]) -> None:
        """Stops runs that have slept, all of them together, or that bred threads, beyond what is granted."""
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
        awake = since if any(task.ready for task in tasks.values()) else min(since, self._accounted(tasks, used))
        self._tasks, self._used = tasks, used
        self._asleep = max(0.0, self._asleep + since - 2 * awake)
        if self._asleep > self.config.idle_seconds:
            self._stop(runs, Stop.TIMEOUT, f"asleep for over {self.config.idle_seconds:g} s")
        elif len(tasks) > self.config.threads + len(runs):
            self._stop(runs, Stop.FORBIDDEN, f"over {self.config.threads} threads")

    def _accounted(self, tasks: dict[str, Task], used: float) -> float:
        """Seconds since the last look for which the runs had a core, or a thread of theirs waited for one."""
        waited = sum(t.waited - (self._tasks[n].waited if n in self._tasks else 0.0) for n, t in tasks.items())
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
    state = _STATE.search(status)
    if state is None or state[1] in _OVER:
        return None  # it has ended, and a busy zygote has not said so yet
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
    """CPU time of a process, its ended threads included; 0 where it is gone."""
    try:
        return time.clock_gettime(~pid << 3 | 2) if pid else 0.0
    except OSError:
        return 0.0

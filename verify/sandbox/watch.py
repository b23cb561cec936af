"""Looks after jobs that take long: asleep for too long, or too many threads.

The CPU clock does not see a program that sleeps, and wall time must be generous, because a busy machine
delays honest programs. What tells them apart is whether any of the program's threads runs or is ready to run.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Protocol

from verify.config import VerifyConfig
from verify.sandbox.jobs import Stop
from verify.sandbox.worker import Ended

_FIRST_LOOK = 0.15
"""Seconds that a job runs unwatched."""
_EVERY = 0.05
"""Seconds between two looks, at least."""
_AWAKE = (b"R", b"D")


class Watched(Protocol):
    """What is looked at of a run."""

    pid: int
    age: float
    stop: Stop
    detail: str
    ended: Ended | None


class Watch:
    """Looks at the runs of one flight, again and again."""

    def __init__(self, config: VerifyConfig):
        self.config = config
        self._asleep = 0.0
        self._last = 0.0

    def look(self, runs: Sequence[Watched]) -> None:
        """Stops runs that have slept, all of them together, or that bred threads, beyond what is granted."""
        now = time.monotonic()
        if runs[0].age < _FIRST_LOOK or now - self._last < _EVERY:
            return
        since, self._last = now - (self._last or now), now
        tasks = [task for run in runs if run.ended is None for task in _tasks(run.pid)]
        if not tasks:
            return
        if any(state in _AWAKE for state in tasks):
            self._asleep = max(0.0, self._asleep - since)
        else:
            self._asleep += since
        if self._asleep > self.config.idle_seconds:
            self._stop(runs, Stop.TIMEOUT, f"asleep for over {self.config.idle_seconds:g} s")
        elif len(tasks) > self.config.threads + len(runs):
            self._stop(runs, Stop.FORBIDDEN, f"over {self.config.threads} threads")

    @staticmethod
    def _stop(runs: Sequence[Watched], stop: Stop, detail: str) -> None:
        for run in runs:
            if run.ended is None and not run.stop:
                run.stop, run.detail = stop, detail


def _tasks(pid: int) -> list[bytes]:
    """The scheduling state of every thread of a process; empty where /proc does not tell, or for 0."""
    folder = f"/proc/{pid}/task"
    try:
        states = [_state(f"{folder}/{task}/stat") for task in os.listdir(folder)] if pid else []
    except OSError:
        return []
    return [state for state in states if state]


def _state(path: str) -> bytes:
    try:
        with open(path, "rb") as f:
            return f.read().rpartition(b")")[2].split()[0]
    except (OSError, IndexError):
        return b""

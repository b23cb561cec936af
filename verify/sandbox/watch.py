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
from verify.sandbox.jobs import Job, Stop
from verify.sandbox.worker import Ended, Zygote

_FIRST_LOOK = 0.15
"""Seconds that a job runs unwatched."""
_AWAKE = (b"R", b"D")


class Watched(Protocol):
    """What is looked at of a run."""

    job: Job
    zygote: Zygote
    started: float
    stop: Stop
    detail: str
    ended: Ended | None


class Watch:
    """Looks at the runs of one wait loop, tick by tick."""

    def __init__(self, config: VerifyConfig):
        self.config = config
        self._asleep = 0.0
        self._last = 0.0

    def look(self, runs: Sequence[Watched]) -> None:
        """Stops the runs of a zygote whose children have slept, or bred threads, beyond what is granted."""
        now = time.monotonic()
        since, self._last = now - (self._last or now), now
        if now - runs[0].started < _FIRST_LOOK:
            return
        tasks = [task for zygote in {id(r.zygote): r.zygote for r in runs}.values() for task in _tasks(zygote)]
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


def _tasks(zygote: Zygote) -> list[bytes]:
    """The scheduling state of every thread of every child of a zygote; empty where /proc does not tell."""
    states = []
    for pid in _children(zygote):
        folder = f"/proc/{pid}/task"
        try:
            for task in os.listdir(folder):
                states.append(_state(f"{folder}/{task}/stat"))
        except OSError:
            continue
    return [state for state in states if state]


def _state(path: str) -> bytes:
    try:
        with open(path, "rb") as f:
            return f.read().rpartition(b")")[2].split()[0]
    except (OSError, IndexError):
        return b""


def _children(zygote: Zygote) -> list[int]:
    """Process ids, as seen from here, of a zygote's children."""
    pid = zygote.pids[-1]
    try:
        with open(f"/proc/{pid}/task/{pid}/children") as f:
            return [int(child) for child in f.read().split()]
    except OSError:
        return []

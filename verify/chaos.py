"""Kills processes at random, for tests and benchmarks of fault tolerance."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterable


class ProcessKiller:
    """A context in which a random one of `targets()` is killed by SIGKILL about every `every` seconds.

    What `targets` names is killed whoever it is, so it names processes that are there, as `descendants` does, and none
    that were. `kills` counts the processes that were killed; there are at most `max_kills`.
    """

    def __init__(self, targets: Callable[[], Iterable[int]], every: float, seed: int = 0, max_kills: int = 1_000_000):
        self.targets, self.every, self.max_kills, self.kills = targets, every, max_kills, 0
        self._random = random.Random(seed)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> ProcessKiller:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.wait(self._random.expovariate(1 / self.every)):
            found = sorted(self.targets() or ())
            if found and self.kills < self.max_kills:
                with contextlib.suppress(ProcessLookupError):
                    self._kill(self._random.choice(found))

    def _kill(self, pid: int) -> None:
        process = os.pidfd_open(pid)
        try:
            # Asked again: by now the number may be that of somebody else's process.
            if pid in (self.targets() or ()):
                signal.pidfd_send_signal(process, signal.SIGKILL)
                self.kills += 1
        finally:
            os.close(process)


def descendants(pid: int, excluding: Collection[int] = ()) -> list[int]:
    """All current descendants of process `pid`, except those in `excluding` and their descendants."""
    found = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as f:
                for child in map(int, f.read().split()):
                    if child not in excluding:
                        found += [child, *descendants(child, excluding)]
    return found


def wait_until_gone(pids: Iterable[int], seconds: float) -> set[int]:
    """Waits up to `seconds`; returns those of `pids` that are still alive then, not counting zombies."""
    left = set(pids)
    deadline = time.monotonic() + seconds
    while left and time.monotonic() < deadline:
        left = {pid for pid in left if _is_alive(pid)}
        time.sleep(0.02)
    return left


def _is_alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False

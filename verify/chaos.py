"""Killing processes at random, for tests and benchmarks of what survives it."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Callable, Collection, Iterable


class Storm:
    """A context in which one of `targets()` is killed by SIGKILL about each `every` seconds, `most` times at most."""

    def __init__(self, targets: Callable[[], Iterable[int]], every: float, seed: int = 0, most: int = 1_000_000):
        self.targets, self.every, self.most, self.kills = targets, every, most, 0
        self._random = random.Random(seed)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._rage, daemon=True)

    def __enter__(self) -> Storm:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _rage(self) -> None:
        while not self._over.wait(self._random.expovariate(1 / self.every)):
            found = sorted(self.targets() or ())
            if found and self.kills < self.most:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(self._random.choice(found), signal.SIGKILL)
                    self.kills += 1


def descendants(pid: int, besides: Collection[int] = ()) -> list[int]:
    """Every process below `pid`, as /proc tells it at this moment, without those of `besides` and all below them."""
    found = []
    with contextlib.suppress(OSError):
        for thread in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{thread}/children") as f:
                for child in map(int, f.read().split()):
                    if child not in besides:
                        found += [child, *descendants(child, besides)]
    return found


def wait_until_gone(pids: Iterable[int], seconds: float) -> set[int]:
    """Those of `pids` that are still alive (zombies aside) after at most `seconds`."""
    left = set(pids)
    deadline = time.monotonic() + seconds
    while left and time.monotonic() < deadline:
        left = {pid for pid in left if _lives(pid)}
        time.sleep(0.02)
    return left


def _lives(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False

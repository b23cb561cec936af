"""Fair admission: several runs share an engine, and none waits behind all that another has asked for.

Start-time fair queueing (Goyal, Vin and Cheng 1996, "Start-time fair queueing", SIGCOMM): each request is tagged with
the virtual time at which its run would begin it if all runs had equal shares, and the smallest tag goes first. Pure
asyncio, one event loop.
"""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import itertools
from collections.abc import AsyncIterator, Callable


class FairQueue:
    """Lets in requests as long as less than `capacity` is in use, runs in turn by the cost they have had."""

    def __init__(self, capacity: float):
        """`capacity` in the unit of the costs; what is in use may exceed it by the last request that was let in."""
        self._capacity = capacity
        self._used = 0.0
        self._now = 0.0
        self._finish: dict[str, float] = {}
        self._waiting: list[tuple[float, int, float, asyncio.Future[None]]] = []
        self._ticket = itertools.count()

    @contextlib.asynccontextmanager
    async def turn(self, run: str, cost: float) -> AsyncIterator[Callable[[float], None]]:
        """Waits for the run's turn, and holds `cost` of the capacity for the block.

        Yields a function that gives back part of it, as soon as that part is done.
        """
        start = max(self._now, self._finish.get(run, 0.0))
        self._finish[run] = start + cost
        entry = (start, next(self._ticket), cost, asyncio.get_running_loop().create_future())
        heapq.heappush(self._waiting, entry)
        self._admit()
        try:
            await entry[3]
        except asyncio.CancelledError:
            if entry[3].done() and not entry[3].cancelled():
                self._leave(cost)
            raise
        held = cost

        def give_back(part: float) -> None:
            nonlocal held
            part = min(part, held)
            held -= part
            self._leave(part)

        try:
            yield give_back
        finally:
            self._leave(held)

    def forget(self, run: str) -> None:
        """Drops the books of a run that has ended."""
        self._finish.pop(run, None)

    def _leave(self, cost: float) -> None:
        self._used -= cost
        self._admit()

    def _admit(self) -> None:
        while self._waiting:
            start, _, cost, future = self._waiting[0]
            if not future.cancelled():
                if self._used >= self._capacity:
                    return
                self._used += cost
                self._now = max(self._now, start)
                future.set_result(None)
            heapq.heappop(self._waiting)

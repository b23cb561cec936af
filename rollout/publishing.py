"""Publishing: each engine of a run follows its current policy at its own pace, and the learner goes on at a quorum.

A follower an engine loads the newest publication as soon as it has loaded the one before; what came in between is
skipped. An engine that cannot load is out, and tried again until it can. Pure asyncio: what `load` does is the
caller's.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

RETRY_SECONDS, LONGEST_RETRY = 0.5, 10.0
"""Pause before an engine that is out is tried again: doubled by each failure in a row, up to the second."""
GRACE_SECONDS = 0.1
"""What the other engines have at least once a quorum holds a policy; they have as long again as the quorum took."""


class EngineOut(RuntimeError):
    """An engine does not answer; its text says why."""


class PolicyRefused(RuntimeError):
    """An engine answers that it will not serve a policy; its text is the engine's own."""


class NoQuorum(RuntimeError):
    """No engine has loaded the policy in time."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How things stood when the learner went on."""

    number: int
    """Which publication it was: see `Publisher.lacking`."""
    reports: dict[int, dict[str, Any]]
    """What the engines said that hold the policy, by their number."""
    out: dict[int, str]
    """Why engines are out."""


@dataclass(slots=True)
class _Follower:
    holds: int = 0
    """Which publication it has loaded; 0 is none."""
    report: dict[str, Any] = field(default_factory=dict)
    out: str = ""
    failures: int = 0


class Publisher:
    """The engines of one run and the publication that each of them holds."""

    def __init__(
        self,
        engines: int,
        load: Callable[[int, Any], Awaitable[dict[str, Any]]],
        patience: float,
        on_change: Callable[[], Awaitable[None]],
        note: Callable[[str], None],
        refused: Callable[[str], Awaitable[None]],
    ):
        """`load(number, publication)` raises EngineOut or PolicyRefused. An engine that has not answered after
        `patience` seconds is out too.

        `on_change` is called when an engine comes to hold a publication or goes out, `note` with a line for people,
        `refused` with what an engine says of a policy after the learner has gone on.
        """
        self._load = load
        self._patience = patience
        self._on_change = on_change
        self._note = note
        self._refused = refused
        self._followers = [_Follower() for _ in range(engines)]
        self._newest, self._publication = 0, None
        self._refusal: tuple[int, str] = (0, "")
        self._waited_for = 0
        self._changed = asyncio.Condition()
        self._tasks: list[asyncio.Task[None]] = []

    def lacking(self, publication: int) -> tuple[int, ...]:
        """Engines that do not hold the publication of that number: work that needs it is not for them."""
        return tuple(number for number, one in enumerate(self._followers) if one.holds < publication)

    @property
    def out(self) -> dict[int, str]:
        """Why engines are out, by their number."""
        return {number: one.out for number, one in enumerate(self._followers) if one.out}

    async def publish(self, publication: Any) -> Outcome:
        """Hands all engines a publication and returns when half of those that are not out hold it, and the rest has had
        as long again.

        Raises PolicyRefused, and NoQuorum where no engine has loaded it in time.
        """
        began = time.monotonic()
        self._newest, self._publication = self._newest + 1, publication
        mine = self._waited_for = self._newest
        if not self._tasks:
            self._tasks = [asyncio.create_task(self._follow(number)) for number in range(len(self._followers))]
        known_out = set(self.out)
        await self._notify()
        quorum = max(1, (len(self._followers) - len(known_out) + 1) // 2)
        go_on = began + self._patience
        while True:
            refused_at, why = self._refusal
            if refused_at == mine:
                raise PolicyRefused(why)
            reports = {n: one.report for n, one in enumerate(self._followers) if one.holds >= mine}
            awaited = [n for n, one in enumerate(self._followers) if one.holds < mine and not one.out]
            now = time.monotonic()
            if len(reports) >= quorum and go_on == began + self._patience:
                go_on = min(go_on, max(now + GRACE_SECONDS, now + (now - began)))
            if reports and (not awaited or (len(reports) >= quorum and now >= go_on)):
                break
            if now >= began + self._patience:
                if not reports:
                    raise NoQuorum(f"no engine has loaded the policy within {self._patience:.0f} s")
                break
            await self._wait(min(go_on, began + self._patience) - now)
        self._waited_for = 0
        return Outcome(mine, reports, self.out)

    async def close(self) -> None:
        """Ends the followers."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _follow(self, number: int) -> None:
        """Keeps one engine on the newest publication."""
        me = self._followers[number]
        while True:
            while me.holds >= self._newest or self._refusal[0] == self._newest:
                await self._wait(60.0)
            wanted, publication = self._newest, self._publication
            try:
                report = await self._answer(number, publication)
            except EngineOut as error:
                me.failures += 1
                await self._set_out(number, str(error))
                await asyncio.sleep(min(LONGEST_RETRY, RETRY_SECONDS * 2.0 ** min(me.failures - 1, 10)))
                continue
            except PolicyRefused as error:
                self._refusal = wanted, str(error)
                if self._waited_for != wanted:
                    await self._refused(str(error))
                await self._notify()
                continue
            me.holds, me.report, me.failures = wanted, report, 0
            if me.out:
                me.out = ""
                self._note(f"engine number {number} of {len(self._followers)} is back, with the current policy")
            await self._notify()
            await self._on_change()

    async def _answer(self, number: int, publication: Any) -> dict[str, Any]:
        """What the engine says; one that is silent is out for as long as it is."""
        answer = asyncio.ensure_future(self._load(number, publication))
        try:
            if not (await asyncio.wait({answer}, timeout=self._patience))[0]:
                await self._set_out(number, f"no answer within {self._patience:.0f} s")
            return await answer
        finally:
            answer.cancel()

    async def _set_out(self, number: int, why: str) -> None:
        me, before = self._followers[number], self._followers[number].out
        me.out = why
        if not before:
            of, left = len(self._followers), any(not one.out for one in self._followers)
            rest = "the run goes on with the others" if left else "the run waits for one to come back"
            self._note(f"engine number {number} of {of} is out ({why}): {rest}")
            await self._on_change()
        await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _wait(self, seconds: float) -> None:
        async with self._changed:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), max(0.0, seconds))

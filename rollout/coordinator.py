"""The coordinator of a run: leases, ready groups, the current policy. One asynchronous actor, no model in it.

Everything that decides is in `rollout.admission`; this class adds waiting, Ray, and the thread that keeps the Ray Data
pipeline running. Its state is rebuilt from the learner's checkpoint by `begin`, so it may die too.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from problems.problem import Group
from rollout.admission import Lease, LeaseBook, Ledger, StepBatch
from rollout.config import RolloutConfig
from rollout.policy import Publication

log = logging.getLogger(__name__)

PIPELINE_RETRIES = 5
"""Times in a row, without a group between, that the Ray Data pipeline is rebuilt before the run is ended."""


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """Something that the driver of a run should know."""

    kind: str
    """`begin`, `step`, `fatal` or `note`."""
    step: int = 0
    metrics: dict[str, Any] = field(default_factory=dict)
    batch: StepBatch | None = None
    text: str = ""


class Coordinator:
    """Ray actor (`max_concurrency` high): the methods below may all wait at the same time."""

    def __init__(
        self,
        config: RolloutConfig,
        engines: Sequence[Any],
        make_stream: Callable[[str], Any],
        steps: int,
    ):
        """`make_stream` builds the run's Ray Data pipeline, whose source calls `lease` with the token that it is given
        and whose last stage calls `deliver`; `steps` ends the run."""
        self._config = config
        self._engines = list(engines)
        self._make_stream = make_stream
        self._steps = steps
        self._book: LeaseBook | None = None
        self._publication: Any = None
        self._batch: StepBatch | None = None
        self._epoch = -1
        self._stopping = False
        self._fatal = ""
        self._changed = asyncio.Condition()
        self._events: list[Event] = []
        self._errors: dict[str, int] = {}
        self._waited = 0.0
        self._recorded = time.monotonic()
        self._pipeline: threading.Thread | None = None
        self._stream = ""
        self._delivered = 0
        self._loop = asyncio.get_event_loop()
        if _was_lost():
            self._events.append(Event("note", text="the coordinator was started again: what it held is issued anew"))

    async def begin(self, epoch: int, ledger: dict[str, Any] | None, publication: Publication) -> dict[str, Any]:
        """A learner starts or has restarted: forgets what came after `ledger`, has the engines load its policy.

        `epoch` must rise with each start; the learner's other calls carry it. Returns what `publish` does.
        """
        if epoch <= self._epoch:
            raise ValueError(f"start {epoch} of the run came after start {self._epoch}")
        self._epoch = epoch
        state = Ledger.from_dict(ledger) if ledger else Ledger(version=publication.policy.number)
        self._batch = self._book = None
        report = await self._load_everywhere(publication)
        self._check(epoch)
        self._book = LeaseBook(
            groups_per_step=self._config.groups_per_step,
            max_staleness=self._config.max_staleness,
            refill=self._config.refill,
            lease_seconds=self._config.lease_seconds,
            ledger=state,
            epoch=epoch,
            steps=self._steps,
        )
        self._events.append(Event("begin", state.version))
        if epoch:
            text = f"the learner was started again and goes on after step {state.version}"
            self._events.append(Event("note", text=text))
        self._recorded = time.monotonic()
        if self._pipeline is None:
            self._pipeline = threading.Thread(target=self._run_pipeline, name="stream", daemon=True)
            self._pipeline.start()
        await self._notify()
        return report

    async def lease(self, stream: str, most: int) -> list[Lease] | None:
        """Waits for leases, up to `most`. None: the run is over, or another stream has replaced the one that asks."""
        while not self._over() and stream == self._stream:
            if self._book is not None and (leases := self._book.lease(most, time.monotonic())):
                return leases
            await self._wait(1.0)
        return None

    async def deliver(self, answers: Sequence[tuple[Lease, Group | None, str]]) -> None:
        """Takes in judged groups, or the errors of those that could not be had."""
        if self._book is None:
            return
        for lease, group, error in answers:
            scored = sum(r is not None for r in group.rewards) if group is not None else 0
            if scored >= 2:
                self._delivered += 1
                self._book.deliver(lease.epoch, group)
                continue
            reason = error or "its samples could not be judged"
            if self._book.fail(lease):
                continue
            if lease.epoch == self._epoch:
                self._events.append(Event("note", text=f"problem {lease.sequence} of the stream given up: {reason}"))
        await self._notify()

    async def get_batch(self, epoch: int, step: int, rank: int = 0, world_size: int = 1) -> StepBatch | None:
        """The groups that the step numbered `step` (0 is the first) trains on: the same for all ranks.

        None: the run is to end now. Raises ValueError where another start has replaced this one.
        """
        began = time.monotonic()
        while self._batch is None or self._batch.step != step:
            self._check(epoch)
            if self._over():
                return None
            batch = self._book.take() if self._book is not None else None
            if batch is not None:
                self._batch = batch
                await self._notify()
                break
            await self._wait(1.0)
        self._check(epoch)
        if rank == 0:
            self._waited = time.monotonic() - began
        return self._batch

    async def publish(self, epoch: int, publication: Publication) -> dict[str, Any]:
        """Has all engines load and prove the next policy version, then lets its leases out.

        Returns the seconds it took in all and on the slowest engine, the bytes sent to one engine, the largest canary
        gap, and the engines' totals. Where an engine cannot prove it, the run is ended with that engine's error.
        """
        self._check(epoch)
        report = await self._load_everywhere(publication)
        self._check(epoch)
        if not self._over():
            self._book.advance(publication.policy.number)
            await self._notify()
        return report

    async def record(self, epoch: int, step: int, metrics: dict[str, Any]) -> None:
        """Books the learner's metrics of the finished step numbered `step` for the driver."""
        if epoch != self._epoch:
            return
        batch = self._batch if self._batch is not None and self._batch.step == step else None
        before, self._recorded = self._recorded, time.monotonic()
        times = {"seconds/wait_for_batch": self._waited, "seconds/whole_step": self._recorded - before}
        self._events.append(Event("step", step + 1, {**metrics, **times}, batch))
        await self._notify()

    async def events(self, seconds: float = 1.0) -> list[Event]:
        """Events since the last call; waits up to `seconds` for one."""
        if not self._events and not self._fatal:
            await self._wait(seconds)
        events, self._events = self._events, []
        return events

    async def current_policy(self, engine: str) -> Publication:
        """What an engine that came back empty must load."""
        self._events.append(Event("note", text=f"{engine} was started again and is given the current policy"))
        return await self._publication

    async def engine_stats(self) -> list[dict[str, Any]]:
        """Totals and clocks of every engine."""
        return list(await asyncio.gather(*(e.stats.remote() for e in self._engines)))

    async def stop(self) -> None:
        """Ends the run at the next step boundary: `get_batch` and `lease` answer None."""
        self._stopping = True
        await self._notify()

    async def fail(self, reason: str) -> None:
        """Ends the run with an error that the driver reports."""
        self._fatal = self._fatal or reason
        self._events.append(Event("fatal", text=reason))
        await self._notify()

    async def status(self) -> dict[str, Any]:
        """For people and tests: version, leases out, groups ready, ledger."""
        if self._book is None:
            return {"epoch": self._epoch, "over": self._over()}
        return {
            "epoch": self._epoch,
            "over": self._over(),
            "version": self._book.version,
            "outstanding": self._book.outstanding,
            "ready": self._book.ready,
            "ledger": self._book.ledger.to_dict(),
        }

    def _over(self) -> bool:
        return self._stopping or bool(self._fatal)

    def _check(self, epoch: int) -> None:
        if epoch != self._epoch:
            raise ValueError(f"start {epoch} of the run has been replaced by start {self._epoch}")

    async def _load_everywhere(self, publication: Publication) -> dict[str, Any]:
        import ray

        began = time.monotonic()
        # The coordinator owns the object: one that a learner owned would be lost with it.
        self._publication = ray.put(publication)
        try:
            reports = await asyncio.gather(*(e.load.remote(self._publication) for e in self._engines))
        except ray.exceptions.RayTaskError as error:
            await self.fail(str(error.cause))
            return {}
        return {
            "seconds": time.monotonic() - began,
            "engine_seconds": max(r["seconds"] for r in reports),
            "bytes": reports[0]["bytes"],
            "canary_gap": max(r["canary_gap"] for r in reports),
            "engines": [{k: r[k] for k in ("engine", "samples", "completion_tokens", "clock")} for r in reports],
        }

    def _run_pipeline(self) -> None:
        failures = 0
        while failures <= PIPELINE_RETRIES:
            # Leases of a stream that has died are asked for to the last, and nobody would answer them.
            self._stream, before = uuid.uuid4().hex, self._delivered
            try:
                rows = self._make_stream(self._stream)
                for _ in rows.iter_batches(batch_size=None, prefetch_batches=0, batch_format="numpy"):
                    pass
                if self._over():
                    return
                error = "it ended by itself"
            except Exception as failed:
                error = f"{type(failed).__name__}: {failed}"
                log.exception("the stream of the run failed")
            self._stream = ""
            if self._over():
                return
            failures = 1 if self._delivered > before else failures + 1
            self._loop.call_soon_threadsafe(self._pipeline_died, failures, error)
            time.sleep(min(2.0 ** (failures - 1), 10.0))
        asyncio.run_coroutine_threadsafe(
            self.fail(f"the Ray Data pipeline failed {failures} times in a row: {error}"), self._loop
        )

    def _pipeline_died(self, failures: int, error: str) -> None:
        if self._book is not None:
            self._book.reissue_all()
        self._events.append(Event("note", text=f"the stream is rebuilt (failure {failures}): {error}"))

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _wait(self, seconds: float) -> None:
        async with self._changed:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), seconds)


def _was_lost() -> bool:
    """Whether this actor stands for one that died."""
    import ray

    return ray.get_runtime_context().was_current_actor_reconstructed

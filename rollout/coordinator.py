"""The coordinator of a run: leases, ready groups, the current policy. One asynchronous actor, no model in it.

All decisions are in `rollout.admission`; this class adds waiting and Ray, and puts the leases on the session's board.
Its state is rebuilt from the learner's checkpoint by `begin`, so it may die too.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from problems.problem import Group, GroupFilter, Problem
from rollout.admission import ABANDONED, Lease, LeaseBook, Ledger, StepBatch
from rollout.board import StreamJob
from rollout.config import RolloutConfig
from rollout.fleet import out_line, short_of_room
from rollout.lease_search import look_for_overdue
from rollout.policy import AdapterForm, Publication
from rollout.publishing import NoQuorum, PolicyRefused, Publisher
from rollout.run_engines import RunEngines

SETTLE_SECONDS = 600.0
"""How long a learner waits, before a checkpoint, for the driver to take the records of the steps before it."""
MOST_AT_ONCE = 1024
"""Leases put on the board in one call."""


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """Something that the driver of a run should know."""

    kind: str
    """`begin`, `step`, `fatal` or `note`."""
    step: int = 0
    metrics: dict[str, Any] = field(default_factory=dict)
    batch: StepBatch | None = None
    text: str = ""
    id: str = ""
    """Which coordinator emitted it, and as its how many-th: `<token>-<number>`."""


class Coordinator:
    """Ray actor (`max_concurrency` high): the methods below may all wait at the same time."""

    def __init__(
        self,
        config: RolloutConfig,
        engines: Sequence[Any],
        board: Any,
        job: StreamJob,
        problems: Callable[[int], Problem],
        steps: int,
        group_filter: GroupFilter = "outcome",
    ):
        """`board` is the handle of the session's, whose last stage calls `deliver`; `job` is what stages must know of
        the run, without the reference to `problems`, which gives the problem of an index of the stream. `steps` ends
        the run; `group_filter` is the learner's."""
        self._config = config
        self._engines = RunEngines(engines, job.rollout.run)
        self._board = board
        self._job = job
        self._problems = problems
        self._steps = steps
        self._group_filter: GroupFilter = group_filter
        self._publisher = Publisher(
            len(self._engines),
            self._engines.load,
            config.engine.patience_seconds,
            on_change=self._notify,
            note=lambda text: self._emit(Event("note", text=text)),
            refused=self.fail,
        )
        self._in_force = 0
        """Which publication holds the book's version: engines that lack it get none of its leases."""
        self._room_noted = False
        self._book: LeaseBook | None = None
        self._publication: Any = None
        self._batch: StepBatch | None = None
        self._epoch = -1
        self._stopping = False
        self._fatal = ""
        self._changed = asyncio.Condition()
        self._changes = 0
        self._events: list[Event] = []
        self._token, self._emitted, self._handled = uuid.uuid4().hex[:12], 0, 0
        self._waited = 0.0
        self._recorded = time.monotonic()
        self._feeding: asyncio.Task[None] | None = None
        if _was_restarted():
            self._emit(Event("note", text="the coordinator was started again: its leases are reissued"))

    async def adapter_forms(self) -> list[AdapterForm]:
        """See `RunEngines.adapter_forms`."""
        return await self._engines.adapter_forms()

    async def begin(self, epoch: int, ledger: dict[str, Any] | None, publication: Publication) -> dict[str, Any]:
        """A learner starts or has restarted: forgets what came after `ledger`, has the engines load its policy.

        `epoch` must rise with each start; the learner's other calls carry it. Returns what `publish` does.
        """
        if epoch <= self._epoch:
            raise ValueError(f"start {epoch} of the run is not later than start {self._epoch}")
        self._epoch = epoch
        state = Ledger.from_dict(ledger) if ledger else Ledger(version=publication.policy.number)
        self._batch = self._book = None
        self._engines.abandon(None)
        published, report = await self._publish(publication)
        self._check(epoch)
        self._in_force = published
        self._book = LeaseBook(
            groups_per_step=self._config.groups_per_step,
            max_staleness=self._config.max_staleness,
            refill=self._config.refill,
            lease_seconds=self._config.lease_seconds,
            ledger=state,
            epoch=epoch,
            steps=self._steps,
            group_filter=self._group_filter,
        )
        self._emit(Event("begin", state.version))
        if epoch:
            self._emit(Event("note", text=f"the learner was started again and goes on after step {state.version}"))
        self._recorded = time.monotonic()
        if self._feeding is None:
            self._feeding = asyncio.create_task(self._feed())
        await self._notify()
        return report

    async def deliver(self, answers: Sequence[tuple[Lease, Group | None, str]]) -> None:
        """Takes in judged groups, or the errors of those that could not be had."""
        if self._book is None:
            return
        for lease, group, error in answers:
            if group is not None and sum(reward is not None for reward in group.rewards) >= 2:
                self._book.deliver(lease.epoch, group, time.monotonic())
                continue
            if error == ABANDONED:
                self._book.abandon(lease)
                continue
            reason = error or "its samples could not be judged"
            if self._book.fail(lease):
                continue
            if lease.epoch == self._epoch:
                self._emit(Event("note", text=f"problem {lease.index} of the stream given up: {reason}"))
        await self._notify()

    async def get_batch(self, epoch: int, step: int, rank: int = 0, world_size: int = 1) -> StepBatch | None:
        """The groups that the step numbered `step` (0 is the first) trains on: the same for all ranks.

        None: the run is to end now. Raises ValueError where another start has replaced this one, and for a rank that
        asks for a step whose groups have made way for a later one's.
        """
        began = time.monotonic()
        while self._batch is None or self._batch.step != step:
            self._check(epoch)
            if self._over():
                return None
            book = self._book
            version = book.version if book is not None else -1
            if version > step:
                raise ValueError(
                    f"rank {rank} of {world_size} asks for the groups of step {step}, and the run is at {version}: "
                    "they are gone, and others would go under a wrong number; the learner must start again from its "
                    "checkpoint"
                )
            # Not before the version is published: groups of this step would go out under the number of the one before.
            batch = book.take() if book is not None and version == step else None
            if batch is not None:
                self._batch = batch
                if book is not None and book.outstanding:
                    self._engines.abandon(book.oldest)
                await self._notify()
                break
            await self._wait(1.0)
        self._check(epoch)
        if rank == 0:
            self._waited = time.monotonic() - began
        return self._batch

    async def publish(self, epoch: int, publication: Publication) -> dict[str, Any]:
        """Has a quorum of the engines load and prove the next policy version, then lets its leases out to them; the
        others get some as they come to hold it.

        Returns the seconds it took in all and on the slowest engine, the bytes sent to one engine, the largest canary
        gap, and the engines' totals, all of the engines that held it in time. Where an engine cannot prove it, the run
        is ended with that engine's error.
        """
        self._check(epoch)
        published, report = await self._publish(publication)
        self._check(epoch)
        if not self._over() and self._book is not None:
            self._in_force = published
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
        counted = {"samples/short_of_room": self._short_of_room(step, batch)} if batch is not None else {}
        self._emit(Event("step", step + 1, {**metrics, **times, **counted}, batch))
        await self._notify()

    def _short_of_room(self, step: int, batch: StepBatch) -> int:
        longest, room = self._config.sampling.max_tokens, self._config.engine.max_model_len
        count = short_of_room(batch.groups, longest, room)
        if count and not self._room_noted:
            self._room_noted = True
            text = (
                f"{count} samples of step {step + 1} had fewer than rollout.sampling.max_tokens {longest} tokens to "
                f"answer in: their prompts leave less of rollout.engine.max_model_len {room}"
            )
            self._emit(Event("note", text=text))
        return count

    async def settle(self, epoch: int) -> None:
        """Waits until the driver has dealt with all that was recorded so far: only then may a checkpoint claim it.

        Were this actor to die after the checkpoint, nobody would record those steps again. Raises TimeoutError.
        """
        emitted, deadline = self._emitted, time.monotonic() + SETTLE_SECONDS
        while self._handled < emitted and not self._fatal:
            self._check(epoch)
            if time.monotonic() > deadline:
                raise TimeoutError(
                    f"the driver of the run has not taken {emitted - self._handled} records of steps for "
                    f"{SETTLE_SECONDS:.0f} s, and no checkpoint is written before it has"
                )
            await self._wait(1.0)

    async def events(self, seconds: float = 1.0, handled: str = "") -> list[Event]:
        """Events in their order, from the first that the caller has not dealt with; waits up to `seconds` for one.

        `handled` is the id of the last event that the caller has dealt with. What it has not is kept and sent again: an
        answer may be lost on its way.
        """
        token, _, number = handled.rpartition("-")
        if token == self._token and int(number) > self._handled:
            self._handled = int(number)
            self._events = [event for event in self._events if int(event.id.rpartition("-")[2]) > self._handled]
            await self._notify()
        if not self._events and not self._fatal:
            await self._wait(seconds)
        return list(self._events)

    async def current_policy(self, engine: str) -> Publication:
        """What an engine that was restarted must load."""
        self._emit(Event("note", text=f"{engine} was started again and is given the current policy"))
        return await self._publication

    async def stop(self) -> None:
        """Ends the run at the next step boundary: `get_batch` and `lease` answer None."""
        self._stopping = True
        await self._notify()

    async def fail(self, reason: str) -> None:
        """Ends the run with an error that the driver reports."""
        self._fatal = self._fatal or reason
        self._emit(Event("fatal", text=reason))
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

    async def _publish(self, publication: Publication) -> tuple[int, dict[str, Any]]:
        """(number of the publication, what `publish` returns); the run is over where no engine has loaded it."""
        import ray

        began = time.monotonic()
        # The coordinator owns the object: one that a learner owned would be lost with it.
        self._publication = ray.put(publication)
        try:
            found = await self._publisher.publish(self._publication)
        except PolicyRefused as error:
            await self.fail(str(error))
            return 0, {}
        except NoQuorum:
            out = out_line(self._publisher.out, len(self._engines))
            await self.fail(f"none of {len(self._engines)} engines could load the policy: {out}")
            return 0, {}
        reports = list(found.reports.values())
        return found.number, {
            "seconds": time.monotonic() - began,
            "engine_seconds": max(r["seconds"] for r in reports),
            "bytes": reports[0]["bytes"],
            "canary_gap": max(r["canary_gap"] for r in reports),
            "engines_out": len(found.out),
            "engines": [{k: r[k] for k in ("engine", "samples", "completion_tokens", "clock")} for r in reports],
        }

    def _emit(self, event: Event) -> None:
        self._emitted += 1
        self._events.append(replace(event, id=f"{self._token}-{self._emitted}"))

    async def _feed(self) -> None:
        try:
            await self._feed_board()
        except Exception as error:
            await self.fail(f"leases cannot be put on the session's board: {type(error).__name__}: {error}")

    async def _feed_board(self) -> None:
        """Puts leases on the board as the book lets them out, and shows it that the run is alive."""
        import ray.exceptions

        key, epoch = "", -1
        while not self._over():
            book, changes = self._book, self._changes
            if book is None:
                await self._wait(1.0)
                continue
            try:
                if epoch != book.epoch:  # what is left of the start before this one is void
                    key, epoch = await self._open(key), book.epoch
                await look_for_overdue(book, self._board, key, self._engines.handles, self._job.rollout.run)
                leases = book.lease(MOST_AT_ONCE, time.monotonic())
                standing = await self._board.put.remote(key, leases, self._publisher.lacking(self._in_force))
                if not standing.known:
                    book.reissue_all()
                    key = await self._open(key)
            except ray.exceptions.RayActorError:
                # Ray is starting it again; it has then lost all that it held.
                await asyncio.sleep(0.5)
                continue
            for note in standing.notes:
                self._emit(Event("note", text=note))
            if standing.failure:
                await self.fail(standing.failure)
            if changes == self._changes:
                await self._wait(1.0)
        if key:
            self._board.close.remote(key)

    async def _open(self, key: str) -> str:
        """Opens the run's job on the board in place of the one called `key`. Returns its key."""
        import ray

        if key:
            self._board.close.remote(key)
        key = uuid.uuid4().hex
        await self._board.open.remote(key, replace(self._job, problems=ray.put(self._problems)))
        return key

    async def _notify(self) -> None:
        self._changes += 1
        async with self._changed:
            self._changed.notify_all()

    async def _wait(self, seconds: float) -> None:
        async with self._changed:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), seconds)


def _was_restarted() -> bool:
    """Whether this actor is the restart of one that died."""
    import ray

    return bool(ray.get_runtime_context().was_current_actor_reconstructed)

"""The board of a session: what its jobs want answered, between those who ask and the one stream that answers.

A session has one set of Ray Data stages, however many evaluations and training runs it holds. Each of these opens a
job on the board and puts leases on it; the stream's source takes them, its last stage delivers the judged groups, and
the rows at its end say what is done. What a stream that died had taken is put back for the next one.

`Board` is pure; `BoardActor` adds waiting, Ray, and the thread that keeps the stream running.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from problems.problem import Group
from rollout.admission import Lease
from rollout.fleet import RolloutJob

log = logging.getLogger(__name__)

PIPELINE_RETRIES = 5
"""Times in a row, without a group between, that the Ray Data pipeline is rebuilt before its jobs are ended."""
SILENCE_SECONDS = 120.0
"""A job whose owner says nothing for this long is dropped: it has died, and nobody waits for the answers."""

Answer = tuple[Lease, Group | None, str]
"""A lease, its judged group, and, where there is none, why."""


@dataclass(frozen=True, slots=True)
class StreamJob:
    """What the stages must know of a job."""

    rollout: RolloutJob
    """How engines answer. Groups go to its coordinator; where it names none, they wait on the board."""
    problems: Any
    """Ray reference to the function that gives the problem of an index of the stream."""
    judging: Any = None
    """What the judge stage needs."""
    lease_size: int = 1
    """Most leases in a row of the stream: they are answered and judged together."""
    in_flight: int = 64
    """Most leases in the stream at once; the others wait on the board, for whichever engine is free first."""


@dataclass(frozen=True, slots=True)
class Work:
    """A row of the stream to be answered."""

    job: str
    leases: tuple[Lease, ...]
    lacking: tuple[int, ...] = ()
    """Numbers of the engines that do not hold the job's policy yet."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the owner of a job hears of it."""

    known: bool
    """False: the board has never heard of it, or has been started again and has lost it."""
    failure: str = ""
    """Why the job cannot go on."""
    notes: tuple[str, ...] = ()
    """What has happened to the stream since the owner last asked."""
    answers: tuple[Answer, ...] = ()
    """Those that wait on the board, without the ones that the owner has handled."""


@dataclass(slots=True)
class _Job:
    about: StreamJob
    seen: float
    waiting: deque[Lease] = field(default_factory=deque)
    taken: dict[Lease, None] = field(default_factory=dict)
    lacking: tuple[int, ...] = ()
    answers: list[Answer] = field(default_factory=list)
    handled: int = 0
    answered: set[int] = field(default_factory=set)
    failure: str = ""
    notes: list[str] = field(default_factory=list)


class Board:
    """The jobs and their leases. Times are in seconds of the caller's monotonic clock."""

    def __init__(self) -> None:
        self._jobs: dict[str, _Job] = {}

    def open(self, key: str, job: StreamJob, leases: Iterable[Lease], now: float) -> None:
        """Adds a job. Where its key is known it begins again, with nothing but `leases`."""
        self._jobs[key] = _Job(job, now, deque(leases))

    def close(self, key: str) -> None:
        """Forgets a job: what is under way of it is answered and dropped."""
        self._jobs.pop(key, None)

    def put(self, key: str, leases: Iterable[Lease], now: float, lacking: Sequence[int] = ()) -> Standing:
        """Adds leases to a job, and says which engines do not hold its policy yet."""
        job = self._jobs.get(key)
        if job is None:
            return Standing(False)
        job.seen = now
        job.waiting.extend(leases)
        job.lacking = tuple(lacking)
        notes, job.notes = tuple(job.notes), []
        return Standing(True, job.failure, notes)

    def standing(self, key: str, handled: int, now: float) -> Standing:
        """The answers that wait for the owner of a job, who has dealt with the first `handled` of all."""
        job = self._jobs.get(key)
        if job is None:
            return Standing(False)
        job.seen = now
        del job.answers[: max(0, handled - job.handled)]
        job.handled = max(job.handled, handled)
        return Standing(True, job.failure, answers=tuple(job.answers))

    def take(self) -> list[Work]:
        """All that may enter the stream now."""
        found = []
        for key, job in self._jobs.items():
            while job.waiting and len(job.taken) < job.about.in_flight and not job.failure:
                count = min(job.about.lease_size, len(job.waiting))
                leases = tuple(job.waiting.popleft() for _ in range(count))
                job.taken |= dict.fromkeys(leases)
                found.append(Work(key, leases, job.lacking))
        return found

    def job(self, key: str) -> StreamJob | None:
        """What stages must know of a job; None where it has been closed."""
        return self._jobs[key].about if key in self._jobs else None

    def waiting(self, key: str) -> set[Lease]:
        """Leases of a job that nobody has taken up yet."""
        return set(self._jobs[key].waiting) if key in self._jobs else set()

    def deliver(self, key: str, answers: Sequence[Answer]) -> None:
        """Keeps judged groups for the owner of a job; each index counts once."""
        job = self._jobs.get(key)
        if job is None:
            return
        for answer in answers:
            if answer[0].index not in job.answered:
                job.answered.add(answer[0].index)
                job.answers.append(answer)

    def done(self, key: str, leases: Iterable[Lease]) -> None:
        """Books that leases have passed through the whole stream."""
        if key in self._jobs:
            for lease in leases:
                self._jobs[key].taken.pop(lease, None)

    def put_back(self, note: str) -> None:
        """Books that the stream has died with all that it had taken: that goes first into the next one."""
        for job in self._jobs.values():
            job.waiting.extendleft(reversed(job.taken))
            job.taken = {}
            job.notes.append(note)

    def fail(self, reason: str, key: str = "") -> None:
        """Ends a job, or all of them, with an error for its owner."""
        for job in [self._jobs[key]] if key in self._jobs else [] if key else self._jobs.values():
            job.failure = job.failure or reason

    @property
    def busy(self) -> bool:
        """Whether anything is in the stream."""
        return any(job.taken for job in self._jobs.values())

    def drop_silent(self, now: float) -> None:
        """Forgets the jobs whose owners have died."""
        for key in [key for key, job in self._jobs.items() if now - job.seen > SILENCE_SECONDS]:
            self.close(key)


class BoardActor:
    """Ray actor (`max_concurrency` high) around a `Board`, and the thread that keeps the session's stream running."""

    def __init__(self, engines: Sequence[Any], make_stream: Callable[[str], Any]):
        """`make_stream` builds the Ray Data pipeline, whose source calls `take` with the token that it is given, and
        whose rows say what is done: (key of a job, its leases)."""
        self._engines = list(engines)
        self._make_stream = make_stream
        self._board = Board()
        self._changed = asyncio.Condition()
        self._loop = asyncio.get_event_loop()
        self._stream = ""
        self._done = 0
        self._fatal = ""
        self._pipeline: threading.Thread | None = None

    async def start(self) -> None:
        """Starts the stream, unless it is running: its stages take seconds, which may pass while the engines start."""
        if self._pipeline is None:
            self._pipeline = threading.Thread(target=self._run_pipeline, name="stream", daemon=True)
            self._pipeline.start()

    async def open(self, key: str, job: StreamJob, leases: Sequence[Lease] = ()) -> None:
        """See `Board.open`."""
        await self.start()
        self._board.open(key, job, leases, time.monotonic())
        await self._notify()

    async def close(self, key: str) -> None:
        """See `Board.close`."""
        self._board.close(key)

    async def put(self, key: str, leases: Sequence[Lease], lacking: Sequence[int] = ()) -> Standing:
        """See `Board.put`; owners also call it without leases, to show that they are alive."""
        standing = self._board.put(key, leases, time.monotonic(), lacking)
        if leases:
            await self._notify()
        return self._with_fatal(standing)

    async def standing(self, key: str, handled: int, seconds: float) -> Standing:
        """See `Board.standing`; waits up to `seconds` for an answer."""
        deadline = time.monotonic() + seconds
        while True:
            standing = self._with_fatal(self._board.standing(key, handled, time.monotonic()))
            left = deadline - time.monotonic()
            if not standing.known or standing.failure or standing.answers or left <= 0:
                return standing
            await self._wait(left)

    async def take(self, stream: str) -> list[Work] | None:
        """Waits for work. None: another stream has replaced the one that asks."""
        while stream == self._stream:
            self._board.drop_silent(time.monotonic())
            work = self._board.take()
            self._set_pace()
            if work:
                return work
            await self._wait(1.0)
        return None

    async def engines(self) -> list[Any]:
        """Handles of the session's engines."""
        return self._engines

    async def job(self, key: str) -> StreamJob | None:
        """See `Board.job`."""
        return self._board.job(key)

    async def waiting(self, key: str) -> set[Lease]:
        """See `Board.waiting`."""
        return self._board.waiting(key)

    async def deliver(self, key: str, answers: Sequence[Answer]) -> None:
        """See `Board.deliver`."""
        self._board.deliver(key, answers)
        await self._notify()

    async def fail(self, key: str, reason: str) -> None:
        """Ends a job with an error for its owner."""
        self._board.fail(reason, key)
        await self._notify()

    def _with_fatal(self, standing: Standing) -> Standing:
        return Standing(True, self._fatal) if self._fatal else standing

    def _run_pipeline(self) -> None:
        failures = 0
        while True:
            self._stream, before = uuid.uuid4().hex, self._done
            try:
                rows = self._make_stream(self._stream)
                for batch in rows.iter_batches(batch_size=None, prefetch_batches=0, batch_format="numpy"):
                    self._loop.call_soon_threadsafe(self._book, batch)
                error = "it ended by itself"
            except Exception as failed:
                error = f"{type(failed).__name__}: {failed}"
                log.exception("the stream of the session failed")
            self._stream = ""
            failures = 1 if self._done > before else failures + 1
            if failures > PIPELINE_RETRIES:
                break
            self._loop.call_soon_threadsafe(
                self._board.put_back, f"the stream is rebuilt (failure {failures}): {_first_line(error)}"
            )
            time.sleep(min(2.0 ** (failures - 1), 10.0))
        self._fatal = f"the Ray Data pipeline failed {failures} times in a row: {_first_line(error)}"
        asyncio.run_coroutine_threadsafe(self._notify(), self._loop)

    def _book(self, batch: dict[str, Any]) -> None:
        from rollout.stream import unpack

        for key, leases in unpack(batch):
            self._board.done(key, leases)
            self._done += len(leases)
        self._set_pace()
        self._loop.create_task(self._notify())

    def _set_pace(self) -> None:
        from rollout.stream import set_pace

        set_pace(self._board.busy)

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    async def _wait(self, seconds: float) -> None:
        async with self._changed:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), seconds)


def _first_line(text: str) -> str:
    return next((line.strip() for line in text.splitlines() if line.strip()), "")


def start_board(engines: Sequence[Any], make_stream: Callable[[str, str], Any], name: str) -> Any:
    """Starts a session's board beside the driver, and returns its handle; the stream starts with the first job.

    `make_stream` is called with the board's name and the stream's token, in the board's process.
    """
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    # Beside the driver: the loss of another node does not take what the session knows with it.
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=True)
    return (
        ray.remote(BoardActor)
        .options(
            name=name,
            num_cpus=0,
            max_concurrency=4096,
            max_restarts=-1,
            max_task_retries=0,  # owners of jobs ask again, and stages die with it
            scheduling_strategy=here,
        )
        .remote(list(engines), _Bound(make_stream, name))
    )


@dataclass(frozen=True, slots=True)
class _Bound:
    make: Callable[[str, str], Any]
    board: str

    def __call__(self, stream: str) -> Any:
        return self.make(self.board, stream)

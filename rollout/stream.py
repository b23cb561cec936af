"""The stream of a session in Ray Data: its source has leases answered by the engines, and yields them as they are done.

Emission is admission: a problem enters the stream only by a lease, so what is in flight is bounded by policy versions
and not by bytes. The stream lives as long as its session; starting one costs seconds.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
import queue
import random
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from ray.data import DataContext, Dataset, read_datasource
from ray.data.block import BlockMetadata
from ray.data.datasource import Datasource, ReadTask

from problems.problem import Group, Problem
from rollout.admission import ABANDONED, Lease
from rollout.backends import Abandoned
from rollout.board import StreamJob, Work
from rollout.fleet import RolloutJob, why_out
from rollout.load_balancer import LoadBalancer

TRIES = 4
"""Times that an engine that is there is asked for a group before its lease is given back."""

KEPT_JOBS = 16
"""Descriptions of jobs that a stage keeps at hand."""
LIGHT = {"num_cpus": 0.01}
"""What a stage asks for that only waits: enough that Ray Data never starts a second node for it."""


def pack(items: Sequence[Any]) -> dict[str, np.ndarray]:
    """One row that carries `items`."""
    return {"payload": np.array([pickle.dumps(list(items), protocol=5)], dtype=object)}


def unpack(batch: dict[str, Any]) -> list[Any]:
    """All items of the rows of a batch."""
    return [item for payload in batch["payload"] for item in pickle.loads(payload)]


class RolloutSource(Datasource):
    """Rows of (key of the job, answers), endless: see `Rollouts`."""

    def __init__(self, board: str, stream: str):
        """`board` is the name of the session's, `stream` its token for the pipeline that this starts."""
        super().__init__()
        self._board = board
        self._stream = stream

    def get_name(self) -> str:
        """Name of the operator in Ray's own displays."""
        return "Rollouts"

    def estimate_inmemory_data_size(self) -> int | None:
        """Unknown: the stream has no end of its own."""
        return None

    def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> list[ReadTask]:
        """`parallelism` tasks that all take from the same board."""
        board, stream = self._board, self._stream
        metadata = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
        return [ReadTask(lambda: _rows(board, stream), metadata) for _ in range(parallelism)]


def _rows(board: str, stream: str) -> Iterator[pa.Table]:
    """The rows of one read task. Rollouts wait for each other in a thread, for Ray Data takes rows one by one."""
    import ray

    handle = ray.get_actor(board)
    rollouts = Rollouts(ray.get(handle.engines.remote()), handle)
    answered: queue.SimpleQueue[Any] = queue.SimpleQueue()

    def run() -> None:
        try:
            asyncio.run(rollouts.run(stream, answered.put))
            answered.put(None)
        except BaseException as error:
            answered.put(error)

    threading.Thread(target=run, name="rollouts", daemon=True).start()
    while (row := answered.get()) is not None:
        if isinstance(row, BaseException):
            raise row
        yield pa.table({"payload": [pickle.dumps([row], protocol=5)]})


class Rollouts:
    """Has each lease answered by the engine that will be done soonest."""

    def __init__(self, engines: Sequence[Any], board: Any = None):
        """`board` is the handle of the session's, which `run` takes work from."""
        self._engines = list(engines)
        self._board = board
        self._balancer = LoadBalancer(len(self._engines))
        self._jobs: dict[str, tuple[StreamJob, Callable[[int], Problem]]] = {}

    async def run(self, stream: str, emit: Callable[[Any], None]) -> None:
        """Calls `emit` with (key of the job, answers) for each row of work, until the board has no more for `stream`.

        Answers are (lease, group or None, the reason if there is none).
        """
        running: set[asyncio.Task[None]] = set()
        while (work := await self._board.take.remote(stream)) is not None:
            for row in work:
                task = asyncio.create_task(self._answer_row(row, emit))
                running.add(task)
                task.add_done_callback(running.discard)

    async def _answer_row(self, work: Work, emit: Callable[[Any], None]) -> None:
        """Emits the answers to a row of leases; those that take more than twice as long as the first of them follow."""
        left = set(work.leases)
        try:
            found = await self._job(work.job)
            if found is None:
                emit((work.job, [(lease, None, "its job has ended") for lease in work.leases]))
                return
            job, problems = found
            began = time.monotonic()
            waiting = {
                asyncio.ensure_future(self._answer_lease(job.rollout, lease, problems, work.lacking))
                for lease in work.leases
            }
            while waiting:
                done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                if waiting:
                    more, waiting = await asyncio.wait(waiting, timeout=time.monotonic() - began)
                    done |= more
                answers = [one.result() for one in done]
                left -= {lease for lease, _, _ in answers}
                emit((work.job, answers))
        except Exception as error:
            # The job's own fault, such as a problem that cannot be made: the other jobs of the stream go on.
            reason = str(getattr(error, "cause", None) or error)
            await self._board.fail.remote(work.job, f"{type(error).__name__}: {reason}")
            emit((work.job, [(lease, None, reason) for lease in work.leases if lease in left]))

    async def _job(self, key: str) -> tuple[StreamJob, Callable[[int], Problem]] | None:
        if key not in self._jobs:
            job = await self._board.job.remote(key)
            if job is None:
                return None
            self._jobs[key] = job, await job.problems
            for old in list(self._jobs)[:-KEPT_JOBS]:
                del self._jobs[old]
        return self._jobs[key]

    async def _answer_lease(
        self, job: RolloutJob, lease: Lease, problems: Callable[[int], Problem], lacking: Collection[int]
    ) -> tuple[Lease, Group | None, str]:
        # In a thread: the level of a curriculum is asked of another actor.
        problem = await asyncio.to_thread(problems, lease.index)
        group = await self.answer(job, lease, problem, lacking)
        return (lease, group, "") if isinstance(group, Group) else (lease, None, group)

    async def answer(
        self, job: RolloutJob, lease: Lease, problem: Problem, lacking: Collection[int] = ()
    ) -> Group | str:
        """The group, or why there is none: after TRIES failures, or where no engine was there for as long as one may be
        silent. Engines of `lacking` do not hold the job's policy, and are asked where there is no other.

        An engine that failed before is first asked whether it is there at all: a group is not to blame for engines that
        are out, but it is for those that die of it.
        """
        import ray.exceptions

        tries, out_since, error = 0, 0.0, ""
        while tries < TRIES and (not out_since or time.monotonic() - out_since < job.patience_seconds):
            index, answered, failed = self._balancer.begin(time.monotonic(), lacking), False, True
            try:
                if self._balancer.on_probation(index):
                    await self._within_patience(job, index, self._engines[index].__ray_ready__.remote())
                out_since, tries = 0.0, tries + 1
                request = self._engines[index].rollout.remote(job, lease, problem)
                group = await self._within_patience(job, index, request)
                answered, failed = True, False
                return group
            except ray.exceptions.RayTaskError as raised:
                if isinstance(raised.cause, ValueError | Abandoned):
                    failed = False
                    return ABANDONED if isinstance(raised.cause, Abandoned) else str(raised.cause)
                error = f"{type(raised.cause).__name__}: {raised.cause}"
            except (ray.exceptions.RayError, TimeoutError) as raised:
                error = f"engine number {index} of {len(self._engines)} is out: {why_out(raised)}"
            finally:
                self._balancer.end(index, time.monotonic(), answered, failed)
            out_since = out_since or time.monotonic()
            await asyncio.sleep(min(2.0, 0.2 * 2**tries) * (0.5 + random.random()))
        return error

    async def _within_patience(self, job: RolloutJob, index: int, reference: Any) -> Any:
        """What `reference` stands for. Raises TimeoutError where its engine has long answered nothing at all."""
        answer = asyncio.ensure_future(reference)
        while not (await asyncio.wait({answer}, timeout=min(5.0, job.patience_seconds)))[0]:
            silence = self._balancer.silence(index, time.monotonic())
            if silence >= job.patience_seconds:
                answer.cancel()
                raise TimeoutError(f"it has answered nothing for {silence:.0f} s")
        return answer.result()


def rollout_stream(board: str, stream: str, sources: int = 1) -> Dataset:
    """The endless source of a session: groups as the engines answer them."""
    configure_data()
    # A source that dies ends its pipeline, and the board builds the next one. Were it retried, Ray would drop as many
    # rows of the second try as it had of the first: it takes a task for a pure function, and leases are not one.
    source = RolloutSource(board, stream)
    return read_datasource(source, override_num_blocks=sources, ray_remote_args={**LIGHT, "max_retries": 0})


def configure_data() -> None:
    """Settings of Ray Data for small rows that must flow at once; they hold for this process."""
    context = DataContext.get_current()
    # One row a block: with the default an endless source would buffer 128 MB before it lets a row go.
    context.target_max_block_size = 1
    context.execution_options.preserve_order = False
    context.execution_options.verbose_progress = False
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_no_progress_timeout_s = -1
    context.issue_detectors_config.detectors = []
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    set_pace(busy=True)


def set_pace(busy: bool) -> None:
    """How long Ray Data's scheduling loop of this process waits for its tasks: 30 ms while rows are in the stream.

    The loop waits until *all* running tasks have something to say or this time is over, so with tasks that take seconds
    each stage of the stream adds the full time (100 ms unless set) to every row. Each turn of it costs CPU: at 10 ms
    the streams of a small sweep took a fourteenth of the wall time of two cores. Where there is nothing in the stream
    but its source, the loop wakes with the first row anyway.
    """
    from ray.data._internal.execution import streaming_executor_state

    if hasattr(streaming_executor_state, "WAIT_FOR_TASK_COMPLETION_TIMEOUT_S"):
        streaming_executor_state.WAIT_FOR_TASK_COMPLETION_TIMEOUT_S = 0.03 if busy else 0.5

"""The stream of a run in Ray Data: a source that asks for leases, and the stage that has them answered.

Emission is admission: a problem enters the stream only by a lease, so what is in flight is bounded by policy versions
and not by bytes. The pipeline lives as long as its run; starting one costs seconds.
"""

from __future__ import annotations

import asyncio
import logging
import pickle
import random
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from ray.data import ActorPoolStrategy, DataContext, Dataset, read_datasource
from ray.data.block import BlockMetadata
from ray.data.datasource import Datasource, ReadTask

from problems.problem import Problem
from rollout.admission import Lease
from rollout.fleet import RolloutJob, why_out
from rollout.load_balancer import LoadBalancer

TRIES = 4
"""Times that a group is asked of an engine that is there before its lease is given back."""

LIGHT = {"num_cpus": 0.01}
"""What a stage asks for that only waits: enough that Ray Data never starts a second node for it."""


def pack(items: Sequence[Any]) -> dict[str, np.ndarray]:
    """One row that carries `items`."""
    return {"payload": np.array([pickle.dumps(list(items), protocol=5)], dtype=object)}


def unpack(batch: dict[str, Any]) -> list[Any]:
    """All items of the rows of a batch."""
    return [item for payload in batch["payload"] for item in pickle.loads(payload)]


class LeaseSource(Datasource):
    """Rows of (lease, problem), asked for one lease call at a time, until the run is over."""

    def __init__(self, coordinator: str, stream: str, problem: Callable[[int], Problem], lease_size: int):
        """`stream` is the coordinator's token for the pipeline that this starts; `problem` gives the problem of an
        index of the stream: a pure, picklable function."""
        super().__init__()
        self._coordinator = coordinator
        self._stream = stream
        self._problem = problem
        self._lease_size = lease_size

    def get_name(self) -> str:
        """Name of the operator in Ray's own displays."""
        return "Leases"

    def estimate_inmemory_data_size(self) -> int | None:
        """Unknown: the stream has no end of its own."""
        return None

    def get_read_tasks(self, parallelism: int, *_: Any, **__: Any) -> list[ReadTask]:
        """`parallelism` tasks that all pull from the same coordinator."""
        name, stream, problem, size = self._coordinator, self._stream, self._problem, self._lease_size
        metadata = BlockMetadata(num_rows=None, size_bytes=None, input_files=None, exec_stats=None)
        return [ReadTask(lambda: _pull(name, stream, problem, size), metadata) for _ in range(parallelism)]


def _pull(name: str, stream: str, problem: Callable[[int], Problem], size: int) -> Iterable[pa.Table]:
    import ray

    coordinator = ray.get_actor(name)
    while (leases := ray.get(coordinator.lease.remote(stream, size))) is not None:
        items = [(lease, problem(lease.index)) for lease in leases]
        yield pa.table({"payload": [pickle.dumps(items, protocol=5)]})


class RolloutStage:
    """Has each lease answered by the engine that will be done soonest: a row gains the group, or its error as text."""

    def __init__(self, job: RolloutJob, engines: Sequence[Any]):
        self._job = job
        self._engines = list(engines)
        self._balancer = LoadBalancer(len(self._engines))

    async def __call__(self, batch: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """One row in, one row out; a group that fails leaves its error as text, so that the stream goes on."""
        items = unpack(batch)
        groups = await asyncio.gather(*(self._answer(lease, problem) for lease, problem in items))
        yield pack([(lease, problem, group) for (lease, problem), group in zip(items, groups, strict=True)])

    async def _answer(self, lease: Lease, problem: Problem) -> Any:
        """The group, or why there is none: after TRIES failures, or where no engine was there for as long as one may be
        silent.

        An engine that failed before is first asked whether it is there at all: a group is not to blame for engines that
        are out, but it is for those that die of it.
        """
        import ray

        tries, out_since, error = 0, 0.0, ""
        while tries < TRIES and (not out_since or time.monotonic() - out_since < self._job.patience_seconds):
            index, answered, failed = self._balancer.begin(time.monotonic()), False, True
            try:
                if self._balancer.on_probation(index):
                    await self._within_patience(index, self._engines[index].__ray_ready__.remote())
                out_since, tries = 0.0, tries + 1
                asked = self._engines[index].rollout.remote(self._job, lease, problem)
                group = await self._within_patience(index, asked)
                answered, failed = True, False
                return group
            except ray.exceptions.RayTaskError as raised:
                if isinstance(raised.cause, ValueError):
                    failed = False
                    return str(raised.cause)
                error = f"{type(raised.cause).__name__}: {raised.cause}"
            except (ray.exceptions.RayError, TimeoutError) as raised:
                error = f"engine number {index} of {len(self._engines)} is out: {why_out(raised)}"
            finally:
                self._balancer.end(index, time.monotonic(), answered, failed)
            out_since = out_since or time.monotonic()
            await asyncio.sleep(min(2.0, 0.2 * 2**tries) * (0.5 + random.random()))
        return error

    async def _within_patience(self, index: int, reference: Any) -> Any:
        """What `reference` stands for. Raises TimeoutError where its engine has long answered nothing at all."""
        answer = asyncio.ensure_future(reference)
        while not (await asyncio.wait({answer}, timeout=min(5.0, self._job.patience_seconds)))[0]:
            silence = self._balancer.silence(index, time.monotonic())
            if silence >= self._job.patience_seconds:
                answer.cancel()
                raise TimeoutError(f"it has answered nothing for {silence:.0f} s")
        return answer.result()


def rollout_stream(
    source: Dataset, job: RolloutJob, engines: Sequence[Any], *, proxies: int = 1, in_flight: int = 16
) -> Dataset:
    """`source` rows of (lease, problem), answered by `engines`; `in_flight` rows at once for each proxy."""
    return source.map_batches(
        RolloutStage,
        fn_constructor_args=(job, list(engines)),
        batch_size=1,
        batch_format="numpy",
        compute=ActorPoolStrategy(
            size=proxies, max_tasks_in_flight_per_actor=in_flight, max_concurrent_calls_per_actor=in_flight
        ),
        zero_copy_batch=True,
        **LIGHT,
    )


def lease_stream(
    coordinator: str, stream: str, problem: Callable[[int], Problem], lease_size: int, sources: int = 1
) -> Dataset:
    """The endless source of a run."""
    configure_data()
    source = LeaseSource(coordinator, stream, problem, lease_size)
    # A source that dies ends its pipeline, and the coordinator builds the next one. Were it retried, Ray would drop as
    # many rows of the second try as it had of the first: it takes a task for a pure function, and leases are not one.
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
    _shorten_poll()


def _shorten_poll() -> None:
    """Lets finished rows move on after 30 ms at most.

    Ray Data's scheduling loop waits until *all* running tasks have something to say or this time is over, so with tasks
    that take seconds each stage of the stream adds the full time (100 ms unless set) to every row. Each turn of that
    loop costs CPU: at 10 ms the four streams of a small sweep took a fourteenth of the wall time of two cores.
    """
    from ray.data._internal.execution import streaming_executor_state

    if hasattr(streaming_executor_state, "WAIT_FOR_TASK_COMPLETION_TIMEOUT_S"):
        streaming_executor_state.WAIT_FOR_TASK_COMPLETION_TIMEOUT_S = 0.03

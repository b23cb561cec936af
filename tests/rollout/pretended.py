"""A run as its coordinator sees it, with engines that only pretend: loss, death and order are what they are for."""

import sys
import time

import numpy as np
from ray import cloudpickle

from problems.problem import Group, Problem, Sample, Status, Verdict
from rollout.backends import Abandoned
from rollout.board import StreamJob, start_board
from rollout.config import RolloutConfig
from rollout.coordinator import Coordinator
from rollout.fleet import RolloutJob
from rollout.lease_search import lease_key
from rollout.policy import PolicyVersion, Publication
from rollout.stream import pack, rollout_stream, unpack

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # Ray's workers cannot import test modules


class FakeEngine:
    """Answers in a moment with samples of the loaded version; dies or errs on the problems it is told to.

    On those of `hold_on` it is at work until it is told to abandon them or to let them go; it owns up to having them in
    hand, unless it `forgets`.
    """

    def __init__(self, name="fake"):
        self.name, self.held = name, {}
        self.behave()

    def behave(self, err_on=(), die_on=(), seconds=0.01, hold_on=(), forgets=False):
        """Begins anew, without a policy, with these troubles."""
        self.version, self.err_on, self.die_on = -1, set(err_on), set(die_on)
        self.seconds, self.hold_on, self.forgets = seconds, set(hold_on), forgets
        for _, told in self.held.values():
            told.cancel()

    async def load(self, publication, token):
        self.version = publication.policy.number
        return {
            "seconds": 0.0,
            "bytes": 0,
            "canary_gap": 0.0,
            "engine": self.name,
            "samples": 0,
            "completion_tokens": 0,
            "clock": {},
        }

    async def abandon(self, run, oldest):
        for version, told in self.held.values():
            if (oldest is None or version < oldest) and not told.done():
                told.set_exception(Abandoned("too old"))

    async def let_go(self):
        for _, told in self.held.values():
            told.set_result(None)

    async def in_hand(self, run):
        return {} if self.forgets else dict.fromkeys(self.held)

    async def rollout(self, job, lease, problem):
        import asyncio
        import os

        if lease.index in self.die_on and lease.attempt == 0:
            os._exit(1)
        if lease.index in self.err_on and lease.attempt == 0:
            raise ValueError("made to fail")
        await asyncio.sleep(self.seconds)
        version = max(self.version, lease.min_version)
        if lease.index in self.hold_on and lease.attempt == 0:
            self.held[lease_key(lease)] = version, asyncio.get_running_loop().create_future()
            try:
                await self.held[lease_key(lease)][1]
            finally:
                del self.held[lease_key(lease)]
        ids = np.arange(3, dtype=np.int32)
        samples = tuple(
            Sample(problem.id, "g", i, ids, ids, ids.astype(np.float32), "x", "stop", version, "", self.name)
            for i in range(job.group_size)
        )
        return Group(lease.index, lease.attempt, problem, samples)


class Deliver:
    """Stands for the verify stage."""

    def __init__(self, board):
        import ray

        self.board = ray.get_actor(board)

    def __call__(self, batch):
        import ray

        done = []
        for key, answers in unpack(batch):
            job = ray.get(self.board.job.remote(key))
            if job is not None:
                coordinator = ray.get_actor(job.rollout.coordinator)
                ray.get(coordinator.deliver.remote([judged(answer) for answer in answers]))
            done.append((key, tuple(lease for lease, _, _ in answers)))
        return pack(done)


def judged(answer):
    import dataclasses

    lease, group, error = answer
    if group is not None:
        verdicts = tuple(Verdict(Status.PASSED if i else Status.WRONG_ANSWER) for i in range(len(group.samples)))
        group = dataclasses.replace(group, verdicts=verdicts, rewards=tuple(float(v.passed) for v in verdicts))
    return lease, group, error


def make_stream(board, stream):
    return rollout_stream(board, stream).map_batches(
        Deliver, fn_constructor_args=(board,), batch_size=1, batch_format="numpy", num_cpus=0.01, concurrency=1
    )


def problem_at(index):
    return Problem(f"p{index}", "f", 1, 1, "train", "s", "f", "def f():", (), ())


def pretended_engines(ray):
    """Handles of two."""
    return [ray.remote(FakeEngine).options(num_cpus=0, max_restarts=-1, max_task_retries=0).remote() for _ in range(2)]


class Session:
    """Engines with their board and stream; one run after another may use them, as on a real cluster."""

    def __init__(self, ray, name, engines):
        self.ray, self.engines = ray, engines
        self.board = start_board(engines, make_stream, f"{name}-board")

    def close(self):
        for actor in [self.board, *self.engines]:
            self.ray.kill(actor)


class Harness:
    """A coordinator on a session of pretended engines."""

    def __init__(self, session, name, config, steps=6):
        self.ray, self.engines, self.board = session.ray, session.engines, session.board
        job = RolloutJob(name, 2, config.sampling, coordinator=name, patience_seconds=config.engine.patience_seconds)
        stream = StreamJob(job, None, lease_size=config.lease_size)
        self.coordinator = (
            self.ray.remote(Coordinator)
            .options(name=name, num_cpus=0, max_concurrency=1000)
            .remote(config, self.engines, self.board, stream, problem_at, steps)
        )

    def begin(self, version=0, ledger=None):
        self.epoch = self.ray.get(self.coordinator.status.remote())["epoch"] + 1
        publication = Publication(PolicyVersion("r", version))
        self.ray.get(self.coordinator.begin.remote(self.epoch, ledger, publication))

    def step(self, step, epoch=None, publish=True):
        epoch = self.epoch if epoch is None else epoch
        batch = self.ray.get(self.coordinator.get_batch.remote(epoch, step), timeout=60)
        if publish:
            publication = Publication(PolicyVersion("r", step + 1))
            self.ray.get(self.coordinator.publish.remote(epoch, publication))
            self.ray.get(self.coordinator.record.remote(epoch, step, {}))
        return batch

    def counts(self):
        events = self.ray.get(self.coordinator.events.remote())
        return [dict(e.batch.counts) for e in events if e.kind == "step"]

    def notes(self):
        events = self.ray.get(self.coordinator.events.remote())
        return [event.text for event in events if event.kind in ("note", "fatal")]

    def await_notes(self, text, seconds=30):
        deadline = time.monotonic() + seconds
        while not (found := [note for note in self.notes() if text in note]):
            assert time.monotonic() < deadline, f"nothing said that {text}"
            time.sleep(0.2)
        return found

    def close(self):
        self.ray.get(self.coordinator.stop.remote())
        time.sleep(0.3)
        self.ray.kill(self.coordinator)


def numbers(batch):
    return [g.index for g in batch.groups]


def lags(batch, step):
    return {step - s.policy_version for g in batch.groups for s in g.samples}


def config(**changes):
    return RolloutConfig(**{"group_size": 2, "groups_per_step": 4, "lease_size": 2, **changes})

"""The stream of a session, wired from the rooms: rollout, verify, and back to whoever asked."""

from __future__ import annotations

import functools
import random
import time
import uuid
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from problems.problem import Group, Problem
from rollout.admission import Lease
from rollout.board import Answer, Standing, StreamJob, start_board
from rollout.fleet import RolloutJob
from verify.config import RewardConfig, VerifyConfig
from verify.thinking import continued

KEPT_JUDGES = 4
"""Sandboxes that a judge stage keeps, for jobs that grant programs unlike things."""
KEPT_JOBS = 16
"""Descriptions of jobs that it keeps."""
SANDBOX_STARTS = 6
"""Times that a sandbox is started before its job is ended."""


class StreamFailed(RuntimeError):
    """The stream cannot answer a job; says why in one line."""


@dataclass(frozen=True, slots=True)
class Judging:
    """What the judge stage must know of a job."""

    verify: VerifyConfig
    shuffle_seed: int | None = None
    """Deals each group's rewards out at random: a control that must not learn."""


@dataclass(frozen=True, slots=True)
class FixedProblems:
    """A list of problems as a stream."""

    problems: tuple[Problem, ...]

    def __call__(self, index: int) -> Problem:
        return self.problems[index]


class Judges:
    """Judges and rewards groups, for several jobs with as few sandboxes as they need.

    The process that judges holds no keys from then on.
    """

    def __init__(self) -> None:
        from verify.keys import drop_keys

        drop_keys()
        self._judges: dict[str, Any] = {}

    def judge(self, judging: Judging, answers: Sequence[Answer]) -> list[Answer]:
        """The same answers with verdicts and rewards. Raises IsolationTooLow and ZygoteDied."""
        groups = [group for _, group, _ in answers if group is not None]
        samples = [
            (group.problem, continued(group.prompt, sample.text), sample.finish_reason)
            for group in groups
            for sample in group.samples
        ]
        verdicts = iter(self._judge(judging.verify).judge_batch(samples) if samples else ())
        judged: list[Answer] = []
        for lease, group, error in answers:
            if group is not None:
                own = tuple(next(verdicts) for _ in group.samples)
                rewards = tuple(_reward(v, judging.verify.reward, s) for v, s in zip(own, group.samples, strict=True))
                if judging.shuffle_seed is not None:
                    rewards = shuffled(rewards, judging.shuffle_seed, lease.index)
                group = replace(group, verdicts=own, rewards=rewards)
            judged.append((lease, group, error))
        return judged

    def _judge(self, config: VerifyConfig) -> Any:
        from verify.pool import Judge

        # Rewards are no affair of the sandbox: trials of a sweep that differ in them alone share one.
        config = config.model_copy(update={"reward": RewardConfig()})
        key = config.model_dump_json()
        judge = self._judges.pop(key, None) or _with_retries(lambda: Judge(config))
        self._judges[key] = judge  # the last one used comes last
        while len(self._judges) > KEPT_JUDGES:
            self._judges.pop(next(iter(self._judges))).close()
        return judge


def _with_retries(start: Callable[[], Any]) -> Any:
    """What `start` returns; a sandbox that does not start, on a machine without memory for a moment, is tried again."""
    import tenacity

    from verify.sandbox.worker import ZygoteDied

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(ZygoteDied),
        wait=tenacity.wait_exponential(max=10),
        stop=tenacity.stop_after_attempt(SANDBOX_STARTS),
        reraise=True,
    )(start)


def _reward(verdict: Any, config: RewardConfig, sample: Any) -> float | None:
    from verify.reward import reward

    return reward(verdict, config, completion_tokens=len(sample.completion_ids))


def shuffled(rewards: Sequence[float | None], seed: int, index: int) -> tuple[float | None, ...]:
    """A group's rewards dealt out at random among its samples: same numbers, no meaning."""
    dealt = list(rewards)
    random.Random(f"shuffle {seed} {index}").shuffle(dealt)
    return tuple(dealt)


class JudgeStage:
    """The last stage of a session's stream: judges groups and hands them to the coordinator of their job, or to the
    board where it has none."""

    def __init__(self, board: str):
        """`board` is the name of the session's."""
        import ray

        self._judges = Judges()
        self._board = ray.get_actor(board)
        self._jobs: dict[str, StreamJob] = {}

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Rows of (key of the job, answers) in; which leases are done out."""
        from rollout.stream import pack, unpack

        return pack([(key, self._deliver(key, answers)) for key, answers in unpack(batch)])

    def _deliver(self, key: str, answers: Sequence[Answer]) -> tuple[Lease, ...]:
        import ray.exceptions

        leases = tuple(lease for lease, _, _ in answers)
        job = self._job(key)
        if job is None:
            return leases
        try:
            answers = self._judges.judge(job.judging, answers)
        except Exception as error:
            # The job's own fault, as an isolation that cannot be had: the other jobs of the stream go on.
            ray.get(self._board.fail.remote(key, str(error)))
            return leases
        # Straight to whoever waits: through the end of the pipeline each group would wait for one more poll of it.
        coordinator = job.rollout.coordinator
        try:
            if coordinator:
                ray.get(ray.get_actor(coordinator).deliver.remote(answers))
            else:
                ray.get(self._board.deliver.remote(key, answers))
        except (ray.exceptions.RayActorError, ValueError):
            pass  # it has died, and with it what it wanted; one that comes back asks again
        return leases

    def _job(self, key: str) -> StreamJob | None:
        import ray

        if key not in self._jobs:
            job = cast("StreamJob | None", ray.get(self._board.job.remote(key)))
            if job is None:
                return None
            self._jobs[key] = job
            for old in list(self._jobs)[:-KEPT_JOBS]:
                del self._jobs[old]
        return self._jobs[key]


def make_stream(board: str, stream: str, verify: VerifyConfig, local: bool) -> Any:
    """The Ray Data pipeline of a session: engines answer, a pool of sandbox actors judges.

    It is built in the board's process. `local` says that Ray is of this machine alone: see `rollout.local_data`.
    """
    from ray.data import ActorPoolStrategy

    from rollout.local_data import spare_helpers
    from rollout.stream import rollout_stream

    if local:
        spare_helpers()
    return rollout_stream(board, stream).map_batches(
        JudgeStage,
        fn_constructor_args=(board,),
        batch_size=1,
        batch_format="numpy",
        compute=ActorPoolStrategy(size=verify.actors, max_tasks_in_flight_per_actor=2),
        zero_copy_batch=True,
        **verify.placement,
    )


def start_stream(engines: Sequence[Any], verify: VerifyConfig, run: str, local: bool) -> Any:
    """Handle of the board of a session whose stream has the places that `verify` gives its judges."""
    return start_board(engines, functools.partial(make_stream, verify=verify, local=local), f"{run}-board")


def answer_all(
    board: Any,
    problems: Sequence[Problem],
    job: RolloutJob,
    verify: VerifyConfig,
    version: int = 0,
    without: Collection[str] = (),
) -> Iterator[tuple[Problem, Group | None, str]]:
    """Judged groups of a fixed list of problems, as they are done; where a group could not be had, None and why.

    Problems whose ids are in `without` are not asked. The others are sampled as if all were, for a group's seeds follow
    from its place in the list. Raises StreamFailed.
    """
    import ray.exceptions

    key, handled = uuid.uuid4().hex, 0
    missing = {index: problem for index, problem in enumerate(problems) if problem.id not in without}
    # Rows of several problems only where there are so many that each has enough beside it.
    size = min(8, max(1, len(missing) // 64))
    about = StreamJob(job, ray.put(FixedProblems(tuple(problems))), Judging(verify), lease_size=size)
    try:
        while missing:
            try:
                standing = cast(Standing, ray.get(board.standing.remote(key, handled, 5.0)))
                if not standing.known:
                    leases = [Lease(0, index, 0, version) for index in missing]
                    ray.get(board.open.remote(key, about, leases))
                    handled = 0
                    continue
            except ray.exceptions.ActorUnavailableError:
                time.sleep(0.5)  # Ray is starting it again
                continue
            if standing.failure:
                raise StreamFailed(standing.failure)
            for lease, group, error in standing.answers:
                handled += 1
                if lease.index in missing:
                    yield missing.pop(lease.index), group, error
    finally:
        board.close.remote(key)

"""How leases are answered: by engines that hold their policy, each as it is done. No Ray is started."""

import asyncio
import time

import pytest
from ray.exceptions import RayTaskError

from problems.problem import Group
from rollout.admission import ABANDONED, Lease
from rollout.backends import Abandoned
from rollout.board import StreamJob, Work
from rollout.config import Sampling
from rollout.fleet import RolloutJob
from rollout.load_balancer import LoadBalancer
from rollout.stream import Rollouts
from tests.rollout.pretended import problem_at

JOB = RolloutJob("run", 2, Sampling())


class Method:
    """A method of an actor, as far as callers see it."""

    def __init__(self, method):
        self._method = method

    def remote(self, *arguments):
        return asyncio.ensure_future(self._method(*arguments))


class Engine:
    """Takes as many seconds for a lease as it is told, or raises an error."""

    def __init__(self, seconds=None, error=None):
        self.asked, self._seconds, self._error = [], seconds or {}, error
        self.rollout = Method(self._rollout)

    async def _rollout(self, job, lease, problem):
        self.asked.append(lease.index)
        await asyncio.sleep(self._seconds.get(lease.index, 0.0))
        if self._error is not None:
            raise self._error
        return Group(lease.index, lease.attempt, problem, ())


class Board:
    """Knows one job, whose problems may fail to be made."""

    def __init__(self, problems=problem_at):
        self.failed = []
        self.job, self.fail = Method(self._job), Method(self._fail)
        self._problems = problems

    async def _job(self, key):
        made = asyncio.get_running_loop().create_future()
        made.set_result(self._problems)
        return StreamJob(JOB, made)

    async def _fail(self, key, reason):
        self.failed.append(reason)


def answered(engines, board, work):
    """What is emitted for a row: (seconds since the start, indices of the leases with a group, those without)."""
    found = []

    async def main():
        began = time.monotonic()

        def emit(row):
            _, answers = row
            have = [lease.index for lease, group, _ in answers if group is not None]
            found.append((time.monotonic() - began, have, [(a[0].index, a[2]) for a in answers if a[1] is None]))

        await asyncio.wait_for(Rollouts(engines, board)._answer_row(work, emit), 20)

    asyncio.run(main())
    return found


def row(count, lacking=()):
    return Work("key", tuple(Lease(0, index, 0, 0) for index in range(count)), lacking)


def test_a_lease_does_not_wait_for_one_that_takes_far_longer():
    first, second = answered([Engine({0: 0.05, 1: 1.0})], Board(), row(2))
    assert first[1] == [0] and second[1] == [1]
    assert first[0] < 0.8 and second[0] >= 1.0


def test_leases_that_take_about_as_long_stay_together():
    ((_, have, _),) = answered([Engine({0: 0.3, 1: 0.4, 2: 0.35})], Board(), row(3))
    assert sorted(have) == [0, 1, 2]


def test_a_problem_that_cannot_be_made_ends_its_job_and_leaves_no_lease_behind():
    def problems(index):
        if index == 1:
            time.sleep(0.3)
            raise ValueError("no such level")
        return problem_at(index)

    board = Board(problems)
    found = answered([Engine()], board, row(2))
    assert board.failed == ["ValueError: no such level"]
    assert [have for _, have, _ in found] == [[0], []] and found[-1][2] == [(1, "no such level")]


def test_engines_that_lack_the_policy_get_no_work_while_others_have_it():
    engines = [Engine(), Engine(), Engine()]
    answered(engines, Board(), row(6, lacking=(0, 2)))
    assert [len(engine.asked) for engine in engines] == [0, 6, 0]
    answered(engines, Board(), row(6, lacking=(0, 1, 2)))
    assert sum(len(engine.asked) for engine in engines) == 12, "they fetch it where there is no other"


def test_an_abandoned_lease_is_no_failure_of_its_engine():
    error = RayTaskError("rollout", "traceback", Abandoned("too old"))
    engine = Engine(error=error)
    ((_, have, without),) = answered([engine], Board(), row(1))
    assert have == [] and without == [(0, ABANDONED)] and engine.asked == [0], "and it is not tried again"


@pytest.mark.parametrize("failing", [0, 1])
def test_of_engines_that_hold_the_policy_one_that_failed_rests(failing):
    balancer = LoadBalancer(3)
    other = 1 - failing
    while balancer.begin(0.0, lacking=(2, other)) != failing:
        pass
    balancer.end(failing, 0.0, answered=False)
    assert balancer.begin(0.1, lacking=(2,)) == other
    assert balancer.begin(0.1, lacking=(2, other)) == failing, "where there is no other that holds it"

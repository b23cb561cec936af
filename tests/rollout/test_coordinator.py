"""The coordinator and its Ray Data stream, with engines that only pretend: loss, death and order matter here."""

import sys
import time

import numpy as np
import pytest
from ray import cloudpickle

from problems.problem import Group, Sample, Status, Verdict, informative
from rollout.admission import LeaseBook, Ledger
from rollout.fleet import ended_since, silent
from rollout.policy import PolicyVersion, Publication
from tests.processes import titled
from tests.rollout.pretended import (
    FakeEngine,
    Harness,
    Session,
    config,
    lags,
    numbers,
    pretended_engines,
    problem_at,
)

cloudpickle.register_pickle_by_value(sys.modules[__name__])  # Ray's workers cannot import test modules
pytestmark = pytest.mark.usefixtures("ray_local")


@pytest.fixture(scope="module")
def session(ray_local):
    """For runs that leave the stream and the engines' places as they are: its start takes longer than most of them."""
    session = Session(ray_local, "shared", pretended_engines(ray_local))
    yield session
    session.close()


@pytest.fixture
def harness(ray_local, session):
    """A run on the shared session, whose engines behave as told; with `engines`, or `alone`, on one of its own."""
    made, own = [], []

    def make(name, config, steps=6, engines=None, alone=False, **behaviour):
        used = session
        if engines or alone:
            used = Session(ray_local, name, engines or pretended_engines(ray_local))
            own.append(used)
        if not engines:
            ray_local.get([engine.behave.remote(**behaviour) for engine in used.engines])
        made.append(Harness(used, name, config, steps))
        return made[-1]

    yield make
    for one in made + own:
        one.close()


def test_synchronous_steps_take_the_stream_in_order_and_never_lag(harness):
    h = harness("sync", config())
    h.begin()
    for step in range(4):
        batch = h.step(step)
        assert numbers(batch) == list(range(4 * step, 4 * step + 4))
        assert lags(batch, step) == {0}
    assert batch.ledger == Ledger(4, 16, ())


def test_one_step_of_overlap_lags_by_one_at_most_and_loses_nothing(harness):
    h = harness("overlap", config(max_staleness=1))
    h.begin()
    seen = []
    for step in range(6):
        time.sleep(0.2)
        batch = h.step(step)
        assert lags(batch, step) <= {0, 1}
        seen += numbers(batch)
    assert sorted(seen) == list(range(24)), "generation past the last step would show as numbers above 23"


def test_a_failed_problem_is_asked_again_and_a_dead_engine_is_replaced(harness):
    h = harness("deaths", config(), err_on=(1,), die_on=(2,))
    h.begin()
    batch = h.step(0)
    assert numbers(batch) == [0, 1, 2, 3]
    assert batch.groups[1].attempt == 1
    assert h.counts()[0]["reissued"] >= 1


def test_restore_rolls_back_and_ignores_the_learner_that_it_replaced(harness, ray_local):
    h = harness("restore", config())
    h.begin()
    first = h.step(0)
    h.step(1, publish=False)
    h.begin(version=1, ledger=first.ledger.to_dict())
    with pytest.raises(ray_local.exceptions.RayTaskError, match="replaced"):
        h.step(1, epoch=0)
    assert numbers(h.step(1)) == [4, 5, 6, 7]


def test_stopping_answers_a_waiting_learner(harness, ray_local):
    h = harness("stop", config(), steps=1)
    h.begin()
    h.step(0)
    waiting = h.coordinator.get_batch.remote(0, 1)
    ray_local.get(h.coordinator.stop.remote())
    assert ray_local.get(waiting, timeout=10) is None


@pytest.mark.slow
def test_a_board_that_died_is_told_again_what_it_lost(harness, ray_local):
    h = harness("board-killed", config(lease_seconds=600.0), steps=3, alone=True, seconds=0.3)
    h.begin()
    h.step(0)
    time.sleep(0.2)
    ray_local.kill(h.board, no_restart=False)
    assert numbers(h.step(1)) == [4, 5, 6, 7]
    assert numbers(h.step(2)) == [8, 9, 10, 11]


@pytest.mark.parametrize("title, kills", [("ReadRollouts", 1), pytest.param("Deliver", 2, marks=pytest.mark.slow)])
def test_a_killed_stage_loses_no_lease(harness, title, kills):
    """Each time amid a step, and with leases that would be missed for longer than the test may take."""
    h = harness(f"killed-{title}", config(lease_seconds=600.0), steps=4, alone=True, seconds=0.3)
    h.begin()
    h.step(0)
    for step in (1, 2, 3):
        if step <= kills:
            time.sleep(0.2)
            deadline = time.monotonic() + 60
            while not (victims := titled(title)):  # on busy cores what was killed before comes up late
                assert time.monotonic() < deadline
                time.sleep(0.02)
            for victim in victims:
                victim.kill()
        assert numbers(h.step(step)) == list(range(4 * step, 4 * step + 4))


def test_the_book_agrees_with_its_own_bound():
    book = LeaseBook(groups_per_step=3, max_staleness=2, steps=2)
    assert len(book.lease(100, 0.0)) == 6, "only two steps are left, whatever the staleness allows"


class Engine:
    """As far as is asked here."""

    async def stats(self):
        return {"pid": 7}


def test_an_engine_that_no_node_can_take_is_told_from_those_that_answer(ray_local):
    there = ray_local.remote(Engine).options(num_cpus=0).remote()
    nowhere = ray_local.remote(Engine).options(num_cpus=0, resources={"a_node_that_was_lost": 1}).remote()
    ray_local.get(there.stats.remote())
    try:
        assert silent([there, nowhere, there], 1.0) == [1]
        assert ended_since([there, nowhere, there], {0: 7, 1: 7, 2: 8}, 1.0).keys() == {1, 2}, (
            "gone, and another process"
        )
    finally:
        for actor in (there, nowhere):
            ray_local.kill(actor)


class TroubledEngine(FakeEngine):
    """From the version `at` on: dies, as one whose core has died, or never loads it, as one whose core is stopped."""

    def __init__(self, at, hangs=False):
        super().__init__()
        self.at, self.hangs = at, hangs

    async def load(self, publication, token):
        import asyncio
        import os

        if publication.policy.number >= self.at:
            if not self.hangs:
                os._exit(1)
            await asyncio.sleep(3600)
        return await super().load(publication, token)


def one_in_trouble(ray, restarts, **trouble):
    good = ray.remote(FakeEngine).options(num_cpus=0).remote(name="good")
    bad = ray.remote(TroubledEngine).options(num_cpus=0, max_restarts=restarts, max_task_retries=0).remote(**trouble)
    return [good, bad]


def impatient(seconds, **changes):
    return config(engine={"patience_seconds": seconds}, **changes)


@pytest.mark.parametrize("restarts", [-1, pytest.param(0, marks=pytest.mark.slow)])
def test_an_engine_that_dies_during_publish_is_left_out_at_once(harness, ray_local, restarts):
    """Started again or gone for good: the others have the version, and every problem is answered."""
    engines = one_in_trouble(ray_local, restarts, at=1)
    h = harness(f"dies{restarts}", impatient(3600.0), engines=engines, steps=3)  # far beyond the test's own limit
    h.begin()
    assert [numbers(h.step(step)) for step in range(3)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]
    (note,) = h.await_notes("is out")
    assert note.startswith("engine number 1 of 2 is out (") and "goes on with the others" in note
    assert "may or may not" not in note, "Ray's own words for an actor that restarts"


def test_an_engine_that_hangs_during_publish_is_not_waited_for_and_gets_no_work(harness, ray_local):
    """The learner goes on with half of the engines; the other is out once its patience is over."""
    h = harness("hangs", impatient(3.0), engines=one_in_trouble(ray_local, 0, at=1, hangs=True), steps=3)
    h.begin()
    batches = [h.step(step) for step in range(3)]
    assert [len(batch.groups) for batch in batches] == [4, 4, 4]
    assert {s.engine for batch in batches[1:] for g in batch.groups for s in g.samples} == {"good"}
    assert len(h.await_notes("engine number 1 of 2 is out (no answer within 3 s)")) == 1


def test_a_run_without_an_engine_ends_with_a_line_that_names_them(harness, ray_local):
    dead = [ray_local.remote(FakeEngine).options(num_cpus=0).remote() for _ in range(2)]
    for engine in dead:
        ray_local.kill(engine)
    h = harness("nobody", impatient(3.0), engines=dead)
    h.begin()
    *_, note = h.notes()
    assert "none of 2 engines could load the policy: engine number 0 of 2 is out" in note and "\n" not in note
    assert ray_local.get(h.coordinator.get_batch.remote(0, 0), timeout=10) is None


def test_a_step_waits_for_no_answer_that_it_can_do_without(harness):
    """One step ahead, with an answer that never ends: it is ended when no step may learn from it, and asked again."""
    h = harness("endless", config(max_staleness=1), hold_on=(0,))
    h.begin()
    batches = [h.step(step) for step in range(6)]
    assert all(lags(batch, step) <= {0, 1} for step, batch in enumerate(batches))
    groups = [group for batch in batches for group in batch.groups]
    assert sorted(group.index for group in groups) == list(range(24)), "nothing is lost or trained on twice"
    assert [group.attempt for group in groups if group.index == 0] == [1]
    assert 0 not in numbers(batches[0]) + numbers(batches[1])
    assert sum(batch.counts["stale"] for batch in batches) >= 1 and not h.notes()


def test_a_lease_that_no_engine_has_in_hand_is_issued_again(harness):
    h = harness("forgotten", config(lease_seconds=1.0), hold_on=(1,), forgets=True)
    h.begin()
    batch = h.step(0)
    assert numbers(batch) == [0, 1, 2, 3] and batch.groups[1].attempt >= 1
    assert batch.counts["reissued"] >= 1, "on busy cores others, too, are in no engine's hands for a second"


def test_a_lease_that_an_engine_has_in_hand_may_take_its_time(harness, ray_local):
    """In the second step: while the stream starts, leases are on their way for longer than they may be."""
    h = harness("slow", config(lease_seconds=2.0), hold_on=(5,))
    h.begin()
    h.step(0)
    waiting = h.coordinator.get_batch.remote(h.epoch, 1)
    assert not ray_local.wait([waiting], timeout=7)[0], "three times the lease's seconds"
    ray_local.get([engine.let_go.remote() for engine in h.engines])
    batch = ray_local.get(waiting, timeout=30)
    assert [group.attempt for group in batch.groups if group.index == 5] == [0]


def test_a_late_rank_is_not_given_the_groups_of_another_step(harness, ray_local):
    h = harness("late", config(), steps=4)
    h.begin()
    first = h.step(0)
    late = ray_local.get(h.coordinator.get_batch.remote(0, 0, 1, 2), timeout=30)
    assert numbers(late) == numbers(first), "its groups are still there"
    h.step(1)
    with pytest.raises(ray_local.exceptions.RayTaskError, match="rank 1 of 2 asks for the groups of step 0"):
        ray_local.get(h.coordinator.get_batch.remote(0, 0, 1, 2), timeout=30)


def test_a_rank_that_is_early_waits_until_the_version_is_published(harness, ray_local):
    """With groups of the next step at hand: they must not go out under the number of this one."""
    h = harness("early", config(max_staleness=1), steps=3)
    h.begin()
    first = numbers(h.step(0, publish=False))
    time.sleep(0.5)
    early = h.coordinator.get_batch.remote(0, 1, 1, 2)
    assert not ray_local.wait([early], timeout=2)[0]
    ray_local.get(h.coordinator.publish.remote(0, Publication(PolicyVersion("r", 1))))
    batch = ray_local.get(early, timeout=30)
    assert batch.step == 1
    assert sorted(first + numbers(batch)) == list(range(8)), "which groups are ready first is nobody's promise"


def test_records_are_kept_until_the_driver_has_dealt_with_them(harness, ray_local):
    h = harness("records", config(), steps=3)
    h.begin()
    h.step(0)
    first = ray_local.get(h.coordinator.events.remote(0.1))
    settled = h.coordinator.settle.remote(h.epoch)
    assert not ray_local.wait([settled], timeout=1)[0], "a checkpoint must not count before the driver has its steps"
    again = ray_local.get(h.coordinator.events.remote(0.1, "another-coordinator-9"))
    assert [e.id for e in again] == [e.id for e in first], "an answer that was lost is sent again"
    assert [e.step for e in again if e.kind == "step"] == [1]
    rest = ray_local.get(h.coordinator.events.remote(0.1, first[-1].id))
    ray_local.get(settled, timeout=10)
    assert rest == []
    h.step(1)
    assert [e.step for e in ray_local.get(h.coordinator.events.remote(0.1, first[-1].id)) if e.kind == "step"] == [2]


@pytest.mark.parametrize("group_filter", ["outcome", "reward", "off"])
def test_refill_and_learner_agree_on_what_is_informative(group_filter):
    ids = np.arange(3, dtype=np.int32)
    samples = tuple(Sample("p", "g", i, ids, ids, ids.astype(np.float32), "x", "stop", 0, "") for i in range(2))
    failed = (Verdict(Status.WRONG_ANSWER), Verdict(Status.WRONG_ANSWER))
    groups = [Group(n, 0, problem_at(n), samples, failed, (0.0, 0.5)) for n in range(4)]
    book = LeaseBook(groups_per_step=2, max_staleness=0, refill=1, group_filter=group_filter)
    book.lease(2, 0.0)
    for group in groups[:2]:
        book.deliver(0, group)
    batch = book.take()
    kept = [informative(group, group_filter) for group in groups[:2]]
    assert (batch is None) == (group_filter == "outcome") == (not any(kept))
    if batch is not None:
        assert list(batch.informative) == kept

"""Admission: the staleness bound, exactly-once consumption, reissue, restore. No Ray."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from problems.problem import Group, Problem, Sample, Status, Verdict
from rollout.admission import MAX_FAILURES, LeaseBook, Ledger

PROBLEM = Problem("p", "f", 1, 1, "train", "s", "f", "def f():", (), ())


def group(lease, version, passes=(True, False)):
    empty = np.zeros(1, np.int32)
    samples = tuple(
        Sample("p", "g", i, empty, empty, empty.astype(np.float32), "", "stop", version, "") for i in range(len(passes))
    )
    verdicts = tuple(Verdict(Status.PASSED if p else Status.WRONG_ANSWER) for p in passes)
    return Group(lease.index, lease.attempt, PROBLEM, samples, verdicts, tuple(float(p) for p in passes))


def book(**changes):
    return LeaseBook(**{"groups_per_step": 4, "max_staleness": 0, **changes})


def test_synchronous_training_issues_one_step_at_a_time():
    b = book()
    leases = b.lease(100, 0)
    assert [x.index for x in leases] == [0, 1, 2, 3]
    assert b.lease(100, 0) == []
    for lease in reversed(leases):
        assert b.take() is None
        b.deliver(0, group(lease, 0))
    batch = b.take()
    assert [g.index for g in batch.groups] == [0, 1, 2, 3]
    assert b.lease(100, 0) == [], "the next step must wait for the new version"
    b.advance(1)
    assert [x.index for x in b.lease(100, 0)] == [4, 5, 6, 7]


def test_staleness_one_lets_the_next_step_overlap():
    b = book(max_staleness=1)
    assert len(b.lease(100, 0)) == 8


def test_dull_groups_are_replaced_within_the_bound():
    b = book(refill=1)
    first = b.lease(100, 0)
    for lease in first:
        b.deliver(0, group(lease, 0, (True, True) if lease.index < 3 else (True, False)))
    assert b.take() is None
    second = b.lease(100, 0)
    assert [x.index for x in second] == [4, 5, 6]
    for lease in second:
        b.deliver(0, group(lease, 0, (False, False)))
    (third,) = b.lease(100, 0)
    b.deliver(0, group(third, 0))
    batch = b.take()
    assert len(batch.groups) == 8 and sum(batch.informative) == 2
    b.advance(1)
    assert len(b.lease(100, 0)) == 4


def test_late_leases_are_issued_again_and_the_first_answer_wins():
    b = book(lease_seconds=10)
    first = b.lease(4, 0)
    assert b.lease(4, 9) == []
    again = b.lease(4, 11)
    assert [(x.index, x.attempt) for x in again] == [(i, 1) for i in range(4)]
    assert b.deliver(0, group(first[0], 0))
    assert not b.deliver(0, group(again[0], 0))
    for lease in again[1:]:
        b.deliver(0, group(lease, 0))
    assert b.take().counts["reissued"] == 4


def test_a_problem_that_always_fails_is_given_up_and_its_place_taken():
    b = book(groups_per_step=1)
    for _ in range(MAX_FAILURES):
        (lease,) = b.lease(10, 0)
        assert lease.index == 0
        b.fail(lease)
    (lease,) = b.lease(10, 0)
    assert lease.index == 1
    b.deliver(0, group(lease, 0))
    batch = b.take()
    assert batch.counts["lost"] == 1 and batch.ledger == Ledger(1, 2, ())


def test_over_stale_groups_are_dropped_and_leased_again():
    b = book(groups_per_step=1, max_staleness=1)
    slow, quick = b.lease(10, 0)
    b.deliver(0, group(quick, 0))
    assert b.take().groups[0].index == 1
    b.advance(1)
    (next_one,) = b.lease(10, 0)
    b.deliver(0, group(next_one, 1))
    assert b.take().groups[0].index == 2
    b.advance(2)
    b.deliver(0, group(slow, 0))
    assert b.take() is None
    again = b.lease(1, 0)[0]
    assert (again.index, again.attempt, again.min_version) == (0, 1, 2)


def test_answers_to_an_earlier_restore_are_void():
    old = book().lease(1, 0)[0]
    b = book(epoch=1)
    b.lease(1, 0)
    assert not b.deliver(old.epoch, group(old, 0))


def test_a_number_is_never_consumed_twice():
    with pytest.raises(ValueError, match="twice"):
        Ledger(0, 5).consume([4])


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    size=st.integers(1, 5),
    staleness=st.integers(0, 3),
    refill=st.integers(0, 2),
)
def test_any_order_of_events_consumes_every_number_once_and_keeps_the_bound(seed, size, staleness, refill):
    rng = random.Random(seed)
    b = book(groups_per_step=size, max_staleness=staleness, refill=refill, lease_seconds=5)
    consumed, flying, clock, epoch = [], [], 0.0, 0
    checkpoint, kept = b.ledger, 0
    for _ in range(300):
        clock += rng.random()
        event = rng.random()
        if event < 0.4:
            flying += [(epoch, lease, b.version) for lease in b.lease(rng.randint(1, 4), clock)]
        elif event < 0.8 and flying:
            at, lease, version = flying.pop(rng.randrange(len(flying)))
            version = max(version, lease.min_version)
            b.deliver(at, group(lease, version, rng.choice([(True, False), (True, True)])))
        elif event < 0.85 and flying:
            b.fail(flying.pop()[1])
        elif event < 0.86:
            flying.clear()
        elif event < 0.87 and flying:
            b.abandon(flying.pop()[1])
        elif event < 0.9:
            epoch += 1
            del consumed[kept:]
            b = book(
                groups_per_step=size,
                max_staleness=staleness,
                refill=refill,
                lease_seconds=5,
                ledger=checkpoint,
                epoch=epoch,
            )
        elif (batch := b.take()) is not None:
            assert all(0 <= lag <= staleness for lag in batch.staleness)
            assert size <= len(batch.groups) <= size * (1 + refill)
            consumed += [g.index for g in batch.groups]
            b.advance(batch.step + 1)
            if rng.random() < 0.5:
                checkpoint, kept = batch.ledger, len(consumed)
    assert len(set(consumed)) == len(consumed)
    low, above = b.ledger.low_water, set(b.ledger.above)
    assert set(consumed) <= set(range(low)) | above

"""Overdue leases: who has them in hand, for how long yet, and which are issued again. No Ray."""

import pytest

from rollout.admission import FIRST_LOOK, LOOK_AFTER, MAX_FAILURES, LeaseBook
from rollout.flights import SLACK, Flight, Flights
from rollout.lease_search import lease_key, settle_overdue
from tests.rollout.test_admission import group


def out(count=4, **changes):
    """A book with leases that all are overdue at 100 seconds, and those leases."""
    book = LeaseBook(**{"groups_per_step": count, "max_staleness": 0, "lease_seconds": 100.0, **changes})
    return book, book.lease(count, 0.0)


def reissued(book, now):
    return [(lease.index, lease.attempt) for lease in book.lease(10, now)]


def test_what_waits_or_is_being_sampled_is_not_issued_again():
    book, leases = out()
    engine = {lease_key(leases[1]): 20.0, lease_key(leases[2]): None, lease_key(leases[3]): -1.0}
    settle_overdue(book, {leases[0]}, [engine, {}], 100.0)
    assert reissued(book, 101.0) == [(3, 1)], "an engine has had it for longer than its longest answer takes"
    assert [lease.index for lease in book.due(121.0)] == [1], "the time that the engine said is over"


def test_a_lease_that_nobody_has_is_issued_again():
    book, leases = out(2)
    settle_overdue(book, set(), [{lease_key(leases[0]): 5.0}], 100.0)
    assert reissued(book, 100.0) == [(1, 1)]


def test_where_an_engine_is_silent_a_lease_has_all_of_its_seconds():
    book, leases = out(2)
    book.deliver(0, group(leases[0], 0), now=1.0)
    (late,) = book.lease(1, 10.0) or [leases[1]]
    assert book.patience == FIRST_LOOK
    settle_overdue(book, set(), [None, {}], 100.0)
    assert reissued(book, 100.0) == [(late.index, 1)], "and not a second more"


def test_a_lease_is_looked_for_after_the_time_that_answers_take():
    book, leases = out(2, max_staleness=5, lease_seconds=600.0)
    assert book.patience == 600.0, "nothing is known yet"
    book.deliver(0, group(leases[0], 0), now=40.0)
    assert book.patience == LOOK_AFTER * 40.0
    (third,) = book.lease(1, 50.0)
    assert third in book.due(50.0 + LOOK_AFTER * 40.0) and third not in book.due(49.0 + LOOK_AFTER * 40.0)
    settle_overdue(book, set(), [None], 50.0 + LOOK_AFTER * 40.0)
    assert third not in book.due(649.0), "an engine that is silent may have it"
    assert third in book.due(650.0)
    book.deliver(0, group(leases[1], 0), now=599.0)
    assert book.patience == 600.0, "the option is the upper bound"


def test_samples_that_were_ended_as_too_old_are_no_failure():
    book, _ = out(1)
    for attempt in range(2 * MAX_FAILURES):
        (lease,) = book.lease(1, 0.0) if attempt else [book.due(100.0)[0]]
        assert lease.attempt == attempt
        book.abandon(lease)
        book.abandon(lease)
    (lease,) = book.lease(1, 0.0)
    assert book.fail(lease), "its first failure"
    (lease,) = book.lease(1, 0.0)
    book.deliver(0, group(lease, 0))
    assert book.take().counts["stale"] == 2 * MAX_FAILURES


def test_what_no_step_to_come_may_learn_from():
    book = LeaseBook(groups_per_step=1, max_staleness=1)
    leases = book.lease(2, 0.0)
    assert book.oldest == -1
    book.deliver(0, group(leases[1], 0))
    assert book.take().step == 0
    assert book.oldest == 0, "step 1 may learn from version 0"
    book.advance(1)
    assert book.oldest == 0
    (new,) = book.lease(1, 0.0)
    book.deliver(0, group(new, 1))
    book.take()
    assert book.oldest == 1, "step 2 may not"


def test_without_staleness_nothing_is_sampled_from_a_policy_that_is_being_trained():
    book, leases = out(2)
    for lease in leases:
        book.deliver(0, group(lease, 0))
    book.take()
    assert book.oldest == 1 and book.lease(10, 0.0) == []
    book.advance(1)
    assert {lease.min_version for lease in book.lease(10, 0.0)} == {1}


def flights(*groups):
    held = Flights()
    for one in groups:
        held.add(one)
    return held


def test_the_time_that_a_group_may_take_follows_the_measured_pace():
    done, running, waiting = (Flight("run", name, 1000) for name in ("1.0", "2.0", "3.0"))
    held = flights(done, running, waiting, Flight("other", "2.0", 10))
    done.begin(0, ["a"], 0.0)
    running.begin(0, ["b"], 50.0)
    assert held.in_hand("run", 60.0) == {"1.0": None, "2.0": None, "3.0": None}, "no pace is known"
    held.book_pace(done, 100, 20.0)  # 0.2 s a token
    held.remove(done)
    assert held.in_hand("run", 60.0) == {"2.0": pytest.approx(SLACK * 200 - 10), "3.0": None}
    held.book_pace(done, 2, 20.0)
    assert held.in_hand("run", 60.0)["2.0"] == pytest.approx(SLACK * 200 - 10), "two tokens say nothing of the pace"


def test_only_groups_of_older_versions_are_abandoned():
    old, young, waiting, other = (Flight(run, name, 10) for run, name in zip("rrrs", "abcd"))
    held = flights(old, young, waiting, other)
    old.begin(3, ["1", "2"], 0.0)
    young.begin(4, ["3"], 0.0)
    other.begin(1, ["4"], 0.0)
    assert held.abandon("r", 4) == ["1", "2"] and old.abandoned and not young.abandoned and not waiting.abandoned
    assert held.abandon("r", None) == ["1", "2", "3"] and waiting.abandoned and not other.abandoned

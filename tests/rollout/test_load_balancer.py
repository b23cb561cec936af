"""The load balancer passes over engines that fail, and takes them back when they answer."""

import heapq
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.load_balancer import FIRST_PAUSE, LONGEST_PAUSE, LoadBalancer


def drive(balancer, engines, *, dead=lambda now: set(), groups=1000, in_flight=16, count_from=0.0):
    """Answers groups as engines would: in about a second each, and at once with an error where one is dead.

    Returns the tries by engine after the second `count_from`.
    """
    now, tries, waiting, given, number, chance, pause = 0.0, [0] * engines, [], 0, 0, random.Random(1), 0.2

    def begin():
        nonlocal number
        index, number = balancer.begin(now), number + 1
        tries[index] += now >= count_from
        fails = index in dead(now)
        heapq.heappush(waiting, (now + (0.001 if fails else chance.uniform(0.5, 1.5)), number, index, fails))

    for _ in range(in_flight):
        begin()
    again = []
    while given < groups:
        while again and (not waiting or again[0] <= waiting[0][0]):
            now = heapq.heappop(again)
            begin()
        now, _, index, fails = heapq.heappop(waiting)
        balancer.end(index, now, answered=not fails)
        if fails:
            heapq.heappush(again, now + pause)
        else:
            given += 1
            begin()
    return tries


@pytest.mark.parametrize("engines", [2, 4, 8])
def test_a_dead_engine_draws_far_fewer_than_its_share(engines):
    tries = drive(LoadBalancer(engines), engines, dead=lambda now: {1})
    assert tries[1] < 0.1 * sum(tries) / engines, tries


def test_all_but_one_dead_leave_the_work_to_that_one():
    tries = drive(LoadBalancer(4), 4, dead=lambda now: {0, 1, 3}, in_flight=8)
    assert tries[2] > 0.95 * sum(tries), tries


def test_an_engine_that_comes_back_gets_its_share_again():
    tries = drive(LoadBalancer(2), 2, dead=lambda now: {0} if now < 20 else set(), groups=2000, count_from=60)
    assert min(tries) > 0.35 * sum(tries), tries


def test_failures_at_once_count_as_one_and_pauses_double_up_to_a_bound():
    balancer, pauses, now = LoadBalancer(1), [], 0.0
    for _ in range(12):
        for index in [balancer.begin(now) for _ in range(5)]:
            balancer.end(index, now, answered=False)
        engine = balancer._engines[0]
        pauses.append(engine.out_until - now)
        now = engine.out_until
    assert pauses[:3] == [FIRST_PAUSE, 2 * FIRST_PAUSE, 4 * FIRST_PAUSE] and pauses[-1] == LONGEST_PAUSE


def test_a_group_that_cannot_be_answered_is_not_its_engines_failure():
    balancer = LoadBalancer(2)
    for now in range(10):
        balancer.end(balancer.begin(float(now)), float(now), answered=False, failed=False)
    assert not any(engine.failures for engine in balancer._engines)


def test_where_all_have_failed_the_one_whose_pause_ends_first_is_tried():
    balancer = LoadBalancer(3)
    for now, index in ((0.0, 0), (0.1, 1), (0.2, 2)):
        assert balancer.begin(now) == index
        balancer.end(index, now, answered=False)
    assert balancer.begin(0.3) == 0


def test_silence_is_measured_from_the_last_answer():
    balancer = LoadBalancer(1)
    assert balancer.silence(0, 50.0) == 0.0, "an engine without work is not silent"
    for now in (0.0, 1.0):
        balancer.begin(now)
    assert balancer.silence(0, 5.0) == 5.0
    balancer.end(0, 6.0, answered=True)
    assert balancer.silence(0, 8.0) == 2.0


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 5), st.lists(st.tuples(st.booleans(), st.floats(0, 100)), max_size=80))
def test_books_stay_whole_whatever_happens(engines, events):
    balancer, now, out = LoadBalancer(engines), 0.0, []
    for ends, seconds in events:
        now += seconds
        if ends and out:
            balancer.end(out.pop(0), now, answered=seconds > 50)
        else:
            out.append(balancer.begin(now))
    assert sum(engine.in_flight for engine in balancer._engines) == len(out)
    assert all(engine.in_flight >= 0 for engine in balancer._engines)

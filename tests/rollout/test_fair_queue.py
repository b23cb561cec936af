"""Sharing engines: runs take turns, and unlike engines get what they can do."""

import asyncio
import random

import pytest

from rollout.fair_queue import FairQueue
from rollout.load_balancer import LoadBalancer


def served(requests, capacity, seconds=0.001):
    """Order in which (run, cost) requests, all made at once, are let in."""
    order = []

    async def one(gate, run, cost):
        async with gate.turn(run, cost):
            order.append(run)
            await asyncio.sleep(seconds)

    async def main():
        gate = FairQueue(capacity)
        await asyncio.gather(*(one(gate, run, cost) for run, cost in requests))

    asyncio.run(main())
    return order


def test_a_run_that_asks_for_much_does_not_hold_up_another():
    order = served([("greedy", 4)] * 40 + [("modest", 4)] * 5, capacity=8)
    assert len(order) == 45
    assert max(i for i, run in enumerate(order) if run == "modest") < 14


def test_shares_are_of_cost_and_not_of_requests():
    order = served([("wide", 16)] * 20 + [("narrow", 4)] * 80, capacity=32)
    first = order[:50]
    assert first.count("wide") * 16 == pytest.approx(first.count("narrow") * 4, rel=0.2)


def test_a_request_dearer_than_the_capacity_is_let_in_alone():
    assert served([("a", 100), ("b", 1)], capacity=10) == ["a", "b"]


def test_a_cancelled_request_gives_back_its_turn():
    async def main():
        gate = FairQueue(1)
        async with gate.turn("a", 1):
            waiting = [asyncio.ensure_future(hold(gate, run)) for run in ("b", "c")]
            await asyncio.sleep(0)
            waiting[0].cancel()
        await asyncio.wait_for(waiting[1], 1)

    async def hold(gate, run):
        async with gate.turn(run, 1):
            pass

    asyncio.run(main())


def test_work_is_dealt_out_in_proportion_to_speed():
    """Engines of 4, 4, 1 and 1 groups a second, kept busy: each answers in the time that its load and speed make."""
    speeds, balancer, rng = [4.0, 4.0, 1.0, 1.0], LoadBalancer(4), random.Random(0)
    now, running, answered = 0.0, [], [0] * 4
    for _ in range(600):
        while len(running) < 24:
            index = balancer.begin(now)
            queued = sum(1 for _, i in running if i == index)
            running.append((now + (queued + 1) / speeds[index] * rng.uniform(0.9, 1.1), index))
        running.sort()
        now, index = running.pop(0)
        balancer.end(index, now, answered=True)
        answered[index] += 1
    shares = [count / sum(answered) for count in answered]
    assert shares == pytest.approx([0.4, 0.4, 0.1, 0.1], abs=0.06)


def test_an_engine_that_fails_at_once_is_not_taken_for_a_fast_one():
    balancer = LoadBalancer(2)
    for step in range(20):
        index = balancer.begin(float(step))
        balancer.end(index, step + (0.5 if index == 0 else 0.001), answered=index == 0)
    assert balancer.rates[1] is None

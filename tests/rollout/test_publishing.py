"""Publishing at a quorum: engines that are slow, dead, back, or of another opinion. No Ray."""

import asyncio
import time

import pytest

from rollout import publishing
from rollout.publishing import EngineOut, NoQuorum, PolicyRefused, Publisher


class Engines:
    """Loads as they are told to: at once, after an event, never, or with an error."""

    def __init__(self, count, patience=30.0):
        self.held = [None] * count
        self.gates = [asyncio.Event() for _ in range(count)]
        for gate in self.gates:
            gate.set()
        self.errors = [None] * count
        self.loads = []
        self.notes, self.refusals, self.changes = [], [], 0
        self.publisher = Publisher(count, self.load, patience, self.changed, self.notes.append, self.refused)

    async def load(self, number, publication):
        self.loads.append((number, publication))
        await self.gates[number].wait()
        if self.errors[number] is not None:
            raise self.errors[number]
        self.held[number] = publication
        return {"engine": number, "publication": publication}

    async def changed(self):
        self.changes += 1

    async def refused(self, why):
        self.refusals.append(why)


def run(drive, count, **more):
    async def main():
        engines = Engines(count, **more)
        try:
            return await asyncio.wait_for(drive(engines, engines.publisher), 30)
        finally:
            await engines.publisher.close()

    return asyncio.run(main())


async def until(true):
    while not true():
        await asyncio.sleep(0.01)


def test_the_learner_goes_on_at_a_quorum_and_the_others_follow():
    async def drive(engines, publisher):
        engines.gates[3].clear()
        first = await publisher.publish("v0")
        assert sorted(first.reports) == [0, 1, 2] and publisher.lacking(first.number) == (3,) and not first.out
        second = await publisher.publish("v1")
        assert publisher.lacking(second.number) == (3,)
        engines.gates[3].set()
        await until(lambda: not publisher.lacking(second.number))
        assert engines.held == ["v1"] * 4 and not engines.notes

    run(drive, 4)


def test_publications_that_an_engine_was_too_slow_for_are_skipped():
    async def drive(engines, publisher):
        engines.gates[1].clear()
        for version in ("v0", "v1", "v2"):
            await publisher.publish(version)
        engines.gates[1].set()
        await until(lambda: engines.held[1] == "v2")
        assert [what for number, what in engines.loads if number == 1] == ["v0", "v2"]

    run(drive, 2)


def test_less_than_a_quorum_is_waited_for():
    async def drive(engines, publisher):
        for gate in engines.gates[:2]:
            gate.clear()
        publishing_ = asyncio.ensure_future(publisher.publish("v0"))
        await until(lambda: engines.held[2] == "v0")
        await asyncio.sleep(4 * publishing.GRACE_SECONDS)
        assert not publishing_.done(), "one of three is no quorum"
        engines.gates[0].set()
        assert sorted((await publishing_).reports) == [0, 2]

    run(drive, 3)


def test_engines_that_are_a_little_slower_than_the_quorum_are_waited_for():
    async def drive(engines, publisher):
        engines.gates[1].clear()
        asyncio.get_running_loop().call_later(publishing.GRACE_SECONDS / 3, engines.gates[1].set)
        assert sorted((await publisher.publish("v0")).reports) == [0, 1]

    run(drive, 2)


def test_an_engine_that_is_out_is_not_waited_for_and_comes_back_by_itself():
    async def drive(engines, publisher):
        engines.errors[1] = EngineOut("its process has ended")
        first = await publisher.publish("v0")
        assert sorted(first.reports) == [0] and first.out == {1: "its process has ended"}
        began = time.monotonic()
        await publisher.publish("v1")
        assert time.monotonic() - began < publishing.GRACE_SECONDS, "nobody else is awaited"
        engines.errors[1] = None
        await until(lambda: engines.held[1] == "v1")
        await until(lambda: not publisher.out)
        assert [note.partition(":")[0] for note in engines.notes] == [
            "engine number 1 of 2 is out (its process has ended)",
            "engine number 1 of 2 is back, with the current policy",
        ]

    run(drive, 2)


def test_a_run_of_one_engine_waits_until_it_is_back():
    async def drive(engines, publisher):
        engines.errors[0] = EngineOut("gone")
        publishing_ = asyncio.ensure_future(publisher.publish("v0"))
        await until(lambda: publisher.out)
        assert not publishing_.done()
        engines.errors[0] = None
        assert sorted((await publishing_).reports) == [0]

    run(drive, 1)


def test_a_silent_engine_is_out_after_its_patience_and_back_when_it_answers():
    async def drive(engines, publisher):
        engines.gates[1].clear()
        outcome = await publisher.publish("v0")
        assert not outcome.out, "it is not awaited, and has not been silent for long"
        await until(lambda: publisher.out)
        assert publisher.out == {1: "no answer within 1 s"}
        engines.gates[1].set()
        await until(lambda: not publisher.out and not publisher.lacking(outcome.number))

    run(drive, 2, patience=1.0)


def test_no_engine_in_time_is_an_error():
    async def drive(engines, publisher):
        engines.gates[0].clear()
        engines.errors[1] = EngineOut("gone")
        with pytest.raises(NoQuorum):
            await publisher.publish("v0")
        assert publisher.out == {0: "no answer within 1 s", 1: "gone"}

    run(drive, 2, patience=1.0)


def test_what_an_engine_says_against_a_policy_ends_the_run_before_and_after_the_quorum():
    async def drive(engines, publisher):
        engines.errors[0] = PolicyRefused("it is another one")
        with pytest.raises(PolicyRefused, match="another one"):
            await publisher.publish("v0")
        engines.errors[0] = None
        engines.gates[1].clear()
        engines.errors[1] = PolicyRefused("late")
        await publisher.publish("v1")
        assert not engines.refusals
        engines.gates[1].set()
        await until(lambda: engines.refusals == ["late"])

    run(drive, 2)

"""A real engine that is loaded while it samples: nothing waits for the longest answer, and what is too old is ended."""

import asyncio

import numpy as np
import pytest

from rollout.backends import Abandoned
from rollout.config import EngineConfig, Sampling
from rollout.engine import Engine, GroupRequest
from rollout.engine_spec import EngineSpec
from rollout.policy import Canary, Publication
from tests.rollout.test_engine import ANSWER, PROMPT, version

SEATS = 4
LONG = 400


@pytest.fixture(scope="module", params=["in_process", pytest.param("async", marks=pytest.mark.slow)])
def engine(request, random_model, loop):
    config = EngineConfig(max_model_len=512, max_sequences=SEATS, backend=request.param)
    made = Engine(EngineSpec(str(random_model), config, lora_rank=8, live_adapters=2), f"overlap-{request.param}")
    loop.run_until_complete(made.warm_up())
    yield made
    loop.run_until_complete(made.close())


@pytest.fixture
def endless(monkeypatch):
    """Answers that do not end before their last token."""
    from rollout import engine as module

    params = module._params

    def without_end(*args):
        found = params(*args)
        found.ignore_eos = True
        return found

    monkeypatch.setattr(module, "_params", without_end)


def asked(engine, run, seeds=(0,), tokens=LONG):
    request = GroupRequest(run, "p", f"{seeds[0]}.0", PROMPT, tuple(seeds), Sampling(max_tokens=tokens))
    return asyncio.ensure_future(engine.generate(request))


async def sampling(engine, run, number):
    """Waits until a group of that version is being sampled."""
    while not any(f.run == run and f.policy_number == number for f in engine._flights._flying):
        await asyncio.sleep(0.005)


def published(adapter, run, number, logprobs_of=None):
    policy = version(adapter, run, number, 1.0 if logprobs_of else 1 + number / 10)
    return Publication(policy, Canary(PROMPT, ANSWER, logprobs_of(PROMPT, ANSWER)) if logprobs_of else None)


def test_a_publication_waits_for_no_answer_though_three_versions_are_in_flight(
    engine, loop, adapter, logprobs_of, endless
):
    async def drive():
        await engine.load(published(adapter, "three", 0))
        oldest = asked(engine, "three")
        await sampling(engine, "three", 0)
        await engine.load(published(adapter, "three", 1))
        middle = asked(engine, "three", (1,))
        await sampling(engine, "three", 1)
        report = await engine.load(published(adapter, "three", 2, logprobs_of))
        assert not oldest.done() and not middle.done(), "the canary was scored beside them"
        youngest = await asked(engine, "three", (2,), 8)
        assert not oldest.done() and not middle.done(), "and so is the first answer of the new version"
        return report, [*await oldest, *await middle, *youngest]

    report, samples = loop.run_until_complete(drive())
    assert report.canary_gap < 1e-4
    assert [(s.policy_version, len(s.completion_ids)) for s in samples] == [(0, LONG), (1, LONG), (2, 8)]


def test_a_publication_waits_for_no_seat(engine, loop, adapter, logprobs_of, endless):
    """All seats are taken by long answers, and as many wait for one."""

    async def drive():
        await engine.load(published(adapter, "seats", 0))
        long = [asked(engine, "seats", (10 * n, 10 * n + 1)) for n in range(SEATS)]
        await sampling(engine, "seats", 0)
        await asyncio.sleep(0.1)
        report = await engine.load(published(adapter, "seats", 1, logprobs_of))
        assert not any(one.done() for one in long)
        waiting = [group for group, seconds in engine.in_hand("seats").items() if seconds is None]
        return report, await asyncio.gather(*long), waiting

    report, groups, _ = loop.run_until_complete(drive())
    assert report.canary_gap < 1e-4
    versions = [{s.policy_version for s in group} for group in groups]
    assert versions == [{0}, {0}, {1}, {1}], "those that waited begin with the policy of when they begin"


def test_what_no_step_may_learn_from_is_ended_and_the_rest_goes_on(engine, loop, adapter, endless):
    async def drive():
        await engine.load(published(adapter, "old", 3))
        old = asked(engine, "old", (0, 1))
        await sampling(engine, "old", 3)
        await engine.load(published(adapter, "old", 4))
        young, other = asked(engine, "old", (2,), 60), asked(engine, "seats", (3,), 60)
        await sampling(engine, "old", 4)
        before = len(engine._held.folders.kept())
        assert await engine.abandon("old", 4) == 2
        with pytest.raises(Abandoned, match="too old for any step to come"):
            await old
        assert len(engine._held.folders.kept()) == before - 1, "nobody wants its adapter any more"
        return [*await young, *await other]

    samples = loop.run_until_complete(drive())
    assert [len(s.completion_ids) for s in samples] == [60, 60]


def test_all_of_a_run_is_ended_when_its_learner_starts_again(engine, loop, adapter, endless):
    async def drive():
        await engine.load(published(adapter, "again", 0))
        groups = [asked(engine, "again", (10 * n, 10 * n + 1)) for n in range(SEATS)]
        await sampling(engine, "again", 0)
        await engine.abandon("again", None)
        return await asyncio.gather(*groups, return_exceptions=True)

    assert all(isinstance(error, Abandoned) for error in loop.run_until_complete(drive())), "those that wait too"
    assert not engine._flights._flying


def test_a_group_whose_caller_has_gone_leaves_nothing_behind(engine, loop, adapter, endless):
    async def drive():
        await engine.load(published(adapter, "gone", 0))
        group = asked(engine, "gone", (0, 1))
        await sampling(engine, "gone", 0)
        await asyncio.sleep(0.05)
        group.cancel()
        with pytest.raises(asyncio.CancelledError):
            await group
        await engine.load(published(adapter, "gone", 1))
        return len(engine._held.folders.kept()), await asked(engine, "gone", (5,), 8)

    kept, (sample,) = loop.run_until_complete(drive())
    assert sample.policy_version == 1
    loop.run_until_complete(engine.forget("gone"))
    assert len(engine._held.folders.kept()) == kept - 1


def test_the_pace_that_was_measured_says_how_long_an_answer_may_take(engine, loop, adapter, endless):
    async def drive():
        await engine.load(published(adapter, "pace", 0))
        await asked(engine, "pace", (0,), 100)
        running = asked(engine, "pace", (1,), 200)
        await sampling(engine, "pace", 0)
        seconds = engine.in_hand("pace")
        await running
        return seconds, engine.in_hand("pace")

    seconds, after = loop.run_until_complete(drive())
    assert seconds.keys() == {"1.0"} and seconds["1.0"] > 0 and after == {}


def test_seats_are_filled_as_samples_end(engine, loop, adapter, endless):
    """A group whose last sample is long holds one seat and not as many as it has samples."""

    async def drive():
        await engine.load(published(adapter, "fill", 0))
        long = asked(engine, "fill", (0,), LONG)
        groups = [await asked(engine, "fill", tuple(range(n, n + 3)), 12) for n in (10, 20, 30)]
        assert not long.done()
        return [*groups, await long]

    assert [len(group) for group in loop.run_until_complete(drive())] == [3, 3, 3, 1]
    assert np.isclose(engine._gate._used, 0)

"""A real vLLM engine: the adapter that was pushed is the one that samples, and it is proven."""

import asyncio
import dataclasses

import numpy as np
import pytest

from rollout.backends import engine_args
from rollout.config import EngineConfig, RolloutConfig, Sampling, lora_rank_room
from rollout.engine import Engine, GroupRequest, PolicyMismatch
from rollout.engine_spec import EngineSpec
from rollout.held_versions import PolicyMissing
from rollout.policy import Canary, PolicyVersion, Publication, ema_run

PROMPT = np.arange(40, 70, dtype=np.int32)
ANSWER = np.arange(100, 130, dtype=np.int32)


@pytest.fixture(scope="module")
def engine(random_model, loop):
    spec = EngineSpec(str(random_model), EngineConfig(max_model_len=256, backend="in_process"), lora_rank=8)
    made = Engine(spec, "engine-under-test")
    yield made
    loop.run_until_complete(made.close())
    assert not made._held.folders.kept(), "adapter files must not outlive the engine"


def version(adapter, run, number, scale=1.0):
    """The adapter, or one whose weights are scaled: other weights under the same shapes."""
    weights = adapter.weights
    if scale != 1.0:
        from safetensors.torch import load, save

        weights = save({name: value * scale for name, value in load(weights).items()})
    return PolicyVersion(run, number, weights, adapter.lora_config)


def ask(run, seeds=(0, 1, 2, 3), min_version=0, **sampling):
    return GroupRequest(run, "p", "g", PROMPT, tuple(seeds), Sampling(**{"max_tokens": 24, **sampling}), min_version)


def test_the_pushed_adapter_samples_and_its_logprobs_are_the_learners(engine, loop, adapter, logprobs_of):
    canary = Canary(PROMPT, ANSWER, logprobs_of(PROMPT, ANSWER))
    report = loop.run_until_complete(engine.load(Publication(version(adapter, "sync", 1), canary)))
    assert report.canary_gap < 1e-4
    assert report.bytes == len(adapter.weights)
    for sample in loop.run_until_complete(engine.generate(ask("sync"))):
        assert sample.policy_version == 1 and sample.adapter_hash
        mine = logprobs_of(sample.prompt_ids, sample.completion_ids)
        np.testing.assert_allclose(sample.logprobs, mine, atol=1e-4)


def test_temperature_is_in_the_sampled_logprobs(engine, loop):
    loop.run_until_complete(engine.load(Publication(PolicyVersion("warm", 0))))
    (cool,) = loop.run_until_complete(engine.generate(ask("warm", (7,), temperature=0.5)))
    raw = loop.run_until_complete(engine.score(PROMPT.tolist(), cool.completion_ids.tolist(), "warm"))
    assert cool.logprobs.sum() > raw.sum() + 0.1, "at temperature 0.5 what was sampled is likelier than at 1"


@pytest.mark.parametrize(
    ("what", "scale"), [("a stale adapter", 0.8), ("a missing adapter", 0.0), ("an adapter of twice the size", 2.0)]
)
def test_the_canary_catches(engine, loop, adapter, logprobs_of, what, scale):
    canary = Canary(PROMPT, ANSWER, logprobs_of(PROMPT, ANSWER))
    wrong = version(adapter, "stale", 3, scale) if scale else PolicyVersion("stale", 3)
    with pytest.raises(PolicyMismatch, match=r"engine-under-test .* version 3"):
        loop.run_until_complete(engine.load(Publication(wrong, canary)))
    with pytest.raises(PolicyMissing):
        loop.run_until_complete(engine.generate(ask("stale")))


def test_a_published_number_reused_with_other_weights_is_not_served_from_the_prefix_cache(engine, loop, adapter):
    """A run rolled back publishes version 1 twice; vLLM's prefix cache is keyed on an adapter's name and path."""
    answers = []
    for scale in (1.0, 0.3):
        loop.run_until_complete(engine.load(Publication(version(adapter, "rolled", 1, scale))))
        answers.append(loop.run_until_complete(engine.score(PROMPT.tolist(), ANSWER.tolist(), "rolled")))
        loop.run_until_complete(engine.generate(ask("rolled")))
    assert np.abs(answers[0] - answers[1]).max() > 1e-3
    (sample,) = loop.run_until_complete(engine.generate(ask("rolled", (5,))))
    again = loop.run_until_complete(engine.score(PROMPT.tolist(), sample.completion_ids.tolist(), "rolled"))
    np.testing.assert_allclose(sample.logprobs, again, atol=1e-4)


def test_requests_in_flight_keep_the_version_they_began_with(engine, loop, adapter, logprobs_of):
    async def overtake():
        await engine.load(Publication(PolicyVersion("flight", 0)))
        early = asyncio.ensure_future(engine.generate(ask("flight", max_tokens=96)))
        await asyncio.sleep(0.05)
        assert not early.done()
        await engine.load(Publication(version(adapter, "flight", 1)))
        return await early, await engine.generate(ask("flight"))

    early, late = loop.run_until_complete(overtake())
    assert {s.policy_version for s in early} == {0} and {s.policy_version for s in late} == {1}
    for sample, on in ((early[0], False), (late[0], True)):
        mine = logprobs_of(sample.prompt_ids, sample.completion_ids, adapter=on)
        np.testing.assert_allclose(sample.logprobs, mine, atol=1e-4)


def test_replaced_versions_leave_no_files(engine, loop, adapter):
    for number in range(6):
        loop.run_until_complete(engine.load(Publication(version(adapter, "files", number, 1 + number / 10))))
    loop.run_until_complete(engine.forget("files"))
    held = {loaded.folder for versions in engine._held._runs.values() for loaded in versions if loaded.folder}
    assert held == engine._held.folders.kept()


def test_equal_seeds_give_equal_samples_whatever_else_is_in_the_batch(engine, loop, adapter):
    async def crowded():
        others = [asyncio.ensure_future(engine.generate(ask("seeds", range(50 + i, 58 + i)))) for i in (0, 10)]
        await asyncio.sleep(0.01)
        mine = await engine.generate(ask("seeds", (3, 4)))
        await asyncio.gather(*others)
        return mine

    loop.run_until_complete(engine.load(Publication(version(adapter, "seeds", 1))))
    alone = loop.run_until_complete(engine.generate(ask("seeds", (3, 4))))
    together = loop.run_until_complete(crowded())
    for one, two in zip(alone, together):
        np.testing.assert_array_equal(one.completion_ids, two.completion_ids)
        np.testing.assert_array_equal(one.logprobs, two.logprobs)


def test_a_younger_version_than_is_loaded_is_refused(engine, loop):
    loop.run_until_complete(engine.load(Publication(PolicyVersion("young", 2))))
    with pytest.raises(PolicyMissing, match="holds version 2 of run young, and 3"):
        loop.run_until_complete(engine.generate(ask("young", min_version=3)))


def test_abort_ends_what_is_in_flight(engine, loop):
    async def aborted():
        await engine.load(Publication(PolicyVersion("abort", 0)))
        running = asyncio.ensure_future(engine.generate(ask("abort", range(16), max_tokens=200)))
        await asyncio.sleep(0.01)
        count = await engine.abort()
        with pytest.raises(asyncio.CancelledError):
            await running
        return count

    assert 8 < loop.run_until_complete(aborted()) <= 16, "all that had not met the end token by then"
    assert len(loop.run_until_complete(engine.generate(ask("abort")))) == 4


def test_a_run_that_ends_while_it_samples_frees_its_adapter_after_the_last_sample(engine, loop, adapter):
    async def forgotten():
        await engine.load(Publication(version(adapter, "ended", 1)))
        running = asyncio.ensure_future(engine.generate(ask("ended", range(8), max_tokens=100)))
        await asyncio.sleep(0.01)
        await engine.forget("ended")
        held = len(engine._held.folders.kept())
        samples = await running
        return held, samples

    before = len(engine._held.folders.kept())
    held, samples = loop.run_until_complete(forgotten())
    assert held == before + 1 and all(s.policy_version == 1 for s in samples)
    assert len(engine._held.folders.kept()) == before
    with pytest.raises(PolicyMissing):
        loop.run_until_complete(engine.generate(ask("ended")))


def test_an_adapter_of_a_larger_rank_than_the_engine_was_started_for_is_refused(engine, loop, adapter):
    config = {**adapter.lora_config, "r": 64}
    with pytest.raises(ValueError, match="rank"):
        loop.run_until_complete(engine.load(Publication(PolicyVersion("big", 0, adapter.weights, config))))


@pytest.mark.parametrize(("rank", "room"), [(1, 1), (4, 8), (8, 8), (24, 32), (512, 512)])
def test_ranks_are_rounded_up_to_what_vllm_has_room_for(rank, room):
    assert lora_rank_room(rank) == room
    assert engine_args(EngineSpec("m", lora_rank=rank))["max_lora_rank"] == room


def test_ranks_that_vllm_refuses_are_refused_at_once():
    with pytest.raises(ValueError, match="between 1 and 512"):
        lora_rank_room(600)


@pytest.mark.parametrize(
    ("changes", "hint"),
    [
        ({"group_size": 1}, "use 2 or more"),
        ({"group_size": 4, "ema_samples": 4}, "use 3 or less"),
        ({"sampling": {"top_p": 0.9}}, "must be 1"),
        ({"sampling": {"temperature": 0}}, "1.0"),
    ],
)
def test_rollout_settings_that_cannot_train_are_refused(changes, hint):
    with pytest.raises(ValueError, match=hint):
        RolloutConfig(**changes)


def test_the_last_samples_of_a_group_are_the_averages(engine, loop, adapter, logprobs_of):
    own, average = version(adapter, "ema", 3, 0.5), version(adapter, ema_run("ema"), 3)
    stale, files = version(adapter, ema_run("ema"), 3, 0.8), engine._held.folders.kept()
    canary = Canary(PROMPT, ANSWER, logprobs_of(PROMPT, ANSWER))
    with pytest.raises(PolicyMismatch, match="ema-average"):  # it is proven like any policy
        loop.run_until_complete(engine.load(Publication(own, None, Publication(stale, canary))))
    report = loop.run_until_complete(engine.load(Publication(own, None, Publication(average, canary))))
    assert report.bytes == len(own.weights) + len(average.weights)
    samples = loop.run_until_complete(engine.generate(dataclasses.replace(ask("ema", min_version=3), averaged=1)))
    assert [s.averaged for s in samples] == [False, False, False, True]
    assert [s.adapter_hash for s in samples] == [own.adapter_hash] * 3 + [average.adapter_hash]
    assert {s.policy_version for s in samples} == {3}
    gaps = [np.abs(s.logprobs - logprobs_of(s.prompt_ids, s.completion_ids)).max() for s in samples]
    assert gaps[3] < 1e-4 and min(gaps[:3]) > 1e-3
    loop.run_until_complete(engine.forget("ema"))
    assert not engine.holds(ema_run("ema"), 0) and engine._held.folders.kept() == files


def test_the_asynchronous_engine_keeps_the_same_promises(random_model, adapter, logprobs_of):
    """AsyncLLM, which GPUs use, run here on the CPU: samples, versions, proof."""

    async def drive():
        spec = EngineSpec(str(random_model), EngineConfig(max_model_len=256, backend="async"), lora_rank=8)
        engine = Engine(spec, "async")
        try:
            canary = Canary(PROMPT, ANSWER, logprobs_of(PROMPT, ANSWER))
            report = await engine.load(Publication(version(adapter, "a", 1), canary))
            samples = await engine.generate(ask("a"))
            with pytest.raises(PolicyMismatch):
                await engine.load(Publication(version(adapter, "a", 2, 0.5), canary))
            return report, samples
        finally:
            await engine.close()

    report, samples = asyncio.run(drive())
    assert report.canary_gap < 1e-4
    for sample in samples:
        mine = logprobs_of(sample.prompt_ids, sample.completion_ids)
        np.testing.assert_allclose(sample.logprobs, mine, atol=1e-4)

import dataclasses
import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from train_helpers import make_group, make_groups, tiny_model

from train.base_model import load_base
from train.config import TrainConfig
from train.learner import Learner
from train.lora import fingerprint
from train.loss import policy_loss

STEPS = {"grpo": {}, "dr_grpo": {"length_norm": 16}, "gspo": {}, "cispo": {}, "dapo": {}, "bnpo": {}}


def weights(learner):
    return torch.cat([p.detach().flatten() for p in learner.adapter.parameters.values()]).clone()


def likelihood(learner, group):
    return np.array([learner.score(s.prompt_ids, s.completion_ids).sum() for s in group.samples])


def on_policy(learner, group):
    """The group as if this learner's own policy had sampled it."""
    samples = [dataclasses.replace(s, logprobs=learner.score(s.prompt_ids, s.completion_ids)) for s in group.samples]
    return dataclasses.replace(group, samples=tuple(samples))


@pytest.mark.parametrize("loss", STEPS)
@pytest.mark.parametrize("old", ["learner", "sampler"])
def test_a_rewarded_sample_becomes_likelier_and_an_unrewarded_one_less(loss, old):
    """One sample of either kind at a time, so that nothing else can have moved it; gradient clipping keeps
    it local."""
    config = TrainConfig(loss=loss, old_logprobs=old, learning_rate=1e-3, **STEPS[loss])
    rng = np.random.default_rng(4)
    group = make_group(rng, [1.0, 0.0], lengths=(6, 7))
    for rewards in ([1.0, 0.0], [0.0, 1.0]):
        learner = Learner(tiny_model(), config)
        judged = dataclasses.replace(group, rewards=tuple(rewards), verdicts=group.verdicts[:: 1 if rewards[0] else -1])
        judged = on_policy(learner, judged)
        before = likelihood(learner, judged)
        result = learner.step([judged])
        change = likelihood(learner, judged) - before
        up, down = (0, 1) if rewards[0] else (1, 0)
        assert result.updated and change[up] > 1e-3 and change[down] < -1e-3


def test_partial_reward_orders_the_change():
    learner = Learner(tiny_model(), TrainConfig(learning_rate=1e-3, group_filter="reward"))
    group = on_policy(learner, make_group(np.random.default_rng(1), [1.0, 0.5, 0.0], lengths=(8, 9)))
    before = likelihood(learner, group)
    learner.step([group])
    change = likelihood(learner, group) - before
    assert change[0] > change[1] > change[2] and change[0] > 0 > change[2]


@pytest.mark.parametrize("group_filter", ["outcome", "reward", "off"])
def test_groups_without_variance_leave_weights_and_optimiser_alone(group_filter):
    learner = Learner(tiny_model(), TrainConfig(group_filter=group_filter))
    learner.step(make_groups())  # gives the optimiser momentum, which must not act either
    before, rng = weights(learner), np.random.default_rng(0)
    result = learner.step([make_group(rng, [1.0] * 4), make_group(rng, [0.0] * 4, index=1)])
    if group_filter == "off":
        assert result.metrics["grad_norm"] == 0
    else:
        assert not result.updated and torch.equal(weights(learner), before)
        assert result.metrics["groups/kept"] == 0 and result.gaps == {}
    assert result.step == 2 and learner.steps_done == 2


def test_micro_batches_and_sharing_change_nothing():
    groups, found = make_groups(6, 4), []
    for options in (
        {},
        {"share_prompts": False},
        {"micro_batch_tokens": 60},
        {"gradient_checkpointing": True},
        {"gradient_checkpointing": True, "share_prompts": False},
    ):
        learner = Learner(tiny_model(), TrainConfig(beta=0.05, epochs=2, learning_rate=1e-3, **options))
        result = learner.step(groups)
        found.append((weights(learner), result.metrics))
    assert found[2][1]["micro_batches"] > 4 > found[0][1]["micro_batches"]
    for vector, metrics in found[1:]:
        # Adam divides by the gradient's size: entries whose gradient is near zero carry its rounding.
        assert (vector - found[0][0]).abs().max() < 1e-4
        for name in (
            "loss",
            "grad_norm",
            "kl",
            "entropy",
            "ratio/mean",
            "importance/mean",
            "logprob_gap/mean",
        ):
            assert metrics[name] == pytest.approx(found[0][1][name], rel=1e-4, abs=1e-6), name


def test_the_gap_to_the_sampler_is_told_apart_by_version():
    learner = Learner(tiny_model(), TrainConfig())
    rng = np.random.default_rng(2)
    fresh = on_policy(learner, make_group(rng, [1.0, 0.0, 1.0], index=0, version=5))
    stale = on_policy(learner, make_group(rng, [1.0, 0.0, 1.0], index=1, version=4))
    off = [dataclasses.replace(s, logprobs=s.logprobs - 0.25) for s in stale.samples]
    result = learner.step([fresh, dataclasses.replace(stale, samples=tuple(off))])
    assert result.gaps[5].max < 1e-5
    assert result.gaps[4].mean == pytest.approx(0.25, abs=1e-4) and result.gaps[4].max < 0.2501
    tokens = {5: fresh, 4: stale}
    assert all(result.gaps[v].tokens == sum(len(s.logprobs) for s in g.samples) for v, g in tokens.items())
    assert result.metrics["logprob_gap/max"] == pytest.approx(0.25, abs=1e-4)
    assert result.metrics["importance/max"] == pytest.approx(math.exp(0.25), abs=1e-3)


@pytest.mark.parametrize("old", ["learner", "sampler"])
def test_a_token_that_the_sampler_could_not_score_does_no_harm(old):
    group = make_group(np.random.default_rng(0), [1.0, 0.0])
    group.samples[0].logprobs[1] = np.nan
    learner = Learner(tiny_model(), TrainConfig(old_logprobs=old))
    result = learner.step([group])
    assert all(math.isfinite(value) for value in result.metrics.values())
    assert torch.isfinite(weights(learner)).all()
    assert result.gaps[0].tokens == result.metrics["tokens"] - 1


def test_kl_is_to_the_base_model_and_pulls_back():
    groups = make_groups()
    moved = []
    for beta in (0.01, 5.0):
        learner = Learner(tiny_model(), TrainConfig(beta=beta, learning_rate=3e-3))
        first = learner.step(groups).metrics["kl"]
        for _ in range(5):
            last = learner.step(groups).metrics["kl"]
        assert first == pytest.approx(0, abs=1e-6)
        moved.append(last)
    assert moved[0] > 3 * moved[1] > 0


def infinite_groups(value=-np.inf):
    groups = make_groups()
    for sample in groups[0].samples:
        sample.logprobs[:] = value
    return groups


def test_a_step_that_is_not_finite_is_skipped_and_counted_and_the_run_goes_on():
    learner = Learner(tiny_model(), TrainConfig(old_logprobs="sampler", ema_decay=0.9))
    learner.step(make_groups())
    before, moments = weights(learner), learner.state_dict()["optimiser"]["state"][0]["exp_avg"].clone()
    average = {name: value.clone() for name, value in learner.average.items()}
    skipped = learner.step(infinite_groups())
    assert not skipped.updated and skipped.step == 2 and skipped.metrics["skipped_steps"] == 1
    assert torch.equal(weights(learner), before)
    assert torch.equal(learner.state_dict()["optimiser"]["state"][0]["exp_avg"], moments)
    assert all(torch.equal(learner.average[name], value) for name, value in average.items())
    after = learner.step(make_groups())
    assert after.updated and after.metrics["skipped_steps"] == 1 and not torch.equal(weights(learner), before)
    resumed = Learner(tiny_model(), TrainConfig(old_logprobs="sampler", ema_decay=0.9))
    resumed.load_state_dict(learner.state_dict())
    assert resumed.guard.skipped == 1 and torch.equal(weights(resumed), weights(learner))


def test_a_loss_that_is_not_finite_is_skipped_though_its_gradient_is(monkeypatch):
    learner = Learner(tiny_model(), TrainConfig())
    before = weights(learner)

    def infinite(inputs, config):
        found = policy_loss(inputs, config)
        return replace(found, loss=found.loss + torch.inf)

    monkeypatch.setattr("train.backward.policy_loss", infinite)
    assert not learner.step(make_groups()).updated
    assert torch.equal(weights(learner), before)


def test_ten_steps_in_a_row_that_are_not_finite_end_the_run_with_the_reason():
    learner = Learner(tiny_model(), TrainConfig(old_logprobs="sampler"))
    for _ in range(9):
        learner.step(infinite_groups())
    learner.step(make_groups())  # one that works: the count begins again
    before = weights(learner)
    for _ in range(9):
        learner.step(infinite_groups())
    with pytest.raises(FloatingPointError, match=r"gradient \(.*\) of step 19 is not finite, for the 10th update"):
        learner.step(infinite_groups())
    assert torch.equal(weights(learner), before) and learner.guard.skipped == 19


def test_the_gradient_is_clipped_to_its_norm():
    """SGD-like check through Adam's first moment: after one step it is (1 - beta1) times the clipped
    gradient."""
    for bound in (None, 1e-3):
        learner = Learner(tiny_model(), TrainConfig(max_grad_norm=bound))
        norm = learner.step(make_groups()).metrics["grad_norm"]
        moments = [state["exp_avg"].flatten() for state in learner.optimiser.state.values()]
        applied = torch.cat(moments).norm().item() / (1 - learner.config.adam_betas[0])
        assert norm > 1e-2 and applied == pytest.approx(norm if bound is None else bound, rel=1e-4)


def test_score_is_of_the_adapter_or_of_the_base():
    learner = Learner(tiny_model(), TrainConfig())
    prompt, completion = [1, 2, 3], [4, 5, 6, 7]
    base = learner.score(prompt, completion)
    assert base.dtype == np.float32 and base.shape == (4,)
    learner.step(make_groups())
    assert np.abs(learner.score(prompt, completion) - base).max() > 1e-3
    assert np.allclose(learner.score(prompt, completion, adapter=False), base, atol=1e-5)


def test_bfloat16_learns_the_same_lesson():
    groups = make_groups()
    moves = []
    for dtype in ("float32", "bfloat16"):
        model = tiny_model().to(getattr(torch, dtype))
        learner = Learner(model, TrainConfig(dtype=dtype))
        before = weights(learner)
        learner.step(groups)
        moves.append(weights(learner) - before)
        assert moves[-1].dtype == torch.float32
    assert torch.cosine_similarity(moves[0], moves[1], dim=0) > 0.9


def test_a_model_is_loaded_from_a_folder_and_missing_ones_are_named(tmp_path):
    tiny_model().save_pretrained(tmp_path / "model")
    learner = Learner(tmp_path / "model", TrainConfig(), "cpu")
    assert learner.signature["base_model"] == fingerprint(tiny_model())
    assert load_base(tmp_path / "model", TrainConfig(), torch.device("meta")).device.type == "meta"
    assert fingerprint(tiny_model(seed=1)) != fingerprint(tiny_model())
    assert fingerprint(tiny_model().to(torch.bfloat16)) == fingerprint(tiny_model())
    with pytest.raises(ValueError, match=r"nothing has no config\.json"):
        Learner(tmp_path / "nothing", TrainConfig(), "cpu")


def test_the_average_follows_the_adapter_and_changes_nothing():
    groups = make_groups()
    plain, learner = Learner(tiny_model(), TrainConfig()), Learner(tiny_model(), TrainConfig(ema_decay=0.75))
    expected = weights(learner)
    for _ in range(3):
        plain.step(groups)
        learner.step(groups)
        expected = 0.75 * expected + 0.25 * weights(learner)
    average = torch.cat([value.flatten() for value in learner.average.values()])
    assert torch.equal(weights(learner), weights(plain))
    assert torch.allclose(average, expected, atol=1e-6) and not torch.allclose(average, weights(learner), atol=1e-3)
    learner.step([make_group(np.random.default_rng(0), [1.0, 1.0])])  # nothing to learn, so nothing to average
    assert torch.equal(average, torch.cat([value.flatten() for value in learner.average.values()]))
    assert plain.averaged_policy("r", 0) is None


def test_the_average_takes_the_adapters_place_and_gives_it_back():
    learner, groups = Learner(tiny_model(), TrainConfig(ema_decay=0.75)), make_groups()
    learner.start_from(Learner(tiny_model(), TrainConfig(seed=4)).policy("other", 3))
    assert learner.averaged_policy("r", 0).weights == learner.policy("r", 0).weights, "both begin where the run does"
    for _ in range(2):
        learner.step(groups)
    prompt, completion = groups[0].samples[0].prompt_ids, groups[0].samples[0].completion_ids
    own, before = weights(learner).clone(), learner.score(prompt, completion)
    with learner.averaged():
        assert learner.policy("r", 2).weights == learner.averaged_policy("r", 2).weights
        assert not np.allclose(learner.score(prompt, completion), before, atol=1e-4)
    assert torch.equal(weights(learner), own)
    with pytest.raises(ValueError, match="ema_decay"), Learner(tiny_model(), TrainConfig()).averaged():
        pass


def test_samples_of_the_average_are_weighed_and_told_apart():
    learner = Learner(tiny_model(), TrainConfig(ema_decay=0.9))
    group = on_policy(learner, make_group(np.random.default_rng(2), [1.0, 0.0, 1.0, 0.0], version=0))
    *own, last = group.samples
    last = dataclasses.replace(last, averaged=True, logprobs=last.logprobs - 0.25)
    result = learner.step([dataclasses.replace(group, samples=(*own, last))])
    assert result.metrics["logprob_gap/fresh_max"] < 1e-5, "the policy's own samples are as fresh as ever"
    assert result.metrics["logprob_gap/averaged_mean"] == pytest.approx(0.25, abs=1e-4)
    assert result.metrics["importance/max"] == pytest.approx(math.exp(0.25), abs=1e-3)


def test_the_entropy_floor_holds_the_entropy_up():
    """One group, learnt again and again, makes the policy sure of its answers: the bonus must keep it from that."""
    groups, entropies, bonus = [make_group(np.random.default_rng(3), [1.0, 0.0, 0.0, 0.0])], [], []
    for floor in (None, 99.0):
        options = {} if floor is None else {"entropy_floor": floor, "entropy_gain": 0.2}
        learner = Learner(tiny_model(), TrainConfig(learning_rate=3e-3, **options))
        rows = [learner.step(groups).metrics for _ in range(10)]
        entropies.append(rows[-1]["entropy"])
        bonus.append([row.get("entropy_weight") for row in rows[:4]])
    assert entropies[1] > entropies[0] + 0.1
    assert bonus == [[None] * 4, pytest.approx([0.0, 0.2, 0.4, 0.6])]


def test_the_bonus_falls_above_its_floor_and_never_below_nothing():
    learner = Learner(tiny_model(), TrainConfig(entropy_floor=1e-6, entropy_gain=0.2))
    learner.entropy_weight = 0.3
    seen = [learner.step(make_groups()).metrics["entropy_weight"] for _ in range(4)]
    assert seen == pytest.approx([0.3, 0.1, 0.0, 0.0])
    learner.entropy_weight = 0.3
    learner.step([make_group(np.random.default_rng(0), [1.0, 1.0])])
    assert learner.entropy_weight == 0.3, "a step without rows has no entropy to judge by"


def test_the_alarm_is_raised_below_its_bound_alone():
    entropy = Learner(tiny_model(), TrainConfig()).step(make_groups()).metrics["entropy"]
    for bound, alarm in ((entropy * 1.01, 1.0), (entropy * 0.99, 0.0)):
        metrics = Learner(tiny_model(), TrainConfig(entropy_alarm=bound)).step(make_groups()).metrics
        assert metrics["entropy_alarm"] == alarm and metrics["entropy"] == entropy


@pytest.mark.parametrize("covariance", ["clip_cov", "kl_cov"])
def test_covariance_moves_the_step_elsewhere_and_does_not_depend_on_micro_batches(covariance):
    bounds = {"covariance_range": (0.0, 99.0)} if covariance == "clip_cov" else {"covariance_beta": 5.0}
    chosen = {"covariance": covariance, "covariance_share": 0.5, **bounds}
    found = []
    for options in ({}, chosen, {**chosen, "micro_batch_tokens": 60}):
        learner = Learner(tiny_model(), TrainConfig(epochs=2, learning_rate=1e-3, **options))
        share = learner.step(make_groups(6, 4)).metrics.get("covariance/chosen")
        found.append((weights(learner), share))
    (plain, none), (whole, share), (parts, same) = found
    assert none is None and 0.1 < share <= 0.5 and share == same
    assert (whole - parts).abs().max() < 1e-4 < 1e-3 < (whole - plain).abs().max()


DISTRIBUTED = """
import os, sys, torch
import torch.distributed as dist
sys.path[:0] = {paths!r}
torch.set_num_threads(1)
from train_helpers import make_groups, make_group, tiny_model
from train.config import TrainConfig
from train.learner import Learner
import numpy as np
dist.init_process_group("gloo", init_method="file://{store}", rank=int(sys.argv[1]), world_size=2)
guards = dict(entropy_floor=99.0, covariance="clip_cov", covariance_share=0.2, covariance_range=(0.0, 99.0))
learner = Learner(tiny_model(), TrainConfig(beta=0.05, epochs=2, learning_rate=1e-3, **(guards if {guarded} else {{}})))
results = [learner.step(groups) for groups in (make_groups(6, 4), make_groups(2, 3, seed=1), make_groups(1, 2, seed=2))]
results.append(learner.step([make_group(np.random.default_rng(0), [1.0, 1.0])]))
bad = make_groups(6, 4)
if sys.argv[1] == "1":  # what one rank cannot compute, no rank learns from
    learner.scorer.logprobs = (lambda plain: lambda *a, **k: tuple(x * float("nan") for x in plain(*a, **k)))(
        learner.scorer.logprobs)
before = torch.cat([p.detach().flatten() for p in learner.adapter.parameters.values()])
skipped = learner.step(bad)
vector = torch.cat([p.detach().flatten() for p in learner.adapter.parameters.values()])
assert not skipped.updated and skipped.metrics["skipped_steps"] == 2 and torch.equal(vector, before)
vector = torch.cat([p.detach().flatten() for p in learner.adapter.parameters.values()])
torch.save((vector, [(r.metrics, {{v: (g.mean, g.max, g.tokens) for v, g in r.gaps.items()}}) for r in results]),
           "{out}" + sys.argv[1])
"""


@pytest.mark.parametrize("guarded", [True, pytest.param(False, marks=pytest.mark.slow)])
def test_two_workers_are_one(tmp_path, guarded):
    """Weights, metrics and gaps after four steps (one of them uninformative) in two real processes over
    gloo."""
    root = Path(__file__).parents[2]
    script = DISTRIBUTED.format(
        paths=[str(root), str(Path(__file__).parent)], store=tmp_path / "store", out=tmp_path / "out", guarded=guarded
    )
    processes = [subprocess.Popen([sys.executable, "-c", script, str(rank)], cwd=root) for rank in range(2)]
    guards = {"entropy_floor": 99.0, "covariance": "clip_cov", "covariance_share": 0.2, "covariance_range": (0.0, 99.0)}
    options = guards if guarded else {}
    alone = Learner(tiny_model(), TrainConfig(beta=0.05, epochs=2, learning_rate=1e-3, **options))
    expected = [alone.step(g) for g in (make_groups(6, 4), make_groups(2, 3, seed=1), make_groups(1, 2, seed=2))]
    expected.append(alone.step([make_group(np.random.default_rng(0), [1.0, 1.0])]))
    assert [process.wait(timeout=120) for process in processes] == [0, 0]
    (one, seen_one), (two, seen_two) = (torch.load(f"{tmp_path / 'out'}{r}", weights_only=False) for r in range(2))
    assert torch.equal(one, two)
    assert (one - weights(alone)).abs().max() < 1e-4
    local = {"micro_batches", "padding"}
    for (metrics, gaps), (others, _), result in zip(seen_one, seen_two, expected):
        for name, value in result.metrics.items():
            if not name.startswith("seconds") and name not in local:
                assert metrics[name] == others[name] == pytest.approx(value, rel=1e-3, abs=1e-5), name
        assert gaps.keys() == result.gaps.keys()
        for version, gap in result.gaps.items():
            assert gaps[version] == pytest.approx((gap.mean, gap.max, gap.tokens), rel=1e-4)


@pytest.mark.slow
def test_compiled_layers_learn_the_same():
    plain, compiled = (
        Learner(tiny_model(), TrainConfig(learning_rate=1e-3, torch_compile=compile)) for compile in (False, True)
    )
    for seed in range(2):
        expected, found = (learner.step(make_groups(seed=seed)).metrics for learner in (plain, compiled))
        for name in ("loss", "entropy", "grad_norm"):
            assert found[name] == pytest.approx(expected[name], rel=1e-4, abs=1e-6)
    assert (weights(compiled) - weights(plain)).abs().max() < 1e-4


def test_compiling_is_refused_where_it_has_no_effect(monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ValueError, match=r"C\+\+ compiler"):
        Learner(tiny_model(), TrainConfig(torch_compile=True), "cpu")
    monkeypatch.setattr("train.compiled.GradientCheckpointingLayer", torch.nn.Conv2d)
    with pytest.raises(ValueError, match="no effect"):
        Learner(tiny_model(), TrainConfig(torch_compile=True), "cpu")

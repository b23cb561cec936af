"""float16: gradients that would vanish in it are scaled, and those that overflow are computed again."""

import math

import pytest
import torch
from train_helpers import make_groups, tiny_model

from train.base_model import load_base
from train.config import TrainConfig
from train.learner import Learner
from train.loss_scale import GROW_AFTER, LEAST, MOST, START, LossScale
from train.sft_config import SFTConfig

GROUPS = make_groups(6, 4)


def learner_of(dtype="float16", **options):
    """A CPU computes in float16 too, slowly: enough to see what a GPU would."""
    return Learner(tiny_model().to(getattr(torch, dtype)), TrainConfig(learning_rate=1e-3, **options))


def gradient_of(learner):
    """Of one step, as Adam's first moment has it."""
    metrics = learner.step(GROUPS).metrics
    return torch.cat([state["exp_avg"].flatten() for state in learner.optimiser.state.values()]), metrics


def test_the_gradient_in_float16_is_that_in_float32():
    exact, expected = gradient_of(learner_of("float32"))
    found, metrics = gradient_of(learner_of())
    assert torch.cosine_similarity(exact, found, dim=0) > 0.999
    assert metrics["grad_norm"] == pytest.approx(expected["grad_norm"], rel=0.02)
    assert metrics["loss_scale"] == START and "loss_scale" not in expected


def test_without_a_scale_small_gradients_vanish():
    """A loss a million times smaller, as the mean over many more tokens makes it."""
    exact, _ = gradient_of(learner_of("float32", loss="dr_grpo", length_norm=10**7, max_grad_norm=None))
    scaled = learner_of(loss="dr_grpo", length_norm=10**7, max_grad_norm=None)
    bare = learner_of(loss="dr_grpo", length_norm=10**7, max_grad_norm=None)
    bare.scale.value = 1.0
    similar = [torch.cosine_similarity(exact, gradient_of(one)[0], dim=0) for one in (scaled, bare)]
    assert similar[0] > 0.99 > 0.9 > similar[1]


def test_a_gradient_that_overflows_is_computed_again_and_counted_once():
    plain, big = learner_of(epochs=2, beta=0.05), learner_of(epochs=2, beta=0.05)
    big.scale.value = 2.0**30
    expected, found = plain.step(GROUPS).metrics, big.step(GROUPS).metrics
    assert found["loss_scale"] < 2.0**30 and found["skipped_steps"] == 0
    for name in ("tokens", "loss", "kl", "entropy", "logprob_gap/mean", "grad_norm"):
        assert found[name] == pytest.approx(expected[name], rel=0.02, abs=1e-5), name


def test_what_is_not_finite_for_another_reason_is_skipped_and_leaves_the_scale():
    groups = make_groups(6, 4)
    for sample in groups[0].samples:
        sample.logprobs[:] = -math.inf
    learner = learner_of(old_logprobs="sampler")
    result = learner.step(groups)
    assert not result.updated and result.metrics["skipped_steps"] == 1 and learner.scale.value == START


def test_the_scale_grows_again_and_has_bounds():
    scale = LossScale("float16")
    assert scale.shrink() and scale.value == START / 4
    for _ in range(GROW_AFTER - 1):
        scale.keep()
    assert scale.value == START / 4
    scale.keep()
    assert scale.value == START / 2
    for _ in range(40 * GROW_AFTER):
        scale.keep()
    assert scale.value == MOST
    while scale.shrink():
        pass
    assert scale.value == LEAST
    other = LossScale("bfloat16")
    other.keep()
    assert other.value == 1.0 and not other.shrink()


def test_a_resumed_learner_has_its_scale_again():
    first, second = learner_of(), learner_of()
    first.scale.value, first.scale.updates = 64.0, 7
    first.step(GROUPS)
    second.load_state_dict(first.state_dict())
    assert (second.scale.value, second.scale.updates) == (64.0, 8)


def test_float16_is_refused_where_nobody_scales_or_nothing_is_gained(tmp_path):
    tiny_model().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="float16 is for GPUs"):
        load_base(tmp_path, TrainConfig(dtype="float16"), torch.device("cpu"))
    with pytest.raises(ValueError, match="float16 is for GRPO alone, whose learner scales its losses"):
        SFTConfig(dtype="float16")

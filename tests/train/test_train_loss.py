"""The loss against TRL's own, in value and gradient, on the same tensors."""

import itertools
import math
from types import SimpleNamespace

import pytest
import torch

from train.config import TrainConfig
from train.loss import LossInputs, policy_loss

LENGTHS = (9, 4, 1, 7, 9, 3)
LENGTH_NORM = 12
CLIPS = [{}, {"epsilon_low": 0.1, "epsilon_high": 0.35}, {"delta": 1.3}]
CORRECTIONS = [
    {"importance_correction": "off"},
    {"importance_correction": "token_truncate", "importance_cap": 1.2, "importance_floor": 0.8},
    {"importance_correction": "token_mask", "importance_cap": 1.2},
    {"importance_correction": "token_mask", "importance_cap": 1.2, "importance_floor": 0.9},
    {"importance_correction": "sequence_truncate", "importance_cap": 1.3},
    {"importance_correction": "sequence_mask", "importance_cap": 1.3, "importance_floor": 0.7},
]


def configurations():
    for loss, beta, clip, correction in itertools.product(
        ("grpo", "dapo", "dr_grpo", "bnpo", "gspo", "cispo"), (0.0, 0.04), CLIPS, CORRECTIONS
    ):
        if loss == "cispo" and "delta" in clip:
            continue
        if loss == "cispo" and clip:
            clip = {"epsilon_high": 1.1}
        more = {"length_norm": LENGTH_NORM} if loss == "dr_grpo" else {}
        yield TrainConfig(loss=loss, beta=beta, epochs=2, **clip, **correction, **more)


@pytest.fixture(scope="module")
def grpo_trainer():
    from trl import GRPOTrainer

    return GRPOTrainer


@pytest.fixture(scope="module")
def batch():
    generator = torch.Generator().manual_seed(3)

    def noise(scale):
        return scale * torch.randn(len(LENGTHS), max(LENGTHS), generator=generator)

    mask = (torch.arange(max(LENGTHS)) < torch.tensor(LENGTHS)[:, None]).float()
    logprobs = -1 - noise(1.0).abs()
    old, sampler = logprobs + noise(0.25), logprobs + noise(0.25)
    sampler[0, 2] = math.nan
    return SimpleNamespace(
        logprobs=logprobs,
        old=old,
        sampler=sampler,
        reference=logprobs + noise(0.5),
        advantages=torch.randn(len(LENGTHS), generator=generator),
        mask=mask,
    )


def ours(config, batch, **more):
    logprobs = batch.logprobs.clone().requires_grad_()
    inputs = LossInputs(
        logprobs=logprobs,
        old_logprobs=batch.old,
        sampler_logprobs=batch.sampler,
        advantages=batch.advantages[:, None].expand_as(batch.mask),
        mask=batch.mask,
        total_rows=len(LENGTHS),
        total_tokens=sum(LENGTHS),
        reference_logprobs=batch.reference if config.beta else None,
        **more,
    )
    output = policy_loss(inputs, config)
    output.loss.backward()
    return output.loss.detach(), logprobs.grad, output


def trl_weights(config, batch):
    """TRL computes these inside generation: its formula, on our tensors."""
    difference = torch.nan_to_num((batch.old - batch.sampler) * batch.mask, nan=0.0)
    mode, (floor, cap) = config.correction, config.correction_range
    if mode.startswith("sequence"):
        difference = difference.sum(-1, keepdim=True)
    ratio = difference.exp()
    if mode.endswith("truncate"):
        return ratio.clamp(min=floor, max=cap)
    return ratio.masked_fill((ratio < (-math.inf if floor is None else floor)) | (ratio > cap), 0.0)


def theirs(config, batch, trainer_class):
    """`GRPOTrainer._compute_loss` called on a stand-in whose model is our table of log-probabilities."""
    logprobs = batch.logprobs.clone().requires_grad_()
    low, high = config.clip_range
    stub = SimpleNamespace(
        _get_per_token_logps_and_entropies=lambda *args, **kwargs: (
            logprobs,
            torch.zeros_like(logprobs),
            None,
        ),
        aux_loss_enabled=False,
        top_entropy_quantile=1.0,
        off_policy_mask_threshold=None,
        importance_sampling_level="sequence" if config.loss == "gspo" else "token",
        loss_type="grpo" if config.loss == "gspo" else config.loss,
        epsilon_low=low,
        epsilon_high=high,
        beta=config.beta,
        use_vllm=config.correction != "off",
        vllm_importance_sampling_correction=config.correction != "off",
        max_completion_length=LENGTH_NORM,
        current_gradient_accumulation_steps=1,
        model=SimpleNamespace(training=True),
        args=SimpleNamespace(delta=config.delta, use_bias_correction_kl=False, steps_per_generation=1),
        accelerator=SimpleNamespace(
            num_processes=1, reduce=lambda tensor, reduction: tensor, gather=lambda tensor: tensor
        ),
        _entropy_bonus_enabled=False,
        _metrics={"train": _Sink()},
    )
    inputs = {
        "prompt_ids": torch.zeros(len(LENGTHS), 2, dtype=torch.long),
        "prompt_mask": torch.ones(len(LENGTHS), 2, dtype=torch.long),
        "completion_ids": torch.zeros(batch.mask.shape, dtype=torch.long),
        "completion_mask": batch.mask,
        "advantages": batch.advantages,
        "old_per_token_logps": batch.old,
        "ref_per_token_logps": batch.reference,
        "num_items_in_batch": batch.mask.sum(),
    }
    if config.correction != "off":
        inputs["importance_sampling_ratio"] = trl_weights(config, batch)
    loss = trainer_class._compute_loss(stub, None, inputs)
    loss.backward()
    return loss.detach(), logprobs.grad, stub._metrics["train"]


class _Sink(dict):
    def __missing__(self, key):
        return self.setdefault(key, [])


def test_loss_and_gradient_are_trls(grpo_trainer, batch):
    seen = 0
    for config in configurations():
        own_loss, own_gradient, _ = ours(config, batch)
        loss, gradient, _ = theirs(config, batch, grpo_trainer)
        what = f"{config.loss} {config.model_dump(exclude_none=True)}"
        assert abs(own_loss - loss) < 1e-6, what
        assert (own_gradient - gradient).abs().max() < 1e-6, what
        assert own_gradient.abs().max() > 1e-3, what
        seen += 1
    assert seen == 204


def test_metrics_are_trls(grpo_trainer, batch):
    config = TrainConfig(beta=0.04, epochs=2)
    _, _, output = ours(config, batch)
    _, _, metrics = theirs(config, batch, grpo_trainer)
    means = {name: float(value) / sum(LENGTHS) for name, value in output.sums.items()}
    assert means["kl"] == pytest.approx(metrics["kl"][0], abs=1e-6)
    assert means["clip/low"] == pytest.approx(metrics["clip_ratio/low_mean"][0], abs=1e-6)
    assert means["clip/high"] == pytest.approx(metrics["clip_ratio/high_mean"][0], abs=1e-6)
    assert means["clip/low"] > 0 and means["clip/high"] > 0


@pytest.mark.parametrize("loss", ["grpo", "dapo", "dr_grpo", "bnpo", "gspo", "cispo"])
def test_parts_add_up_to_the_whole(loss, batch):
    config = TrainConfig(loss=loss, beta=0.04, epochs=2, length_norm=LENGTH_NORM if loss == "dr_grpo" else None)
    whole, gradient, _ = ours(config, batch)
    total, pieces = 0.0, []
    for rows in (slice(0, 1), slice(1, 4), slice(4, 6)):
        logprobs = batch.logprobs[rows].clone().requires_grad_()
        inputs = LossInputs(
            logprobs,
            batch.old[rows],
            batch.sampler[rows],
            batch.advantages[rows, None].expand_as(logprobs),
            batch.mask[rows],
            len(LENGTHS),
            sum(LENGTHS),
            batch.reference[rows],
        )
        part = policy_loss(inputs, config).loss
        part.backward()
        total += part.item()
        pieces.append(logprobs.grad)
    assert total == pytest.approx(whole.item(), abs=1e-6)
    assert torch.allclose(torch.cat(pieces), gradient, atol=1e-7)


def test_padding_has_no_say(batch):
    config = TrainConfig(beta=0.1, epochs=2)
    whole, gradient, _ = ours(config, batch)
    assert (gradient * (1 - batch.mask) == 0).all()
    noisy = SimpleNamespace(**{**vars(batch), "logprobs": batch.logprobs + 5 * (1 - batch.mask)})
    assert ours(config, noisy)[0] == whole


def test_a_missing_reference_is_an_error(batch):
    inputs = LossInputs(batch.logprobs, batch.old, batch.sampler, batch.mask, batch.mask, 1, 1)
    with pytest.raises(ValueError, match="reference"):
        policy_loss(inputs, TrainConfig(beta=0.1))


@pytest.fixture(scope="module")
def chosen(batch):
    """Some tokens of several rows, padding among them."""
    return (torch.rand(batch.mask.shape, generator=torch.Generator().manual_seed(8)) < 0.3).float() * batch.mask


@pytest.mark.parametrize("loss", ["grpo", "dapo", "cispo"])
def test_clip_cov_takes_the_gradient_from_the_chosen_tokens_alone(loss, batch, chosen):
    plain = ours(TrainConfig(loss=loss, epochs=2), batch)[1]
    clipped = ours(TrainConfig(loss=loss, epochs=2, covariance="clip_cov"), batch, chosen=chosen)
    assert (plain * chosen).abs().max() > 1e-3
    assert torch.equal(clipped[1], plain * (1 - chosen))
    assert clipped[2].sums["covariance/chosen"] == chosen.sum()


def test_clip_cov_leaves_the_pull_to_the_reference(batch, chosen):
    config = TrainConfig(beta=0.1, epochs=2)
    pull = ours(config, batch)[1] - ours(TrainConfig(epochs=2), batch)[1]
    clipped = ours(config.model_copy(update={"covariance": "clip_cov"}), batch, chosen=chosen)[1]
    assert torch.allclose(clipped * chosen, pull * chosen, atol=1e-7)


def test_kl_cov_pulls_the_chosen_tokens_back_and_no_others(batch, chosen):
    plain = ours(TrainConfig(loss="dapo", epochs=2), batch)[1]
    config = TrainConfig(loss="dapo", epochs=2, covariance="kl_cov", covariance_beta=0.7)
    pulled = ours(config, batch, chosen=chosen)[1]
    # Of 0.7 |log p - log p_old|, mean over all tokens: its slope is the sign, down where the policy has risen.
    wanted = plain + 0.7 * chosen * (batch.logprobs - batch.old).sign() / sum(LENGTHS)
    assert torch.allclose(pulled, wanted, atol=1e-7) and not torch.allclose(pulled, plain, atol=1e-3)


def test_the_entropy_bonus_raises_every_tokens_entropy_alike(batch):
    entropies = torch.rand(batch.mask.shape, generator=torch.Generator().manual_seed(1)).requires_grad_()
    _, gradient, _ = ours(TrainConfig(loss="dapo", epochs=2), batch, entropies=entropies, entropy_weight=0.3)
    assert torch.equal(gradient, ours(TrainConfig(loss="dapo", epochs=2), batch)[1])
    assert torch.allclose(entropies.grad, -0.3 * batch.mask / sum(LENGTHS))


def test_covariance_without_chosen_tokens_is_an_error(batch):
    with pytest.raises(ValueError, match="chosen"):
        ours(TrainConfig(covariance="clip_cov"), batch)

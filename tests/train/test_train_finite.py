"""Updates that are not finite are skipped by every trainer, and end a training that has no others."""

import pytest
import torch
from test_train_dpo import QUICK as PREFER
from test_train_dpo import SHAPE, tokenizer
from test_train_dpo import rows as pairs
from test_train_sft import QUICK, rows
from train_helpers import tiny_model

from train.dpo import train_dpo
from train.finite import StepGuard
from train.sft import fit

__all__ = ["tokenizer"]


def spoil(monkeypatch, owner, name, bad):
    """Has a loss function give NaN in the calls of training whose numbers are in `bad`."""
    original, calls = getattr(owner, name), iter(range(10**6))

    def loss(*arguments, **more):
        found = original(*arguments, **more)
        training = torch.is_grad_enabled()
        return found * float("nan") if training and next(calls) in bad else found

    monkeypatch.setattr(owner, name, loss)


def finite(policy):
    from safetensors.torch import load

    return all(bool(torch.isfinite(tensor).all()) for tensor in load(policy.weights).values())


def sft(tokenizer, folder):
    config = QUICK.model_copy(update={"epochs": 2, "grad_accumulation": 1})
    return fit(tiny_model(), tokenizer, rows(24), rows(8, 1), config, folder, "run")


def dpo(tokenizer, folder):
    return train_dpo(tiny_model(), tokenizer, pairs(), PREFER, SHAPE, folder, "run")


@pytest.mark.parametrize(("train", "trainer"), [(sft, "SFTTrainer"), (dpo, "DPOTrainer")])
def test_trls_trainers_skip_what_is_not_finite(train, trainer, tokenizer, tmp_path, monkeypatch):
    import trl

    spoil(monkeypatch, getattr(trl, trainer), "compute_loss", {2, 3})
    result = train(tokenizer, tmp_path)
    assert result.skipped_steps == 2 and finite(result.policy) and result.policy.weights


def test_a_trainer_without_a_finite_update_ends_with_the_reason(tokenizer, tmp_path, monkeypatch):
    import trl

    spoil(monkeypatch, trl.SFTTrainer, "compute_loss", range(10**6))
    with pytest.raises(FloatingPointError, match="gradient of update 9 is not finite, for the 10th update in a row"):
        sft(tokenizer, tmp_path)


def test_the_guard_counts_those_in_a_row():
    guard = StepGuard()
    for finite_one in [False] * 9 + [True] + [False] * 9:
        guard.observe(finite_one, "it")
    assert (guard.skipped, guard.in_a_row) == (18, 9)
    with pytest.raises(FloatingPointError, match="it is not finite"):
        guard.observe(False, "it")

"""A base in 4 or 8 bits: refused where it cannot be, asked for as it should be, and the same base to everybody else."""

import importlib.util

import pytest
import torch
from train_helpers import make_groups, tiny_model
from transformers import AutoModelForCausalLM

from train import base_model
from train.config import TrainConfig
from train.learner import Learner
from train.lora import fingerprint
from train.publication import publication_of
from train.quantised import quantisation, refuse_quantising

FORMS = ("nf4", "int8")
installed = pytest.mark.skipif(importlib.util.find_spec("bitsandbytes") is None, reason="needs bitsandbytes")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    tiny_model(hidden_size=64, intermediate_size=128).save_pretrained(path)
    return path


@pytest.fixture
def anywhere(monkeypatch):
    """bitsandbytes computes on a CPU too, if slowly."""
    monkeypatch.setattr(base_model, "refuse_quantising", lambda *_, **__: None)


@pytest.mark.parametrize("form", FORMS)
def test_it_is_refused_where_it_cannot_be(folder, form, monkeypatch):
    with pytest.raises(ValueError, match=f"quantise {form} is for GPUs, and the learner has none: set it to none"):
        Learner(folder, TrainConfig(quantise=form), "cpu")
    with pytest.raises(ValueError, match=f"shard cannot split weights of quantise {form}"):
        TrainConfig(quantise=form, shard=True, workers=2)
    with pytest.raises(ValueError, match="give the model's folder or id"):
        Learner(tiny_model(), TrainConfig(quantise=form), "cpu")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=f"train.quantise {form} needs bitsandbytes, which is not installed: pip"):
        refuse_quantising(form, on_gpu=True, section="train.")
    refuse_quantising("none", on_gpu=False)


def test_transformers_is_told_how_to_hold_the_layers(folder, monkeypatch, anywhere):
    monkeypatch.setattr("importlib.metadata.version", lambda name: "99")
    asked = {}

    def load(path, **settings):
        asked.update(settings)
        return tiny_model()

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", load)
    base_model.load_base(folder, TrainConfig(quantise="nf4", dtype="bfloat16"), torch.device("cpu"))
    nf4 = asked["quantization_config"]
    assert nf4.load_in_4bit and nf4.bnb_4bit_quant_type == "nf4" and nf4.bnb_4bit_use_double_quant
    assert nf4.bnb_4bit_compute_dtype == asked["dtype"] == torch.bfloat16
    base_model.load_base(folder, TrainConfig(quantise="int8"), torch.device("cpu"))
    assert asked["quantization_config"].load_in_8bit
    base_model.load_base(folder, TrainConfig(), torch.device("cpu"))
    assert asked["quantization_config"] is quantisation("none", torch.float32) is None


def test_the_fingerprint_is_that_of_the_published_weights(folder, monkeypatch, anywhere):
    published = fingerprint(AutoModelForCausalLM.from_pretrained(folder))
    monkeypatch.setattr(base_model, "quantisation", lambda *_: None)
    config = TrainConfig(quantise="nf4")
    assert base_model.base_and_identity(folder, config, torch.device("cpu"))[1] == published


@installed
@pytest.mark.parametrize("form", FORMS)
def test_it_learns_and_says_in_what_its_canary_was_scored(folder, anywhere, form):
    plain, coarse = (Learner(folder, TrainConfig(quantise=kind, learning_rate=1e-3), "cpu") for kind in ("none", form))
    assert coarse.signature == plain.signature and coarse.scorer.layout == plain.scorer.layout
    gap = abs(coarse.score((1, 2), (3, 4, 5)) - plain.score((1, 2), (3, 4, 5))).mean()
    assert 1e-3 < gap < 0.5
    for seed in range(2):
        found, expected = (learner.step(make_groups(seed=seed)).metrics for learner in (coarse, plain))
        assert found["grad_norm"] == pytest.approx(expected["grad_norm"], rel=0.3)
    sent = publication_of(coarse, "run", ((1, 2), (3, 4, 5)))
    assert sent.canary.dtype == form and sent.policy.base["fingerprint"] == plain.signature["base_model"]
    plain.adapter.load(sent.policy)

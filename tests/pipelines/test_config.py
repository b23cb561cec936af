"""Options of different rooms that only make sense together."""

import pytest
import torch
from safetensors.torch import load
from transformers import Qwen2Config, Qwen2ForCausalLM

from pipelines.config import GRPOConfig
from pipelines.errors import ConfigError
from pipelines.options import parse
from train.lora import Adapter

AVERAGED = {"ema_samples": 2}


@pytest.mark.parametrize(
    ("rollout", "train", "hint"),
    [
        (AVERAGED, {}, "set train.ema_decay"),
        (AVERAGED, {"ema_decay": 0.99, "importance_correction": "off"}, "set train.old_logprobs=sampler"),
        ({"sampling": {"temperature": 0.7}}, {}, "rollout.sampling.temperature 0.7"),
    ],
)
def test_rooms_that_disagree_are_told_how_to_agree(rollout, train, hint):
    with pytest.raises(ValueError, match=hint):
        GRPOConfig(rollout=rollout, train=train)


@pytest.mark.parametrize("train", [{}, {"old_logprobs": "sampler"}])
def test_ema_samples_need_an_average_and_a_correction(train):
    config = GRPOConfig(rollout={**AVERAGED, "max_staleness": 1}, train={"ema_decay": 0.99, **train})
    assert config.rollout.live_adapters == 4


def test_the_seed_of_a_run_decides_the_first_weights_of_its_adapter():
    """In each of its learner workers alike: they are not sent to one another."""
    first = {}
    for seed in (0, 1, 0):
        tensors = load(Adapter(small_model(), GRPOConfig(seed=seed).learner).export("run", 0).weights)
        down = torch.cat([tensor.flatten() for name, tensor in sorted(tensors.items()) if ".lora_A." in name])
        assert torch.equal(first.setdefault(seed, down), down)
    assert (first[0] != first[1]).all()
    with pytest.raises(ConfigError, match=r"train\.seed has no effect here: set seed"):
        parse(GRPOConfig, ["--train.seed", "1"], prog="")


def small_model():
    size = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Qwen2ForCausalLM(Qwen2Config(vocab_size=32, num_key_value_heads=1, **size))


def test_a_falling_rate_ends_with_the_run():
    assert GRPOConfig(steps=30, train={"schedule": "linear"}).learner.total_steps == 30
    assert GRPOConfig(steps=30, train={"schedule": "cosine", "total_steps": 50}).learner.total_steps == 50
    assert GRPOConfig(steps=30).learner.total_steps is None


@pytest.mark.parametrize("train", [{"total_steps": 20}, {"warmup_steps": 30}])
def test_a_rate_that_would_be_nothing_is_refused(train):
    with pytest.raises(ValueError, match="let warm-up end before it"):
        GRPOConfig(steps=30, train={"schedule": "linear", **train})

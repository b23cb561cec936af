"""Options of different rooms that only make sense together."""

import pytest

from pipelines.config import GRPOConfig

AVERAGED = {"ema_samples": 2}


@pytest.mark.parametrize(
    ("rollout", "train", "mend"),
    [
        (AVERAGED, {}, "set train.ema_decay"),
        (AVERAGED, {"ema_decay": 0.99, "importance_correction": "off"}, "set train.old_logprobs=sampler"),
        ({"sampling": {"temperature": 0.7}}, {}, "rollout.sampling.temperature 0.7"),
    ],
)
def test_rooms_that_disagree_are_told_how_to_agree(rollout, train, mend):
    with pytest.raises(ValueError, match=mend):
        GRPOConfig(rollout=rollout, train=train)


@pytest.mark.parametrize("train", [{}, {"old_logprobs": "sampler"}])
def test_ema_samples_need_an_average_and_a_correction(train):
    config = GRPOConfig(rollout={**AVERAGED, "max_staleness": 1}, train={"ema_decay": 0.99, **train})
    assert config.rollout.live_adapters == 4

import pytest
from pydantic import ValidationError

from train.config import TrainConfig
from train.schedule import learning_rate


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"epsilon_low": 0.1}, "epsilon_low"),
        ({"epsilon_high": 0.1}, "epsilon_high"),
        ({"delta": 2.0}, "delta"),
        ({"loss": "cispo", "epochs": 2, "epsilon_low": 0.1}, "epsilon_low"),
        ({"loss": "cispo", "epochs": 2, "delta": 2.0}, "delta"),
        ({"length_norm": 100}, "length_norm"),
        ({"loss": "dr_grpo"}, "length_norm"),
        ({"old_logprobs": "sampler", "importance_correction": "token_mask"}, "importance_correction"),
        ({"importance_correction": "off", "importance_cap": 3.0}, "importance_cap"),
        ({"old_logprobs": "sampler", "importance_floor": 0.5}, "importance_floor"),
        ({"importance_floor": 3.0}, "importance_floor"),
        ({"total_steps": 10}, "total_steps"),
        ({"schedule": "linear", "total_steps": 5, "warmup_steps": 5}, "warmup_steps"),
        ({"target_modules": ()}, "target_modules"),
        ({"covariance_share": 0.1}, "covariance_share"),
        ({"covariance": "kl_cov", "epochs": 2, "covariance_range": (1.0, 2.0)}, "covariance_range"),
        ({"covariance": "clip_cov", "covariance_range": (2.0, 1.0)}, "covariance_range"),
        ({"covariance": "clip_cov", "covariance_beta": 1.0}, "covariance_beta"),
        ({"covariance": "clip_cov", "loss": "gspo"}, "clip_cov has no effect"),
        ({"covariance": "kl_cov", "loss": "gspo", "epochs": 2}, "kl_cov has no effect"),
        ({"covariance": "kl_cov"}, "ratio is exactly 1"),
        ({"entropy_gain": 0.1}, "entropy_gain has no effect"),
        ({"ema_decay": 1.0}, "ema_decay"),
        ({"lora_rank": 8}, "lora_rank"),
        ({"lora_r": 1024}, "lora_r"),
        ({"temperature": 0}, "temperature"),
    ],
)
def test_an_option_that_cannot_work_is_refused_by_name(options, named):
    with pytest.raises(ValidationError, match=named):
        TrainConfig(**options)


@pytest.mark.parametrize("loss", ["grpo", "dapo", "bnpo", "gspo", "cispo"])
def test_a_configuration_survives_being_written_and_read(loss):
    for options in ({}, {"epochs": 2, "epsilon_high": 0.4}, {"old_logprobs": "sampler"}):
        config = TrainConfig(loss=loss, **options)
        assert TrainConfig(**config.model_dump()) == config


def test_every_field_says_what_it_does():
    for name, field in TrainConfig.model_fields.items():
        assert field.description and "\n" not in field.description, name


def test_defaults_follow_the_mode():
    assert TrainConfig().correction == "token_truncate"
    assert TrainConfig(old_logprobs="sampler").correction == "off"
    assert TrainConfig(loss="dapo").clip_range == (0.2, 0.28)
    assert TrainConfig(loss="gspo", epochs=2, epsilon_low=0.1).clip_range == (0.1, 4e-4)


def test_schedules_rise_and_end_where_they_say():
    linear = TrainConfig(learning_rate=1.0, schedule="linear", warmup_steps=3, total_steps=11)
    assert [learning_rate(linear, s) for s in (0, 1, 2, 3)] == [0.25, 0.5, 0.75, 1.0]
    assert learning_rate(linear, 7) == 0.5 and learning_rate(linear, 11) == 0.0
    cosine = TrainConfig(learning_rate=1.0, schedule="cosine", total_steps=10)
    assert learning_rate(cosine, 0) == 1.0 and learning_rate(cosine, 5) == pytest.approx(0.5)
    assert learning_rate(cosine, 50) == pytest.approx(0.0)
    assert learning_rate(TrainConfig(learning_rate=0.3), 10**6) == 0.3
    with pytest.raises(ValueError, match="set total_steps"):
        learning_rate(TrainConfig(schedule="cosine"), 1)

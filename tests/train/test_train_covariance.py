"""Which tokens are chosen: by hand-made numbers, by statistics, and whatever the division into workers."""

import dataclasses

import numpy as np
import pytest
from train_helpers import make_groups

from train.batch import TrainBatch
from train.config import TrainConfig
from train.covariance import choose, mark, token_covariances

KL = TrainConfig(covariance="kl_cov", epochs=2, covariance_share=0.25)


def batch_of(config=KL):
    return TrainBatch.from_groups(make_groups(6, 4), config)


def test_covariances_are_those_of_numpy_and_skip_what_is_unknown():
    rows = batch_of().rows
    logprobs, advantages = (np.concatenate([getattr(r, n) for r in rows]) for n in ("sampler_logprobs", "advantages"))
    found = token_covariances(rows)
    assert found.mean() == pytest.approx(np.cov(logprobs, advantages, bias=True)[0, 1], abs=1e-6)
    unknown = dataclasses.replace(rows[0], sampler_logprobs=np.full_like(rows[0].sampler_logprobs, np.nan))
    rest = token_covariances([unknown, *rows[1:]])
    hidden = len(unknown.sampler_logprobs)
    assert np.isnan(rest[:hidden]).all() and np.allclose(rest[hidden:], token_covariances(rows[1:]))
    assert np.isnan(token_covariances([unknown])).all()


def test_kl_cov_takes_the_largest():
    covariances = np.array([0.1, np.nan, 9.0, -3.0, 4.0, 0.0, 2.0, 8.0])
    assert choose(covariances, KL, np.random.default_rng(0)).nonzero()[0].tolist() == [2, 7]
    few = KL.model_copy(update={"covariance_share": None})  # 0.2 % of eight tokens is none, so one
    assert choose(covariances, few, np.random.default_rng(0)).nonzero()[0].tolist() == [2]


def test_clip_cov_draws_evenly_inside_its_bounds():
    config = TrainConfig(covariance="clip_cov", covariance_share=0.25, covariance_range=(1.0, 5.0))
    covariances = np.array([0.9, 1.0, 1.1, 2.0, 3.0, 4.9, 5.0, np.nan])
    rng, counts = np.random.default_rng(0), np.zeros(8)
    for _ in range(2000):
        chosen = choose(covariances, config, rng)
        assert chosen.sum() == 2
        counts += chosen
    assert (counts[[0, 1, 6, 7]] == 0).all()
    assert np.allclose(counts[2:6], 1000, atol=120)
    assert not choose(np.zeros(8), config, rng).any()


def test_marks_stand_on_their_own_tokens_and_survive_sharding():
    whole = mark(batch_of(), KL, np.random.default_rng(1))
    chosen = choose(token_covariances(whole.rows), KL, np.random.default_rng(1))
    assert np.array_equal(np.concatenate([row.chosen for row in whole.rows]), chosen)
    assert chosen.sum() == int(0.25 * whole.tokens)
    assert sum(row.chosen.sum() for rank in range(3) for row in whole.shard(rank, 3)) == chosen.sum()

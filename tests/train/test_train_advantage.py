import dataclasses

import numpy as np
import pytest
import torch
from train_helpers import make_group

from problems.problem import Status, Verdict, informative
from train.advantage import advantages, reward_table

REWARDS = [
    [1.0, 0.0, 0.0, 1.0],
    [0.5, None, 0.25, 1.0],
    [2.0, 2.0, 2.0, 2.0],
    [1.0, None, None, None],
    [0.0, 3.0],
]


def test_group_std_is_centred_and_divided_by_the_unbiased_deviation():
    table = advantages(reward_table(REWARDS), "group_std")
    for row, rewards in zip(table, REWARDS):
        scored = torch.tensor([r for r in rewards if r is not None], dtype=torch.float64)
        if len(scored) > 1:
            expected = (scored - scored.mean()) / (scored.std() + 1e-4)
            assert np.allclose(row[~np.isnan(row)], expected, atol=1e-12)


def test_mean_only_and_leave_one_out_by_their_definitions():
    centred = advantages(reward_table(REWARDS), "mean_only")
    left_out = advantages(reward_table(REWARDS), "leave_one_out")
    for row, (others, rewards) in enumerate(zip(left_out, REWARDS)):
        for column, reward in enumerate(rewards):
            rest = [r for i, r in enumerate(rewards) if r is not None and i != column]
            if reward is None:
                assert np.isnan(others[column]) and np.isnan(centred[row, column])
            elif rest:
                assert others[column] == pytest.approx(reward - np.mean(rest))
                assert centred[row, column] == pytest.approx(reward - np.mean([reward, *rest]))


def test_no_baseline_and_no_difference_teach_nothing():
    for estimator in ("group_std", "mean_only", "leave_one_out"):
        table = advantages(reward_table(REWARDS), estimator)
        assert (table[2] == 0).all() and table[3, 0] == 0
    assert advantages(reward_table([]), "group_std").shape == (0, 0)


def test_an_unscored_sample_moves_nobody_elses_advantage():
    without = advantages(reward_table([[1.0, 0.0, 0.5]]), "group_std")
    with_gap = advantages(reward_table([[1.0, None, 0.0, 0.5]]), "group_std")
    assert np.array_equal(without[0], with_gap[0, [0, 2, 3]])


def test_the_filter_looks_at_outcomes_not_at_partial_credit():
    rng = np.random.default_rng(0)
    failed = tuple(Verdict(Status.WRONG_ANSWER) for _ in range(3))
    partial = dataclasses.replace(make_group(rng, [0.0, 0.5, 0.2]), verdicts=failed)
    assert not informative(partial, "outcome") and informative(partial, "reward") and informative(partial, "off")
    mixed = make_group(rng, [1.0, 0.0, 0.0])
    assert informative(mixed, "outcome")
    alike = make_group(rng, [1.0, 1.0, 1.0])
    assert not informative(alike, "outcome") and not informative(alike, "reward") and informative(alike, "off")


def test_an_infrastructure_failure_is_no_outcome():
    rng = np.random.default_rng(0)
    group = make_group(rng, [1.0, 1.0, None])
    assert not informative(group, "outcome") and not informative(group, "reward")
    assert not informative(make_group(rng, [1.0, None, None]), "off")


def test_a_group_that_was_not_judged_is_refused():
    group = make_group(np.random.default_rng(0), [1.0, 0.0])
    with pytest.raises(ValueError, match="0 rewards for 2 samples"):
        informative(dataclasses.replace(group, rewards=()), "outcome")
    with pytest.raises(ValueError, match="0 verdicts for 2 samples"):
        informative(dataclasses.replace(group, verdicts=()), "outcome")
    assert informative(dataclasses.replace(group, verdicts=()), "reward")

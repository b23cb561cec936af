"""Which samples a step trains on: those of low entropy are left out where it is asked for, and counted."""

import dataclasses

import numpy as np
import pytest
from train_helpers import make_group, make_groups, tiny_model

from train.advantage import group_advantages
from train.batch import TrainBatch
from train.config import TrainConfig
from train.credit import assign_credit, entropy_bound, sample_entropy
from train.learner import Learner


def with_entropies(group, entropies):
    """The group with samples of these entropies; NaN for one whose log-probabilities nobody knows."""
    samples = [
        dataclasses.replace(sample, logprobs=np.full(len(sample.completion_ids), -entropy, np.float32))
        for sample, entropy in zip(group.samples, entropies, strict=True)
    ]
    return dataclasses.replace(group, samples=tuple(samples))


def groups_of(*entropies):
    rng = np.random.default_rng(0)
    return [
        with_entropies(make_group(rng, [float(n % 2) for n in range(len(own))], index=index), own)
        for index, own in enumerate(entropies)
    ]


@pytest.mark.parametrize(
    ("entropies", "factor", "floor", "bound"),
    [
        ([1.0, 2.0, 3.0, 4.0, 5.0], 0.75, 0.1, 2.0 - 0.75 * 2.0),
        ([1.0, 2.0, 3.0, 4.0, 5.0], 0.0, 0.1, 2.0),
        ([1.0, 2.0, 3.0, 4.0, 5.0], 0.75, 0.8, 0.8),
        ([0.05, 0.05], 0.75, 0.0, 0.05),
        ([], 0.75, 0.1, 0.1),
    ],
)
def test_the_bound_is_of_quartiles_and_never_below_the_floor(entropies, factor, floor, bound):
    assert entropy_bound(np.array(entropies), factor, floor) == pytest.approx(bound)


def test_samples_below_the_bound_are_left_out_and_the_others_keep_their_advantage():
    """Quartiles are those of the whole step: 0.9 is low beside the others, though not within its own group."""
    groups = groups_of([3.0, 3.2, 3.4, 3.1], [0.9, 3.3, 3.0, 3.2])
    config = TrainConfig(entropy_filter=0.75)
    credit = assign_credit(groups, config)
    whole = [group_advantages(group, "outcome", "group_std") for group in groups]
    assert credit.advantages == (whole[0], [None, *whole[1][1:]])
    assert credit.low_entropy == 1 and 0.9 < credit.bound < 3.0
    plain = assign_credit(groups, TrainConfig())
    assert plain.advantages == tuple(whole) and plain.bound is None and plain.low_entropy == 0


def test_a_policy_that_is_sure_of_everything_is_not_made_surer():
    credit = assign_credit(groups_of([0.01, 0.02, 0.05, 0.3]), TrainConfig(entropy_filter=0.75))
    assert [advantage is None for advantage in credit.advantages[0]] == [True, True, True, False]
    assert credit.low_entropy == 3 and credit.bound == 0.1
    lower = TrainConfig(entropy_filter=0.75, entropy_filter_floor=0.0)
    assert assign_credit(groups_of([0.01, 0.02, 0.05, 0.3]), lower).low_entropy == 0


def test_what_is_not_known_is_no_reason_and_uninformative_groups_set_no_bound():
    groups = groups_of([np.nan, 3.0, 3.1, 3.2])
    alike = dataclasses.replace(
        groups_of([0.2] * 4)[0], rewards=(1.0,) * 4, verdicts=(groups[0].verdicts[1],) * 4, index=1
    )
    credit = assign_credit([*groups, alike], TrainConfig(entropy_filter=0.75))
    assert credit.low_entropy == 0 and None not in credit.advantages[0] and credit.bound > 2.5
    assert np.isnan(sample_entropy(groups[0].samples[0]))
    assert assign_credit([alike], TrainConfig(entropy_filter=0.75)).bound == 0.1


def test_the_batch_has_the_rows_that_are_left_and_counts_the_others_apart():
    groups = groups_of([3.0, 3.2, 3.4, 3.1], [0.9, 3.3, 3.0, 3.2])
    unscored = dataclasses.replace(groups[0], rewards=(None, *groups[0].rewards[1:]))
    batch = TrainBatch.from_groups([unscored, groups[1]], TrainConfig(entropy_filter=0.75))
    assert (batch.groups, batch.kept, len(batch.rows), batch.excluded, batch.low_entropy) == (2, 2, 6, 1, 1)
    left = {row.completion_ids.tobytes() for row in batch.rows}
    assert groups[1].samples[0].completion_ids.tobytes() not in left
    plain = TrainBatch.from_groups([unscored, groups[1]], TrainConfig())
    assert (len(plain.rows), plain.excluded, plain.low_entropy, plain.entropy_bound) == (7, 1, 0, None)


def test_a_step_does_not_learn_from_a_sample_of_low_entropy():
    """Whatever tokens it has: the step is the same."""
    rng, found = np.random.default_rng(0), []
    for tokens in (None, rng.integers(0, 64, 9).astype(np.int32)):
        groups = make_groups(3, 4)
        low, *others = groups[0].samples
        ids = low.completion_ids if tokens is None else tokens
        low = dataclasses.replace(low, completion_ids=ids, logprobs=np.full(len(ids), -0.01, np.float32))
        groups[0] = dataclasses.replace(groups[0], samples=(low, *others))
        learner = Learner(tiny_model(), TrainConfig(learning_rate=1e-3, entropy_filter=2.0))
        metrics = learner.step(groups).metrics
        assert (metrics["samples/low_entropy"], metrics["samples"]) == (1, 11) and metrics["entropy_filter/bound"] > 0.1
        found.append(learner.policy("r", 1).weights)
        plain = Learner(tiny_model(), TrainConfig(learning_rate=1e-3)).step(groups).metrics
        assert plain["samples"] == 12 and "samples/low_entropy" not in plain
    assert found[0] == found[1]


def test_a_floor_without_a_filter_is_refused():
    with pytest.raises(ValueError, match="entropy_filter_floor has no effect without entropy_filter"):
        TrainConfig(entropy_filter_floor=0.2)

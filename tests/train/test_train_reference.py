"""What the KL is to: the adapter that a run starts from, or the model without any."""

import dataclasses

import numpy as np
import pytest
import torch
from safetensors.torch import load
from train_helpers import make_groups, tiny_model

from train import checkpoint
from train.config import TrainConfig
from train.learner import Learner
from train.worker import Job, _restore


def taught(seed=0, steps=4):
    """An adapter that has moved away from the model."""
    learner = Learner(tiny_model(), TrainConfig(learning_rate=3e-3, seed=seed))
    for step in range(steps):
        learner.step(make_groups(seed=seed + step))
    return learner.policy("taught", 0)


def learner_of(**options):
    return Learner(tiny_model(), TrainConfig(**{"beta": 0.04, "reference": "start", "learning_rate": 1e-3, **options}))


@pytest.mark.parametrize("options", [{}, {"gradient_checkpointing": True}, {"micro_batch_tokens": 60}, {"epochs": 2}])
def test_the_kl_begins_at_nothing_where_it_is_to_the_start(options):
    start, found = taught(), {}
    for reference in ("start", "base"):
        learner = learner_of(reference=reference, **options)
        learner.start_from(start)
        found[reference] = [learner.step(make_groups()).metrics["kl"] for _ in range(3)]
    if "epochs" not in options:
        assert abs(found["start"][0]) < 1e-6
    assert found["base"][0] > 1e-2, "the taught adapter is far from the model"
    assert found["start"][2] > 1e-5, "and the KL grows as the policy leaves the start"


def test_the_reference_is_what_the_start_adapter_computes_and_does_not_move():
    start, groups = taught(), make_groups()
    learner, plain = learner_of(), Learner(tiny_model(), TrainConfig())
    learner.start_from(start)
    plain.start_from(start)
    sample = groups[0].samples[0]
    for _ in range(3):
        learner.step(groups)
        with learner.adapter.holding(learner.reference):
            assert np.array_equal(
                learner.score(sample.prompt_ids, sample.completion_ids),
                plain.score(sample.prompt_ids, sample.completion_ids),
            )
    own = learner.score(sample.prompt_ids, sample.completion_ids)
    assert np.abs(own - plain.score(sample.prompt_ids, sample.completion_ids)).max() > 1e-3


@pytest.mark.parametrize("reference", ["start", "base"])
def test_a_fresh_adapter_starts_as_the_model_itself(reference):
    groups = make_groups()
    learner, base = learner_of(reference=reference), learner_of(reference="base")
    assert [learner.step(groups).metrics["kl"] for _ in range(3)] == [base.step(groups).metrics["kl"] for _ in range(3)]
    assert learner.reference is None


def test_nothing_is_kept_where_nothing_is_compared():
    learner = learner_of(beta=0.0)
    learner.start_from(taught())
    assert learner.reference is None and "kl" not in learner.step(make_groups()).metrics


def test_the_pull_is_towards_the_reference():
    """Both begin at the start, whose distance to the model is what `base` undoes and `start` keeps."""
    start, groups = taught(steps=8), make_groups()
    samples = [sample for group in groups for sample in group.samples]
    far = {}
    for reference in ("start", "base"):
        learner = learner_of(beta=5.0, reference=reference, learning_rate=3e-3)
        learner.start_from(start)
        for _ in range(12):
            learner.step(groups)
        gaps = [
            learner.score(one.prompt_ids, one.completion_ids)
            - learner.score(one.prompt_ids, one.completion_ids, adapter=False)
            for one in samples
        ]
        far[reference] = np.abs(np.concatenate(gaps)).mean()
    assert far["start"] > 2 * far["base"]


def test_a_resumed_learner_has_the_reference_of_the_start_again(tmp_path):
    """On a node that has nothing but the job and the checkpoint, and exactly as if nothing had been."""
    start = taught()
    config = TrainConfig(beta=0.04, reference="start", learning_rate=1e-3)
    job = Job("run", "unused", config, 4, str(tmp_path), initial=start)
    straight = Learner(tiny_model(), job.config)
    _restore(straight, job, 0, 1)
    losses = [straight.step(make_groups(seed=step)).metrics["loss"] for step in range(4)]
    first = Learner(tiny_model(), job.config)
    _restore(first, job, 0, 1)
    assert [first.step(make_groups(seed=step)).metrics["loss"] for step in range(2)] == losses[:2]
    checkpoint.save(tmp_path, first, first.policy("run", 2), {"at": 2}, keep=1)
    second = Learner(tiny_model(), job.config)
    assert _restore(second, job, 0, 1) == {"at": 2} and second.steps_done == 2
    assert [second.step(make_groups(seed=step)).metrics["loss"] for step in range(2, 4)] == losses[2:]
    assert second.policy("r", 4).weights == straight.policy("r", 4).weights
    stranger = dataclasses.replace(job, initial=taught(seed=7))
    with pytest.raises(ValueError, match="resume with the adapter that the run started from"):
        _restore(Learner(tiny_model(), job.config), stranger, 0, 1)


def test_other_weights_leave_when_they_are_no_longer_wanted():
    learner = learner_of()
    own = learner.policy("r", 0).weights
    zeros = {name: torch.zeros_like(value) for name, value in learner.adapter.parameters.items()}
    with pytest.raises(RuntimeError, match="inside"), learner.adapter.holding(zeros):
        assert not any(tensor.any() for tensor in load(learner.policy("r", 0).weights).values())
        raise RuntimeError("inside")
    assert learner.policy("r", 0).weights == own

"""A step that finds no memory is done once more with half the micro-batch, and ends as it would have."""

import pytest
import torch
from train_helpers import make_groups, tiny_model

from train.config import TrainConfig
from train.learner import Learner
from train.out_of_memory import OutOfMemory, is_out_of_memory

GROUPS = make_groups(4, 4)


class Full:
    """The scorer of a learner on a device that holds so many padded tokens, or that is full so many times."""

    def __init__(self, learner, tokens=None, times=0, backward=False):
        self._inner, self._tokens, self._times = learner.scorer.logprobs, tokens, times
        self.passes, self._backward = [], backward
        learner.scorer.logprobs = self

    def __call__(self, part, *more, **named):
        self.passes.append(part.padded_tokens)
        full = self._tokens is not None and part.padded_tokens > self._tokens
        if full or len(self.passes) <= self._times:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nMore words.")
        return self._inner(part, *more, **named)


def learner_of(**settings):
    return Learner(tiny_model(), TrainConfig(learning_rate=1e-3, **settings), "cpu")


def weights(learner):
    return torch.cat([p.detach().flatten() for p in learner.adapter.parameters.values()])


@pytest.mark.parametrize("settings", [{}, {"epochs": 2, "old_logprobs": "sampler"}, {"beta": 0.1}], ids=str)
def test_the_step_ends_as_it_would_have(settings):
    plain, short = learner_of(**settings), learner_of(**settings)
    expected = plain.step(GROUPS)
    full = Full(short, times=1)
    found = short.step(GROUPS)
    assert found.updated and max(full.passes[1:]) <= full.passes[0] / 2
    assert found.metrics["loss"] == pytest.approx(expected.metrics["loss"], abs=1e-6)
    assert found.metrics["entropy"] == pytest.approx(expected.metrics["entropy"], rel=1e-5)
    torch.testing.assert_close(weights(short), weights(plain), rtol=1e-4, atol=1e-6)


def test_the_next_steps_keep_to_what_sufficed():
    learner = learner_of()
    largest = max(part.padded_tokens for part in learner_parts(learner))
    full = Full(learner, tokens=largest // 2)
    first, second = learner.step(GROUPS), learner.step(GROUPS)
    assert full.passes.count(largest) == 1 and first.updated and second.updated
    assert second.metrics["micro_batch_tokens"] == learner.micro_batch_tokens == largest // 2


def learner_parts(learner):
    from train.batch import TrainBatch

    return learner._micro_batches(TrainBatch.from_groups(GROUPS, learner.config), learner.config.micro_batch_tokens)


@pytest.mark.parametrize("case", [{"tokens": 1}, {"times": 2}])
def test_the_second_time_is_one_line_that_says_what_would_fit(case):
    learner = learner_of()
    before = weights(learner)
    Full(learner, **case)
    with pytest.raises(OutOfMemory, match=r"micro-batch of \d+ rows? and \d+ tokens \(CUDA out of memory") as error:
        learner.step(GROUPS)
    assert "train.micro_batch_tokens" in str(error.value) and "\n" not in str(error.value)
    assert torch.equal(weights(learner), before) and learner.steps_done == 0


def test_an_epoch_that_was_applied_is_not_done_again():
    learner = learner_of(epochs=2, old_logprobs="sampler")
    first = len(learner_parts(learner))
    full = Full(learner)
    inner = full._inner
    full._inner = lambda *a, **k: inner(*a, **k) if len(full.passes) <= first else fail()
    with pytest.raises(OutOfMemory):
        learner.step(GROUPS)


def fail():
    raise torch.OutOfMemoryError("CUDA out of memory.")


def test_other_errors_are_not_tried_again():
    learner = learner_of()
    calls = []

    def broken(*arguments, **named):
        calls.append(1)
        raise RuntimeError("device-side assert")

    learner.scorer.logprobs = broken
    with pytest.raises(RuntimeError, match="device-side assert"):
        learner.step(GROUPS)
    assert len(calls) == 1
    assert is_out_of_memory(RuntimeError("DefaultCPUAllocator: can't allocate memory")) and not is_out_of_memory(
        ValueError("not enough memory")
    )

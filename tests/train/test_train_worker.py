"""The loop against a coordinator that is a plain object, and once inside a real Ray Train."""

import dataclasses
import sys

import pytest
import torch
import train_helpers
from ray import cloudpickle
from safetensors.torch import load
from train_helpers import make_groups, tiny_model

from rollout.load_proof import LoadMismatch, adapter_checksums, expected_checksums
from rollout.policy import AdapterForm
from train import checkpoint
from train.config import TrainConfig
from train.learner import Learner
from train.worker import Job, run_loop, train_worker

for module in (sys.modules[__name__], train_helpers):  # Ray's workers cannot import test modules
    cloudpickle.register_pickle_by_value(module)


@dataclasses.dataclass
class State:
    consumed: int

    def to_dict(self):
        return dataclasses.asdict(self)


@dataclasses.dataclass
class Given:
    groups: list
    ledger: State


class Books:
    """A coordinator whose batches are a function of the step, and which writes down all that it is told."""

    def __init__(self, end=None, die_at=None, forms=()):
        self.end, self.die_at, self.newest, self.forms = end, die_at, -1, forms
        self.begun, self.published, self.asked, self.recorded = [], [], [], []

    def epoch(self):
        return self.newest

    def status(self):
        return {"epoch": self.newest}

    def adapter_forms(self):
        return self.forms

    def begin(self, epoch, ledger, publication):
        assert epoch > self.newest
        self.newest = epoch
        self.begun.append((ledger, publication))
        return {}

    def get_batch(self, epoch, step, rank, world_size):
        assert epoch == self.newest
        self.asked.append((step, rank, world_size))
        return None if step == self.end else Given(make_groups(2, 4, seed=step, version=step), State(step + 1))

    def publish(self, epoch, publication):
        assert epoch == self.newest
        self.published.append(publication)
        if publication.policy.number == self.die_at:
            raise ConnectionError("gone")
        return {"seconds": 0.01}

    def record(self, epoch, step, metrics):
        self.recorded.append((step, metrics))

    def settle(self, epoch):
        assert epoch == self.newest

    def books(self):
        return self.begun, self.published, self.asked, self.recorded


def job_of(folder, steps=5, **changes) -> Job:
    config = TrainConfig(checkpoint_every=2, learning_rate=1e-3)
    job = Job("run", "unused", config, steps, str(folder), canary=((1, 2), (3, 4, 5)), device="cpu")
    return dataclasses.replace(job, **changes)


def run(job, books):
    reports = []
    learner = Learner(tiny_model(), job.config)
    done = run_loop(learner, books, job, report=lambda result, written: reports.append((result, written)))
    return done, learner, reports


def versions(publications):
    return [(p.policy.number, p.policy.adapter_hash) for p in publications]


def test_each_step_publishes_its_version_with_its_canary(tmp_path):
    books = Books()
    done, learner, reports = run(job_of(tmp_path), books)
    assert done == 5 and [r.step for r, _ in reports] == [1, 2, 3, 4, 5]
    assert [number for number, _ in versions(books.published)] == [1, 2, 3, 4, 5]
    assert len(dict.fromkeys(digest for _, digest in versions(books.published))) == 5
    canary = books.published[-1].canary
    assert canary.logprobs.tolist() == learner.score((1, 2), (3, 4, 5)).tolist()
    assert canary.logprobs.tolist() != books.begun[0][1].canary.logprobs.tolist()
    ((ledger, first),) = books.begun
    assert ledger is None and first.policy.number == 0 and first.policy.weights
    assert [written.step for _, written in reports if written] == [2, 4, 5]
    assert [step for step, _ in books.recorded] == [0, 1, 2, 3, 4]
    metrics = books.recorded[1][1]
    assert metrics["publish/seconds"] == 0.01 and metrics["seconds/checkpoint"] > 0
    assert metrics["logprob_gap/fresh_max"] == metrics["logprob_gap/max"] > 0


def test_engines_of_sixteen_bits_are_sent_adapters_of_sixteen_bits_and_checkpoints_keep_all(tmp_path):
    forms = [AdapterForm("bfloat16"), AdapterForm("bfloat16", placed=False)]
    books = Books(forms=forms)
    learner = run(job_of(tmp_path, steps=2), books)[1]
    sent, kept = books.published[-1], checkpoint.policy(checkpoint.read(checkpoint.latest(tmp_path)))
    assert {tensor.dtype for tensor in load(sent.policy.weights).values()} == {torch.bfloat16}
    whole = load(kept.weights)
    assert all(torch.equal(whole[name], value) for name, value in learner.adapter.parameters.items())
    for form in forms:
        assert expected_checksums(sent, form) == adapter_checksums(whole, kept.lora_config, form)
    stale = dataclasses.replace(sent, policy=books.published[0].policy)
    assert stale.policy.weights != sent.policy.weights
    with pytest.raises(LoadMismatch, match="others than the learner's"):
        expected_checksums(stale, AdapterForm("float32"))


def test_a_resumed_loop_ends_where_an_uninterrupted_one_does(tmp_path):
    whole, first, second = Books(), Books(end=3), Books()
    run(job_of(tmp_path / "a"), whole)
    assert run(job_of(tmp_path / "b"), first)[0] == 3
    assert run(job_of(tmp_path / "b"), second)[0] == 5
    ((ledger, start),) = second.begun
    assert ledger == {"consumed": 3} and versions([start]) == versions(first.published)[-1:]
    assert versions(first.published + second.published) == versions(whole.published)
    assert [step for step, _, _ in second.asked] == [3, 4]
    finished = Books()
    assert run(job_of(tmp_path / "b"), finished)[0] == 5 and not finished.asked


def test_after_a_crash_the_loop_goes_back_to_the_last_checkpoint(tmp_path):
    books = Books(die_at=4)
    with pytest.raises(ConnectionError):
        run(job_of(tmp_path, steps=6), books)
    books.die_at = None
    run(job_of(tmp_path, steps=6), books)
    ledger, start = books.begun[1]
    assert ledger == {"consumed": 2} and start.policy.number == 2
    assert versions(books.published[4:6]) == versions(books.published[2:4])
    assert books.newest == 1


def test_a_run_can_start_from_an_adapter(tmp_path):
    learner = run(job_of(tmp_path / "a", steps=2), Books())[1]
    start, books = learner.policy("earlier", 2), Books()
    run(job_of(tmp_path / "b", steps=1, initial=start), books)
    ledger, first = books.begun[0]
    assert ledger is None and (first.policy.number, first.policy.adapter_hash) == (0, start.adapter_hash)


@pytest.mark.slow
@pytest.mark.parametrize("shard", [False, True])
def test_two_ray_train_workers_do_what_the_plain_loop_does(tmp_path, ray_local, shard):
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    tiny_model().save_pretrained(tmp_path / "model")
    books = ray_local.remote(num_cpus=0)(Books).options(max_concurrency=4).remote()
    job = job_of(tmp_path / "checkpoints", steps=3, model=str(tmp_path / "model"))
    result = TorchTrainer(
        train_worker,
        train_loop_config={
            "job": dataclasses.replace(job, config=job.config.model_copy(update={"shard": shard, "workers": 2})),
            "coordinator": books,
        },
        scaling_config=ScalingConfig(num_workers=2, resources_per_worker={"CPU": 0.5}),
        run_config=RunConfig(name="t", storage_path=str(tmp_path / "ray")),
    ).fit()
    begun, published, asked, recorded = ray_local.get(books.books.remote())
    alone = Books()
    learner = run(job_of(tmp_path / "alone", steps=3), alone)[1]
    assert result.error is None and len(begun) == 1 and [step for step, _ in recorded] == [0, 1, 2]
    assert sorted(asked) == [(step, rank, 2) for step in range(3) for rank in range(2)]
    assert result.metrics["loss"] == pytest.approx(alone.recorded[-1][1]["loss"], abs=1e-5)
    for one, other in zip(published, alone.published, strict=True):
        assert one.policy.number == other.policy.number
        assert one.canary.logprobs == pytest.approx(other.canary.logprobs, abs=1e-4)
    restored = Learner(tiny_model(), TrainConfig())
    assert checkpoint.restore(checkpoint.latest(tmp_path / "checkpoints"), restored).step == 3
    assert restored.score((1, 2), (3, 4)) == pytest.approx(learner.score((1, 2), (3, 4)), abs=1e-4)

"""A base that is split over two workers is trained on as a whole one is."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from sharded_pair import MODELS, config_of, course
from train_helpers import model_of, tiny_model

from train.config import TrainConfig
from train.learner import Learner

METRICS = ("loss", "grad_norm", "entropy", "logprob_gap/mean")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """What each of two workers found."""
    folder, here = tmp_path_factory.mktemp("pair"), Path(__file__).parent
    paths = os.pathsep.join([str(here.parents[1]), str(here)])
    processes = [
        subprocess.Popen(
            [sys.executable, str(here / "sharded_pair.py"), str(rank), str(folder)],
            env={**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        )
        for rank in range(2)
    ]
    assert [process.wait(timeout=300) for process in processes] == [0, 0]
    return [torch.load(folder / f"found{rank}", weights_only=False) for rank in range(2)]


@pytest.mark.parametrize("name", MODELS)
def test_a_sharded_base_is_trained_on_as_a_whole_one_and_by_one_worker(pair, name):
    sharded, other, whole = pair[0][name, True], pair[1][name, True], pair[0][name, False]
    alone = course(Learner(model_of(MODELS[name]), config_of(name, workers=1), "cpu"), 0)
    assert torch.equal(sharded["weights"], other["weights"])
    for expected in (whole, alone):
        assert (sharded["weights"] - expected["weights"]).abs().max() < 1e-6
        assert abs(sharded["canary"] - expected["canary"]).max() < 2e-6
        for found, wanted in zip(sharded["metrics"], expected["metrics"], strict=True):
            for metric in METRICS:
                assert found[metric] == pytest.approx(wanted[metric], abs=1e-6, rel=1e-6), metric
    counts = [[step["micro_batches"] for step in found["metrics"]] for found in (sharded, other)]
    assert counts[0][0] != counts[1][0] and sorted([counts[0][2], counts[1][2]]) == [0, 1]
    assert sharded["signature"] == whole["signature"]


def test_each_worker_holds_half_of_the_base(pair):
    size = sum(parameter.numel() * parameter.element_size() for parameter in model_of(MODELS["untied"]).parameters())
    for found in pair:
        assert size / 2 <= found["held"][True] < 0.55 * size and found["held"][False] >= size


@pytest.mark.parametrize("name", MODELS)
def test_a_run_is_resumed_sharded_or_not(pair, name):
    for found in pair:
        for shard in (False, True):
            assert (found[name, shard]["resumed"] - found[name, not shard]["weights"]).abs().max() < 1e-6


@pytest.mark.parametrize("name", ["tied", "untied"])
@pytest.mark.parametrize("backward", [False, True])
def test_where_one_worker_has_no_memory_all_try_again_with_half(pair, name, backward):
    for found in pair:
        plain, short = found["memory"][name, None], found["memory"][name, backward]
        assert "micro_batch_tokens" not in plain["metrics"]
        assert (
            short["metrics"]["micro_batch_tokens"] == pair[0]["memory"][name, backward]["metrics"]["micro_batch_tokens"]
        )
        assert short["metrics"]["loss"] == pytest.approx(plain["metrics"]["loss"], abs=1e-6)
        assert (short["weights"] - plain["weights"]).abs().max() < 1e-6


def test_where_half_is_too_much_for_one_worker_all_end(pair):
    assert all(found["line"].startswith("no memory left for a micro-batch of") for found in pair)


def test_rank_0_publishes_canaries_that_all_ranks_score(pair):
    published = pair[0]["loop"]["published"]
    assert [one.policy.number for one in published] == [1, 2] and pair[1]["loop"]["published"] == []
    assert published[-1].canary.logprobs.tolist() == pair[0]["loop"]["canary"].tolist()
    assert published[-1].average.canary.logprobs.tolist() != published[-1].canary.logprobs.tolist()


def test_one_worker_alone_is_refused():
    for workers in (0, 1):
        with pytest.raises(ValueError, match=f"workers is {workers}: set workers to 2 or more"):
            TrainConfig(shard=True, workers=workers)
    with pytest.raises(ValueError, match="remove one of the two"):
        TrainConfig(shard=True, workers=2, torch_compile=True)
    with pytest.raises(ValueError, match="there is one"):
        Learner(tiny_model(), TrainConfig(shard=True, workers=2), "cpu")

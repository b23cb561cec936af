"""Threads of a learner: the CPUs that it was given, and those of a machine that has nothing else to do."""

import os

import pytest
import torch

from cluster.hardware import Demand
from pipelines.training import ALL_CORES, learner_threads, use_threads


def demand(cpus, gpus=0.0):
    return Demand("learner worker", 1, cpus, gpus, {})


@pytest.mark.parametrize(
    ("given", "idle", "environment", "threads"),
    [
        (demand(4), False, {}, 4),
        (demand(4), True, {"OMP_NUM_THREADS": "1"}, 4),
        (demand(1.5), False, {}, 1),
        (demand(0.5), False, {}, None),
        (demand(0.5), True, {}, ALL_CORES),
        (demand(0.5), True, {"OMP_NUM_THREADS": "1"}, None),
        (demand(4, gpus=1.0), True, {}, None),
    ],
)
def test_threads_are_the_cpus_that_were_given(given, idle, environment, threads):
    assert learner_threads(given, idle, environment) == threads


def test_no_more_threads_than_cores():
    before = torch.get_num_threads()
    try:
        use_threads(ALL_CORES)
        assert torch.get_num_threads() == len(os.sched_getaffinity(0))
        use_threads(None)
        assert torch.get_num_threads() == len(os.sched_getaffinity(0))
        use_threads(1)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)

"""Ray Train as every job uses it: one worker group, on the place that a session has planned for the learner."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from ray.train import FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from cluster.connect import is_own
from cluster.hardware import Demand

_OF_DATASETS = "DatasetsCallback"
_CLEANER = "PlacementGroupCleanerCallback"
ALL_CORES = 1 << 16
"""Threads that a worker is given where it may use every core of its node."""


class _Trainer(TorchTrainer):
    """Ray's, without the helpers that have nothing to do here; each is a process that takes seconds to start.

    Workers get no Ray datasets, so there is nothing to shard. The process that cleans up after a killed controller is
    needed on a cluster that outlives this program, and not on a Ray that ends with it.
    """

    def _create_default_callbacks(self) -> list[Any]:
        idle = {_OF_DATASETS, _CLEANER} if is_own() else {_OF_DATASETS}
        return [callback for callback in super()._create_default_callbacks() if type(callback).__name__ not in idle]


def train(
    work: Callable[[Mapping[str, Any]], Any],
    loop_config: Mapping[str, Any],
    demand: Demand,
    workers: int,
    name: str,
    storage: str,
    failures: int,
    alone: bool = False,
) -> Any:
    """Runs `work(loop_config)` on each of `workers`, again after up to `failures` of them. Returns Ray's result.

    `alone`: nothing else of the job runs at the same time. `name` and `storage` are where Ray keeps its own records.
    Raises what Ray Train raises.
    """
    threads = learner_threads(demand, alone and is_own(), os.environ)

    def with_threads(config: Mapping[str, Any]) -> Any:
        use_threads(threads)
        return work(config)

    trainer = _Trainer(
        with_threads,
        train_loop_config=dict(loop_config),
        torch_config=TorchConfig(backend="nccl" if demand.gpus else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=workers,
            use_gpu=bool(demand.gpus),
            resources_per_worker={"CPU": demand.cpus} | ({"GPU": demand.gpus} if demand.gpus else {}),
            label_selector=dict(demand.labels) or None,
        ),
        run_config=RunConfig(name=name, storage_path=storage, failure_config=FailureConfig(max_failures=failures)),
    )
    return trainer.fit()


def learner_threads(demand: Demand, idle_machine: bool, environment: Mapping[str, str]) -> int | None:
    """Threads of torch in a learner worker; None leaves it as Ray and OMP_NUM_THREADS have it.

    A worker that was given whole CPUs uses them all, even where OMP_NUM_THREADS is lower. One that was given a share of
    a CPU, as workers are by default, uses every core of a machine that is otherwise idle, unless OMP_NUM_THREADS limits
    this program.
    """
    if demand.gpus:
        return None
    if demand.cpus >= 1:
        return int(demand.cpus)
    return ALL_CORES if idle_machine and "OMP_NUM_THREADS" not in environment else None


def use_threads(threads: int | None) -> None:
    """Has torch use `threads` in this process, or as many as there are cores for it."""
    if threads is not None:
        import torch

        torch.set_num_threads(min(threads, len(os.sched_getaffinity(0))))

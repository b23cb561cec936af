"""Ray Train as every job uses it: one worker group, on the place that a session has planned for the learner.

Only the workers import torch. Ray's own `TorchTrainer` has the driver and the controller import it too: three
CPU seconds each, and neither computes anything with it.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import ray.exceptions
from ray.train import ControllerError, FailureConfig, RunConfig, ScalingConfig
from ray.train.backend import Backend, BackendConfig
from ray.train.v2._internal.execution.scaling_policy import FixedScalingPolicy
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from cluster.connect import is_own
from cluster.hardware import Demand
from cluster.nodes import NoRoom
from cluster.reservation import hold_place
from pipelines.model_copies import bring, offer
from pipelines.placed_workers import LearnerPlace

_OF_DATASETS = "DatasetsCallback"
_CLEANER = "PlacementGroupCleanerCallback"
ALL_CORES = 1 << 16
"""Threads that a worker is given where it may use every core of its node."""
TIMEOUT_SECONDS = 1800
"""Of a collective operation of the workers."""
LEAVE_SECONDS = 30.0
"""That the workers have to leave their group at the end."""


@dataclass
class ProcessGroup(BackendConfig):
    """What Ray's `TorchConfig` does: the workers are one torch process group, each on its own device."""

    backend: str = "gloo"

    @property
    def backend_cls(self) -> type[Backend]:
        """Who sets it up."""
        return _ProcessGroupBackend

    @property
    def train_func_context(self) -> Callable[[], Any]:
        """The work of each worker runs in it."""
        return _on_own_device


class _ProcessGroupBackend(Backend):
    share_cuda_visible_devices = True

    def on_start(self, worker_group: Any, backend_config: ProcessGroup) -> None:
        from ray.train._internal.utils import get_address_and_port

        address, port = worker_group.execute_single(0, get_address_and_port)
        joining = [
            worker_group.execute_single_async(
                rank, _join, backend_config.backend, address, port, rank, len(worker_group)
            )
            for rank in range(len(worker_group))
        ]
        ray.get(joining)

    def on_shutdown(self, worker_group: Any, backend_config: ProcessGroup) -> None:
        if len(worker_group) > 1:
            with contextlib.suppress(ray.exceptions.GetTimeoutError):  # one that died leaves the others waiting
                ray.get(worker_group.execute_async(_leave), timeout=LEAVE_SECONDS)


@contextlib.contextmanager
def _on_own_device() -> Iterator[None]:
    from ray.train.torch.config import TorchConfigContextManager

    with TorchConfigContextManager():
        yield


def _join(backend: str, address: str, port: int, rank: int, workers: int) -> None:
    from ray.train.torch.config import _set_torch_distributed_env_vars, _setup_torch_process_group

    os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = address, str(port)
    _set_torch_distributed_env_vars()
    _setup_torch_process_group(backend, rank, workers, "env://", TIMEOUT_SECONDS)


def _leave() -> None:
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()


class _WithoutAutoscaler(FixedScalingPolicy):
    """Asks nobody for nodes: a Ray of one machine has nobody who adds any."""

    def _send_resource_request(self) -> None:
        pass

    def _maybe_send_resource_request(self) -> None:
        pass

    def _cancel_resource_request(self) -> None:
        pass


class _Trainer(DataParallelTrainer):
    """Ray's, without the helpers that have nothing to do here; each is a process that takes seconds to start.

    Workers get no Ray datasets, so there is nothing to shard. The process that cleans up after a killed controller is
    needed on a cluster that outlives this program, and not on a Ray that ends with it; nor where the workers' place
    belongs to the session: the engines, and other learners, are in the same placement group.
    """

    placing: LearnerPlace

    def _initialize_and_run_controller(self, **given: Any) -> Any:
        if is_own():
            given["scaling_policy"] = _WithoutAutoscaler(self.scaling_config)
        return super()._initialize_and_run_controller(**given)

    def _create_default_callbacks(self) -> list[Any]:
        idle = {_OF_DATASETS, _CLEANER} if is_own() or self.placing.place is not None else {_OF_DATASETS}
        usual = [callback for callback in super()._create_default_callbacks() if type(callback).__name__ not in idle]
        return [*usual, self.placing]


def train(
    work: Callable[[Mapping[str, Any]], Any],
    loop_config: Mapping[str, Any],
    demand: Demand,
    workers: int,
    name: str,
    storage: str,
    failures: int,
    model: str,
    alone: bool = False,
) -> Any:
    """Runs `work(loop_config)` on each of `workers`, again after up to `failures` of them. Returns Ray's result.

    `model` is the one that the workers load, brought to their nodes before. `alone`: nothing else of the job runs at
    the same time. `name` and `storage` are where Ray keeps its own records.
    Raises NoRoom if the workers get no place in time, and what Ray Train raises.
    """
    offer(model)
    threads = learner_threads(demand, alone and is_own(), os.environ)

    def with_threads(config: Mapping[str, Any]) -> Any:
        use_threads(threads)
        bring(model)
        return work(config)

    trainer = _Trainer(
        with_threads,
        train_loop_config=dict(loop_config),
        backend_config=ProcessGroup("nccl" if demand.gpus else "gloo"),
        scaling_config=ScalingConfig(
            num_workers=workers,
            use_gpu=bool(demand.gpus),
            resources_per_worker={"CPU": demand.cpus} | ({"GPU": demand.gpus} if demand.gpus else {}),
            label_selector=None if demand.places else dict(demand.labels) or None,
        ),
        run_config=RunConfig(name=name, storage_path=storage, failure_config=FailureConfig(max_failures=failures)),
    )
    with hold_place(demand) as place:
        trainer.placing = LearnerPlace(name, str(replace(demand, count=workers)), place)
        try:
            return trainer.fit()
        except ControllerError as error:
            if isinstance(error.controller_failure, NoRoom):
                raise error.controller_failure from None
            raise


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

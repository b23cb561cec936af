"""Ray Train as every job uses it: one worker group, on the place that a session has planned for the learner."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from ray.train import ControllerError, FailureConfig, RunConfig, ScalingConfig
from ray.train.torch import TorchConfig, TorchTrainer

from cluster.connect import is_own
from cluster.hardware import Demand
from cluster.nodes import NoRoom
from cluster.reservation import hold_place
from pipelines.placed_workers import LearnerPlace

_OF_DATASETS = "DatasetsCallback"
_CLEANER = "PlacementGroupCleanerCallback"


class _Trainer(TorchTrainer):
    """Ray's, without the helpers that have nothing to do here; each is a process that takes seconds to start.

    Workers are given no Ray Data sets, so nobody has to shard them. Who cleans up after a controller that was killed
    is wanted on a cluster that goes on, and not on a Ray that ends with this program; nor where the workers' place is
    the session's: the engines, and other learners, are in the same placement group.
    """

    placing: LearnerPlace

    def _create_default_callbacks(self) -> list[Any]:
        idle = {_OF_DATASETS, _CLEANER} if is_own() or self.placing.place is not None else {_OF_DATASETS}
        usual = [callback for callback in super()._create_default_callbacks() if type(callback).__name__ not in idle]
        return [*usual, self.placing]


def train(
    work: Callable[[Mapping[str, Any]], None],
    loop_config: Mapping[str, Any],
    demand: Demand,
    workers: int,
    name: str,
    storage: str,
    failures: int,
) -> Any:
    """Runs `work(loop_config)` on each of `workers`, again after up to `failures` of them. Returns Ray's result.

    `name` and `storage` are where Ray keeps its own records. Raises NoRoom where the workers get no place in time, and
    what Ray Train raises.
    """
    trainer = _Trainer(
        work,
        train_loop_config=dict(loop_config),
        torch_config=TorchConfig(backend="nccl" if demand.gpus else "gloo"),
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

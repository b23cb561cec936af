"""Ray Train's workers in the place that a session has reserved, and an error where there is none.

By itself Ray Train makes a placement group of its own for its workers, and waits for it without end or word.
Everything here runs in Ray Train's controller; its interfaces are private, and Ray's version is pinned.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any, ClassVar

from ray.train.v2._internal.execution.callback import ControllerCallback
from ray.train.v2._internal.execution.controller import TrainController
from ray.train.v2._internal.execution.worker_group import WorkerGroup
from ray.train.v2._internal.execution.worker_group.placement_group_handle import (
    DefaultPlacementGroupHandle,
    PlacementGroupHandle,
)
from ray.util import placement_group

from cluster.reservation import PLACE_SECONDS, Place, free_now, no_place

RESTART_SECONDS = 600.0
"""How long workers that start again, after a failure, wait for a place: a node may have to be replaced first."""


@dataclass(frozen=True)
class LearnerPlace(ControllerCallback):
    """Has the controller start its workers in `place`; None leaves their placement to Ray, within a deadline."""

    name: str
    """Of the placement group, where Ray chooses the place."""
    wanted: str
    """The demand, for the error."""
    place: Place | None
    seconds: float = PLACE_SECONDS
    """How long it may take to come free."""

    def after_controller_start(self, train_run_context: Any) -> None:
        """Called once, before the first workers start."""
        PlacedWorkerGroup.wish = self
        TrainController.worker_group_cls = PlacedWorkerGroup


class PlacedWorkerGroup(WorkerGroup):
    """The workers of one learner."""

    wish: ClassVar[LearnerPlace]
    started: ClassVar[bool] = False
    """Whether workers had a place before, in this run."""

    def _create_placement_group(self, scaling_config: Any, worker_group_context: Any) -> PlacementGroupHandle:
        wish = self.wish
        if wish.place is not None:
            handle: PlacementGroupHandle = _Reserved(wish.place.group)
        else:
            handle = DefaultPlacementGroupHandle(
                placement_group(
                    [worker_group_context.resources_per_worker] * worker_group_context.num_workers,
                    strategy=worker_group_context.placement_strategy,
                    name=wish.name,
                    bundle_label_selector=worker_group_context.label_selector,
                )
            )
        self._await(handle)
        return handle

    def _create_workers(self, num_workers: int, *args: Any, **kwargs: Any) -> Any:
        if self.wish.place is not None:
            kwargs.setdefault("placement_group_bundle_indices", list(self.wish.place.bundles))
        workers = super()._create_workers(num_workers, *args, **kwargs)
        type(self).started = True
        return workers

    def _await(self, handle: PlacementGroupHandle) -> None:
        """Raises NoRoom, which Ray Train does not try again after, where there is no place in time."""
        seconds = self.wish.seconds
        placed = handle.wait(int(seconds))
        if not placed and self.started:
            print(f"the learner waits for {self.wish.wanted}; free now: {free_now()}", file=sys.stderr, flush=True)
            seconds += RESTART_SECONDS
            placed = handle.wait(int(RESTART_SECONDS))
        if not placed:
            handle.shutdown()
            raise no_place(self.wish.wanted, seconds)


class _Reserved(DefaultPlacementGroupHandle):
    """A placement group that is the session's, and outlives the workers."""

    def shutdown(self) -> None:
        """Leaves it."""

"""A teacher as a stage of a Ray Data pipeline: a thin shell of `rollout.teacher.opening`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from rollout.teacher.client import Teacher, answer_all
from rollout.teacher.config import TeacherConfig
from rollout.teacher.engine_teacher import seats
from rollout.teacher.opening import open_teacher


class TeacherStage:
    """A Ray Data stage of one actor: packed (number, request) in, packed (number, request, Answered) out.

    One actor, because a budget and a ledger have one keeper; its concurrency is the teacher's own.
    """

    def __init__(self, *arguments: Any) -> None:
        """`arguments` as for `open_teacher`."""
        self._arguments = arguments
        self._teacher: Teacher | None = None

    async def __call__(self, batch: dict[str, Any]) -> AsyncIterator[dict[str, Any]]:
        """One row in, one row out when all of its requests are answered; errors are answers too."""
        from rollout.stream import pack, unpack

        if self._teacher is None:  # here and not at construction: the teacher belongs to this event loop
            self._teacher = open_teacher(*self._arguments)
        items = unpack(batch)
        found = [answered async for answered in answer_all(self._teacher, [request for _, request in items])]
        yield pack([(*items[answered.index], answered) for answered in found])


def teacher_stream(source: Any, config: TeacherConfig, *arguments: Any) -> Any:
    """`source` rows of packed (number, request) pairs, answered. The ledger's files are this node's, so the actor is
    too, even where the node has no CPU to give: the head of a cluster may have none."""
    import ray
    from ray.data import ActorPoolStrategy

    in_flight = max(2, sum(one.concurrency if one.protocol != "engine" else seats(one) for one in config.members))
    return source.map_batches(
        TeacherStage,
        fn_constructor_args=(config, *arguments),
        batch_size=1,
        batch_format="numpy",
        compute=ActorPoolStrategy(
            size=1, max_tasks_in_flight_per_actor=in_flight, max_concurrent_calls_per_actor=in_flight
        ),
        zero_copy_batch=True,
        label_selector={"ray.io/node-id": ray.get_runtime_context().get_node_id()},
        num_cpus=0,
    )

"""Sets aside on the cluster what `cluster.hardware.plan` has planned, so that Ray places actors exactly so.

Left alone, Ray gives a share of a GPU from whichever one fits best: two engines on one and the two workers of a learner
on the next, or no place at all where the sum of what is free would do. So a session that uses GPUs reserves a placement
group first, all or nothing, with a bundle for each planned device; its actors, and Ray Train's workers, start inside.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cluster.hardware import Demand
from cluster.nodes import NODE_LABEL, Node, NoRoom
from cluster.placement import PARTS, Bundle, bundles_of

PLACE_SECONDS = 30.0
"""How long a place may take to come free. Then the demand is named and refused, rather than waited for in silence."""
POLL_SECONDS = 1.0
_WAITING = ("PENDING", "RESCHEDULING", "PREPARED")


@dataclass(frozen=True, slots=True)
class Place:
    """Bundles of a placement group: one for an engine, one a worker for a learner."""

    group: Any
    """`ray.util.placement_group.PlacementGroup`."""
    bundles: tuple[int, ...]


@contextlib.contextmanager
def reserve(
    fleet: Sequence[Demand], learner: Demand, nodes: Sequence[Node], name: str, seconds: float = PLACE_SECONDS
) -> Iterator[tuple[tuple[Demand, ...], Demand]]:
    """Reserves the seats of engines and learners for the duration of the block, and yields the demands with their
    places. Without GPUs nothing is reserved: nodes, not devices, are all that Ray must find.

    Raises NoRoom where what is planned did not come free within `seconds`, with what is free.
    """
    demands = [*fleet, learner]
    seats = [seat for demand in demands for seat in demand.seats if seat.cpus or seat.gpus]
    if not any(seat.gpus for seat in seats):
        yield tuple(fleet), learner
        return
    bundles, bundle_of = bundles_of(seats, nodes)
    wanted = "; ".join(str(demand) for demand in demands if demand.count)
    group = _placement_group(bundles, nodes, name, wanted, seconds)
    try:
        *engines, learner = _with_places(demands, group, bundle_of)
        yield tuple(engines), learner
    finally:
        _remove(group)


def actor_options(demand: Demand, index: int) -> dict[str, Any]:
    """Ray options of the demand's actor number `index`."""
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    if not demand.places:
        return demand.options()
    place, seat = demand.places[index], demand.seats[index]
    strategy = PlacementGroupSchedulingStrategy(place.group, placement_group_bundle_index=place.bundles[0])
    options = {"num_cpus": seat.cpus, "scheduling_strategy": strategy}
    return options | ({"num_gpus": seat.gpus} if seat.gpus else {})


@contextlib.contextmanager
def hold_place(demand: Demand, seconds: float = PLACE_SECONDS) -> Iterator[Place | None]:
    """The place of a learner, its own for the duration of the block; None where none is reserved.

    The trials of a sweep share the places of its session. Raises NoRoom where all are held for `seconds`.
    """
    if len(demand.places) <= 1:
        yield demand.places[0] if demand.places else None
        return
    import ray

    deadline = time.monotonic() + seconds
    while True:
        for number, place in enumerate(demand.places):
            # An actor's name is unique, and it ends with the process that holds it, however that ends.
            name = f"place-{place.group.id.hex()}-{number}"
            try:
                actor: Any = ray.remote(_Holder)  # Ray's stubs take the handle for the class
                holder = actor.options(name=name, num_cpus=0, scheduling_strategy="DEFAULT").remote()
            except ValueError:
                continue
            try:
                yield place
            finally:
                ray.kill(holder)
            return
        if time.monotonic() > deadline:
            raise NoRoom(
                f"all {len(demand.places)} places of learners are held by other trials, for {seconds:.0f} s; run fewer "
                "trials at once"
            )
        time.sleep(POLL_SECONDS)


def waiting_for(name: str) -> str:
    """What the placement groups whose names begin with `name` wait for; "" where all of them have their places."""
    from ray.util import placement_group_table

    groups = [group for group in placement_group_table().values() if group["name"].startswith(name)]
    bundles = [bundle for group in groups if group["state"] in _WAITING for bundle in group["bundles"].values()]
    return f"{_resources(bundles)}; free now: {free_now()}" if bundles else ""


def no_place(wanted: str, seconds: float) -> NoRoom:
    """The error for what was awaited in vain."""
    return NoRoom(
        f"Ray found no free place in {seconds:.0f} s for {wanted}. Free now: {free_now()}. Other jobs, or a node that "
        "is gone, may be the reason (`ray status` lists them): try again when they are done, ask for less, or add nodes"
    )


def free_now() -> str:
    """CPUs and GPUs of the cluster that nothing holds."""
    import ray

    free = ray.available_resources()
    return f"{free.get('CPU', 0):g} CPU, {free.get('GPU', 0):g} GPU"


class _Holder:
    """Nothing but its name."""


def _placement_group(bundles: Sequence[Bundle], nodes: Sequence[Node], name: str, wanted: str, seconds: float) -> Any:
    from ray.util import placement_group

    resources = [{k: v for k, v in (("CPU", b.cpus), ("GPU", b.gpus)) if v} for b in bundles]
    ids = {node.name: {NODE_LABEL: node.labels[NODE_LABEL]} for node in nodes}
    # By labels first: a bundle whose node is lost then moves to another that carries them. Ray's own search takes
    # nothing back; where it finds no way, the plan's nodes are named.
    for selectors in ([dict(b.selector) for b in bundles], [ids[b.node] for b in bundles]):
        try:
            group = placement_group(resources, strategy="PACK", name=name, bundle_label_selector=selectors)
        except ValueError:  # some labels (GB200) Ray takes for all bundles or for none
            continue
        try:
            if group.wait(max(1, int(seconds / 2))):
                return group
        except BaseException:
            _remove(group)
            raise
        _remove(group)
    raise no_place(wanted, seconds)


def _with_places(demands: Sequence[Demand], group: Any, bundle_of: Sequence[int]) -> list[Demand]:
    found, numbers = [], iter(bundle_of)
    for demand in demands:
        own = [next(numbers) for seat in demand.seats if seat.cpus or seat.gpus]
        each = max(1, demand.workers)
        places = tuple(Place(group, tuple(own[begin : begin + each])) for begin in range(0, len(own), each))
        found.append(replace(demand, places=places))
    return found


def _remove(group: Any) -> None:
    from ray.util import remove_placement_group

    with contextlib.suppress(Exception):  # a Ray that has ended has let go of it
        remove_placement_group(group)


def _resources(bundles: Sequence[dict[str, float]]) -> str:
    totals = {key: sum(bundle.get(key, 0) for bundle in bundles) for key in ("CPU", "GPU")}
    return ", ".join(f"{round(total * PARTS) / PARTS:g} {key}" for key, total in totals.items() if total)

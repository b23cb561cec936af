"""The search for places, without Ray: what it accepts obeys all rules, and what it refuses is impossible."""

import itertools

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from placement_check import check, clusters, requests

from cluster.hardware import HardwareConfig, Node, NoRoom, check_trials, plan
from cluster.nodes import GPU_LABEL
from cluster.placement import MAX_TRIES, Actor, bundles_of, find_seats

H100, A100, L4 = ({GPU_LABEL: kind} for kind in ("H100", "A100", "L4"))


def node(name, gpus, labels, cpus=16):
    return Node(name, {"CPU": cpus, "GPU": gpus}, {**labels, "ray.io/node-id": name})


def shares(demands):
    """(node, device) -> the shares of it, largest first."""
    found = {}
    for seat in (seat for demand in demands for seat in demand.seats):
        for device in seat.devices:
            found.setdefault((seat.node, device), []).append(round(seat.gpus, 2))
    return {key: sorted(value, reverse=True) for key, value in sorted(found.items())}


@settings(max_examples=400, deadline=None)
@given(clusters(), requests())
def test_whatever_is_accepted_obeys_all_rules(nodes, request):
    try:
        fleet, learner = plan(nodes=nodes, **request)
    except NoRoom as error:
        event("refused")
        assert "has" in str(error)
        return
    event("accepted")
    seats = [seat for demand in (*fleet, learner) for seat in demand.seats]
    check(request, nodes, fleet, learner, *bundles_of(seats, nodes))


@settings(max_examples=150, deadline=None)
@given(clusters(most_nodes=3, most_gpus=2), st.lists(st.integers(0, 8), min_size=1, max_size=4))
def test_what_is_refused_is_impossible(nodes, kinds):
    """Against all ways to put a few actors on nodes, for actors whose GPUs are whole or none: nothing to share."""
    anywhere, h100, train = {}, H100, {"pool": "train"}
    menu = [(gpus, chosen) for gpus in (0.0, 1.0, 2.0) for chosen in ((anywhere,), (h100,), (h100, train))]
    actors = [Actor("x", 1.0, *menu[kind]) for kind in kinds]

    def fits(way):
        for number, one in enumerate(nodes):
            here = [actor for actor, place in zip(actors, way, strict=True) if place == number]
            if sum(actor.gpus for actor in here) > one.resources.get("GPU", 0) or len(here) > one.resources["CPU"]:
                return False
            if not all(any(s.items() <= one.labels.items() for s in actor.selectors) for actor in here):
                return False
        return True

    possible = any(map(fits, itertools.product(range(len(nodes)), repeat=len(actors))))
    assert (find_seats(actors, nodes).seats is not None) == possible


def test_eight_engines_and_a_learner_on_eight_gpus_share_one_of_them():
    """0.88 of a GPU for each of the nine is in no single one of the eight."""
    fleet, learner = plan(HardwareConfig(), [node("a", 8, H100)], engines=8, workers=1)
    assert sorted(shares([*fleet, learner]).values()) == [[0.5, 0.5]] + [[1.0]] * 7
    assert learner.gpus == 0.5


def test_an_engine_joins_a_learner_rather_than_another_engine():
    fleet, learner = plan(HardwareConfig(), [node("a", 2, H100)], engines=2, workers=1)
    assert learner.seats[0].devices in [seat.devices for seat in fleet[0].seats]
    assert len({seat.devices for seat in fleet[0].seats}) == 2


def test_two_workers_of_a_learner_never_share_a_gpu():
    with pytest.raises(NoRoom, match=r"learner worker.*workers of one learner never do.*room for 1 learner worker "):
        plan(HardwareConfig(), [node("a", 1, H100)], engines=1, workers=2)
    _, learner = plan(HardwareConfig(), [node("a", 2, H100)], engines=2, workers=2)
    assert {seat.devices for seat in learner.seats} == {(0,), (1,)}
    # Shares that were configured are reserved as whole GPUs: Ray would give both from one.
    _, learner = plan(HardwareConfig(learner={"gpus": 0.25}), [node("a", 2, H100)], engines=0, workers=2)
    assert [seat.reserved for seat in learner.seats] == [1.0, 1.0]


def test_the_trials_of_a_sweep_share_the_gpu_with_their_engine():
    fleet, learner = plan(HardwareConfig(), [node("a", 1, H100)], engines=1, workers=1, learners=4)
    assert shares([*fleet, learner]) == {("a", 0): [0.2] * 5}


def test_trials_with_engines_of_their_own_must_all_have_room_at_once():
    nodes = [node("a", 5, H100)]
    trial = plan(HardwareConfig(), nodes, engines=1, workers=1)
    check_trials(*trial, nodes, 2)
    with pytest.raises(NoRoom, match=r"room for 2 of 3 trials at once.*Lower concurrency to 2"):
        check_trials(*trial, nodes, 3)
    trial = plan(HardwareConfig(), [node("a", 0, {}, cpus=2)], engines=1, workers=1)
    check_trials(*trial, [node("a", 0, {}, cpus=2)], 2)


def test_who_has_no_fallback_comes_first():
    """The learner would do with the H100 that the engine must have."""
    config = HardwareConfig(
        profiles=({"name": "fast", "accelerator": "H100"},), learner={"accelerator": "H100", "fallbacks": (A100,)}
    )
    fleet, learner = plan(config, [node("a", 1, H100), node("b", 1, A100)], engines=1, workers=1)
    assert (fleet[0].seats[0].node, learner.seats[0].node) == ("a", "b")
    assert learner.labels == A100


def test_a_choice_that_leaves_no_room_is_taken_back():
    """The engine of two GPUs may be on either node at first sight; the four engines of one then need the other."""
    nodes = [node("a", 2, H100, cpus=3), node("b", 2, H100 | {"pool": "x"}, cpus=1)]
    config = HardwareConfig(profiles=({"name": "big", "tensor_parallel": 2}, {"name": "small", "count": 2}),
                            learner={"gpus": 0, "cpus": 0})  # fmt: skip
    fleet, _ = plan(config, nodes, engines=1, workers=0)
    assert [seat.node for demand in fleet for seat in demand.seats] == ["b", "a", "a"]


@pytest.mark.parametrize("profiles", [(), ({"name": "p", "count": 3},)])
def test_an_engine_over_two_gpus_counts_as_two_with_profiles_and_without(profiles):
    config = HardwareConfig(profiles=profiles)
    fleet, learner = plan(config, [node("a", 8, H100)], engines=3, workers=2, tensor_parallel=2)
    assert [len(seat.devices) for seat in fleet[0].seats] == [2, 2, 2] and learner.gpus == 1
    with pytest.raises(NoRoom, match=r"room for 2 engine"):  # three and a half GPUs a node are of no use
        plan(config, [node("a", 3, H100), node("b", 3, H100)], engines=3, workers=1, tensor_parallel=2)


def test_the_cpu_keeps_off_the_gpus():
    fleet, learner = plan(HardwareConfig(device="cpu"), [node("a", 8, H100)], engines=3, workers=2)
    assert all(seat.devices == () and seat.gpus == 0 for seat in (*fleet[0].seats, *learner.seats))
    assert "num_gpus" not in fleet[0].options()
    with pytest.raises(ValueError, match=r"engine[.]gpus 1 has no effect with device cpu"):
        HardwareConfig(device="cpu", engine={"gpus": 1})
    with pytest.raises(ValueError, match=r"learner[.]gpus 1[.]5 is no number of whole GPUs"):
        HardwareConfig(learner={"gpus": 1.5})


def test_the_readmes_unlike_gpus_and_what_is_said_where_one_kind_is_missing():
    config = HardwareConfig(
        profiles=(
            {"name": "fast", "accelerator": "H100", "count": 2},
            {"name": "slow", "accelerator": "L4", "count": 4},
        ),
        learner={"accelerator": "H100", "fallbacks": (A100,)},
    )
    fleet, learner = plan(config, [node("a", 2, H100), node("b", 1, A100), node("c", 4, L4)], engines=1, workers=1)
    assert set(map(tuple, shares([*fleet, learner]).values())) == {(1.0,)} and learner.seats[0].node == "b"
    with pytest.raises(NoRoom, match=r"no room for 4 engine slow of 1 GPU.*L4.*It has: a: 16 CPU, 2 GPU H100"):
        plan(config, [node("a", 2, H100)], engines=1, workers=1)


def test_a_search_that_was_given_up_says_so():
    """Two of these on a GPU and never three, though their sum would do: each is a little larger than a third."""
    profiles = tuple({"name": f"p{number}", "gpus": 0.334 + number / 1000, "cpus": 0} for number in range(19))
    with pytest.raises(NoRoom, match=f"no room for 1 engine .* ended after {MAX_TRIES} tries"):
        plan(HardwareConfig(profiles=profiles), [node("a", 9, H100)], engines=1, workers=0)

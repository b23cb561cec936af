"""What a placement must satisfy, written again without the planner's code; and clusters and requests to try it on."""

from hypothesis import strategies as st

from cluster.hardware import HardwareConfig, Node

KIND = "ray.io/accelerator-type"
SELECTORS = [{}, {KIND: "H100"}, {KIND: "in(H100,L4)"}, {KIND: "!L4"}, {"pool": "train"}]


def selected(labels, selector):
    """Ray's rules, for the forms that the requests here use."""
    accepted = {
        "H100": lambda value: value == "H100",
        "L4": lambda value: value == "L4",
        "in(H100,L4)": lambda value: value in ("H100", "L4"),
        "!L4": lambda value: value != "L4",
        "train": lambda value: value == "train",
    }
    return all(
        labels.get(key) == text if key == "ray.io/node-id" else accepted[text](labels.get(key, ""))
        for key, text in selector.items()
    )


@st.composite
def clusters(draw, most_nodes=4, most_gpus=4):
    nodes = []
    for number in range(draw(st.integers(1, most_nodes))):
        labels = {"ray.io/node-id": f"{number}"}
        if kind := draw(st.sampled_from(["", "H100", "L4"])):
            labels[KIND] = kind
        if draw(st.booleans()):
            labels["pool"] = "train"
        resources = {"CPU": float(draw(st.integers(1, 12)))}
        if gpus := draw(st.integers(0, most_gpus)):
            resources["GPU"] = float(gpus)
        nodes.append(Node(f"node{number}", resources, labels))
    return nodes


@st.composite
def wishes(draw, shares=(None, None, 0, 0.5, 0.3, 1)):
    wish = {"labels": draw(st.sampled_from(SELECTORS)), "gpus": draw(st.sampled_from(shares))}
    if wish["labels"] and draw(st.booleans()):
        wish["fallbacks"] = (draw(st.sampled_from([{KIND: "L4"}, {KIND: "H100"}, {"pool": "train"}])),)
    return wish


@st.composite
def requests(draw, most=4):
    """Keyword arguments of `cluster.hardware.plan`, without the nodes."""
    config = {"learner": draw(wishes()), "device": draw(st.sampled_from(["auto", "auto", "auto", "cpu"]))}
    split = draw(st.sampled_from([1, 1, 1, 2]))
    if draw(st.booleans()):
        config["profiles"] = tuple(
            {"name": name, "count": draw(st.integers(1, most)), "tensor_parallel": draw(st.sampled_from([None, 1, 2]))}
            | draw(wishes((None,)))
            for name in draw(st.sampled_from([("a",), ("a", "b")]))
        )
    else:
        config["engine"] = draw(wishes() if split == 1 else wishes((None,)))
    if config["device"] == "cpu":
        for wish in (config["learner"], config.get("engine", {}), *config.get("profiles", ())):
            wish.pop("gpus", None)
    return {
        "config": HardwareConfig(**config),
        "engines": draw(st.integers(1, most)),
        "workers": draw(st.integers(0, 3)),
        "learners": draw(st.integers(1, 3)),
        "tensor_parallel": split,
    }


def check(request, nodes, fleet, learner, bundles, bundle_of):
    """Asserts that the placement is what was requested, and that each device and node can bear it."""
    config, split = request["config"], request["tensor_parallel"]
    of = {node.name: node for node in nodes}
    placed = []  # placement, workers of a learner, GPUs an engine is split over, number of its learner, seat
    for number, seat in enumerate(seat for demand in fleet for seat in demand.seats):
        counts = [p.count for p in config.profiles] or [request["engines"]]
        kind = next(k for k in range(len(counts)) if number < sum(counts[: k + 1]))
        own = config.profiles[kind] if config.profiles else config.engine
        placed.append((own, getattr(own, "tensor_parallel", None) or split, None, seat))
    for number, seat in enumerate(learner.seats):
        placed.append((config.learner, 1, number // request["workers"], seat))
    wanted = sum(p.count for p in config.profiles) or request["engines"]
    assert len(placed) == wanted + request["learners"] * request["workers"]

    on_device, on_node = {}, {}
    for wish, over, number, seat in placed:
        assert any(selected(of[seat.node].labels, labels) for labels in (wish.selector, *wish.fallbacks))
        _check_share(wish, over, seat, config.device, any(node.resources.get("GPU") for node in nodes))
        on_node[seat.node] = on_node.get(seat.node, 0) + seat.cpus
        for device in seat.devices:
            on_device.setdefault((seat.node, device), []).append((wish, number, seat))
    for name, cpus in on_node.items():
        assert cpus <= of[name].resources["CPU"]
    for (name, device), actors in on_device.items():
        assert 0 <= device < of[name].resources["GPU"]
        workers = [number for _, number, _ in actors if number is not None]
        assert len(set(workers)) == len(workers), "two workers of one learner on one GPU"
        if any(seat.gpus >= 1 for _, _, seat in actors):
            assert len(actors) == 1
        assert sum(round(seat.gpus / len(seat.devices) * 10_000) for _, _, seat in actors) <= 10_000
        if all(wish.gpus is None for wish, _, _ in actors) and len(actors[0][2].devices) == 1:
            assert all(abs(seat.gpus - 1 / len(actors)) < 1e-4 for _, _, seat in actors)
    _check_bundles(placed, nodes, bundles, bundle_of)


def _check_share(wish, over, seat, device, has_gpus):
    if device == "cpu" or wish.gpus == 0 or (wish.gpus is None and not has_gpus):
        assert seat.gpus == 0 and not seat.devices
    elif over > 1:
        assert seat.gpus == over == len(seat.devices) == len(set(seat.devices))
    elif wish.gpus is not None:
        assert seat.gpus == wish.gpus and len(seat.devices) == 1
    else:
        assert len(seat.devices) == 1 and seat.gpus == int(10_000 / round(1 / seat.gpus)) / 10_000


def _check_bundles(placed, nodes, bundles, bundle_of):
    members = {}
    for (_, _, number, seat), bundle in zip(placed, bundle_of, strict=True):
        members.setdefault(bundle, []).append((number, seat))
    assert sorted(members) == list(range(len(bundles)))
    several = {n for _, _, n, _ in placed if n is not None and sum(n == other for _, _, other, _ in placed) > 1}
    devices = [(seat.node, device) for group in members.values() for device in {d for _, s in group for d in s.devices}
               for seat in [group[0][1]]]  # fmt: skip
    assert len(devices) == len(set(devices)), "a device in two bundles"
    for number, group in members.items():
        bundle = bundles[number]
        assert bundle.cpus >= sum(seat.cpus for _, seat in group) - 1e-9
        assert bundle.gpus >= sum(seat.gpus for _, seat in group) - 1e-9
        if bundle.gpus and any(learner in several for learner, _ in group):
            assert bundle.gpus == 1, "Ray may put two shares on one GPU"
        chosen = [node for node in nodes if selected(node.labels, bundle.selector)]
        assert bundle.node in [node.name for node in chosen]
        for node in chosen:
            assert all(selected(node.labels, seat.selector) for _, seat in group)
    for node in nodes:
        assert sum(b.gpus for b in bundles if b.node == node.name) <= node.resources.get("GPU", 0) + 1e-9

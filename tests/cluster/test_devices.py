"""Kinds, memory and capability of GPUs: by Ray's label, by a description, and by the driver where these do not tell."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster import devices
from cluster.devices import GIB, KNOWN, described, gpus_here, hardware_of
from cluster.nodes import GPU_LABEL, Node, devices_of


def node(name, gpus, kind=None, memory=64 * GIB):
    return Node(name, {"CPU": 16.0, "GPU": float(gpus), "memory": float(memory)}, {GPU_LABEL: kind} if kind else {})


def silent(node):
    return []


def test_a_known_kind_needs_no_driver():
    found = hardware_of([node("a", 2, "L4"), node("b", 0)], lambda node: pytest.fail("it was asked"))
    assert [(d.name, d.bytes, d.capability, d.node) for d in found.devices] == [("L4", 22 * GIB, 8.9, "a")] * 2
    assert found.memory == 64 * GIB and not found.notes


def test_a_kind_of_several_sizes_is_asked_for_and_counts_as_its_smallest():
    """A label is all that Ray can choose devices by."""
    answers = {"a": [("A100", 80 * GIB, 8.0)], "b": [("A100", 40 * GIB, 8.0)] * 2}
    found = hardware_of([node("a", 1, "A100"), node("b", 2, "A100")], lambda node: answers[node.name])
    assert [device.bytes for device in found.devices] == [40 * GIB] * 3


def test_an_unknown_kind_is_asked_for_and_else_assumed_with_a_note():
    asked = hardware_of([node("a", 1, "Mine")], lambda node: [("Mine", 30 * GIB, 12.0)])
    assert (asked.devices[0].bytes, asked.devices[0].capability, asked.notes) == (30 * GIB, 12.0, ())
    assumed = hardware_of([node("a", 1, "Mine"), node("b", 3)], silent)
    assert {device.bytes for device in assumed.devices} == {16 * GIB} and len(assumed.notes) == 2


def test_visible_devices_are_those_that_the_environment_names(monkeypatch):
    all_of_them = [(f"GPU-{n}abc", ("L4", n, 8.9)) for n in range(4)]
    monkeypatch.setattr(devices, "_of_driver", lambda: all_of_them)
    for shown, expected in ((None, [0, 1, 2, 3]), ("2,0", [2, 0]), ("", []), ("-1", []), ("GPU-3", [3])):
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        if shown is not None:
            monkeypatch.setenv("CUDA_VISIBLE_DEVICES", shown)
        assert [size for _, size, _ in gpus_here()] == expected


@given(st.lists(st.tuples(st.sampled_from(sorted(KNOWN)), st.integers(1, 20)), min_size=1, max_size=4))
def test_a_description_has_the_devices_that_its_nodes_have(kinds):
    found = described(",".join(f"{kind}:{count}" for kind, count in kinds))
    assert len(found.devices) == sum(count for _, count in kinds)
    there = devices_of(found.nodes())
    assert [(d.node, d.kind) for d in there] == [(d.node, d.name) for d in found.devices]
    assert all(node.resources["GPU"] <= 8 for node in found.nodes())


@given(st.text(max_size=30))
def test_any_text_is_a_description_or_refused(text):
    try:
        found = described(text)
    except ValueError as error:
        assert str(error)
        return
    assert all(device.bytes >= 0 for device in found.devices)

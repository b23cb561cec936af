"""Placement is planned without Ray: shares of GPUs, labels, and refusal of what can never be placed."""

import pytest

from cluster.hardware import HardwareConfig, Node, NoRoom, check_labels, plan

LAPTOP = [Node("laptop", {"CPU": 8}, {})]
ONE_GPU = [Node("box", {"CPU": 16, "GPU": 1}, {"ray.io/accelerator-type": "A100"})]
MIXED = [
    Node("fast", {"CPU": 16, "GPU": 2}, {"ray.io/accelerator-type": "H100"}),
    Node("slow", {"CPU": 16, "GPU": 4}, {"ray.io/accelerator-type": "L4"}),
]


def test_a_machine_without_gpu_runs_on_cpu():
    (engine,), learner = plan(HardwareConfig(), LAPTOP, engines=1, workers=1)
    assert engine.gpus == learner.gpus == 0
    assert "num_gpus" not in engine.options()


def test_one_gpu_is_shared():
    (engine,), learner = plan(HardwareConfig(), ONE_GPU, engines=1, workers=1)
    assert engine.gpus == learner.gpus == 0.5


def test_enough_gpus_are_not_shared():
    (engine,), learner = plan(HardwareConfig(), MIXED, engines=4, workers=2)
    assert engine.gpus == learner.gpus == 1


def test_a_gpu_where_there_is_none_is_refused_at_once():
    with pytest.raises(NoRoom, match=r"hardware[.]device"):
        plan(HardwareConfig(device="gpu"), LAPTOP, engines=1, workers=1)


def test_labels_place_and_an_unmeetable_label_says_what_there_is():
    config = HardwareConfig(learner={"labels": {"ray.io/accelerator-type": "H100"}, "gpus": 1})
    assert plan(config, MIXED, engines=4, workers=2)[1].options()["label_selector"]
    with pytest.raises(NoRoom, match="L4"):
        plan(config, MIXED, engines=1, workers=3)
    with pytest.raises(NoRoom, match="B200"):
        plan(HardwareConfig(engine={"labels": {"ray.io/accelerator-type": "B200"}}), MIXED, 1, 1)


@pytest.mark.parametrize(("selector", "count"), [("in(H100,L4)", 6), ("!H100", 4), ("!in(L4)", 2)])
def test_selectors_are_read_as_ray_reads_them(selector, count):
    config = HardwareConfig(engine={"labels": {"ray.io/accelerator-type": selector}, "gpus": 1}, learner={"gpus": 0})
    plan(config, MIXED, engines=count, workers=1)
    with pytest.raises(NoRoom):
        plan(config, MIXED, engines=count + 1, workers=1)


PROFILES = HardwareConfig(
    profiles=(
        {"name": "fast", "accelerator": "H100", "count": 1, "max_sequences": 256},
        {"name": "slow", "accelerator": "L4", "count": 4, "dtype": "float16"},
    ),
    learner={"accelerator": "H100", "gpus": 1},
)


def test_each_kind_of_engine_is_placed_by_its_own_profile():
    fleet, learner = plan(PROFILES, MIXED, engines=1, workers=1)
    assert [(d.name, d.count, d.gpus, d.options()["label_selector"]) for d in fleet] == [
        ("fast", 1, 1, {"ray.io/accelerator-type": "H100"}),
        ("slow", 4, 1, {"ray.io/accelerator-type": "L4"}),
    ]
    assert learner.labels == {"ray.io/accelerator-type": "H100"}
    assert fleet[0].profile.overrides == {"max_sequences": 256} and fleet[1].profile.overrides == {"dtype": "float16"}


def test_several_learners_take_their_own_room():
    with pytest.raises(NoRoom, match="learner worker"):
        plan(PROFILES, MIXED, engines=1, workers=1, learners=2)


def test_a_fallback_is_taken_where_the_first_choice_is_not_there():
    wish = {"accelerator": "B200", "fallbacks": ({"ray.io/accelerator-type": "H100"},)}
    config = HardwareConfig(profiles=({"name": "big", **wish},), learner={"gpus": 0})
    (engine,), _ = plan(config, MIXED, engines=1, workers=1)
    assert engine.labels == {"ray.io/accelerator-type": "H100"}
    one_of_two = HardwareConfig(
        profiles=(
            {"name": "big", "count": 2, "accelerator": "H100", "fallbacks": ({"ray.io/accelerator-type": "L4"},)},
        ),
        learner={"gpus": 0},
    )
    (engine,), _ = plan(one_of_two, MIXED, engines=1, workers=1)
    assert engine.options()["fallback_strategy"] == [{"label_selector": {"ray.io/accelerator-type": "L4"}}]


def test_two_profiles_of_one_name_are_refused():
    with pytest.raises(ValueError, match="need different names"):
        HardwareConfig(profiles=({"name": "a"}, {"name": "a"}))


def test_labels_that_no_node_carries_are_refused_and_not_waited_for():
    nodes = [Node("a", {"CPU": 2}, {"crucible.io/role": "verify", "ray.io/node-id": "1"}), Node("b", {"CPU": 2}, {})]
    check_labels("verify.labels", {}, nodes)
    check_labels("verify.labels", {"crucible.io/role": "in(verify,x)"}, nodes)
    with pytest.raises(NoRoom, match=r"^no node has verify.labels .*; nodes have crucible.io/role=verify$"):
        check_labels("verify.labels", {"crucible.io/role": "verfy"}, nodes)

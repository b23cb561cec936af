"""Defaults for the machines that people have: they fit, they are sensible, and each says why."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known_models import FOUR, GEMMA3_270M, LLAMA31_8B, QWEN3_06B, QWEN3_4B, QWEN25_7B, STUDENT

from cluster.memory_plan import GIB, USABLE, gib
from cluster.model_shapes import ModelShapes
from cluster.overrides import settle
from cluster.recipes import HIGH_RATE, Job, recipe, warn
from cluster.seating import Device, DoesNotFit, Hardware

H100, A100 = Device("H100", 80 * GIB, 9.0), Device("A100", 40 * GIB, 8.0)
L4, T4 = Device("L4", int(22.5 * GIB), 8.9), Device("T4", 15 * GIB, 7.5)
ONE, EIGHT = Hardware((H100,), 32, 256 * GIB), Hardware((H100,) * 8, 96, 1024 * GIB)
MIXED = Hardware((L4, H100, L4, A100), 64, 512 * GIB)
SMALL_CARD = Hardware((Device("RTX-4090", 24 * GIB, 8.9),), 16, 64 * GIB)
TWO_CORES = Hardware((), 2, 23 * GIB)
ALL = {"one H100": ONE, "eight H100": EIGHT, "mixed": MIXED, "24 GB": SMALL_CARD, "CPU": TWO_CORES}

OWN_FIGURES = {
    "rollout.groups_per_step": 8,
    "rollout.group_size": 8,
    "rollout.sampling.max_tokens": 192,
    "rollout.max_staleness": 0,
    "rollout.engines": 1,
    "rollout.engine.dtype": "auto",
    "rollout.engine.max_model_len": 1024,
    "rollout.engine.max_sequences": 64,
    "rollout.engine.enforce_eager": True,
    "rollout.engine.gpu_memory_share": 0.45,
    "rollout.engine.kv_cache_gib": 0.5,
    "rollout.engine.tensor_parallel": 1,
    "train.learning_rate": 3e-3,
    "train.lora_r": 8,
    "train.lora_alpha": 16.0,
    "train.micro_batch_tokens": 8192,
    "train.gradient_checkpointing": False,
    "train.share_prompts": None,
    "train.dtype": "auto",
    "train.workers": 1,
}


def model(config, name="model"):
    return ModelShapes.from_config(config, name)


def used(hardware, seating):
    """Bytes taken of each device, or of the machine's memory."""
    if not hardware.devices:
        return [(sum(seat.need.total for seat in seating.seats), hardware.memory)]
    return [
        (sum(seat.need.total for seat in seating.seats if index in seat.devices), device.bytes)
        for index, device in enumerate(hardware.devices)
    ]


@pytest.mark.parametrize("machine", ALL)
@pytest.mark.parametrize("config", [*FOUR.values(), GEMMA3_270M, STUDENT])
@pytest.mark.parametrize("job", [Job(), Job(reasoning=True), Job("evaluate", reasoning=True)], ids=str)
def test_what_a_recipe_seats_fits_and_what_does_not_is_refused(machine, config, job):
    hardware, shapes = ALL[machine], model(config)
    try:
        found = recipe(shapes, hardware, job)
    except DoesNotFit as error:
        assert machine in ("24 GB", "CPU") and config in (QWEN25_7B, LLAMA31_8B)
        assert "What would fit" in str(error) and "\n" not in str(error)
        return
    assert all(taken <= USABLE * there for taken, there in used(hardware, found.seating))
    assert all(choice.reason and "\n" not in choice.reason for choice in found.choices.values())
    assert bool(found.seating.learners) == job.learns
    row = found.values["rollout.sampling.max_tokens"] + (job.prompt_tokens if config is not STUDENT else 0)
    assert row <= found.values["rollout.engine.max_model_len"] <= shapes.max_positions
    if job.learns:
        assert found.values["rollout.engines"] == len(found.seating.engines)
        assert found.values["train.workers"] == len(found.seating.learners)
    else:
        assert not any(name.startswith("train.") for name in found.values)


@pytest.mark.parametrize("name", FOUR)
def test_one_h100_trains_each_of_the_four(name):
    found = recipe(model(FOUR[name], name), ONE)
    values = found.values
    assert 1e-5 <= values["train.learning_rate"] <= 2e-5
    assert values["train.lora_r"] in (16, 32) and values["train.lora_alpha"] == 2 * values["train.lora_r"]
    assert (values["rollout.groups_per_step"], values["rollout.group_size"]) == (16, 8)
    assert (values["rollout.sampling.max_tokens"], values["rollout.engine.max_model_len"]) == (1024, 4096)
    assert (values["rollout.engine.max_sequences"], values["rollout.engine.max_batched_tokens"]) == (256, 8192)
    assert values["rollout.engine.enforce_eager"] is False and values["train.gradient_checkpointing"] is True
    assert values["rollout.max_staleness"] == 0, "engine and learner share the GPU"
    engine, learner = found.seating.seats
    assert engine.devices == learner.devices == (0,)
    assert values["rollout.engine.gpu_memory_share"] * H100.bytes >= engine.need.total
    assert engine.need.of("weights") == learner.need.of("weights") > 0


def test_eight_gpus_are_all_used_by_the_printed_rule():
    found = recipe(model(QWEN3_4B), EIGHT)
    assert (found.values["rollout.engines"], found.values["train.workers"]) == (6, 2)
    assert sorted(seat.devices for seat in found.seating.seats) == [(index,) for index in range(8)]
    assert found.values["rollout.max_staleness"] == 1
    assert found.values["rollout.engine.gpu_memory_share"] == 0.9
    assert "one in three" in found.choices["train.workers"].reason


def test_evaluation_samples_on_every_gpu_and_lets_reasoning_end():
    found = recipe(model(QWEN3_4B), EIGHT, Job("evaluate", reasoning=True))
    assert len(found.seating.engines) == 8 and found.values["rollout.sampling.max_tokens"] >= 2048


def test_unlike_gpus_the_strongest_learns_and_each_kind_of_engine_has_its_own_settings():
    found = recipe(model(QWEN3_4B), MIXED)
    assert [seat.devices for seat in found.seating.learners] == [(1,)]
    assert sorted(seat.devices for seat in found.seating.engines) == [(0,), (2,), (3,)]
    profiles = {profile["accelerator"]: profile for profile in found.profiles(MIXED)}
    assert profiles["L4"]["count"] == 2 and profiles["A100"]["count"] == 1
    assert profiles["L4"]["max_sequences"] < profiles["A100"]["max_sequences"]
    large = recipe(model(QWEN25_7B), MIXED)
    assert {seat.devices for seat in large.seating.engines} == {(3,), (0, 2)}, "one L4 leaves no room for sequences"


def test_a_small_card_takes_what_fits_and_refuses_the_rest_by_what_would():
    assert recipe(model(QWEN3_06B), SMALL_CARD).values["rollout.engine.max_sequences"] >= 64
    tight = recipe(model(QWEN3_4B), SMALL_CARD)
    assert tight.values["rollout.engine.max_sequences"] < 64 and any("sequences" in text for text in tight.warnings)
    with pytest.raises(DoesNotFit, match=r"two such devices.*one device of \d+ GiB.*B parameters"):
        recipe(model(QWEN25_7B), SMALL_CARD)
    card = SMALL_CARD.devices[0]
    assert recipe(model(QWEN25_7B), Hardware((card, card), 16, 64 * GIB)).values["rollout.max_staleness"] == 1


def test_what_a_refusal_names_does_fit():
    with pytest.raises(DoesNotFit) as error:
        recipe(model(QWEN25_7B), SMALL_CARD)
    size = int(str(error.value).split("one device of ")[1].split(" GiB")[0])
    assert recipe(model(QWEN25_7B), Hardware((Device("larger", size * GIB, 8.9),), 16, 64 * GIB))
    with pytest.raises(DoesNotFit):
        recipe(model(QWEN25_7B), Hardware((Device("smaller", (size - 2) * GIB, 8.9),), 16, 64 * GIB))


def test_two_cores_without_a_gpu_get_a_step_of_minutes():
    values = recipe(model(QWEN3_06B), TWO_CORES).values
    assert values["rollout.groups_per_step"] * values["rollout.group_size"] <= 16
    assert values["rollout.sampling.max_tokens"] <= 256 and values["rollout.engine.enforce_eager"] is True
    assert values["train.dtype"] == values["rollout.engine.dtype"] == "float32"
    assert values["train.learning_rate"] <= HIGH_RATE and values["rollout.max_staleness"] == 0
    assert "rollout.engine.gpu_memory_share" not in values and values["rollout.engine.kv_cache_gib"] > 0
    assert recipe(model(QWEN3_4B), TWO_CORES).values["train.dtype"] == "bfloat16", "float32 does not fit"


@pytest.mark.parametrize("hardware", [TWO_CORES, ONE, EIGHT])
def test_the_default_student_keeps_its_figures(hardware):
    values = recipe(model(STUDENT, "student"), hardware).values
    assert {name: values[name] for name in OWN_FIGURES} == OWN_FIGURES
    assert not warn(values, model(STUDENT))


def test_old_gpus_compute_in_what_they_have():
    pair = Hardware((T4, T4), 8, 64 * GIB)
    values = recipe(model(QWEN3_06B), pair).values
    assert (values["rollout.engine.dtype"], values["train.dtype"]) == ("float16", "float32")
    assert recipe(model(GEMMA3_270M), pair).values["rollout.engine.dtype"] == "float32", "Gemma is wrong in float16"


def test_a_rate_that_ruins_a_pretrained_model_is_warned_of():
    assert warn({"train.learning_rate": 3e-3}, model(QWEN3_06B))
    assert not warn({"train.learning_rate": 2e-5}, model(QWEN3_06B))
    assert not warn({"train.learning_rate": 3e-3}, model(STUDENT))


def test_sizes_are_read_by_people():
    assert gib(80 * GIB) == "80.0 GiB" and gib(20 << 20) == "20.0 MiB"


DEVICES = st.builds(
    Device,
    name=st.sampled_from(["H100", "A100", "L4", "T4"]),
    bytes=st.integers(6, 180).map(lambda size: size * GIB),
    capability=st.sampled_from([7.5, 8.0, 8.9, 9.0]),
    node=st.sampled_from(["a", "b"]),
)


@given(
    devices=st.lists(DEVICES, max_size=10),
    config=st.sampled_from([*FOUR.values(), GEMMA3_270M, STUDENT]),
    job=st.sampled_from([Job(), Job(reasoning=True, prompt_tokens=3000), Job("evaluate")]),
    memory=st.integers(2, 200),
)
@settings(max_examples=150, deadline=None)
def test_on_any_hardware_what_is_accepted_fits(devices, config, job, memory):
    hardware, shapes = Hardware(tuple(devices), 8, memory * GIB), model(config)
    try:
        found = recipe(shapes, hardware, job)
    except DoesNotFit as error:
        assert "What would fit" in str(error)
        return
    assert all(taken <= USABLE * there for taken, there in used(hardware, found.seating))
    assert found.seating.engines and bool(found.seating.learners) == job.learns
    for index in range(len(devices)):
        whole = [found.seating.gpus(seat) / len(seat.devices) for seat in found.seating.seats if index in seat.devices]
        assert sum(whole) in (0, 1), "fractions of a device are 1/k of one"
    learners = [seat.devices for seat in found.seating.learners]
    assert len(set(learners)) == len(learners), "never two workers of one learner on one device"
    for seat in found.seating.engines:
        kinds = {(hardware.devices[i].name, hardware.devices[i].bytes, hardware.devices[i].node) for i in seat.devices}
        assert len(kinds) <= 1, "an engine is split over alike devices of one node"
    if len(devices) > 1:
        everyone = [index for seat in found.seating.seats for index in seat.devices]
        assert len(set(everyone)) == len(everyone), "whole devices, where there are several"
    assert settle(shapes, hardware, found.seating, {}) == found.seating

"""Defaults for the machines that people have: they fit, they are sensible, and each says why."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from known_models import FOUR, GEMMA3_270M, LLAMA31_8B, QWEN3_06B, QWEN3_4B, QWEN25_7B, STUDENT

from cluster.choices import HIGH_RATE
from cluster.devices import Hardware, bfloat16_here, described
from cluster.hardware import HardwareConfig, plan
from cluster.job_plan import tenants
from cluster.memory_plan import GIB, USABLE, gib
from cluster.model_shapes import ModelShapes
from cluster.recipes import Job, recipe, warn
from cluster.shares import DoesNotFit

ONE, EIGHT, MIXED = described("H100"), described("H100:8"), described("H100,A100@40,L4@22.5:2")
SMALL_CARD, TWO_CORES = described("GeForce-RTX-4090"), Hardware((), 2, 23 * GIB)
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
    "train.dtype": "auto",
    "train.workers": 1,
    "train.reference": "base",
}


def model(config, name="model"):
    return ModelShapes.from_config(config, name)


def placed(shapes, hardware, job=Job(), given=None):  # noqa: B008 - frozen
    """The recipe, and what its actors take where the placement of sessions puts them."""
    found = recipe(shapes, hardware, job, given)
    values = {"train.target_modules": "all-linear", **found.values, **(given or {})}
    where = HardwareConfig.model_validate(
        {
            "profiles": values.get("hardware.profiles", ()),
            "engine": {"accelerator": values.get("hardware.engine.accelerator", "")},
            "learner": {"accelerator": values.get("hardware.learner.accelerator", "")},
        }
    )
    engines, workers = values.get("rollout.engines", 1) * job.samples, values.get("train.workers", 0)
    split = values.get("rollout.engine.tensor_parallel", 1)
    workers = values.get("sft.workers", workers) if job.learns else 0
    fleet, learner = plan(where, hardware.nodes(), engines, workers, job.trials, split)
    return found, tenants(shapes, hardware, fleet, learner, job, values)


def roles(seats, role):
    return [seat for seat in seats if seat.role == role]


@pytest.mark.parametrize("machine", ALL)
@pytest.mark.parametrize("config", [*FOUR.values(), GEMMA3_270M, STUDENT])
@pytest.mark.parametrize("kind", ["grpo", "evaluate", "sft", "hard-distil", "lrl"])
@pytest.mark.parametrize("reasoning", [False, True])
def test_what_a_recipe_says_fits_where_it_is_placed_and_what_does_not_is_refused(machine, config, kind, reasoning):
    hardware, shapes, job = ALL[machine], model(config), Job(kind, reasoning=reasoning)
    try:
        found, seats = placed(shapes, hardware, job)
    except DoesNotFit as error:
        assert machine in ("24 GB", "CPU") and config in (QWEN25_7B, LLAMA31_8B, QWEN3_4B)
        assert config is not QWEN3_4B or (machine == "CPU" and kind != "grpo"), "it fits but for a GiB"
        assert "What would fit" in str(error) and "\n" not in str(error)
        return
    assert all(choice.reason and "\n" not in choice.reason for choice in found.choices.values())
    assert roles(seats, "engine") and bool(roles(seats, "learner")) == job.learns
    row = found.values["rollout.sampling.max_tokens"] + (job.prompt_tokens if config is not STUDENT else 0)
    assert row <= found.values["rollout.engine.max_model_len"] <= shapes.max_positions
    for section, used in (("train.", job.rewards), ("sft.", job.tunes), ("dpo.", kind == "expert")):
        assert any(name.startswith(section) for name in found.values) == used


@pytest.mark.parametrize("name", FOUR)
def test_one_h100_trains_each_of_the_four(name):
    found, (engine, learner) = placed(model(FOUR[name], name), ONE)
    values = found.values
    assert 1e-5 <= values["train.learning_rate"] <= 2e-5
    assert values["train.lora_r"] in (16, 32) and values["train.lora_alpha"] == 2 * values["train.lora_r"]
    assert (values["rollout.groups_per_step"], values["rollout.group_size"]) == (16, 8)
    assert (values["rollout.sampling.max_tokens"], values["rollout.engine.max_model_len"]) == (1024, 4096)
    assert (values["rollout.engine.max_sequences"], values["rollout.engine.max_batched_tokens"]) == (256, 8192)
    assert values["rollout.engine.enforce_eager"] is False and values["train.gradient_checkpointing"] is True
    assert values["rollout.max_staleness"] == 0, "engine and learner share the GPU"
    assert engine.devices == learner.devices == (0,)
    assert values["rollout.engine.gpu_memory_share"] * engine.device.bytes >= engine.need.total
    assert engine.need.of("weights") == learner.need.of("weights") > 0


def test_eight_gpus_are_all_used_by_the_printed_rule():
    found, seats = placed(model(QWEN3_4B), EIGHT)
    assert (found.values["rollout.engines"], found.values["train.workers"]) == (6, 2)
    assert sorted(seat.devices for seat in seats) == [(index,) for index in range(8)]
    assert found.values["rollout.max_staleness"] == 1
    assert found.values["rollout.engine.gpu_memory_share"] == 0.9
    assert "one in three" in found.rule == found.choices["train.workers"].reason


def test_evaluation_samples_on_every_gpu_and_lets_reasoning_end():
    found, seats = placed(model(QWEN3_4B), EIGHT, Job("evaluate", reasoning=True))
    assert len(seats) == 8 and found.values["rollout.sampling.max_tokens"] >= 2048


def test_fine_tuning_alone_learns_on_every_gpu():
    found, seats = placed(model(QWEN3_4B), EIGHT, Job("sft", samples=False))
    assert len(seats) == found.values["sft.workers"] == 8
    updates = [found.values[f"sft.{name}"] for name in ("batch_size", "grad_accumulation", "workers")]
    assert updates[0] * updates[1] * updates[2] >= 8 and not any("rollout" in name for name in found.values)


def test_unlike_gpus_the_largest_learns_and_each_kind_of_engine_has_its_own_settings():
    found, seats = placed(model(QWEN3_4B), MIXED)
    assert [seat.device.name for seat in roles(seats, "learner")] == ["H100"]
    assert sorted(seat.device.name for seat in roles(seats, "engine")) == ["A100", "L4", "L4"]
    profiles = {profile["accelerator"]: profile for profile in found.values["hardware.profiles"]}
    assert profiles["L4"]["count"] == 2 and profiles["A100"]["count"] == 1
    assert profiles["L4"]["max_sequences"] < profiles["A100"]["max_sequences"]
    _, large = placed(model(QWEN25_7B), MIXED)
    split = [(seat.device.name, len(seat.devices)) for seat in roles(large, "engine")]
    assert sorted(split) == [("A100", 1), ("L4", 2)], "one L4 leaves no room for sequences"


def test_two_kinds_of_gpus_one_learns_and_the_other_samples():
    found, seats = placed(model(QWEN3_06B), described("H100,L4"))
    assert [(seat.role, seat.device.name) for seat in seats] == [("engine", "L4"), ("learner", "H100")]
    assert found.values["hardware.engine.accelerator"] == "L4"


def test_kinds_of_engines_that_the_user_describes_get_what_he_leaves_open():
    profiles = [{"name": "mine", "accelerator": "L4", "count": 2, "dtype": "float16", "gpu_memory_share": None}]
    given = {"hardware.profiles": profiles, "hardware.learner.accelerator": "A100"}
    found, seats = placed(model(QWEN3_06B), MIXED, given=given)
    (profile,) = found.values["hardware.profiles"]
    assert (profile["name"], profile["dtype"], profile["gpu_memory_share"]) == ("mine", "float16", 0.9)
    assert sorted(seat.device.name for seat in seats) == ["A100", "L4", "L4"]


def test_described_engines_that_share_a_gpu_or_have_none_are_left_as_they_are():
    profiles = [{"name": name, "count": 1, "dtype": "bfloat16"} for name in ("one", "two")]
    for hardware in (ONE, TWO_CORES):
        assert (
            "hardware.profiles" not in recipe(model(QWEN3_06B), hardware, given={"hardware.profiles": profiles}).values
        )


def test_a_small_card_takes_what_fits_and_refuses_the_rest_by_what_would():
    assert recipe(model(QWEN3_06B), SMALL_CARD).values["rollout.engine.max_sequences"] >= 64
    tight = recipe(model(QWEN3_4B), SMALL_CARD)
    assert tight.values["rollout.engine.max_sequences"] < 64 and any("sequences" in text for text in tight.warnings)
    with pytest.raises(DoesNotFit, match=r"two such devices.*one device of \d+ GiB.*B parameters"):
        recipe(model(QWEN25_7B), SMALL_CARD)
    assert recipe(model(QWEN25_7B), described("GeForce-RTX-4090:2")).values["rollout.max_staleness"] == 1


def test_what_a_refusal_names_does_fit():
    with pytest.raises(DoesNotFit) as error:
        recipe(model(QWEN25_7B), SMALL_CARD)
    size = int(str(error.value).split("one device of ")[1].split(" GiB")[0])
    assert placed(model(QWEN25_7B), described(f"larger@{size}"))
    with pytest.raises(DoesNotFit):
        recipe(model(QWEN25_7B), described(f"smaller@{size - 2}"))


def test_a_learner_that_fits_on_several_gpus_together_is_told_so():
    hardware = described("Card@16:4")
    with pytest.raises(
        DoesNotFit, match=r"train\.shard=true, train\.workers=4, .*each worker on such a device of its own"
    ):
        recipe(model(QWEN25_7B), hardware)
    given = {"train.shard": True, "train.workers": 4}
    values = recipe(model(QWEN25_7B), described("Card@16:8"), given=given).values
    assert values["train.workers"] == 4 and values["rollout.sampling.max_tokens"] == 1024
    with pytest.raises(DoesNotFit) as error:
        recipe(model(QWEN25_7B), hardware, Job("sft"))
    assert "shard" not in str(error.value)


def test_two_cores_without_a_gpu_get_a_step_of_minutes():
    values = recipe(model(QWEN3_06B), TWO_CORES).values
    assert values["rollout.groups_per_step"] * values["rollout.group_size"] <= 16
    assert values["rollout.sampling.max_tokens"] <= 256 and values["rollout.engine.enforce_eager"] is True
    assert values["train.dtype"] == values["rollout.engine.dtype"] == "float32"
    assert values["train.learning_rate"] <= HIGH_RATE and values["rollout.max_staleness"] == 0
    assert "rollout.engine.gpu_memory_share" not in values and values["rollout.engine.kv_cache_gib"] > 0
    assert recipe(model(QWEN3_4B), TWO_CORES).values["train.dtype"] == "bfloat16", "float32 does not fit"
    forced = recipe(model(QWEN3_06B), ONE, given={"hardware.device": "cpu"}).values
    assert forced["rollout.engine.enforce_eager"] is True and "rollout.engine.gpu_memory_share" not in forced


def test_a_cpu_computes_in_what_it_is_fast_at():
    fast = replace(TWO_CORES, cpu_bfloat16=True)
    for job, names in ((Job(), ("rollout.engine.dtype", "train.dtype")), (Job("sft"), ("sft.dtype",))):
        assert {recipe(model(QWEN3_06B), fast, job).values[name] for name in names} == {"bfloat16"}
        assert {recipe(model(QWEN3_06B), TWO_CORES, job).values[name] for name in names} == {"float32"}
    given = {"rollout.engine.dtype": "float32", "train.dtype": "float32"}
    assert recipe(model(QWEN3_06B), fast, given=given).values["train.dtype"] == "float32"
    small = model(QWEN3_06B | {"hidden_size": 512, "num_hidden_layers": 8, "vocab_size": 32_000})
    assert recipe(small, fast).values["train.dtype"] == "float32"


@pytest.mark.parametrize(
    ("flags", "fast"),
    [
        ("flags : fpu avx2 avx512f avx512_bf16 fma", True),
        ("flags : fpu amx_bf16 amx_tile", True),
        ("Features : fp asimd bf16 i8mm", True),
        ("flags : fpu avx2 avx512f avx512_vnni\nmodel name : bf16-less", False),
        ("", False),
    ],
)
def test_what_a_cpu_multiplies_is_read_from_the_kernels_list(tmp_path, flags, fast):
    (tmp_path / "cpuinfo").write_text(f"processor : 0\n{flags}\n")
    assert bfloat16_here(str(tmp_path / "cpuinfo")) is fast
    assert bfloat16_here(str(tmp_path / "none")) is False


@pytest.mark.parametrize("hardware", [TWO_CORES, ONE, EIGHT])
def test_the_default_student_keeps_its_figures(hardware):
    values = recipe(model(STUDENT, "student"), hardware).values
    assert values.pop("rollout.engine.max_batched_tokens") == (2048 if hardware.devices else 8192)
    other = {f"rollout.engine.{name}" for name in ("kv_cache_gib", "gpu_memory_share", "tensor_parallel")}
    assert values == {name: value for name, value in OWN_FIGURES.items() if name in values}
    assert set(OWN_FIGURES) - set(values) < other
    assert not warn(values, model(STUDENT))


SFT = {"learning_rate": 2e-4, "lora_r": 16, "lora_alpha": 32.0, "batch_size": 1, "grad_accumulation": 8}
OWN_TUNING = {
    "sft": SFT,
    "hard-distil": SFT,
    "lrl": SFT | {"lora_r": 8, "lora_alpha": 16.0, "batch_size": 8, "grad_accumulation": 1},
    "undo": SFT | {"learning_rate": 1e-3, "batch_size": 8, "grad_accumulation": 1},
    "expert": SFT | {"learning_rate": 1e-3, "batch_size": 8, "grad_accumulation": 1},
}
OWN_ANSWERS = {"evaluate": 192, "sft": 512, "undo": 192, "expert": 160, "hard-distil": 192}


@pytest.mark.parametrize("kind", {**OWN_TUNING, **OWN_ANSWERS})
def test_the_default_student_keeps_the_figures_of_every_job(kind):
    values = recipe(model(STUDENT, "student"), TWO_CORES, Job(kind)).values
    assert {name: values[f"sft.{name}"] for name in SFT} == OWN_TUNING[kind] if kind in OWN_TUNING else True
    assert values["rollout.sampling.max_tokens"] == OWN_ANSWERS.get(kind, values["rollout.sampling.max_tokens"])
    length, sequences = (512, 128) if kind == "expert" else (1024, 64)
    assert (values["rollout.engine.max_model_len"], values["rollout.engine.max_sequences"]) == (length, sequences)
    if kind == "expert":
        assert [values[f"dpo.{n}"] for n in ("learning_rate", "batch_size", "grad_accumulation")] == [2e-4, 4, 1]


def test_old_gpus_compute_in_what_they_have():
    pair = described("T4:2")
    values = recipe(model(QWEN3_06B), pair).values
    assert (values["rollout.engine.dtype"], values["train.dtype"]) == ("float16", "float32")
    assert recipe(model(GEMMA3_270M), pair).values["rollout.engine.dtype"] == "float32", "Gemma is wrong in float16"


def test_a_rate_that_ruins_a_pretrained_model_is_warned_of():
    assert warn({"train.learning_rate": 3e-3}, model(QWEN3_06B))
    assert not warn({"train.learning_rate": 2e-5}, model(QWEN3_06B))
    assert not warn({"train.learning_rate": 3e-3}, model(STUDENT))


def test_what_the_user_sets_wins_and_the_rest_follows():
    shapes = model(QWEN3_4B)
    given = {"rollout.sampling.max_tokens": 6000, "train.lora_r": 64, "rollout.engines": 2, "train.workers": 4}
    found, seats = placed(shapes, EIGHT, given=given)
    values = found.values
    assert values["rollout.engine.max_model_len"] >= 6000 + 512 and values["train.lora_alpha"] == 128.0
    assert (len(roles(seats, "engine")), len(roles(seats, "learner"))) == (2, 4)
    assert "2 engines are set" in " ".join(found.warnings)
    assert all(seat.load.lora_r == 64 for seat in roles(seats, "learner"))
    crowded, seats = placed(shapes, described("H100:2"), given={"rollout.engines": 2})
    assert crowded.values["rollout.max_staleness"] == 0 and len(seats) == 3
    _, split = placed(shapes, EIGHT, given={"rollout.engine.tensor_parallel": 2})
    assert [len(seat.devices) for seat in roles(split, "engine")] == [2, 2, 2]


def test_the_trials_of_a_sweep_have_a_gpu_each_or_share_what_there_is():
    shapes, job = model(QWEN3_06B), Job(trials=4)
    found, seats = placed(shapes, EIGHT, job)
    assert (found.values["rollout.engines"], found.values["train.workers"]) == (4, 1)
    assert sorted(seat.devices for seat in seats) == [(index,) for index in range(8)]
    for hardware in (ONE, described("H100:2")):
        _, seats = placed(shapes, hardware, job)
        assert len(roles(seats, "learner")) == 4


def test_sizes_are_read_by_people():
    assert gib(80 * GIB) == "80.0 GiB" and gib(20 << 20) == "20.0 MiB"


KINDS = st.lists(
    st.tuples(st.sampled_from(["H100", "A100", "L4", "T4"]), st.integers(6, 180), st.integers(1, 4)),
    max_size=3,
    unique_by=lambda kind: kind[0],
)


@given(
    kinds=KINDS,
    config=st.sampled_from([*FOUR.values(), GEMMA3_270M, STUDENT]),
    job=st.sampled_from([Job(), Job(reasoning=True, prompt_tokens=3000), Job("evaluate"), Job("lrl")]),
    memory=st.integers(2, 200),
)
@settings(max_examples=150, deadline=None)
def test_on_any_hardware_what_is_accepted_fits(kinds, config, job, memory):
    hardware = replace(described(",".join(f"{k}@{size}:{n}" for k, size, n in kinds)), memory=memory * GIB)
    shapes = model(config)
    try:
        found, seats = placed(shapes, hardware, job)
    except DoesNotFit as error:
        assert "What would fit" in str(error)
        return
    taken = {}
    for seat in seats:
        for index in seat.devices or (-1,):
            taken.setdefault((seat.node, index), []).append(seat)
    for there in taken.values():
        assert sum(seat.need.total for seat in there) <= USABLE * there[0].device.bytes
    learners = [(seat.node, seat.devices) for seat in roles(seats, "learner") if seat.devices]
    assert len(set(learners)) == len(learners), "never two workers of one learner on one device"
    if len(hardware.devices) > 1 and config is not STUDENT:
        assert all(len(there) == 1 for there in taken.values()), "whole devices, where there are several"
        idle = len(hardware.devices) - len(taken)
        assert not idle or any("left idle" in text for text in found.warnings)

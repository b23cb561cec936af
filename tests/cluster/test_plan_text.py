"""The numbers that a plan shows are those of the memory model, and what does not fit is refused with what would."""

import re

import pytest
from known_models import FOUR, QWEN3_06B, QWEN3_4B, QWEN25_7B, STUDENT
from test_recipes import EIGHT, MIXED, ONE, SMALL_CARD, TWO_CORES, placed

from cluster.hardware import HardwareConfig, plan
from cluster.job_plan import tenants
from cluster.memory_plan import GIB, USABLE
from cluster.model_shapes import ModelShapes
from cluster.plan_text import choice_lines, memory_lines, summary_lines
from cluster.recipes import Job
from cluster.shares import DoesNotFit


def shapes_of(config, name="model"):
    return ModelShapes.from_config(config, name)


def numbers(line):
    return [float(text) for text in re.findall(r"(?<=\s)\d+\.\d+(?=\s|$)", line)]


@pytest.mark.parametrize("hardware", [ONE, EIGHT, MIXED, TWO_CORES], ids=str)
def test_every_kind_of_actor_has_a_line_whose_parts_add_up(hardware):
    _, seats = placed(shapes_of(QWEN3_06B), hardware)
    actors = [line for line in memory_lines(hardware, seats) if re.search(r"\b(engine|learner)\b", line)]
    for line in actors:
        *parts, total, device = numbers(line)
        assert sum(parts) == pytest.approx(total, abs=0.05 * len(parts))
        assert total <= USABLE * device
    expected = {round(seat.need.total / GIB, 1) for seat in seats}
    assert {numbers(line)[-2] for line in actors} == expected
    short = summary_lines(hardware, seats)
    assert len(short) == len({line.split(":")[0] for line in short}) <= len(actors)


def test_alike_devices_are_counted():
    _, seats = placed(shapes_of(QWEN3_4B), EIGHT)
    lines = memory_lines(EIGHT, seats)
    assert [line.split(":")[0] for line in lines[1:]] == ["GPU 0-1", "GPU 2-7"]


@pytest.mark.parametrize("name", FOUR)
def test_a_plan_shows_each_default_with_its_reason(name):
    shapes = shapes_of(FOUR[name], name)
    found, seats = placed(shapes, ONE)
    lines = choice_lines(found, {"train.lora_r": 64})
    for option, choice in found.choices.items():
        (line,) = [line for line in lines if line.split()[:1] == [option]]
        assert ("set by you" if option == "train.lora_r" else choice.reason) in line
    text, weights = "\n".join(memory_lines(ONE, seats)), shapes.total_parameters * 2 / GIB
    assert text.count(f" {weights:.1f} ") >= 2, "of the engine and of the learner"


def test_split_engines_and_their_profiles_are_shown():
    found, seats = placed(shapes_of(QWEN25_7B), MIXED)
    assert "\n".join(memory_lines(MIXED, seats)).count("(1/2)") == 1
    assert "tensor_parallel 2" in "\n".join(choice_lines(found, {}))


def test_what_the_user_sets_is_counted():
    shapes = shapes_of(QWEN3_06B)
    before = placed(shapes, ONE)[1][-1]
    after = placed(shapes, ONE, given={"train.micro_batch_tokens": 16384, "train.lora_r": 64})[1]
    learner, wider = before.need, after[-1].need
    assert wider.of("activations") == pytest.approx(2 * learner.of("activations"), rel=0.01)
    assert wider.of("optimiser") == 4 * learner.of("optimiser")
    assert after[0].load.lora_rank == 64 and wider.of("weights") == learner.of("weights")


def test_settings_that_overfill_a_device_are_refused_by_those_that_would_fit():
    shapes = shapes_of(QWEN3_4B)
    given = {
        "train.gradient_checkpointing": False, "train.micro_batch_tokens": 32768,
        "rollout.engine.gpu_memory_share": 0.5, "rollout.engine.max_sequences": 8, "rollout.engine.max_model_len": 4096,
        "rollout.sampling.max_tokens": 1024, "rollout.engine.max_batched_tokens": 2048,
    }  # fmt: skip
    with pytest.raises(DoesNotFit, match="What would fit"):
        placed(shapes, SMALL_CARD, given=given)


def test_a_placed_job_that_overfills_a_device_is_refused_by_those_that_would_fit():
    shapes = shapes_of(QWEN3_4B)
    found, _ = placed(shapes, SMALL_CARD)
    given = found.values | {"train.micro_batch_tokens": 65536}
    fleet, learner = plan(HardwareConfig(), SMALL_CARD.nodes(), 1, 1)
    with pytest.raises(DoesNotFit, match="What would fit") as error:
        tenants(shapes, SMALL_CARD, fleet, learner, Job(), given)
    fixes = str(error.value).split("What would fit: ")[1].split("; or ")
    fix = next(fix for fix in fixes if "micro_batch_tokens" in fix)
    mended = given | {
        option: value == "true" if value in ("true", "false") else int(value)
        for option, value in (part.split("=") for part in fix.split(", "))
    }
    assert mended != given
    tenants(shapes, SMALL_CARD, fleet, learner, Job(), mended)


def test_a_share_too_small_for_one_sequence_is_refused_by_the_least_that_holds_one():
    shapes = shapes_of(QWEN3_4B)
    values = {name: v for name, v in placed(shapes, EIGHT)[0].values.items() if "max_seq" not in name}
    with pytest.raises(DoesNotFit, match=r"use 0\.\d+ or more") as error:
        placed(shapes, EIGHT, given=values | {"rollout.engine.gpu_memory_share": 0.13})
    least = float(re.search(r"use (0\.\d+)", str(error.value))[1])
    assert placed(shapes, EIGHT, given=values | {"rollout.engine.gpu_memory_share": least})


def test_the_student_on_a_cpu_has_its_fixed_room_for_keys_and_values():
    shapes = shapes_of(STUDENT, "student")
    assert placed(shapes, TWO_CORES)[1][0].need.of("KV") == GIB // 2
    changed = placed(shapes, TWO_CORES, given={"rollout.engine.kv_cache_gib": 2.0})[1]
    assert changed[0].need.of("KV") == 2 * GIB

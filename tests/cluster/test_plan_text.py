"""The numbers that a plan shows are those of the memory model, and what does not fit is refused with what would."""

import re

import pytest
from known_models import FOUR, QWEN3_06B, QWEN3_4B, QWEN25_7B, STUDENT
from test_recipes import EIGHT, MIXED, ONE, SMALL_CARD, TWO_CORES

from cluster.memory_plan import GIB, USABLE
from cluster.model_shapes import ModelShapes
from cluster.overrides import settle
from cluster.plan_text import memory_lines, plan_text
from cluster.recipes import Job, recipe
from cluster.seating import DoesNotFit


def shapes_of(config, name="model"):
    return ModelShapes.from_config(config, name)


def numbers(line):
    return [float(text) for text in re.findall(r"(?<=\s)\d+\.\d+(?=\s|$)", line)]


@pytest.mark.parametrize("hardware", [ONE, EIGHT, MIXED, TWO_CORES], ids=str)
def test_every_actor_has_a_line_whose_parts_add_up(hardware):
    seats = recipe(shapes_of(QWEN3_06B), hardware).seating.seats
    lines = memory_lines(hardware, seats)
    actors = [line for line in lines if re.search(r"\b(engine|learner)\b", line)]
    assert len(actors) == sum(max(1, len(seat.devices)) for seat in seats)
    for line in actors:
        *parts, total, device = numbers(line)
        assert sum(parts) == pytest.approx(total, abs=0.05 * len(parts))
        assert total <= USABLE * device
    expected = sorted(round(seat.need.total / GIB, 1) for seat in seats for _ in seat.devices or [0])
    assert sorted(numbers(line)[-2] for line in actors) == expected


@pytest.mark.parametrize("name", FOUR)
def test_a_plan_shows_each_default_with_its_reason(name):
    shapes = shapes_of(FOUR[name], name)
    text, found = plan_text(shapes, ONE, Job()), recipe(shapes, ONE)
    for option, choice in found.choices.items():
        (line,) = [line for line in text.splitlines() if line.split()[:1] == [option]]
        assert choice.reason in line
    weights = shapes.total_parameters * 2 / GIB
    assert text.count(f" {weights:.1f} ") >= 2, "of the engine and of the learner"
    assert found.seating.rule in text


def test_split_engines_and_their_profiles_are_shown():
    text = plan_text(shapes_of(QWEN25_7B), MIXED, Job())
    assert text.count("engine (1/2)") == 2 and "tensor_parallel 2" in text


def test_a_refusal_is_the_plan():
    text = plan_text(shapes_of(QWEN25_7B, "Qwen2.5-7B"), SMALL_CARD, Job())
    assert "Does not fit" in text and "What would fit" in text and "learning_rate" not in text


def test_what_the_user_sets_wins_and_is_counted():
    shapes = shapes_of(QWEN3_06B)
    before = recipe(shapes, ONE).seating
    after = settle(shapes, ONE, before, {"train.micro_batch_tokens": 16384, "train.lora_r": 64})
    learner, wider = before.learners[0].need, after.learners[0].need
    assert wider.of("activations") == pytest.approx(2 * learner.of("activations"), rel=0.01)
    assert wider.of("optimiser") == 4 * learner.of("optimiser")
    assert after.engines[0].load.lora_rank == 64 and wider.of("weights") == learner.of("weights")
    text = plan_text(shapes, ONE, Job(), {"train.micro_batch_tokens": 16384, "train.learning_rate": 3e-3})
    assert re.search(r"train\.micro_batch_tokens +16384 +set by you; 8192 otherwise", text)
    assert re.search(r"Warning: train\.learning_rate 0\.003", text)
    assert settle(shapes, ONE, before, {}).seats == before.seats


def test_settings_that_overfill_a_device_are_refused_by_those_that_would_fit():
    shapes, given = shapes_of(QWEN3_4B), {"train.gradient_checkpointing": False, "train.micro_batch_tokens": 32768}
    seating = recipe(shapes, SMALL_CARD).seating
    with pytest.raises(DoesNotFit, match="What would fit") as error:
        settle(shapes, SMALL_CARD, seating, given)
    fix = str(error.value).split("What would fit: ")[1].split("; or ")[0]
    mended = given | {
        option: value == "true" if value in ("true", "false") else int(value)
        for option, value in (part.split("=") for part in fix.split(", "))
    }
    assert set(mended) == set(given) and mended != given
    settle(shapes, SMALL_CARD, seating, mended)


def test_a_share_too_small_for_one_sequence_is_refused_by_the_least_that_holds_one():
    shapes = shapes_of(QWEN3_4B)
    seating = recipe(shapes, EIGHT).seating
    with pytest.raises(DoesNotFit, match=r"use 0\.\d+ or more") as error:
        settle(shapes, EIGHT, seating, {"rollout.engine.gpu_memory_share": 0.1})
    least = float(re.search(r"use (0\.\d+)", str(error.value))[1])
    assert settle(shapes, EIGHT, seating, {"rollout.engine.gpu_memory_share": least}).engines[0].share == least


def test_the_student_on_a_cpu_has_its_fixed_room_for_keys_and_values():
    shapes = shapes_of(STUDENT, "student")
    seating = recipe(shapes, TWO_CORES).seating
    assert seating.engines[0].need.of("KV") == GIB // 2
    changed = settle(shapes, TWO_CORES, seating, {"rollout.engine.kv_cache_gib": 2.0})
    assert changed.engines[0].need.of("KV") == 2 * GIB

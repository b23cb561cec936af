"""A teacher on engines of the run's own: how it is configured, placed and asked, and a real one beside a student."""

from __future__ import annotations

import asyncio
import json
import shutil

import pytest
from job import crucible_apart
from known_models import QWEN3_06B, QWEN3_4B

from cluster.devices import described
from cluster.hardware import NoRoom, plan
from cluster.model_shapes import ModelShapes
from pipelines.defaults import fill
from pipelines.errors import ConfigError
from pipelines.jobs.teacher_job_config import DistilConfig
from pipelines.jobs.undo.config import UndoConfig
from pipelines.options import parse
from pipelines.plan import report
from problems.auto import unset
from rollout.backends import engine_args
from rollout.conversation import Completion, NoRoomToAnswer
from rollout.engine_spec import EngineSpec
from rollout.publishing import EngineOut
from rollout.teacher.config import Price, TeacherConfig
from rollout.teacher.cost_ledger import CostLedger
from rollout.teacher.engine_teacher import EngineTeacher, seats
from rollout.teacher.opening import open_teacher
from rollout.teacher.request_cache import RequestRefused, TeacherDown, TeacherRequest, TeacherStopped
from rollout.teacher.weights import fingerprint

LARGE = QWEN3_4B | {
    "hidden_size": 5120, "intermediate_size": 25600, "num_hidden_layers": 64, "num_attention_heads": 64,
    "tie_word_embeddings": False,
}  # fmt: skip
SMALL, MIDDLE, WIDE = (
    ModelShapes.from_config(keys, name) for name, keys in (("0.6B", QWEN3_06B), ("4B", QWEN3_4B), ("32B", LARGE))
)


# --- the configuration


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"base_url": "http://h"}, "base_url has no effect with protocol engine"),
        ({"batch": True}, "batch has no effect with protocol engine"),
        ({"concurrency": 3}, "concurrency has no effect with protocol engine"),
        ({"budget": 1.0}, "budget has no effect, because the answers of engines of m count as free"),
        ({"engine": {"canary_bound": 0.1}}, "canary_bound has no effect on a teacher"),
        ({"others": [{"model": "n", "protocol": "engine"}]}, "a run starts the engines of one"),
        (
            {"protocol": "openai", "base_url": "http://h", "engines": 2},
            "no effect without a teacher of protocol engine",
        ),
        ({"model": "reference"}, "protocol has no effect on the offline reference teacher"),
    ],
)
def test_what_has_no_effect_on_engines_is_refused(given, says):
    with pytest.raises(ValueError, match=says):
        TeacherConfig(**{"model": "m", "protocol": "engine", **given})


def test_one_of_several_may_be_on_engines():
    config = TeacherConfig(
        model="m", base_url="http://h", protocol="openai", engine={"max_sequences": 7}, engines=3, concurrency=4,
        others=[{"model": "big", "protocol": "engine", "share": 2}, {"model": "reference"}],
    )  # fmt: skip
    served, own, offline = config.members
    assert config.on_engines is not None and own.model == "big" and seats(own) == 21
    assert served.engines == 1 and served.concurrency == 4 and served.is_served
    assert not own.is_served and not offline.is_served and own.is_free and own.key_name == ""
    found = config.with_engine_model("/a/big")
    assert [one.model for one in found.members] == ["m", "/a/big", "reference"]
    assert TeacherConfig(model="m", base_url="http://h").on_engines is None


def test_answers_of_other_weights_are_other_answers(tmp_path):
    def folder(name, weights):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.json").write_text("{}")
        (tmp_path / name / "model.safetensors").write_bytes(weights)
        return TeacherConfig(model=str(tmp_path / name), protocol="engine")

    request = TeacherRequest("s", (("user", "q"),))
    one, same, other = folder("a", b"12"), folder("b", b"12"), folder("c", b"13")
    assert one.url == same.url != other.url and request.key(one) != request.key(other)
    assert fingerprint("Qwen/Qwen3-4B") == "Qwen/Qwen3-4B"
    body = request.body(one)
    assert body["messages"][0] == {"role": "system", "content": "s"} and body["max_tokens"] == one.max_tokens


# --- where it is placed


def filled(model, student, teacher, gpus, *more):
    hardware = described(gpus, 16, 64 << 30)
    arguments = ["--teacher.protocol", "engine", "--teacher.model", "big", *more]
    found = fill(parse(model, arguments, prog=""), "", student, hardware, teacher)
    fleet, learner = plan(found.config.hardware, hardware.nodes(), *found.counts, found.tensor_parallel, found.teachers)
    return found, found.place(fleet, learner, hardware)


def places(tenants):
    return {role: {(t.node, i) for t in tenants if t.role == role for i in t.devices} for role in
            ("teacher", "engine", "learner")}  # fmt: skip


@pytest.mark.parametrize(("gpus", "teacher"), [("H100:8", WIDE), ("H100:2", WIDE), ("L4:2,H100:1", MIDDLE)])
def test_with_several_gpus_a_teacher_has_its_own(gpus, teacher):
    found, tenants = filled(UndoConfig, SMALL, teacher, gpus)
    at = places(tenants)
    assert at["teacher"] and not at["teacher"] & (at["engine"] | at["learner"])
    assert len(at["teacher"] | at["engine"] | at["learner"]) == len(described(gpus).devices)
    assert {t.device.name for t in tenants if t.role == "teacher"} == {"H100"}
    assert not [key for key in unset(found.config) if key.startswith("teacher.engine") and "kv_cache" not in key]


@pytest.mark.parametrize("gpus", ["H100:1", "L4:1", ""])
def test_what_is_shared_is_divided_and_suffices_for_all(gpus):
    found, tenants = filled(UndoConfig, SMALL, MIDDLE if gpus else SMALL, gpus)
    device = tenants[0].device
    assert {t.role for t in tenants} == {"engine", "learner", "teacher"} and {t.device for t in tenants} == {device}
    assert sum(t.need.total for t in tenants) <= 0.95 * device.bytes
    if gpus:
        config = found.config
        assert config.engine.gpu_memory_share + config.teacher.engine.gpu_memory_share < 1


def test_what_the_user_sets_of_a_teacher_s_engines_stays():
    more = ("--teacher.engines", "1", "--teacher.engine.max-sequences", "9", "--hardware.teacher.gpus", "2")
    found, tenants = filled(UndoConfig, SMALL, WIDE, "H100:4", *more, "--teacher.engine.tensor-parallel", "2")
    assert found.config.teacher.engine.max_sequences == 9 and len(places(tenants)["teacher"]) == 2
    with pytest.raises(ConfigError, match=r"0.6B: 32B does not fit on H100 \(64 GiB\)"):
        filled(UndoConfig, SMALL, WIDE, "H100:1")
    with pytest.raises(NoRoom, match="teacher's engine"):
        filled(UndoConfig, SMALL, MIDDLE, "H100:2", "--hardware.teacher.accelerator", "B200")


def test_float16_of_a_teacher_is_for_gpus():
    half = ("--teacher.engine.dtype", "float16")
    filled(UndoConfig, SMALL, MIDDLE, "H100:2", *half)
    with pytest.raises(ConfigError, match=r"teacher\.engine\.dtype float16 is for GPUs"):
        filled(UndoConfig, SMALL, SMALL, "", *half)
    with pytest.raises(ConfigError, match=r"teacher\.engine\.dtype float16 is for GPUs"):
        filled(DistilConfig, None, SMALL, "", *half)


def test_distil_has_engines_of_its_teacher_alone():
    found, tenants = filled(DistilConfig, None, MIDDLE, "H100:2")
    assert {t.role for t in tenants} == {"teacher"} and len(tenants) == 2 == found.config.teacher.engines
    assert found.counts == (0, 0, 1)
    with pytest.raises(ConfigError, match=r"hardware.teacher.gpus has no effect with teacher.protocol anthropic"):
        parse(DistilConfig, ["--hardware.teacher.gpus", "1"], prog="")


def test_the_plan_shows_the_teacher_and_its_settings():
    text = report(["undo", "--teacher.protocol", "engine", "--teacher.model", "student", "--gpus", "H100:2"])
    assert "teacher student: " in text and "The teacher's engines:" in text and "teacher.engine.max_sequences" in text
    lines = [line.split() for line in text.splitlines() if line.startswith(("GPU", "   "))]
    assert any("teacher" in line for line in lines)
    alone = report(["distil", "--teacher.protocol", "engine", "--teacher.model", "student", "--gpus", "none"])
    assert "teacher.engine.max_model_len" in alone and "learner" not in alone.split("Defaults")[0].split("Placement")[0]
    with pytest.raises(ConfigError, match=r"set teacher\.protocol engine"):
        report(["distil"])


def test_a_teacher_s_engine_has_no_room_for_adapters():
    assert "enable_lora" not in engine_args(EngineSpec("m", lora_rank=0))
    assert engine_args(EngineSpec("m", lora_rank=8))["max_lora_rank"] == 8


# --- how it is asked


class Pretended:
    """Engines that answer as `script` says, one entry a call: an error to raise, or what to answer."""

    def __init__(self, count=2, script=()):
        self.count, self.script, self.asked, self.in_flight, self.most = count, list(script), [], 0, 0

    def __len__(self):
        return self.count

    async def complete(self, number, question):
        self.asked.append((number, question))
        self.in_flight += 1
        self.most = max(self.most, self.in_flight)
        await asyncio.sleep(0.01)
        self.in_flight -= 1
        step = self.script.pop(0) if self.script else "fine"
        if isinstance(step, Exception):
            raise step
        return Completion(step, "length" if step == "cut" else "stop", 11, 7)


def teacher(tmp_path, calls, **more):
    given = {"max_tokens": 16, "patience": 0.3, "backoff": 0.01, "cache": tmp_path / "cache", **more}
    config = TeacherConfig(model="m", protocol="engine", **given)
    return EngineTeacher(config, tmp_path / "run", calls, note=lambda line: None)


def request(text, sample=0):
    return TeacherRequest("s", (("user", text),), sample)


def test_answers_are_kept_booked_and_never_asked_for_twice(tmp_path):
    engines = Pretended(script=["one", "cut"])

    async def go():
        one = teacher(tmp_path, engines)
        first, cut = [await one.answer(request(text)) for text in ("a", "b")]
        again = await teacher(tmp_path, engines).answer(request("a"))
        return first, cut, again, one.account()

    first, cut, again, account = asyncio.run(go())
    assert (first.text, first.finish_reason, cut.finish_reason) == ("one", "stop", "length")
    assert again.cached and again.text == "one" and len(engines.asked) == 2
    assert account.requests == 2 and account.usage.output == 14 and account.dollars == 0
    question = engines.asked[0][1]
    assert question.turns == (("user", "a"),) and question.system == "s" and question.max_tokens == 16
    assert engines.asked[1][1].seed != question.seed


def test_as_many_are_in_flight_as_the_engines_take(tmp_path):
    engines = Pretended()

    async def go():
        one = teacher(tmp_path, engines, engines=2, engine={"max_sequences": 5})
        await asyncio.gather(*(one.answer(request(str(n))) for n in range(60)))

    asyncio.run(go())
    assert engines.most == 12 and {number for number, _ in engines.asked} == {0, 1}


def test_an_engine_that_is_out_costs_no_answer(tmp_path):
    engines = Pretended(script=[EngineOut("its process has ended")])
    reply = asyncio.run(teacher(tmp_path, engines).answer(request("a")))
    assert reply.text == "fine" and [number for number, _ in engines.asked] == [0, 1]


def test_engines_that_stay_out_stop_the_teacher_and_a_question_too_long_does_not(tmp_path):
    async def go(engines):
        one = teacher(tmp_path, engines)
        try:
            return await one.answer(request("a"))
        finally:
            assert one.account().open_dollars == 0

    with pytest.raises(TeacherDown, match=r"did not answer for 0.3 s \(gone\)"):
        asyncio.run(go(Pretended(script=[EngineOut("gone")] * 1000)))
    with pytest.raises(RequestRefused, match=r"raise teacher\.engine\.max_model_len"):
        asyncio.run(go(Pretended(script=[NoRoomToAnswer("it has 9 tokens: raise teacher.engine.max_model_len")])))


def test_a_price_makes_a_budget_hold_on_engines_too(tmp_path):
    async def go():
        one = teacher(tmp_path, Pretended(), prices={"m": Price(input=1000, output=5000)}, budget=0.6)
        found = [await one.answer(request("a"))]
        with pytest.raises(TeacherStopped, match="budget"):
            for n in range(20):
                found.append(await one.answer(request(str(n))))
        return found

    found = asyncio.run(go())
    dollars = CostLedger(tmp_path / "run" / "costs.jsonl").account().dollars
    assert 0 < dollars <= 0.6 and dollars == pytest.approx(len(found) * (11 * 1000 + 7 * 5000) / 1e6)


def test_a_teacher_on_engines_wants_some(tmp_path):
    with pytest.raises(ValueError, match="has no engines"):
        open_teacher(TeacherConfig(model="m", protocol="engine", cache=tmp_path), tmp_path / "run")


# --- real engines


@pytest.fixture
def told(tmp_path):
    """Short instructions: the tiny student's vocabulary makes long ones longer than its context."""
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "code.jinja").write_text("Write one Python block.")
    return ["--teacher.prompts", tmp_path / "prompts", "--teacher.cache", tmp_path / "cache", "--runs", tmp_path]


FEW = ["--problems.families", "reverse_string", "is_palindrome", "--problems.difficulties", "1", "2"]


@pytest.mark.slow
def test_a_student_and_its_teacher_run_side_by_side(tiny_student, tmp_path, told):
    arguments = [
        "undo", "--model", tiny_student, "--teacher.protocol", "engine", "--teacher.model", tiny_student,
        "--teacher.max-tokens", "96", "--teacher.engine.max-sequences", "16", "--train-problems", "16",
        "--val-problems", "6", "--test-problems", "6", "--iterations", "0", "--max-tokens", "96", *FEW, *told,
    ]  # fmt: skip
    # The student writes no right program under a teacher's words, and a run whose teacher solves nothing says so.
    output = crucible_apart(*arguments, "--name", "one", status=(0, 2))
    assert "engine" in output and "teacher" in output, "who takes what is shown at the start"
    rows = [json.loads(line) for line in (tmp_path / "one" / "attempts.jsonl").read_text().splitlines()]
    assert len(rows) >= 16 and {row["teacher"] for row in rows} == {str(tiny_student)}
    assert not any(row["status"] == "api_error" for row in rows)
    cost = CostLedger(tmp_path / "one" / "costs.jsonl").account()
    assert cost.requests == len({row["request"] for row in rows}) and cost.dollars == 0
    crucible_apart(*arguments, "--name", "two", status=(0, 2))
    again = [json.loads(line) for line in (tmp_path / "two" / "attempts.jsonl").read_text().splitlines()]
    assert {row["request"]: row for row in again} == {row["request"]: row for row in rows}
    assert not (tmp_path / "two" / "costs.jsonl").exists(), "what was answered is stored, and nothing asked"


@pytest.mark.slow
def test_distil_starts_engines_of_its_teacher_alone(tiny_student, tmp_path, told):
    output = crucible_apart(
        "distil", "--name", "traces", "--count", "4", "--corrections", "0", "--teacher.protocol", "engine",
        "--teacher.model", tiny_student, "--teacher.max-tokens", "96", *FEW, *told, status=(0, 2),
    )  # fmt: skip
    assert "16 kept" in output or " of 16 " in output
    rows = [json.loads(line) for line in (tmp_path / "traces" / "attempts.jsonl").read_text().splitlines()]
    assert len(rows) == 16 and {row["teacher"] for row in rows} == {str(tiny_student)}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        ("weights", "the teacher's engine did not start: "),
        ("template", "has no chat template, and a teacher is asked by messages"),
    ],
)
def test_a_teacher_that_cannot_answer_is_refused_with_the_reason(tiny_student, tmp_path, told, spoil, says):
    broken = shutil.copytree(tiny_student, tmp_path / "broken")
    if spoil == "weights":
        (broken / "model.safetensors").write_bytes(b"nothing")
    else:
        (broken / "chat_template.jinja").unlink(missing_ok=True)
        settings = json.loads((broken / "tokenizer_config.json").read_text())
        settings.pop("chat_template", None)
        (broken / "tokenizer_config.json").write_text(json.dumps(settings))
    output = crucible_apart(
        "distil", "--name", "x", "--count", "1", "--teacher.protocol", "engine", "--teacher.model", broken, *FEW, *told,
        status=(2,),
    )  # fmt: skip
    assert says in output


def test_a_teacher_s_folder_without_a_model_is_refused_before_anything_starts(tmp_path, told):
    (tmp_path / "empty").mkdir()
    output = crucible_apart(
        "undo", "--name", "x", "--teacher.protocol", "engine", "--teacher.model", tmp_path / "empty", *told, status=(2,)
    )
    assert "holds no model: it has no config.json" in output and not (tmp_path / "x").exists()

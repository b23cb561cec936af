"""The self-test: on this machine, with the tiny student; and what it makes of figures that are not in order."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cluster.memory_plan import MemoryNeed, Part
from pipelines.remote import doctor
from pipelines.remote.memory_watch import MemoryWatch, parse_apps, role_of
from pipelines.remote.self_test import SelfTestConfig
from pipelines.remote.self_test_report import (
    Check,
    SelfTest,
    memory_check,
    memory_row,
    rates,
    step_checks,
    text,
)

GIB = 2**30
STEP = {
    "step": 1,
    "grad_norm": 0.5,
    "skipped_steps": 0,
    "seconds/step": 2.0,
    "tokens": 1000,
    "publish/canary_gap": 0.02,
    "publish/bytes": 2**20,
    "publish/seconds": 0.05,
    "logprob_gap/fresh_max": 0.3,
    "logprob_gap/mean": 0.03,
    "engine_tokens": {"a": 1000},
    "clock": {"a": {"prefill": 1.0, "decode": 4.0, "load": 1.0, "idle": 7.0}},
}


def outcomes(*rows, bound=0.25):
    return {check.what: check.outcome for check in step_checks(rows, bound)}


def test_steps_in_order_pass():
    assert outcomes(STEP, STEP) == {
        "adapter in the engine": "passed", "sampler against learner": "passed", "training step": "passed",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "what", "outcome"),
    [
        ({"publish/canary_gap": 0.3}, "adapter in the engine", "failed"),
        ({"logprob_gap/mean": 0.4}, "sampler against learner", "failed"),
        ({"logprob_gap/mean": None}, "sampler against learner", "failed"),
        ({"skipped_steps": 1}, "training step", "failed"),
        ({"grad_norm": 0.0}, "training step", "noted"),
    ],
)
def test_each_fault_is_named(change, what, outcome):
    assert outcomes(STEP | change)[what] == outcome
    assert outcomes()["training step"] == "failed"


def test_rates_are_those_of_the_last_step():
    second = STEP | {"engine_tokens": {"a": 3000}, "clock": {"a": {"prefill": 2.0, "decode": 7.0}}, "seconds/step": 0.5}
    assert rates([STEP, second]) == {
        "sampled tokens a second and engine at work": 500.0, "trained tokens a second": 2000.0,
    }  # fmt: skip
    assert rates([]) == {}


def test_memory_that_is_above_the_plan_is_noted():
    need = MemoryNeed("learner", (Part("weights", GIB), Part("heap", 0)))
    good, bad = (memory_row([need], "learner", size, "resident") for size in (GIB, 2 * GIB))
    assert good.parts == {"weights": GIB}
    assert [memory_check(rows).outcome for rows in ([good], [good, bad], [])] == ["passed", "noted", "noted"]


@given(st.text(max_size=80), st.text(max_size=80))
def test_the_report_is_text_whatever_it_holds(model, error):
    found = SelfTest({"versions": {"torch": "2"}, "gpus": [{"name": "L4", "memory": "1", "driver": "580"}]}, model)
    found.checks.append(Check("engine", "failed", error))
    found.error = error
    assert "FAILED" in text(found) and "\x1b" not in text(found)
    assert json.loads(json.dumps(found.as_dict()))["passed"] is False


def test_processes_are_known_by_their_titles():
    titles = ["ray::EngineActor.rollout", "VLLM::EngineCore", "ray::RayTrainWorker.execute", "python"]
    assert [role_of(title) for title in titles] == ["engine", "engine", "learner", ""]
    assert parse_apps("12, 100\n 12, 28\n13, [N/A]\nnonsense") == {12: 128 * 2**20}
    with MemoryWatch() as watch:
        assert watch.peak("engine") == 0


def test_options_without_effect_are_refused(capsys):
    assert doctor.main(["--self-test", "--evaluation.problems", "3"]) == 2
    assert "skill is not measured" in capsys.readouterr().err
    assert SelfTestConfig(steps=2).steps == 2


@pytest.mark.slow
def test_room_for_adapters_is_judged(tmp_path, capsys):
    def judged(layers):
        config = {"model_type": "llama", "num_hidden_layers": layers, "hidden_size": 4096, "intermediate_size": 14336}
        config |= {"num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256}
        (tmp_path / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 8192}))
        doctor.main(["--model", str(tmp_path)])
        return "versions of the adapter" in capsys.readouterr().out

    assert not judged(1) and judged(10_000)
    assert doctor.main(["--model", "nobody/nothing"]) == 2
    assert "config.json of nobody/nothing cannot be read" in capsys.readouterr().err


@pytest.mark.slow
def test_on_this_machine_it_passes_and_writes_its_file(tiny_student, ray_local, tmp_path, capsys):
    arguments = ["--self-test", "--model", tiny_student, "--runs", tmp_path, "--name", "test", "--steps", "2"]
    small = ["--rollout.sampling.max-tokens", "48", "--rollout.groups-per-step", "4", "--rollout.group-size", "4"]
    status = doctor.main([*map(str, arguments), *small])
    shown = capsys.readouterr().err
    found = json.loads((tmp_path / "test" / "self-test.json").read_text())
    outcomes = {check["what"]: check["outcome"] for check in found["checks"]}
    assert status == int(not found["passed"]) and found["error"] == "", shown
    assert outcomes.pop("machine") in ("passed", "noted", "failed")
    assert outcomes.pop("memory against the plan") in ("passed", "noted")
    assert outcomes == {
        "engine": "passed", "adapter in the engine": "passed", "sampler against learner": "passed",
        "training step": "passed",
    }  # fmt: skip
    assert [row["who"] for row in found["memory"]] == ["engine", "learner"]
    assert all(row["measured"] > 2**26 and row["planned"] > 2**26 for row in found["memory"])
    assert set(found["rates"]) == {"sampled tokens a second and engine at work", "trained tokens a second"}
    written = (tmp_path / "test" / "self-test.txt").read_text()
    assert "Self-test of Crucible" in written and written.splitlines()[0] in shown and str(tmp_path) in shown
    assert not os.path.exists(tmp_path / "test" / "report.html")


@pytest.mark.slow
def test_an_engine_that_does_not_start_is_in_the_file(tiny_student, ray_local, tmp_path, capsys):
    arguments = ["--self-test", "--model", tiny_student, "--runs", tmp_path, "--name", "test"]
    assert doctor.main([*map(str, arguments), "--rollout.engine.max-model-len", "100000"]) == 1
    found = json.loads((tmp_path / "test" / "self-test.json").read_text())
    assert not found["passed"] and "set max_model_len" in found["error"] and found["log"]
    assert "set max_model_len" in (tmp_path / "test" / "self-test.txt").read_text()

"""`crucible sft` and `crucible hard-distil` as people run them, on a student made for tests."""

import asyncio
import json
import os
import re
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import yaml
from job import crucible, start
from safetensors.torch import load_file, save_file

from pipelines.artifacts.traces import trace_row, write_traces
from pipelines.config import EvaluateConfig
from pipelines.jobs.distil import Requests, reference_solution, select_problems
from pipelines.jobs.evaluate import Evaluation, held_out, read_adapter
from pipelines.jobs.teacher_job_config import DistilConfig, HardDistilConfig
from pipelines.measure.conditions import LAST, UNMET, Required
from problems.problem import Group, Sample, Status, Verdict
from problems.questions import QuestionsConfig
from rollout.model_files import load_tokenizer
from rollout.prompts import PromptBuilder, PromptConfig
from rollout.teacher.config import TeacherConfig
from rollout.teacher.reference import ReferenceTeacher
from train.config import TrainConfig
from train.learner import Learner

pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("ray_local")]
FAMILIES = ["--problems.families", "reverse_string", "is_palindrome", "--problems.difficulties", "1", "2"]
LEARNING = ["--sft.epochs=4", "--sft.batch-size=4", "--sft.grad-accumulation=1", "--sft.learning-rate=0.003"]
MEASURED = ["--evaluation.problems=6", "--evaluation.temperature=0"]
ENDED = (0, UNMET)
"""Exit status of `hard-distil` at its end: all conditions are met, or not."""
THREE_STAGES = [
    *FAMILIES, *LEARNING, *MEASURED, "--count=8", "--teacher.thought=brief", "--sft.lora-r=8", "--steps=2",
    "--rollout.groups-per-step=4", "--rollout.group-size=4", "--rollout.sampling.max-tokens=96",
    "--train.learning-rate=0.001", "--train.group-filter=reward", "--verify.reward.outcome=fraction",
    "--verify.reward.format-weight=0.5", "--require", "overall >= 0", "every family >= 0",
]  # fmt: skip


def metrics(folder, kind):
    path = Path(folder) / "metrics.jsonl"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return [row for row in map(json.loads, lines) if row["kind"] == kind]


def weights(folder):
    return (Path(folder) / "adapter" / "adapter_model.safetensors").read_bytes()


def errors(output):
    """Lines of an output beside the one that says what the model's folder brings."""
    return sum(not line.startswith("the model's folder brings") for line in output.splitlines())


@pytest.fixture(scope="module")
def traces(tmp_path_factory):
    """Forty verified traces with brief thoughts; one of them has none."""
    config = DistilConfig(
        problems=QuestionsConfig(families=("reverse_string", "is_palindrome"), difficulties=(1, 2)), count=10
    )
    teacher = ReferenceTeacher(TeacherConfig(thought="brief"), reference_solution)
    rows = []
    for number, problem in enumerate(select_problems(config)):
        reply = asyncio.run(teacher.answer(Requests(config).first(problem)))
        tests = len(problem.hidden_tests)
        rows.append(trace_row(problem, number, 0, reply, Verdict(Status.PASSED, tests, tests, tests)))
    rows[5]["thinking"] = ""
    folder = tmp_path_factory.mktemp("traces")
    write_traces(folder, "traces", rows)
    return folder / "traces.jsonl"


def sft(student, traces, runs, name, *more):
    measured = [*FAMILIES, *MEASURED] if "--evaluate=True" in more else []
    return ["sft", "--model", student, "--traces", traces, "--runs", runs, "--name", name, *LEARNING, *measured, *more]


@pytest.fixture(scope="module")
def whole(tiny_student, traces, tmp_path_factory):
    runs = tmp_path_factory.mktemp("sft")
    return runs / "whole", crucible(
        *sft(tiny_student, traces, runs, "whole", "--evaluate=True", "--style=think"), "--require", "overall > 100",
        status=(3,),
    )  # fmt: skip


def test_a_run_learns_and_says_from_what(whole):
    folder, output = whole
    (said,) = metrics(folder, "traces")
    assert said["read"] == 40 and said["without_thinking"] == 1 and said["dropped_too_long"] == 0
    assert said["train"] + said["val"] == 39 and said["val"] >= 2
    looks = [row["loss"] for row in metrics(folder, "validation")]
    outcome = json.loads((folder / "outcome.json").read_text())
    assert outcome["best_loss"] == min(looks) < looks[0]
    assert {row["name"] for row in metrics(folder, "evaluation")} == {"before", "after"}
    assert "1 dropped without thinking" in output and "none is cut" in output and "95 % interval" in output
    assert "not met: overall > 100" in output and len(metrics(folder, "conditions")) == 1
    assert (folder / "report.html").stat().st_size > 10_000


FULL = ["--sft.full=True", "--sft.learning-rate=0.001"]


@pytest.fixture(scope="module")
def full(tiny_student, traces, tmp_path_factory):
    runs = tmp_path_factory.mktemp("full")
    ray_of_the_tests = ("--evaluate=True", "--style=think")
    return runs / "full", crucible(*sft(tiny_student, traces, runs, "full", *FULL, *ray_of_the_tests))


@pytest.mark.slow
def test_a_whole_model_is_trained_and_served(full, tiny_student):
    folder, output = full
    outcome = json.loads((folder / "outcome.json").read_text())
    assert outcome["best_loss"] < outcome["first_loss"] and re.fullmatch("[0-9a-f]{16}", outcome["model_hash"])
    assert f"model: {folder}/model" in output.replace("\n", "") and not (folder / "adapter").exists()
    learnt, before = (load_file(Path(where) / "model.safetensors") for where in (folder / "model", tiny_student))
    assert learnt.keys() == before.keys() and all(learnt[name].dtype == before[name].dtype for name in before)
    assert all(not torch.equal(learnt[name], before[name]) for name in before)
    assert {row["name"] for row in metrics(folder, "evaluation")} == {"before", "after"}
    assert not list(folder.glob(".model*")), "nothing is left aside"


@pytest.mark.slow
def test_what_it_serves_is_what_was_trained(full, traces):
    """The engine's log-probabilities of an answer are those that the trained weights give."""
    folder, _ = full
    trained = folder / "model"
    sampled = ["--evaluation.problems=6", "--evaluation.samples=2"]
    crucible("evaluate", "--model", trained, "--runs", folder.parent, "--name", "again", *FAMILIES, *sampled)
    (samples,) = (folder.parent / "again" / "samples").glob("evaluation-*.parquet")
    table = pq.read_table(samples).to_pylist()
    config = yaml.safe_load((folder.parent / "again" / "config.yaml").read_text())
    assert config["prompt"]["style"] == "think", "the model's folder says how it was trained"
    learner = Learner(trained, TrainConfig(), "cpu")
    builder = PromptBuilder(load_tokenizer(trained), PromptConfig(**config["prompt"]))
    problems = {p.id: p for p in held_out(EvaluateConfig.model_validate(config))}
    row = next(row for row in table if row["completion_ids"])
    scored = learner.score(builder.build(problems[row["problem_id"]]).ids, row["completion_ids"], adapter=False)
    assert np.abs(scored - np.array(row["logprobs"])).max() < 1e-3


def test_jobs_that_hand_adapters_on_refuse_a_whole_model(tiny_student, tmp_path):
    for job in ("hard-distil", "lrl", "expert-iteration"):
        output = crucible(job, "--sft.full=True", "--runs", tmp_path, status=(2,))
        assert "sft.full has no effect here: its engines serve what it trains as adapters" in output
    for given, says in (
        (["--adapter", "a"], "adapter has no effect with sft.full"),
        (["--sft.lora-r=4"], "sft.lora_r has no effect with sft.full True"),
    ):
        output = crucible("sft", "--sft.full=True", "--runs", tmp_path, *given, status=(2,))
        assert says in output and not list(tmp_path.iterdir())


@pytest.mark.slow
def test_a_killed_run_ends_where_an_uninterrupted_one_does(whole, tiny_student, traces):
    runs = whole[0].parent
    process = start(*sft(tiny_student, traces, runs, "cut", "--style=think"), start_new_session=True)
    deadline = time.monotonic() + 240
    while not metrics(runs / "cut", "validation"):
        assert process.poll() is None, process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (runs / "cut" / "adapter").exists()
    crucible("sft", "--resume", runs / "cut")
    assert weights(runs / "cut") == weights(whole[0])
    losses = [[row["loss"] for row in metrics(folder, "step")] for folder in (runs / "cut", whole[0])]
    assert losses[0] == losses[1]


@pytest.mark.slow
def test_the_adapter_goes_on_in_grpo_and_is_measured_by_evaluate(whole, tiny_student, tmp_path):
    common = ["--model", tiny_student, "--runs", tmp_path, *FAMILIES, *MEASURED]
    crucible("evaluate", *common, "--name", "e", "--adapter", whole[0], "--max-tokens=96")
    (measured,) = metrics(tmp_path / "e", "evaluation")
    after = next(row for row in metrics(whole[0], "evaluation") if row["name"] == "after")
    assert measured["pass_at"] == after["pass_at"] and measured["statuses"] == after["statuses"]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--sft.max-length=40"], r"\d+ of \d+ examples are longer than 40 tokens.*too_long to drop"),
        (["--style=think", "--sft.no-thinking=fail"], "1 of 40 traces have no thinking"),
        (["--traces=/none.jsonl"], "there are no traces at /none.jsonl"),
        (["--adapter=/none"], "not a LoRA adapter"),
        (["--sft.lora-r=600"], "512"),
        (["--sft.learning-rat=1"], "learning"),
    ],
)
def test_what_cannot_be_learnt_is_said_in_one_line(tiny_student, traces, tmp_path, more, says):
    output = crucible(*sft(tiny_student, traces, tmp_path, "bad", *more), status=(2,))
    assert re.search(says, output.replace("\n", " ")), output
    assert not (tmp_path / "bad" / "adapter").exists()


def test_an_adapter_of_another_shape_or_model_is_refused(whole, tiny_student, traces, tmp_path):
    output = crucible(
        *sft(tiny_student, traces, tmp_path, "rank", "--adapter", whole[0], "--sft.lora-r=8"), status=(2,)
    )
    assert "does not fit" in output and "lora_r" in output and errors(output) == 1
    base = whole[0] / "adapter" / "base.json"
    right = base.read_text()
    base.write_text(json.dumps({"model": "another", "fingerprint": "0123"}))
    try:
        output = crucible(*sft(tiny_student, traces, tmp_path, "base", "--adapter", whole[0]), status=(2,))
    finally:
        base.write_text(right)
    assert "was trained on base model another (0123)" in output and errors(output) == 1
    assert not [path for name in ("rank", "base") for path in tmp_path.rglob(name)], "refused before anything starts"


def test_an_adapter_of_another_base_model_is_refused_before_anything_starts(whole, tiny_student, tmp_path):
    other = Path(shutil.copytree(tiny_student, tmp_path / "other"))
    assert read_adapter(str(whole[0]), "run", str(other)).weights, "the same model under another name will do"
    tensors = load_file(other / "model.safetensors")
    tensors["model.norm.weight"] += 1
    save_file(tensors, other / "model.safetensors", {"format": "pt"})
    for verb in ("evaluate", "grpo"):
        arguments = ["--model", other, "--adapter", whole[0], "--runs", tmp_path / "runs", "--name", "x"]
        output = crucible(verb, *arguments, status=(2,))
        assert "was trained on base model" in output and "give the model" in output and errors(output) == 1
    assert not (tmp_path / "runs").exists()


# --- the three stages


def evaluation(name, outcomes):
    """An evaluation of one greedy sample a problem, by family."""
    groups = []
    for family, passes in outcomes.items():
        for number, passed in enumerate(passes):
            problem = select_problems(
                DistilConfig(problems=QuestionsConfig(families=(family,), difficulties=(3,)), count=1)
            )[0]
            problem = type(problem)(
                **{**{f: getattr(problem, f) for f in problem.__slots__}, "id": f"{family}{number}"}
            )
            sample = Sample(problem.id, "", 0, [], [], [], "", "stop", 0, "")
            verdict = Verdict(Status.PASSED if passed else Status.WRONG_ANSWER)
            groups.append(Group(0, 0, problem, (sample,), (verdict,), (float(passed),)))
    return Evaluation(name, tuple(groups))


def test_the_conditions_of_hard_distil_ask_every_family():
    before = evaluation("before", {"knapsack": [0, 0, 0, 0, 1], "n_queens": [0] * 5})
    after = evaluation("after", {"knapsack": [1] * 10, "n_queens": [1] * 8 + [0] * 2})
    required = Required.twice(HardDistilConfig().require, [g.problem for g in after.groups], 1)
    found = {result.condition: result.met for result in required.results({"before": before, LAST: after})}
    assert found == {"before overall < 20": True, "overall > 80": True, "knapsack > 80": True, "n_queens > 80": False}


@pytest.mark.parametrize(
    ("command", "words", "says"),
    [
        ("hard-distil", ["--target", "0.5"], "--target is now --require"),
        ("hard-distil", ["--before-below", "0.5"], "--before-below is now --require"),
        ("sft", ["--require", "overall > 50"], "require is measured on held-out problems: set evaluate to True"),
        ("sweep", ["--grpo.require", "overall > 50"], "grpo.require has no effect here: the best of the trials"),
        ("expert-iteration", ["--require", "nothing"], "no single comparison"),
        ("grpo", ["--require", "overall >= 500"], "no percentage from 0 to 100"),
    ],
)
def test_conditions_that_no_command_measures(command, words, says):
    assert says in crucible(command, *words, status=(2,))


@pytest.fixture(scope="module")
def pipeline(tiny_student, tmp_path_factory):
    """A run that was killed amid fine-tuning, and went on: nothing that the teacher answered is asked again."""
    runs = tmp_path_factory.mktemp("hard")
    folder = runs / "h"
    arguments = ["hard-distil", "--model", tiny_student, "--runs", runs, "--name", "h", *THREE_STAGES]
    process = start(*arguments, start_new_session=True)
    deadline = time.monotonic() + 400
    while not metrics(folder / "sft", "validation"):
        assert process.poll() is None and time.monotonic() < deadline, process.stdout.read()
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (folder / "sft" / "adapter").exists() and not (folder / "metrics.json").exists()
    asked = (folder / "distil" / "attempts.jsonl").read_bytes()
    output = crucible("hard-distil", "--resume", folder, status=ENDED)
    assert "1 of 3" not in output and (folder / "distil" / "attempts.jsonl").read_bytes() == asked
    return folder, output


@pytest.mark.slow
def test_three_stages_hand_one_adapter_on(pipeline):
    folder, output = pipeline
    found = json.loads((folder / "metrics.json").read_text())
    assert list(found["evaluations"]) == ["before", "sft", "after"]
    assert found["stages"]["distil"]["kept"] == 32 and found["stages"]["sft"]["steps"] > 10
    assert set(found["seconds"]) == {"distil", "sft", "grpo"} and len(found["comparisons"]) == 3
    between = [row for row in metrics(folder / "grpo", "evaluation") if row["name"] == "before"]
    assert between[0]["pass_at"] == found["evaluations"]["sft"]["pass_at"], "GRPO began where fine-tuning ended"
    bases = [json.loads(path.read_text()) for path in sorted(folder.rglob("adapter/base.json"))]
    assert len(bases) == 3 and bases[0] == bases[1] == bases[2], "of fine-tuning, GRPO's start and its checkpoint"
    assert found["conditions"] and found["config"]["count"] == 8 and isinstance(found["config"]["runs"], str)
    assert [row["name"] for row in metrics(folder, "evaluation")] == ["before", "sft", "after"]
    assert "Conditions" in output and "reverse_string >= 0" in output and (folder / "report.html").is_file()


@pytest.mark.slow
def test_what_is_done_is_not_done_again(pipeline):
    folder, _ = pipeline
    stamps = {path: path.stat().st_mtime_ns for name in ("distil", "sft") for path in (folder / name).glob("*.jsonl")}
    output = crucible("hard-distil", "--resume", folder, "--skip-grpo=True", status=ENDED)
    assert "1 of 3" not in output and "2 of 3" not in output
    assert all(path.stat().st_mtime_ns == stamp for path, stamp in stamps.items())
    assert list(json.loads((folder / "metrics.json").read_text())["evaluations"]) == ["before", "after"]


@pytest.mark.slow
def test_a_kill_amid_fine_tuning_changes_no_weight(pipeline, tiny_student, tmp_path):
    cut = pipeline[0]
    more = [*LEARNING, "--sft.lora-r=8", "--style=think"]
    arguments = ["--model", tiny_student, "--traces", cut / "distil", "--runs", tmp_path, "--name", "whole"]
    crucible("sft", *arguments, *more)
    assert weights(tmp_path / "whole") == weights(cut / "sft")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--skip-traces=True"], "no run to resume|no traces"),
        (["--traces=/x"], "no effect unless skip_traces"),
        (["--sft.lora-r=16", "--train.lora-r=4"], "one adapter"),
        (["--skip-traces=True", "--traces=/none"], "no traces at"),
    ],
)
def test_stages_that_cannot_be_skipped_are_named(tiny_student, tmp_path, more, says):
    output = crucible("hard-distil", "--model", tiny_student, "--runs", tmp_path, "--name", "x", *more, status=(2,))
    assert re.search(says, output), output


def test_both_stages_adapt_the_same_layers():
    config = HardDistilConfig(sft={"lora_r": 32, "target_modules": ("q_proj",)})
    assert config.grpo_stage("a", Path()).train.lora_r == 32
    assert config.grpo_stage("a", Path()).train.target_modules == ("q_proj",)

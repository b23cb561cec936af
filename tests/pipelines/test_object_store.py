"""Runs on an object store: a bucket is all that another machine needs to go on."""

import json
import shutil
import time
from collections import Counter

import psutil
import pyarrow.parquet as pq
import pytest
from job import SMALL, crucible_apart, start
from test_sft import LEARNING, traces

from cluster.storage import Storage
from pipelines.jobs.evaluate import read_adapter
from tests.object_store import s3_server

__all__ = ["traces"]

pytestmark = pytest.mark.timeout(900)
RUN = "s3://bucket/runs/mine"
TUNED = "s3://bucket/runs/tuned"


@pytest.fixture(scope="module")
def bucket(tmp_path_factory):
    with s3_server(tmp_path_factory.mktemp("s3")) as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Makes what follows run as on another machine: nothing of this one's scratch folder is seen."""

    def enter(name):
        (tmp_path / name).mkdir()
        monkeypatch.setenv("TMPDIR", str(tmp_path / name))
        monkeypatch.setenv("RAY_TMPDIR", "/tmp")  # sockets have short names
        return tmp_path / name

    return enter


def booked(run=RUN):
    """Steps in the bucket's metrics."""
    lines = (Storage(run).read("metrics.jsonl") or b"").decode().splitlines()
    return [row["step"] for row in map(json.loads, lines) if row["kind"] == "step"]


def whole_checkpoints(run=RUN):
    return sorted(int(name.split("/")[1]) for name in Storage(run).names() if name.endswith("/checkpoint.json"))


def kill_all(process):
    """A process and all that it has started."""
    tree = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    for each in reversed(tree):
        each.kill()
    process.wait()
    process.stdout.close()


@pytest.mark.slow
def test_a_run_goes_on_from_the_bucket_alone(bucket, machine, tiny_student, tmp_path):
    first = machine("first")
    job = ["grpo", "--model", tiny_student, "--runs", "s3://bucket/runs", "--name", "mine", "--steps=4", *SMALL]
    process = start(*job)
    deadline = time.monotonic() + 300
    while not (whole_checkpoints() and max(booked(), default=0) >= 2):
        assert process.poll() is None and time.monotonic() < deadline, process.stdout.read()
        time.sleep(0.1)
    kill_all(process)
    assert max(booked()) < 4
    shutil.rmtree(first)

    second = machine("second")
    output = crucible_apart(*job, "--or-resume")
    assert f"run folder: {RUN}" in output and f"report: {RUN}/report.html" in output.replace("\n", "")
    assert booked() == [1, 2, 3, 4]
    assert whole_checkpoints()[-1] == 4
    assert not list(second.rglob("config.yaml")), "nothing is left behind"

    there = Storage(RUN)
    names = [name for name in there.names() if not name.startswith("ray/")]
    there.download(names, tmp_path / "copy")
    assert (tmp_path / "copy" / "report.html").stat().st_size > 10_000
    tables = [pq.read_table(path).to_pylist() for path in (tmp_path / "copy" / "samples").glob("step-*.parquet")]
    counted = Counter((row["step"], row["sequence"]) for table in tables for row in table)
    assert len(counted) == 4 * 4 == len({sequence for _, sequence in counted}), "no problem twice"
    assert set(counted.values()) == {4}, "every group whole"

    there.delete(["report.html"])
    output = crucible_apart("report", RUN)
    assert f"{RUN}/report.html" in output and "report.html" in there.names()

    policy = read_adapter(f"{RUN}/checkpoints/000004", "again")
    assert policy.weights == there.read("checkpoints/000004/adapter/adapter_model.safetensors")
    assert read_adapter(RUN, "again") == policy, "a run is its newest checkpoint"

    assert "already holds this run" in crucible_apart(*job, status=(2,))


@pytest.mark.slow
def test_an_evaluation_goes_on_from_the_bucket_alone(bucket, machine, tiny_student, tmp_path):
    """The machine on which it was killed is gone: what was judged there is in the bucket, and is not asked again."""
    first = machine("first")
    run = "s3://bucket/runs/grid"
    asked = ["--problems.families", "reverse_string", "is_palindrome", "--problems.difficulties", "1", "5", "9"]
    sizes = ["--evaluation.per-cell=8", "--evaluation.samples=8", "--max-tokens=96"]
    job = ["evaluate", "--model", tiny_student, "--runs", "s3://bucket/runs", "--name", "grid", *asked, *sizes]
    process = start(*job)
    deadline = time.monotonic() + 300
    while not [name for name in Storage(run).names() if ".parts/" in name]:
        assert process.poll() is None and time.monotonic() < deadline, process.stdout.read()
        time.sleep(0.05)
    kill_all(process)
    shutil.rmtree(first)
    there = Storage(run)
    names = there.names()
    assert "evaluation.json" not in names
    there.download({name: size for name, size in names.items() if ".parts/" in name}, tmp_path / "kept")
    kept = [row for path in (tmp_path / "kept").rglob("*.parquet") for row in pq.read_table(path).to_pylist()]

    machine("second")
    output = crucible_apart("evaluate", "--resume", run)
    assert f"{len(kept) // 8} of 48 problems of model are answered already" in output
    names = there.names()
    assert {"evaluation.json", "report.html"} <= names.keys() and not any(".parts/" in name for name in names)
    table = "samples/evaluation-model.parquet"
    there.download({table: names[table]}, tmp_path / "whole")
    rows_ = pq.read_table(tmp_path / "whole" / table).to_pylist()
    texts = {(row["problem_id"], row["index"]): row["completion"] for row in rows_}
    assert len(texts) == len(rows_) == 48 * 8
    assert all(texts[row["problem_id"], row["index"]] == row["completion"] for row in kept)


@pytest.mark.slow
def test_fine_tuning_goes_on_from_the_bucket_alone(bucket, machine, tiny_student, traces):
    """The machine on which it learnt is gone with all that the trainer had written there."""
    first = machine("first")
    job = ["sft", "--model", tiny_student, "--traces", traces, "--runs", "s3://bucket/runs", *LEARNING]
    process = start(*job, "--name", "tuned")
    deadline = time.monotonic() + 300
    while not whole_checkpoints(TUNED):
        assert process.poll() is None and time.monotonic() < deadline, process.stdout.read()
        time.sleep(0.05)
    kill_all(process)
    (found,) = whole_checkpoints(TUNED)
    assert "outcome.json" not in Storage(TUNED).names()
    shutil.rmtree(first)

    second = machine("second")
    crucible_apart("sft", "--resume", TUNED)
    steps = booked(TUNED)
    assert steps == list(range(1, len(steps) + 1)) and found < len(steps)
    assert not list(second.rglob("*.safetensors")), "nothing is left behind"
    crucible_apart(*job, "--name", "whole")
    adapters = [read_adapter(f"s3://bucket/runs/{name}", "again") for name in ("tuned", "whole")]
    assert adapters[0].weights == adapters[1].weights


@pytest.mark.parametrize(
    ("runs", "says"),
    [
        ("s3://no-such-bucket/runs", "cannot write s3://no-such-bucket/runs"),
        ("ftp://host/runs", "ftp:// is no storage"),
    ],
)
def test_a_store_that_cannot_be_used_is_said_at_once(bucket, machine, tiny_student, runs, says):
    machine("here")
    began = time.monotonic()
    output = crucible_apart("grpo", "--model", tiny_student, "--runs", runs, "--name", "mine", *SMALL, status=(2,))
    assert says in output and "Traceback" not in output and time.monotonic() - began < 60


def test_a_bucket_without_the_run_has_nothing_to_resume(bucket, machine):
    machine("here")
    output = crucible_apart("grpo", "--resume", "s3://bucket/runs/none", status=(2,))
    assert "s3://bucket/runs/none holds no run to resume" in output

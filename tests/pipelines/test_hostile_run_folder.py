"""Run folders that a stranger wrote: reported, resumed, compared with. Each ends in one clear line, runs nothing, reads
and changes nothing outside of it, and takes neither the machine's memory nor its time."""

import contextlib
import hashlib
import json
import os
import pickle
import resource
import time
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipelines import report
from pipelines.artifacts.plain_files import Unreadable, read_yaml
from pipelines.artifacts.run_folder import RunFolder, RunFolderError, step_name
from pipelines.artifacts.samples import SAMPLE_SCHEMA
from pipelines.config import ConfigError, EvaluateConfig, GRPOConfig
from pipelines.jobs import evaluate, grpo, sweep
from pipelines.jobs.evaluate import load_evaluation, opponent_of, read_adapter, recorded_evaluation
from pipelines.jobs.sweep.config import SweepConfig
from pipelines.jobs.sweep.state import NAME, tune_folder
from problems.json_text import strict_loads
from tests.known_models import write_config
from train import checkpoint
from train.sft import newest_checkpoint

SECONDS = 10.0
"""CPU seconds that one hostile item may take."""


class Runs:
    """A pickle that makes a file where it is read."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self):
        return os.system, (f"touch {self.proof}",)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """What lies around the run: a file of the user's, a cache, a model; all of it must stay as it is."""
    around = tmp_path / "around"
    for name in ("home", "tmp", "cache", "model"):
        (around / name).mkdir(parents=True)
    (around / "home/precious.txt").write_text("years of work, and the key sk-do-not-tell\n")
    (around / "home/.hidden").mkdir()
    (around / "home/.hidden/file").write_text("more years")
    write_config(around / "model")
    monkeypatch.setattr("tempfile.tempdir", str(around / "tmp"))
    monkeypatch.setenv("CRUCIBLE_CACHE", str(around / "cache"))
    monkeypatch.setenv("HOME", str(around / "home"))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    # No command may get as far as Ray: that would be minutes, and engines.
    monkeypatch.setattr("cluster.connect.ray_session", lambda *_: pytest.fail("it went on to Ray"))
    return around


@pytest.fixture
def run(tmp_path, machine):
    """An honest run folder: two steps, an evaluation, a checkpoint."""
    config = GRPOConfig(model=str(machine / "model"), name="run", runs=tmp_path)
    folder = RunFolder.create(tmp_path / "run", config)
    for step in (1, 2):
        folder.append_metrics({"kind": "step", "step": step, "pass_rate": 0.5, "reward": 0.5})
        folder.write_samples(step_name(step), [sample(step=step)])
    skill = {"value": 0.5, "low": 0.4, "high": 0.6, "problems": 1}
    folder.append_metrics({"kind": "evaluation", "name": "before", "step": 0, "pass_at": {"1": skill}, "lost": 0})
    folder.write_samples("evaluation-before", [sample(step=-1)])
    folder.write_samples("evaluation-model", [sample(step=-1)])
    head = {"format": 1, "step": 2, "run": "run", "version": 2, "adapter_hash": "ab", "ledger": {}}
    place = folder.checkpoints / "000002"
    place.mkdir()
    (place / checkpoint.HEAD).write_text(json.dumps(head))
    write_adapter(place / "adapter")
    folder.log("engine 0 is up")
    folder.close()
    return folder.path


def sample(**values):
    return {
        "sequence": 0, "attempt": 0, "group_id": "g0", "index": 0, "problem_id": "fibonacci-test-0-0", "mode": "nth",
        "family": "fibonacci", "difficulty": 1, "split": "test", "prompt": "?", "completion": "def f(): ...",
        "finish_reason": "stop", "completion_ids": [1], "logprobs": [-0.5], "status": "passed", "passed": True,
        "tests_passed": 1, "tests_run": 1, "tests_total": 1, "reward": 1.0, "question_hash": "h", "engine": "e",
        "adapter_hash": "", "policy_version": 0, "detail": "", "cpu_seconds": 0.0, "wall_seconds": 0.0,
        "memory_mib": 0.0, "isolation": 2, **values,
    }  # fmt: skip


def write_adapter(folder, header=None, body=b"\0" * 32, config=None):
    folder.mkdir(parents=True, exist_ok=True)
    header = {"x.lora_A.weight": {"dtype": "F32", "shape": [8], "data_offsets": [0, 32]}} if header is None else header
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    (folder / "adapter_model.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + body)
    content = {"r": 8, "lora_alpha": 16} if config is None else config
    (folder / "adapter_config.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def state_of(folder):
    """Path -> content, mode and target of all that is there."""
    return {
        str(path): (path.lstat().st_mode, os.readlink(path) if path.is_symlink() else
                    hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else "")
        for path in folder.rglob("*") if not path.is_relative_to(folder / "cache")
    }  # fmt: skip


@contextlib.contextmanager
def harmless(machine):
    before, began = state_of(machine), time.process_time()
    limit = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + (2 << 30), limit[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, limit)
    assert time.process_time() - began < SECONDS
    assert state_of(machine) == before


def one_line(capsys, *says):
    text = capsys.readouterr().err
    assert text.startswith("crucible: ") and text.count("\n") == 1 and text[:-1].isprintable(), text[:500]
    assert len(text) < 2200 and "Traceback" not in text
    assert any(word in text for word in says), text
    return text


def append(path, content):
    with open(path, "ab") as file:
        file.write(content)


def sparse(path, size):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "wb") as file:
        file.truncate(size)


LETTERS = "abcdefghijklmnopqrstuvwxyz"
LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]\n" for a, b in pairwise("abcdefghijkl")
)
YAMLS = {
    "aliases": LAUGHS,
    "merges": "a: &a {k: 1}\n" + "".join(f"{b}: &{b} {{<<: [*{a}, *{a}]}}\n" for a, b in pairwise(LETTERS)),
    "itself": "steps: &a [*a]\n",
    "deep list": "[" * 500_000,
    "deep mapping": "".join(" " * n + "a:\n" for n in range(1300)),
    "python object": "steps: !!python/object/apply:os.system ['touch {proof}']\n",
    "python name": "steps: !!python/name:os.system\n",
    "long number": "steps: " + "9" * 1_000_000,
    "sexagesimal": "steps: 1" + ":1" * 500_000,
    "many keys": "".join(f"k{n}: {n}\n" for n in range(90_000)),
    "a list": "- 1\n- 2\n",
    "a text": "steps",
    "bytes": b"\xff\xfe\x00steps",
    "nul": "steps: \0",
    "date": "steps: 2001-99-99\n",
    "unhashable": "? {a: b}\n: c\n",
    "large": "#" * (2 << 20),
}  # fmt: skip
METRICS = {
    "long line": lambda path: sparse(path, 900 << 20),
    "large file": lambda path: sparse(path, 2 << 30),
    "deep": lambda path: append(path, b'{"step":' + b"[" * 200_000 + b"]" * 200_000 + b"}\n"),
    "deep within bounds of the parser": lambda path: append(path, b'{"a":' * 300 + b"1" + b"}" * 300 + b"\n"),
    "NaN": lambda path: append(path, b'{"step": NaN}\n'),
    "infinite": lambda path: append(path, b'{"step": 1e999}\n'),
    "huge number": lambda path: append(path, b'{"step": ' + b"9" * 100_000 + b"}\n"),
    "large step": lambda path: append(path, b'{"step": ' + b"9" * 300 + b"}\n"),
    "text step": lambda path: append(path, b'{"step": "../../etc"}\n'),
    "true step": lambda path: append(path, b'{"step": true}\n'),
    "list": lambda path: append(path, b"[1, 2]\n"),
    "bytes": lambda path: append(path, b"\xff\xfe\n"),
    "folder": lambda path: (path.unlink(), path.mkdir()),
    "pipe": lambda path: (path.unlink(), os.mkfifo(path)),
}


@pytest.mark.parametrize("name", YAMLS)
def test_a_configuration_that_is_none(machine, run, tmp_path, capsys, name):
    content = YAMLS[name]
    content = content if isinstance(content, bytes) else content.replace("{proof}", str(tmp_path / "proof")).encode()
    (run / "config.yaml").write_bytes(content)
    with harmless(machine):
        for main in (
            report.main,
            lambda argv: grpo.main(["--resume", *argv]),
            lambda argv: sweep.main(["--resume", *argv]),
        ):
            assert main([str(run)]) == 2
            one_line(capsys, "config.yaml")
        argv = ["--model", str(machine / "model"), "--against", str(run), "--runs", str(tmp_path / "runs")]
        assert evaluate.main(argv) == 2
        one_line(capsys, "config.yaml")
    assert not (tmp_path / "proof").exists() and not (tmp_path / "runs").exists()


@pytest.mark.parametrize("name", METRICS)
def test_metrics_that_are_none(machine, run, capsys, name):
    METRICS[name](run / "metrics.jsonl")
    with harmless(machine):
        assert report.main([str(run)]) == 2
        one_line(capsys, "metrics.jsonl")
        assert grpo.main(["--resume", str(run)]) == 2
        one_line(capsys, "metrics.jsonl")


def test_an_honest_folder_is_reported(machine, run, capsys):
    with harmless(machine):
        assert report.main([str(run)]) == 0, capsys.readouterr().err
    assert (run / "report.html").stat().st_size > 1000


PLACES = [
    "metrics.jsonl", "log.txt", "config.yaml.partial", "metrics.jsonl.partial", "report.html.partial", "results.json",
    "samples", "checkpoints", "ray", "samples/step-000009.parquet", ".lock",
]  # fmt: skip


@pytest.mark.parametrize("name", PLACES)
@pytest.mark.parametrize("relative", [True, False])
def test_links_that_lead_out(machine, run, capsys, name, relative):
    target = machine / ("home" if "." not in name else "home/precious.txt")
    path = run / name
    if path.is_dir():
        path.rename(run.parent / "moved")
    path.unlink(missing_ok=True)
    path.symlink_to(os.path.relpath(target, path.parent) if relative else target)
    with harmless(machine):
        for main in (report.main, lambda argv: grpo.main(["--resume", *argv])):
            assert main([str(run)]) == 2
            one_line(capsys, "leads out of it")
        with pytest.raises(RunFolderError, match="leads out of it"):
            RunFolder.create(run, yaml.safe_load((run / "config.yaml").read_text()))


def test_links_within_it_and_to_it_are_the_users_own_affair(machine, run, tmp_path):
    (run / "checkpoints/newest").symlink_to("000002")
    (tmp_path / "link").symlink_to(run)
    assert len(RunFolder.open(tmp_path / "link").steps()) == 2


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: os.link(path.parent / "config.yaml", path)])
def test_pipes_are_not_waited_for_and_hard_links_not_written_through(machine, run, capsys, make):
    (run / "log.txt").unlink()
    make(run / "log.txt")
    with harmless(machine):
        assert report.main([str(run)]) == (2 if make is os.mkfifo else 0)


@pytest.mark.parametrize(
    "row",
    [
        {"kind": "evaluation", "name": "../../../../around/home/precious", "step": 0},
        {"kind": "evaluation", "name": "*", "step": 0, "pass_at": {"1": []}},
        {"kind": "evaluation", "name": "[" * 5000, "step": 0, "pass_at": []},
        {"kind": "evaluation", "name": "before", "step": 0, "pass_at": {"1": {"value": "\u001b[2J"}}, "lost": "\n"},
        {"kind": "comparison", "pass_at_1": ["\u001b]0;owned\u0007"]},
        {"kind": "distil"}, {"kind": ["step"], "step": 3}, {"kind": "step", "step": 3, "clock": [[]], "statuses": 3},
        {"kind": "validation", "step": None, "loss": {}}, {"kind": "traces", "traces": "\u202e"},
    ],
)  # fmt: skip
def test_rows_that_no_job_writes(machine, run, capsys, row):
    append(run / "metrics.jsonl", json.dumps(row).encode() + b"\n")
    with harmless(machine):
        status = report.main([str(run)])
        captured = capsys.readouterr()
        assert status in (0, 2) and (captured.out + captured.err).replace("\n", "").isprintable()
        assert (captured.out + captured.err).count("\n") == 1
    if status == 0:
        assert "sk-do-not-tell" not in (run / "report.html").read_text()


RESULTS = [
    b"[]", b'{"job": "../../x"}', b'{"job": ["lrl"]}', b'{"job": "lrl"}', b'{"job": "expert"}',
    b'{"job": "undo", "stages": 3}', b"[" * 100_000, b"\xff", b"{",
]  # fmt: skip


@pytest.mark.parametrize("results", RESULTS)
def test_results_that_no_job_writes(machine, run, capsys, results):
    (run / "results.json").write_bytes(results)
    with harmless(machine):
        status = report.main([str(run)])
        if status:
            one_line(capsys, "results.json", "holds what no job writes")


SAMPLES = {
    "damaged": b"PAR1" + b"\xff" * 3000 + b"PAR1",
    "empty": b"",
    "text": b"not parquet",
    "other columns": pa.table({"a": [1]}),
    "other types": pa.table({name: ["x"] for name in SAMPLE_SCHEMA.names}),
    "no values": pa.table({field.name: pa.nulls(2, field.type) for field in SAMPLE_SCHEMA}),
    "unknown status": pa.Table.from_pylist([sample(status="\x1b[2J")], SAMPLE_SCHEMA.remove_metadata()),
    "huge index": pa.Table.from_pylist([sample(problem_id="fibonacci-test-0-" + "9" * 40, prompt="")], SAMPLE_SCHEMA),
    "huge step": pa.Table.from_pylist([sample(step=2**31 - 1)], SAMPLE_SCHEMA),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_samples_that_are_damaged(machine, run, capsys, name):
    for file in ("step-000002", "evaluation-before", "evaluation-model"):
        path = run / "samples" / f"{file}.parquet"
        if isinstance(SAMPLES[name], bytes):
            path.write_bytes(SAMPLES[name])
        else:
            pq.write_table(SAMPLES[name], path)
    config = EvaluateConfig(model=str(machine / "model"), against=str(run))
    with harmless(machine):
        if report.main([str(run)]):
            one_line(capsys, "samples", "run")
        folder = RunFolder.open(run)
        with contextlib.suppress(RunFolderError):
            load_evaluation(folder, "before")
        with pytest.raises((RunFolderError, ConfigError)) as error:
            recorded_evaluation(folder, config, [])
            load_evaluation(folder, "model")
            raise RunFolderError("it may also be read as what it is")
        assert "\n" not in str(error.value)


def test_a_run_folder_is_an_adapter_by_its_newest_whole_checkpoint(run):
    header = {"x.lora_A.weight": {"dtype": "F32", "shape": [8, 1], "data_offsets": [0, 32]}}
    write_adapter(run / "checkpoints" / "000004" / "adapter", header, body=b"\1" * 32)  # not whole, without a head
    newest = write_adapter(run / "checkpoints" / "000002" / "adapter", header)
    assert read_adapter(str(run), "x").weights == (newest / "adapter_model.safetensors").read_bytes()
    last = write_adapter(run / "adapter", header, body=b"\2" * 32)  # of a job that ends with one
    assert read_adapter(str(run), "x").weights == (last / "adapter_model.safetensors").read_bytes()


def test_checkpoints_with_absurd_names_are_none(machine, run):
    store = run / "checkpoints"
    for name in ("-1", "1e9", "٣", "²", "9" * 200, "..partial", "x\n", "000003 ", "\x1b[31m4"):
        (store / name).mkdir()
        (store / name / checkpoint.HEAD).write_text('{"format": 1, "step": 99}')
    assert checkpoint.latest(store) == store / "000002"
    trained = run / "sft"
    for name in ("checkpoint-x", "checkpoint-", "checkpoint-4-5", "checkpoint-²"):
        (trained / name).mkdir(parents=True)
        (trained / name / "trainer_state.json").write_text('{"step": 1}')
    assert newest_checkpoint(trained) is None


HEAD = {"format": 1, "step": 2, "run": "run", "version": 1, "adapter_hash": "", "ledger": {}}
WRONG = [{"step": "2"}, {"step": float("nan")}, {"run": ["../x"]}, {"version": True}, {"ledger": []}, {"format": "1"}]
HEADS = ["", "[]", "3", "{}", '{"format": 1}', "[" * 100_000, *(json.dumps(HEAD | wrong) for wrong in WRONG)]


@pytest.mark.parametrize("head", HEADS)
def test_a_head_that_is_none(machine, run, head):
    (run / "checkpoints/000002" / checkpoint.HEAD).write_text(head)
    with harmless(machine), pytest.raises(ValueError, match="checkpoint"):
        checkpoint.read(run / "checkpoints/000002")


def hostile_states(folder, proof):
    import torch

    bomb = pickle.dumps(Runs(proof))
    yield "pickle", bomb
    path = folder / "saved.pt"
    torch.save({"x": Runs(proof)}, path)
    yield "saved object", path.read_bytes()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("archive/data.pkl", bomb)
        packed.writestr("archive/data/0", b"\0" * (64 << 20))
    yield "compressed", path.read_bytes()
    yield "empty", b""
    yield "text", b"not a checkpoint"
    torch.save([1, 2, 3], path)
    yield "a list", path.read_bytes()
    np.save(folder / "x.npy", np.array([Runs(proof)], dtype=object), allow_pickle=True)
    yield "numpy", (folder / "x.npy").read_bytes()


def test_a_state_that_is_no_tensors_runs_nothing(machine, run, tmp_path):
    class Learner:
        device = "cpu"

        def load_state_dict(self, state):
            raise TypeError(f"not a state: {type(state)}")

    proof = tmp_path / "proof"
    place = run / "checkpoints/000002"
    for name, content in hostile_states(tmp_path, proof):
        (place / "state.pt").write_bytes(content)
        with harmless(machine), pytest.raises(ValueError, match="cannot be resumed") as error:
            checkpoint.restore(place, Learner())
        assert "\n" not in str(error.value), name
    assert not proof.exists()


ADAPTERS = {
    "no safetensors": {"header": b"x", "body": b""},
    "header larger than the file": {"header": b""},
    "header of a text": {"header": b'"x"'},
    "deep header": {"header": b"[" * 100_000},
    "overlap": {"header": {n: {"dtype": "F32", "shape": [8], "data_offsets": [0, 32]} for n in ("a", "b")}},
    "beyond the end": {"header": {"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 1 << 42]}}},
    "other shape": {"header": {"a": {"dtype": "F32", "shape": [1 << 40], "data_offsets": [0, 32]}}},
    "negative": {"header": {"a": {"dtype": "F32", "shape": [-8, -1], "data_offsets": [0, 32]}}},
    "unknown numbers": {"header": {"a": {"dtype": "O", "shape": [8], "data_offsets": [0, 32]}}},
    "no tensors": {"header": {}, "body": b""},
    "configuration of a list": {"config": []},
    "configuration too deep": {"config": "[" * 100_000},
    "configuration no JSON": {"config": "r: 8"},
    "large configuration": {"config": '{"r": 8, "x": "' + "x" * (2 << 20) + '"}'},
    "rank": {"config": {"r": 10**30}},
    "rank of infinity": {"config": '{"r": 1e999}'},
    "alpha": {"config": '{"lora_alpha": NaN}'},
    "pattern of a list": {"config": {"rank_pattern": ["q_proj"]}},
    "pattern that matches for ever": {"config": {"rank_pattern": {"(a+)+$": 8}}},
    "pattern of many stars": {"config": {"alpha_pattern": {".*" * 20 + "x": 8}}},
    "pattern of infinity": {"config": '{"alpha_pattern": {"q": 1e999}}'},
    "pattern without end": {"config": {"rank_pattern": {"(" * 5000: 8}}},
    "escape": {"config": {"r": "\x1b[2J\n\n"}},
    "computation": {"config": {"use_dora": "\x1b]0;owned\x07" * 500}},
}


@pytest.mark.parametrize("name", ADAPTERS)
def test_absurd_adapters(machine, run, tmp_path, capsys, name):
    write_adapter(run / "checkpoints/000002/adapter", **ADAPTERS[name])
    model = ["--model", str(machine / "model"), "--runs", str(tmp_path / "runs")]
    with harmless(machine):
        for option in ("--against", "--adapter"):
            place = run if option == "--against" else run / "checkpoints/000002"
            assert evaluate.main([*model, option, str(place)]) == 2
            one_line(capsys, "adapter")
    assert not (tmp_path / "runs").exists()


def test_weights_as_large_as_a_disk_are_not_read(machine, run):
    sparse(run / "checkpoints/000002/adapter/adapter_model.safetensors", 1 << 40)
    with harmless(machine), pytest.raises(ConfigError, match="cannot be read"):
        read_adapter(str(run / "checkpoints/000002"), "x", str(machine / "model"))
    (run / "checkpoints/000002/adapter/base.json").write_text('{"model": ["x"]}')
    with pytest.raises(ConfigError, match="cannot be read"):
        opponent_of(EvaluateConfig(against=str(run)), str(machine / "model"))


@pytest.mark.parametrize("owner", ["user", "other"])
def test_a_sweep_that_is_resumed_reads_no_pickle_of_its_folder(machine, tmp_path, capsys, owner):
    if owner == "other" and os.geteuid() != 0:
        pytest.skip("plays another user")
    proof, place = tmp_path / "proof", tmp_path / "sweep"
    bomb = pickle.dumps(Runs(proof))
    config = SweepConfig(name="sweep", runs=tmp_path, grpo=GRPOConfig(model=str(machine / "model")))
    RunFolder.create(place, config).close()
    for name in (
        "tuner.pkl", "tune/tuner.pkl", "tune/trainable.pkl", "tune/searcher-state-2026.pkl", "tune/t0/params.pkl",
        "tune/experiment_state-2026-01-01_00-00-00.json", "tune/search_gen_state-1.json", "trials/t0/x.pkl",
        "trials/t0/checkpoints/000002/state.pt", "tune/t0/checkpoint_000000/.metadata.pkl",
    ):  # fmt: skip
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_bytes(bomb)
    (place / "trials/t0/config.yaml").write_text("steps: 3\n")
    if owner == "other":
        os.chown(place, 65534, 65534)
    with harmless(machine):
        assert sweep.main(["--resume", str(place)]) == 2
    one_line(capsys, "belongs to user 65534" if owner == "other" else "their state in Ray Tune is not in")
    assert not proof.exists()


def test_the_state_of_a_sweep_is_private_and_known_by_its_place(machine, tmp_path):
    (tmp_path / "sweep").mkdir()
    (tmp_path / "link").symlink_to("sweep")
    storage = tune_folder(tmp_path / "sweep")
    assert storage == tune_folder(tmp_path / "link") != tune_folder(tmp_path / "other")
    assert storage.is_relative_to(machine / "cache") and not storage.is_relative_to(tmp_path / "sweep")
    assert {path.stat().st_mode & 0o777 for path in (storage, storage.parent)} == {0o700}
    assert not (storage / NAME).exists()
    if os.geteuid() == 0:
        os.chown(storage, 65534, 65534)
        with pytest.raises(RunFolderError, match="belongs to user 65534"):
            tune_folder(tmp_path / "sweep")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=400) | st.text("{}[]\"',:&*!<-? \n\tab01.~|>%@`#", max_size=300).map(str.encode))
def test_any_bytes_are_data_or_one_line(tmp_path, content):
    path = tmp_path / "any.yaml"
    path.write_bytes(content)
    with contextlib.suppress(Unreadable):
        read_yaml(path)
    with contextlib.suppress(ValueError):
        strict_loads(content)


def test_honest_yaml_with_anchors_is_read_as_before(tmp_path):
    text = "a: &a {lr: 1e-3, betas: [0.9, 0.95]}\nmine: {<<: *a, on: yes, at: 2026-01-01, none: ~}\nother: *a\n"
    (tmp_path / "a.yaml").write_text(text)
    assert read_yaml(tmp_path / "a.yaml") == yaml.safe_load(text)
    (tmp_path / "a.yaml").write_text("")
    assert read_yaml(tmp_path / "a.yaml") is None

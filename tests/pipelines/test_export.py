"""`crucible export`: folders of adapters and of merged models that were proven, whole or not at all."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from hub_server import TOKEN, FakeHub
from safetensors.numpy import load, load_file, save

from pipelines.artifacts.run_folder import RunFolder, write_adapter
from pipelines.cli import dispatch
from pipelines.config import GRPOConfig
from pipelines.jobs.teacher_job_config import SFTJobConfig
from pipelines.publish import export as exporting
from pipelines.publish import proof
from rollout.policy import PolicyVersion
from train.checkpoint import HEAD
from train.lora import Adapter


def trained(model, seed=0, size=0.05, dtype="float32"):
    """An adapter of the learner's own making, with weights that are not zero."""
    import torch

    from train.base_model import load_base
    from train.config import TrainConfig

    base = load_base(model, TrainConfig(dtype=dtype), torch.device("cpu"))
    made = Adapter(base, TrainConfig(lora_r=8, seed=seed)).export("mine", 1)
    rng = np.random.default_rng(seed)
    tensors = {
        name: (size * rng.standard_normal(value.shape)).astype(np.float32) if "lora_B" in name else value
        for name, value in load(made.weights).items()
    }
    return PolicyVersion("mine", 1, save(tensors, {"format": "pt"}), made.lora_config, made.base)


def make_run(place, model, policy, config=SFTJobConfig):
    with RunFolder.create(place, config(name=place.name, runs=place.parent, model=str(model))) as folder:
        write_adapter(folder.path, policy)
        row = {"kind": "comparison", "before": "before", "after": "after",
               "pass_at_1": {"value": 0.25, "low": 0.125, "high": 0.375}}  # fmt: skip
        folder.append_metrics(row)
    return place


@pytest.fixture(scope="module")
def policy(tiny_student):
    return trained(tiny_student)


@pytest.fixture
def run(tiny_student, policy, tmp_path):
    return make_run(tmp_path / "runs/mine", tiny_student, policy)


@pytest.fixture
def no_vllm(monkeypatch):
    """What vLLM would say of the merged model itself, for tests of everything else."""

    def serve(folder, ids, dtype):
        return {"logprobs": proof._logprobs(proof._load(folder), ids).tolist(), "tokens": []}

    monkeypatch.setattr(proof, "serve", serve)


def refusal(capsys):
    (line,) = capsys.readouterr().err.strip().splitlines()
    return line


def test_an_adapter_is_exported_with_a_card_and_no_path_of_this_machine(run, policy, tmp_path, tiny_student):
    assert dispatch(["export", str(run), "--to", str(tmp_path / "out")]) == 0
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "README.md", "adapter_config.json", "adapter_model.safetensors", "base.json",
    ]  # fmt: skip
    assert (tmp_path / "out/adapter_model.safetensors").read_bytes() == policy.weights
    text = "".join((tmp_path / "out" / name).read_text() for name in ("README.md", "adapter_config.json", "base.json"))
    assert str(tiny_student) not in text and tiny_student.name in text
    assert "\\+25\\.0 points" in text and "crucible sft" in text


def test_a_merged_model_is_proven_and_loads_like_any_other(run, policy, tmp_path, tiny_student, no_vllm, capsys):
    assert dispatch(["export", str(run), "--merged", "--to", str(tmp_path / "out")]) == 0
    output = capsys.readouterr().err
    assert "log-probabilities, merged and base + adapter" in output and "units of its rounding" in output
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert {"README.md", "config.json", "model.safetensors", "tokenizer.json", "prompt.json"} <= names
    assert not {"adapter_config.json", "adapter_model.safetensors"} & names
    before, after = (load_file(f / "model.safetensors") for f in (tiny_student, tmp_path / "out"))
    changed = [name for name in before if not np.array_equal(before[name], after[name])]
    assert len(changed) == len(load(policy.weights)) / 2
    card = (tmp_path / "out/README.md").read_text()
    assert "library_name: transformers" in card and "## Proof" in card


@pytest.mark.slow
def test_a_merged_model_is_loaded_by_a_real_vllm_which_computes_the_same(run, tmp_path, capsys):
    assert dispatch(["export", str(run), "--merged", "--to", str(tmp_path / "out")]) == 0
    output = capsys.readouterr().err
    assert "log-probabilities, vLLM and merged" in output
    assert float(output.partition("vLLM and merged: ")[2].partition(" in the mean")[0]) < 1e-3


@pytest.mark.slow
def test_a_model_that_vllm_does_not_load_is_no_export(run, tmp_path, monkeypatch, capsys):
    from train import merge

    real = merge.merge

    def broken(base, adapter, target):
        done = real(base, adapter, target)
        (target / "tokenizer.json").write_text("{")
        return done

    monkeypatch.setattr(merge, "merge", broken)
    assert dispatch(["export", str(run), "--merged", "--to", str(tmp_path / "out")]) == 2
    assert "the model was not merged" in capsys.readouterr().err
    assert not (tmp_path / "out").exists() and [p.name for p in tmp_path.iterdir()] == ["runs"]


def change_one(target, name="q_proj.weight", by=1.0):
    path = target / "model.safetensors"
    tensors = load_file(path)
    key = next(key for key in tensors if name in key)
    tensors[key][0, 0] += by
    path.write_bytes(save(tensors, {"format": "pt"}))


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ("weight", "differs from base \\+ adapter by .* units of its rounding"),
        ("other", "its log-probabilities differ from those of base \\+ adapter"),
        ("vllm", "vLLM's log-probabilities differ from its own"),
        ("base", "the adapter was trained on base model .* another one"),
    ],
)
def test_what_is_not_base_and_adapter_is_refused_and_leaves_nothing(
    run, policy, tmp_path, monkeypatch, no_vllm, fault, says, capsys, tiny_student
):
    import re

    from train import merge

    real = merge.merge

    def faulty(base, adapter, target):
        done = real(base, adapter, target)
        if fault == "weight":
            change_one(target)
        if fault == "other":
            change_one(target, "embed_tokens", 50.0)
            tensors = load_file(target / "model.safetensors")
            tensors["model.norm.weight"] = -tensors["model.norm.weight"]
            (target / "model.safetensors").write_bytes(save(tensors, {"format": "pt"}))
        return done

    monkeypatch.setattr(merge, "merge", faulty)
    if fault == "vllm":
        monkeypatch.setattr(proof, "serve", lambda folder, ids, dtype: {"logprobs": [-1.0] * (len(ids) - 1)})
    if fault == "base":
        other = PolicyVersion("mine", 1, policy.weights, policy.lora_config, {**policy.base, "fingerprint": "f" * 16})
        shutil.rmtree(run)
        make_run(run, tiny_student, other)
    assert dispatch(["export", str(run), "--merged", "--to", str(tmp_path / "out")]) == 2
    assert re.search(says, capsys.readouterr().err)
    assert not (tmp_path / "out").exists() and [p.name for p in tmp_path.iterdir()] == ["runs"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "crucible export needs a run folder before --to"),
        (["{none}"], "is not a run folder"),
        (["{run}", "--adapter", "iteration-3"], "has no adapter iteration-3"),
        (["{run}", "--to", "{run}"], "is there already; name another folder by --to, or remove it"),
        (["{run}", "--merged", "--model", "no/such/folder"], "there is no model folder no/such/folder"),
        (["{run}", "--mergd"], "there is no option --mergd; did you mean --merged?"),
        (["{run}", "--publish.public", "True"], "publish.public has no effect without push"),
        (["{run}", "--push", "me/x", "--publish.what", "data"], "publish.what has no effect here"),
    ],
)
def test_what_cannot_be_exported_is_refused_in_one_line(run, tmp_path, capsys, arguments, says):
    given = [word.format(run=run, none=tmp_path / "none") for word in arguments]
    to = [] if "--to" in given else ["--to", str(tmp_path / "out")]
    assert dispatch(["export", *given, *to]) == 2
    assert says in refusal(capsys) and not (tmp_path / "out").exists()


def test_the_newest_checkpoint_of_a_run_is_its_adapter(tmp_path, policy, tiny_student):
    place = tmp_path / "runs/mine"
    with RunFolder.create(place, GRPOConfig(name="mine", runs=place.parent, model=str(tiny_student))) as folder:
        for step in (9, 10, 100):
            policy_of = PolicyVersion("mine", step, policy.weights, {**policy.lora_config, "lora_alpha": step})
            write_adapter(folder.checkpoints / f"{step:06d}", policy_of)
    assert dispatch(["export", str(place), "--to", str(tmp_path / "out")]) == 0
    assert json.loads((tmp_path / "out/adapter_config.json").read_text())["lora_alpha"] == 100


def test_an_export_is_pushed_beside_what_else_the_repository_holds(
    tiny_student, policy, tmp_path, monkeypatch, no_vllm
):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    base = Path(shutil.copytree(tiny_student, tmp_path / "base"))
    (base / "additional_chat_templates").mkdir()
    (base / "additional_chat_templates" / "tools.jinja").write_text("{{ messages }}")
    run = make_run(tmp_path / "runs/mine", base, policy)
    with FakeHub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        card = b"---\nlicense: mit\ntags:\n- own\n---\n# Mine\n\nWritten by hand.\n"
        hub.add("model", "me/x", files={"README.md": card, "notes.txt": b"kept"})
        more = ["--merged", "--to", str(tmp_path / "out"), "--push", "me/x", "--publish.path", "merged"]
        assert dispatch(["export", str(run), *more]) == 0
        text = hub.text("model", "me/x", "README.md")
        assert "Written by hand." in text and "license: mit" in text and "## Proof" in text
        stored = hub.content(hub.files("model", "me/x")["merged/model.safetensors"])
        assert stored == (tmp_path / "out/model.safetensors").read_bytes()
        assert "merged/additional_chat_templates/tools.jinja" in hub.files("model", "me/x")
        assert "notes.txt" in hub.files("model", "me/x")
        hub.role = "read"
        assert dispatch(["export", str(run), "--to", str(tmp_path / "two"), "--push", "me/x"]) == 2
        assert not (tmp_path / "two").exists()


def test_a_run_publishes_its_merged_model_beside_its_adapter(run, tmp_path, monkeypatch, no_vllm, policy):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    with FakeHub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        assert dispatch(["push", str(run), "--push", "me/x", "--publish.what", "adapter", "merged"]) == 0
        files = hub.files("model", "me/x")
    assert hub.content(files["adapter/adapter_model.safetensors"]) == policy.weights
    assert "model.safetensors" in files and "adapter_config.json" not in files, "transformers would put it on again"


@pytest.mark.slow
def test_a_run_in_a_bucket_is_exported_and_published_like_any_other(tmp_path, monkeypatch, policy, tiny_student):
    from object_store import BUCKET, s3_server

    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    (tmp_path / "s3").mkdir()
    with s3_server(tmp_path / "s3") as reach, FakeHub() as hub:
        for name, value in {**reach, "HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN}.items():
            monkeypatch.setenv(name, value)
        url = f"s3://{BUCKET}/runs/mine"
        with RunFolder.create(
            url, GRPOConfig(name="mine", runs=f"s3://{BUCKET}/runs", model=str(tiny_student))
        ) as folder:
            for step in (9, 10):
                place = tmp_path / "node" / f"{step:06d}"
                config = {**policy.lora_config, "lora_alpha": step}
                write_adapter(place, PolicyVersion("mine", step, policy.weights, config, policy.base))
                (place / HEAD).write_text("{}")
                folder.checkpoint_store.push(place, keep=3)
            shutil.rmtree(tmp_path / "node" / "000010")
            (place := tmp_path / "node" / "000011").mkdir()  # a checkpoint that is not whole yet
            (place / "state.pt").write_text("x")
            folder.checkpoint_store.push(place, keep=3)
        assert dispatch(["export", url, "--to", str(tmp_path / "out")]) == 0
        assert json.loads((tmp_path / "out/adapter_config.json").read_text())["lora_alpha"] == 10
        assert dispatch(["push", url, "--push", "me/x"]) == 0
        assert hub.content(hub.files("model", "me/x")["adapter_model.safetensors"]) == policy.weights


def test_nothing_half_is_left_of_an_export_that_was_interrupted(run, tmp_path, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(exporting, "_merge", interrupted)
    assert dispatch(["export", str(run), "--merged", "--to", str(tmp_path / "out")]) == 130
    assert [p.name for p in tmp_path.iterdir()] == ["runs"]

"""What of each job's run folder is published, by the names of its files."""

import json
import shutil

import pyarrow.parquet as pq
import pytest
from publishing_job import adapter, row

from pipelines.artifacts.run_folder import RunFolder, write_adapter
from pipelines.artifacts.traces import write_traces
from pipelines.config import GRPOConfig
from pipelines.jobs.expert.config import ExpertConfig
from pipelines.jobs.lrl.config import LRLConfig
from pipelines.jobs.teacher_job_config import DistilConfig, HardDistilConfig, SFTJobConfig
from pipelines.jobs.undo.config import UndoConfig
from pipelines.publish import products
from pipelines.publish.products import makes, signature, take_snapshot
from problems.files import append_rows


def made(tmp_path, files=(), results=None):
    """A run folder with these traces, rows and adapters, and what is published of it: (rows by name, seeds by name)."""
    with RunFolder.create(tmp_path / "runs/mine", GRPOConfig(name="mine")) as folder:
        for seed, name in enumerate(files):
            place = folder.path / name
            if place.name == "adapter":
                write_adapter(place.parent, adapter("owner/base", seed))
            elif place.suffix == ".parquet":
                place.parent.mkdir(parents=True, exist_ok=True)
                write_traces(place.parent, place.stem, [row(n) for n in range(seed + 1)])
            else:
                append_rows(place, [{"a": 1, "b": "x", "verified": n % 2 == 0} for n in range(seed + 1)])
        if results is not None:
            (folder.path / "results.json").write_text(json.dumps(results))
        return folder, published(folder, tmp_path / "snapshot")


def published(folder, place):
    shutil.rmtree(place, ignore_errors=True)
    found = take_snapshot(folder, place)
    seeds = {adapter("owner/base", seed).weights: seed for seed in range(12)}
    weights = {one.name: (one.path / "adapter_model.safetensors").read_bytes() for one in found.adapters}
    return {one.name: one.rows for one in found.data}, {name: seeds[content] for name, content in weights.items()}


@pytest.mark.parametrize(
    ("files", "results", "data", "adapters"),
    [
        (["traces.parquet"], None, {"traces": 1}, {}),
        (["a.txt", "attempts.jsonl"], None, {"traces": 1}, {}),
        (["adapter"], None, {}, {"": 0}),
        (["checkpoints/000009/adapter", "checkpoints/000010/adapter", "checkpoints/000002/adapter"], None, {}, {"": 1}),
        (["distil/traces.parquet", "sft/adapter"], None, {"traces": 1}, {"": 1}),
        (["distil/traces.parquet", "sft/adapter", "grpo/checkpoints/000003/adapter"], None, {"traces": 1}, {"": 2}),
        (["iterations/1/solutions.parquet", "iterations/2/solutions.parquet", "iterations/1/sft/adapter",
          "iterations/2/sft/adapter", "iterations/2/dpo/adapter", "adapter"], {"best": "iteration-1"},
         {"iteration-1": 1, "iteration-2": 2}, {"": 5, "iteration-1": 2, "iteration-2": 4}),
        (["synthesis.jsonl", "adapters/student/adapter"], {"job": "lrl"}, {"synthesis": 1}, {"": 1}),
        (["dataset/iteration-0/train.parquet", "dataset/iteration-10/train.parquet", "adapters/iteration-0/adapter",
          "adapters/iteration-1/adapter"], {"best": "iteration-0"},
         {"iteration-0": 1, "iteration-10": 2}, {"": 2, "iteration-0": 2, "iteration-1": 3}),
        (["adapters/iteration-0/adapter"], None, {}, {"iteration-0": 0}),
        (["adapters/iteration-0/adapter"], {"best": "base"}, {}, {"iteration-0": 0}),
        (["adapters/iteration-0/adapter"], {"best": "../../elsewhere"}, {}, {"iteration-0": 0}),
        ([], None, {}, {}),
    ],
)  # fmt: skip
def test_each_job_s_folder_is_published_by_the_names_of_its_files(tmp_path, files, results, data, adapters):
    _, found = made(tmp_path, files, results)
    assert found == (data, adapters)


@pytest.mark.parametrize(
    ("results", "kept"),
    [({"best": "iteration-1"}, "adapters/iteration-1/model"), ({"best": "base"}, None), (None, None),
     ({"best": "../../elsewhere"}, None)],
)  # fmt: skip
def test_of_whole_models_the_one_that_was_kept_is_published(tmp_path, results, kept):
    folder, _ = made(tmp_path, ["dataset/iteration-0/train.parquet"], results)
    before = signature(folder)
    for number in (0, 1):
        (folder.path / f"adapters/iteration-{number}/model").mkdir(parents=True)
        (folder.path / f"adapters/iteration-{number}/model/config.json").write_text("{}")
    assert take_snapshot(folder, tmp_path / "again").model == (folder.path / kept if kept else None)
    assert take_snapshot(folder, tmp_path / "data", adapters=False).model is None and signature(folder) != before


@pytest.mark.parametrize(
    ("config", "what"),
    [
        (DistilConfig, (True, False)), (SFTJobConfig, (False, True)), (GRPOConfig, (False, True)),
        (HardDistilConfig, (True, True)), (ExpertConfig, (True, True)), (LRLConfig, (True, True)),
        (UndoConfig, (True, True)),
    ],
)  # fmt: skip
def test_what_a_job_makes_follows_from_its_configuration(config, what):
    assert makes(config().model_dump(mode="json")) == what


def test_a_file_that_is_damaged_is_noted_and_keeps_nothing_else_back(tmp_path):
    folder, _ = made(tmp_path, ["dataset/iteration-0/train.parquet", "dataset/iteration-1/train.parquet"])
    (folder.path / "dataset/iteration-0/train.parquet").write_bytes(b"half")
    found = take_snapshot(folder, tmp_path / "again")
    assert [one.name for one in found.data] == ["iteration-1"]
    (note,) = found.notes
    assert "train.parquet is not published" in note and "\n" not in note


def test_values_of_several_types_become_one_column_of_text(tmp_path):
    folder, _ = made(tmp_path)
    append_rows(
        folder.path / "synthesis.jsonl", [{"a": 1, "b": None}, {"a": "x", "b": None}, {"a": [1], "c": {"d": 2}}]
    )
    (found,) = take_snapshot(folder, tmp_path / "again").data
    assert pq.read_table(found.path).to_pylist() == [
        {"a": "1", "b": None, "c": None}, {"a": '"x"', "b": None, "c": None}, {"a": "[1]", "b": None, "c": '{"d": 2}'},
    ]  # fmt: skip


def test_the_signature_changes_with_what_is_published_and_with_nothing_else(tmp_path):
    folder, _ = made(tmp_path, ["traces.parquet", "checkpoints/000001/adapter"])
    before = signature(folder)
    (folder.path / "log.txt").write_text("x")
    assert signature(folder) == before
    write_adapter(folder.checkpoints / "000002", adapter("owner/base", 3))
    assert signature(folder) != before


def test_a_checkpoint_that_is_dropped_while_it_is_copied_gives_way_to_the_next(tmp_path, monkeypatch):
    folder, _ = made(tmp_path, ["checkpoints/000001/adapter"])
    copy = shutil.copyfile

    def dropped(source, target):
        if "000001" in str(source):
            write_adapter(folder.checkpoints / "000002", adapter("owner/base", 7))
            shutil.rmtree(folder.checkpoints / "000001")
        return copy(source, target)

    monkeypatch.setattr(products.shutil, "copyfile", dropped)
    assert published(folder, tmp_path / "again") == ({}, {"": 7})


def test_no_path_of_this_machine_is_in_a_published_adapter(tmp_path):
    with RunFolder.create(tmp_path / "runs/mine", SFTJobConfig(name="mine")) as folder:
        write_adapter(folder.path, adapter(str(tmp_path / "models/secret-place/base")))
        (found,) = take_snapshot(folder, tmp_path / "snapshot").adapters
    text = "".join(path.read_text() for path in found.path.glob("*.json"))
    assert found.base == "base" and str(tmp_path) not in text and "secret-place" not in text

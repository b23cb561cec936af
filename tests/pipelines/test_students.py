"""`crucible lrl` and `crucible undo` as people run them: a real engine, a real adapter, the offline teacher."""

import json

import pyarrow.parquet as pq
import pytest
from job import crucible, rows

pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("ray_local")]


def kept(folder):
    """What a run folder holds that another session must not change."""
    files = [*folder.glob("samples/*"), *folder.glob("adapters/*/adapter/*"), *folder.glob("*.jsonl")]
    files += [folder / "results.json", *folder.glob("dataset/*/*.jsonl")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def learnt(folder):
    """The figures of each training, by the adapter's name."""
    return {row["name"]: row for row in rows(folder) if row["kind"] == "sft"}


def answers(folder, name, column):
    """A column of the samples of an evaluation."""
    table = pq.read_table(folder / "samples" / f"evaluation-{name}.parquet", columns=[column])
    return table.column(column).to_pylist()


@pytest.mark.slow
def test_lrl_teaches_a_real_student_to_give_verdicts(tiny_student, tmp_path):
    sizes = ["--train-problems=6", "--test-problems=12", "--synthesis-problems=24", "--batch=3"]
    learning = ["--sft.target-modules=all-linear", "--sft.optimiser=muon", "--sft.learning-rate=0.02",
                "--sft.epochs=12"]  # fmt: skip
    common = ["lrl", "--model", tiny_student, "--runs", tmp_path, "--name", "one", *sizes, *learning]
    crucible(*common)
    folder = tmp_path / "one"
    stages = json.loads((folder / "results.json").read_text())["stages"]
    # The student has only ever seen programs: it boxes nothing before it has learnt what a verdict looks like.
    boxed = {
        name: sum("\\boxed{" in text for text in answers(folder, name, "completion"))
        for name in ("student", "student_with_strategy", "student_trained")
    }
    assert boxed["student"] == boxed["student_with_strategy"] == 0 and boxed["student_trained"] >= 9
    assert stages["teacher_with_strategy"]["accuracy"]["value"] == 1
    figures = learnt(folder)["student"]
    assert figures["rows"] == 24 and figures["steps"] == 36 and figures["last_loss"] < figures["first_loss"] / 2
    assert set(answers(folder, "student_trained", "adapter_hash")) == {figures["adapter_hash"]}
    before = kept(folder)
    crucible("lrl", "--resume", folder)
    assert kept(folder) == before
    assert "already holds this run" in crucible(*common, status=(2,))


@pytest.mark.slow
def test_undo_teaches_a_real_student_what_it_was_shown(tiny_student, tmp_path):
    sizes = ["--train-problems=16", "--val-problems=8", "--test-problems=8", "--iterations=1", "--max-tokens=96"]
    asked = ["--problems.families", "reverse_string", "word_problems", "--problems.difficulties", "1", "2"]
    learning = ["--sft.target-modules=all-linear", "--sft.optimiser=muon", "--sft.learning-rate=0.02",
                "--sft.epochs=40"]  # fmt: skip
    crucible("undo", "--model", tiny_student, "--runs", tmp_path, "--name", "one", *sizes, *asked, *learning)
    folder = tmp_path / "one"
    results = json.loads((folder / "results.json").read_text())
    first = results["iterations"][0]
    assert first["taught"] == 16 and results["base"]["train"]["value"] + 0.4 < first["train"]["value"]
    figures = learnt(folder)
    assert figures["iteration-0"]["last_loss"] < figures["iteration-0"]["first_loss"] / 2
    # What is still wrong is taught on from the adapter of the iteration before.
    if "iteration-1" in figures:
        assert figures["iteration-1"]["first_loss"] < figures["iteration-0"]["first_loss"] / 2
    assert set(answers(folder, "iteration-0-test", "adapter_hash")) == {figures["iteration-0"]["adapter_hash"]}
    assert set(results["test"]) >= {"base", "iteration-0"}
    before = kept(folder)
    crucible("undo", "--resume", folder)
    assert kept(folder) == before

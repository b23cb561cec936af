"""`crucible lrl` and `crucible undo` as people run them: a real engine, a real adapter, the offline teacher."""

import json

import pytest
from job import crucible

pytestmark = [pytest.mark.timeout(900), pytest.mark.usefixtures("ray_local")]


def kept(folder):
    """What a run folder holds that another session must not change."""
    files = [*folder.glob("samples/*"), *folder.glob("adapters/*/adapter/*"), *folder.glob("*.jsonl")]
    files += [folder / "results.json", *folder.glob("dataset/*/*.jsonl")]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_lrl_runs_every_stage_on_a_real_student(tiny_student, tmp_path):
    sizes = ["--train-problems=6", "--test-problems=12", "--synthesis-problems=24", "--batch=3"]
    learning = ["--transfer.learning-rate=1e-2", "--transfer.epochs=6"]
    crucible("lrl", "--model", tiny_student, "--runs", tmp_path, "--name", "one", *sizes, *learning)
    folder = tmp_path / "one"
    stages = json.loads((folder / "results.json").read_text())["stages"]
    # So small a student may never write a verdict; what it writes instead is no NO.
    for name in ("student", "student_with_strategy", "student_trained"):
        silent = sum(stages[name]["confusion"][gold]["none"] for gold in ("YES", "NO"))
        assert stages[name]["scored"] == 12 == silent + stages[name]["statuses"].get("answered", 0)
    assert stages["teacher_with_strategy"]["accuracy"]["value"] == 1
    assert stages["student_trained"]["majority"]["accuracy"] == 0.5
    before = kept(folder)
    crucible("lrl", "--resume", folder)
    assert kept(folder) == before
    assert "already holds this run" in crucible("lrl", "--model", tiny_student, "--runs", tmp_path, "--name", "one",
                                                *sizes, *learning, status=(2,))  # fmt: skip


def test_undo_teaches_a_real_student_on(tiny_student, tmp_path):
    sizes = ["--train-problems=16", "--val-problems=8", "--test-problems=8", "--iterations=1", "--max-tokens=96"]
    asked = ["--problems.families", "reverse_string", "word_problems", "--problems.difficulties", "1", "2"]
    crucible("undo", "--model", tiny_student, "--runs", tmp_path, "--name", "one", *sizes, *asked)
    folder = tmp_path / "one"
    results = json.loads((folder / "results.json").read_text())
    first = results["iterations"][0]
    assert first["solved_with"]["none"] == first["taught"] == 16
    assert set(results["test"]) >= {"base", "iteration-0"}
    before = kept(folder)
    crucible("undo", "--resume", folder)
    assert kept(folder) == before

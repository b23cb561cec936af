"""Each command once as people run it: a process of its own with a Ray of its own, and the run folder that it leaves.

`grpo`, `sft`, `distil`, `hard-distil`, `expert-iteration` and `sweep` are run that way, and killed, in their own files.
"""

import json

import pytest
from job import SMALL, crucible_apart, rows

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def results(folder):
    assert (folder / "report.html").is_file() and (folder / "config.yaml").is_file()
    return json.loads((folder / "results.json").read_text())


def test_evaluate(tiny_student, tmp_path):
    sizes = ["--evaluation.problems=8", "--evaluation.samples=2", "--max-tokens=48"]
    asked = [word for word in SMALL if word.startswith("--problems") or not word.startswith("--")]
    output = crucible_apart("evaluate", "--model", tiny_student, "--runs", tmp_path, "--name", "one", *sizes, *asked)
    assert "pass@1" in output and "8 x 2" in output
    assert [row["problems"] for row in rows(tmp_path / "one") if row["kind"] == "evaluation"] == [8]


def test_lrl(tiny_student, tmp_path):
    sizes = ["--train-problems=6", "--test-problems=6", "--synthesis-problems=6", "--batch=3", "--sft.epochs=1"]
    crucible_apart("lrl", "--model", tiny_student, "--runs", tmp_path, "--name", "one", *sizes)
    assert results(tmp_path / "one")["stages"]["student_trained"]["problems"] == 6


def test_undo(tiny_student, tmp_path):
    sizes = ["--train-problems=6", "--val-problems=4", "--test-problems=4", "--iterations=1", "--max-tokens=48"]
    asked = ["--problems.families", "reverse_string", "word_problems", "--problems.difficulties", "1"]
    crucible_apart(
        "undo", "--model", tiny_student, "--runs", tmp_path, "--name", "one", *sizes, *asked, "--sft.epochs=1"
    )
    assert set(results(tmp_path / "one")["test"]) >= {"base", "iteration-0"}


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["problems", "list"], "coin_change"),
        (["verify", "probe"], "seccomp"),
        (["doctor"], "sandbox"),
        (["options"], "## crucible grpo"),
        (["jobs", "--help"], "usage"),
        (["submit", "--help"], "usage"),
        (["token", "--help"], "usage"),
        (["student", "--help"], "usage"),
        (["report", "--help"], "usage"),
    ],
)
def test_commands_without_a_model(arguments, says):
    assert says in crucible_apart(*arguments, status=(0, 1))

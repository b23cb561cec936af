"""An evaluation that is killed in the middle goes on with the samples that it has, each once; and top_p is heeded."""

import json
import os
import signal
import time
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from job import crucible, rows, start

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.usefixtures("ray_local")]
GRID = [
    "--problems.families", "reverse_string", "is_palindrome", "fibonacci", "--problems.difficulties", "1", "5", "9",
    "--evaluation.per-cell=6", "--evaluation.samples=8", "--max-tokens=96",
]  # fmt: skip
PROBLEMS = 3 * 3 * 6
CONDITIONS = ["--require", "overall >= 0", "every cell >= 0", "pass@8 easy > 100"]
"""The last one is never met."""


def samples(files):
    """(problem, index) -> completion of every row."""
    found = Counter()
    texts = {}
    for file in files:
        for row in pq.read_table(file).to_pylist():
            found[row["problem_id"], row["index"]] += 1
            texts[row["problem_id"], row["index"]] = row["completion"]
    assert set(found.values()) <= {1}, "no sample twice"
    return texts


@pytest.fixture(scope="module")
def resumed(tiny_student, tmp_path_factory):
    """Its folder, what was there when it was killed, and what it printed when it went on."""
    runs = tmp_path_factory.mktemp("evaluations")
    folder = runs / "killed"
    common = ["evaluate", "--model", tiny_student, "--runs", runs, *GRID, *CONDITIONS]
    process = start(*common, "--name", "killed", start_new_session=True)
    parts = folder / "samples" / "evaluation-model.parts"
    deadline = time.monotonic() + 300
    while not list(parts.glob("*.parquet")):
        assert process.poll() is None and time.monotonic() < deadline, process.stdout.read()
        time.sleep(0.02)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = samples(parts.glob("*.parquet"))
    assert 0 < len(before) < 8 * PROBLEMS and not (folder / "evaluation.json").exists()
    output = crucible("evaluate", "--resume", folder, status=(3,))
    return common, folder, before, output


def test_what_is_there_is_not_asked_again(resumed):
    _, folder, before, output = resumed
    assert f"{len(before) // 8} of {PROBLEMS} problems of model are answered already" in output
    after = samples([folder / "samples" / "evaluation-model.parquet"])
    assert len(after) == 8 * PROBLEMS and before.items() <= after.items()
    assert not (folder / "samples" / "evaluation-model.parts").exists()
    (row,) = [row for row in rows(folder) if row["kind"] == "evaluation"]
    cells = {(family, d): cell["problems"] for family, line in row["grid"].items() for d, cell in line.items()}
    assert len(cells) == 9 and set(cells.values()) == {6}
    assert sum(row["counts"]["all"][name] for name in ("solved", "partial", "failed")) == 8 * PROBLEMS


def test_the_figures_are_those_of_a_run_that_nobody_killed(resumed):
    common, folder, _, _ = resumed
    crucible(*common, "--name", "whole", status=(3,))
    whole = folder.parent / "whole"
    assert samples([folder / "samples" / "evaluation-model.parquet"]) == samples(
        [whole / "samples" / "evaluation-model.parquet"]
    )
    figures = [json.loads((path / "evaluation.json").read_text())["evaluations"]["model"] for path in (folder, whole)]
    assert figures[0] == figures[1]


def test_conditions_have_their_own_status_and_can_be_asked_again(resumed):
    _, folder, _, output = resumed
    assert "not met: pass@8 easy > 100" in output and "every cell" not in output
    assert "reverse_string difficulty 5 >= 0" in output
    again = crucible("evaluate", "--resume", folder, "--require", "overall >= 0")
    assert "answered already" not in again and "not met" not in again
    assert Counter(row["kind"] for row in rows(folder)) == {"evaluation": 1, "conditions": 1}
    assert [c["condition"] for c in json.loads((folder / "evaluation.json").read_text())["conditions"]] == [
        "overall >= 0"
    ]
    assert "knapsack" in crucible("evaluate", "--resume", folder, "--require", "knapsack > 1", status=(2,))


def test_another_grid_is_another_run(resumed):
    _, folder, _, _ = resumed
    said = crucible("evaluate", "--resume", folder, "--evaluation.per-cell", "5", status=(2,))
    assert "evaluation.per_cell: 6 there, 5 now" in said
    assert Path(folder / "evaluation.json").is_file()


def test_a_nucleus_of_one_token_is_greedy(tiny_student, tmp_path):
    asked = ["--problems.families", "reverse_string", "--problems.difficulties", "1", "5", "--evaluation.per-cell=4"]
    common = ["evaluate", "--model", tiny_student, "--runs", tmp_path, *asked, "--max-tokens=64"]
    crucible(*common, "--name", "narrow", "--evaluation.top-p=0.000001", "--evaluation.samples=3")
    crucible(*common, "--name", "greedy", "--evaluation.temperature=0")
    crucible(*common, "--name", "wide", "--evaluation.samples=3")
    narrow, greedy, wide = (
        samples([tmp_path / name / "samples" / "evaluation-model.parquet"]) for name in ("narrow", "greedy", "wide")
    )
    assert len(narrow) == len(wide) == 3 * len(greedy) == 24
    assert all(text == greedy[problem, 0] for (problem, _), text in narrow.items())
    assert any(text != greedy[problem, 0] for (problem, _), text in wide.items())

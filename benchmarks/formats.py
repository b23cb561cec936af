"""Jobs on files in the layouts of other systems: what of each is learnt from, and that the student learns it.

    python -m benchmarks.formats FILES [--runs FOLDER] [--model MODEL]

FILES is a folder of small files by the names below: traces with and without tests, boxed solutions, solutions beside
their problems. Three of them are trained on by `crucible sft`, boxed rows are what `crucible undo` asks, and solutions
start the replay of `crucible expert-iteration`. Prints a row of a table for each. What is in the folder of runs already
is not run again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from pipelines.artifacts.run_folder import RunFolder

ROOT = Path(__file__).resolve().parents[1]
LEARNING = "--sft.epochs 20 --sft.learning-rate 0.003 --sft.val-share 0 --sft.batch-size 4 --sft.grad-accumulation 1"


@dataclass(frozen=True, slots=True)
class Case:
    """A file, the command that reads it, and how its outcome is read."""

    name: str
    """Also that of its run folder."""
    file: str
    line: str
    """After `crucible`; {files}, {configs} and {model} are filled in."""
    outcome: Callable[[RunFolder], str]


def one(folder: RunFolder, kind: str) -> Mapping[str, Any]:
    """The first row of a kind in `metrics.jsonl`."""
    return next(row for row in folder.metrics() if row.get("kind") == kind)


def losses(row: Mapping[str, Any]) -> str:
    """What training did to the loss."""
    return f"{row['steps']} updates, loss {row['first_loss']:.2f} -> {row['last_loss']:.2f}"


def fine_tuned(folder: RunFolder) -> str:
    """Of `sft`."""
    return f"{one(folder, 'traces')['read']} rows learnt from; {losses(one(folder, 'sft'))}"


def taught(folder: RunFolder) -> str:
    """Of `undo`."""
    results = json.loads((folder.path / "results.json").read_text())
    first = results["iterations"][0]
    text = f"{first['asked']} questions asked, {first['taught']} taught; {losses(one(folder, 'sft'))}"
    return f"{text}; pass@1 on them {results['base']['train']['value']:.0%} -> {first['train']['value']:.0%}"


def replayed(folder: RunFolder) -> str:
    """Of `expert-iteration`."""
    (row,) = json.loads((folder.path / "results.json").read_text())["iterations"]
    rows = [json.loads(line) for line in (folder.path / "iterations/1/traces.jsonl").read_text().splitlines()]
    foreign = sum(line["problem_type"] == "functions" for line in rows)
    return (
        f"{foreign} of the {row['learnt']['general']} replayed solutions is the file's, beside {row['learnt']['focus']}"
    )


CASES = (
    Case("tests", "traces_with_tests.jsonl", f"sft --traces {{files}}/traces_with_tests.jsonl {LEARNING}", fine_tuned),
    Case("trusted", "traces_without_tests.jsonl",
         f"sft --traces {{files}}/traces_without_tests.jsonl --data.trust True {LEARNING}", fine_tuned),
    Case("boxed", "boxed_rows.jsonl", f"sft --traces {{files}}/boxed_rows.jsonl {LEARNING}", fine_tuned),
    Case("undo", "boxed_rows.jsonl", "undo --config {configs}/undo.yaml", taught),
    Case("replay", "solutions.jsonl", "expert-iteration --config {configs}/replay.yaml", replayed),
)  # fmt: skip


def write_configs(folder: Path, files: Path) -> None:
    """Of the two jobs that ask problems of their own."""
    learning = {"epochs": 60, "learning_rate": 3e-3, "target_modules": "all-linear", "batch_size": 4}
    parts = [
        {"source": {"mapping": "boxed", "path": str(files / "boxed_rows.jsonl"), "split": "train"}},
        {"source": {"mapping": "boxed", "path": str(files / "test_question_answer.jsonl"), "split": "val"}},
        {"source": {"mapping": "boxed", "path": str(files / "test_problem_solution.jsonl"), "split": "test"}},
    ]
    undo = {
        "problems": {"parts": parts}, "train_problems": 3, "val_problems": 1, "test_problems": 1, "iterations": 0,
        "max_tokens": 64, "teacher": {"model": "reference"}, "sft": learning,
    }  # fmt: skip
    replay = {
        "replay_traces": [str(files / "solutions.jsonl")], "data": {"problems": [str(files / "problems_list.json")]},
        "focus": {"families": ["max_subarray"]}, "general": {"families": ["fibonacci"], "difficulties": [1]},
        "focus_problems": 24, "general_problems": 8, "samples": 8, "val_problems": 8, "test_problems": 8,
        "iterations": 1, "replay": 0.5, "max_tokens": 96, "rollback": False,
    }  # fmt: skip
    for name, config in {"undo": undo, "replay": replay}.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(config))


def run(case: Case, files: Path, runs: Path, model: str) -> str:
    """Runs a case unless that is done, and returns its outcome. Raises RuntimeError where it fails."""
    folder = runs / case.name
    words = case.line.format(files=files, configs=runs).split()
    command = [sys.executable, "-m", "pipelines.cli", *words, "--model", model, "--runs", str(runs)]
    with open(runs / f"{case.name}.log", "w") as log:
        ended = subprocess.run([*command, "--name", case.name, "--or-resume"], cwd=ROOT, stdout=log, stderr=log)
    if ended.returncode:
        raise RuntimeError(
            f"{case.name} ended with {ended.returncode}: {(runs / f'{case.name}.log').read_text()[-2000:]}"
        )
    with RunFolder.open(folder) as opened:
        return case.outcome(opened)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs all cases, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, help="folder of the files")
    parser.add_argument("--runs", type=Path, default=None, help="where run folders and logs are kept")
    parser.add_argument("--model", default="student")
    options = parser.parse_args(argv)
    with contextlib.ExitStack() as stack:
        runs = options.runs or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        runs.mkdir(parents=True, exist_ok=True)
        files = options.files.resolve()
        write_configs(runs.resolve(), files)
        print("| file | command | outcome |\n|---|---|---|", flush=True)
        for case in CASES:
            outcome = run(case, files, runs.resolve(), options.model)
            print(f"| `{case.file}` | `{case.line.split()[0]}` | {outcome} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

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
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmarks.commands import Command, folder_of, results, rows, run
from pipelines.artifacts.run_folder import RunFolder

LEARNING = "--sft.epochs 20 --sft.learning-rate 0.003 --sft.val-share 0 --sft.batch-size 4 --sft.grad-accumulation 1"


def losses(row: Mapping[str, Any]) -> str:
    """What training did to the loss."""
    return f"{row['steps']} updates, loss {row['first_loss']:.2f} -> {row['last_loss']:.2f}"


def fine_tuned(folder: RunFolder) -> str:
    """Of `sft`."""
    return f"{rows(folder, 'traces')[0]['read']} rows learnt from; {losses(rows(folder, 'sft')[0])}"


def taught(folder: RunFolder) -> str:
    """Of `undo`."""
    found = results(folder)
    first = found["iterations"][0]
    text = f"{first['asked']} questions asked, {first['taught']} taught; {losses(rows(folder, 'sft')[0])}"
    return f"{text}; pass@1 on them {found['base']['train']['value']:.0%} -> {first['train']['value']:.0%}"


def replayed(folder: RunFolder) -> str:
    """Of `expert-iteration`."""
    (row,) = results(folder)["iterations"]
    learnt_from = [json.loads(line) for line in (folder.path / "iterations/1/traces.jsonl").read_text().splitlines()]
    foreign = sum(line["problem_type"] == "functions" for line in learnt_from)
    return (
        f"{foreign} of the {row['learnt']['general']} replayed solutions is the file's, beside {row['learnt']['focus']}"
    )


CASES = (
    ("traces_with_tests.jsonl",
     Command("tests", f"sft --traces {{files}}/traces_with_tests.jsonl {LEARNING}", fine_tuned)),
    ("traces_without_tests.jsonl",
     Command("trusted", f"sft --traces {{files}}/traces_without_tests.jsonl --data.trust True {LEARNING}", fine_tuned)),
    ("boxed_rows.jsonl", Command("boxed", f"sft --traces {{files}}/boxed_rows.jsonl {LEARNING}", fine_tuned)),
    ("boxed_rows.jsonl", Command("undo", "undo --config {runs}/undo.yaml", taught)),
    ("solutions.jsonl", Command("replay", "expert-iteration --config {runs}/replay.yaml", replayed)),
)  # fmt: skip
"""(file, the command that reads it)."""


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


def main(argv: Sequence[str] | None = None) -> int:
    """Runs all cases, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", type=Path, help="folder of the files")
    parser.add_argument("--runs", type=Path, default=None, help="where run folders and logs are kept")
    parser.add_argument("--model", default="student")
    options = parser.parse_args(argv)
    with folder_of(options.runs) as runs:
        files = options.files.resolve()
        write_configs(runs, files)
        print("| file | command | outcome |\n|---|---|---|", flush=True)
        for file, command in CASES:
            line = f"{command.line.replace('{files}', shlex.quote(str(files)))} --model {shlex.quote(options.model)}"
            run(runs, command.name, line, command.statuses)
            with contextlib.closing(RunFolder.open(runs / command.name)) as done:
                print(f"| `{file}` | `{command.line.split()[0]}` | {command.headline(done)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())

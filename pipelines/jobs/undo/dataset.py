"""What an iteration taught, as files that others can train on: JSON lines and Parquet."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from pipelines.artifacts.run_folder import replace_file
from pipelines.jobs.undo import prompts
from pipelines.jobs.undo.config import Hint
from problems.files import replacing
from problems.problem import Problem

DATASET_SCHEMA = pa.schema(
    [
        ("idx", pa.int32()),  # of the problem among the training problems
        ("problem", pa.string()),
        ("teacher_solution", pa.string()),
        ("gt", pa.string()),  # the true final answer, or a right program
        ("student_solution", pa.string()),  # the student's answer before this iteration
        ("iteration", pa.int32()),
        ("written_in", pa.int32()),  # iteration that the teacher's answer is of
        ("hint", pa.string()),  # none, answer or solution: what the teacher was given
        ("signal", pa.float32()),  # of the student's answer; null where it has none
        ("problem_id", pa.string()),
        ("family", pa.string()),
        ("difficulty", pa.int32()),
        ("problem_row", pa.string()),  # the whole problem with its tests, by Problem.to_row: to judge the answer again
    ]
)


@dataclass(frozen=True, slots=True)
class Trace:
    """A teacher's answer that was verified."""

    text: str
    hint: Hint
    iteration: int


@dataclass(frozen=True, slots=True)
class Example:
    """A training problem with the answer that is learnt."""

    idx: int
    """Of the problem among the training problems."""
    problem: Problem
    trace: Trace
    student_solution: str
    """The student's answer before; "" where there is none."""
    signal: float | None
    """Of that answer."""


def write_dataset(folder: Path, iteration: int, examples: Sequence[Example]) -> None:
    """Writes `train.jsonl` and `train.parquet` into `folder`, by `DATASET_SCHEMA`."""
    rows = [
        {
            "idx": example.idx,
            "problem": example.problem.statement,
            "teacher_solution": example.trace.text,
            "gt": prompts.gold(example.problem),
            "student_solution": example.student_solution,
            "iteration": iteration,
            "written_in": example.trace.iteration,
            "hint": example.trace.hint,
            "signal": example.signal,
            "problem_id": example.problem.id,
            "family": example.problem.family,
            "difficulty": example.problem.difficulty,
            "problem_row": json.dumps(example.problem.to_row()),
        }
        for example in examples
    ]
    folder.mkdir(parents=True, exist_ok=True)
    replace_file(folder / "train.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    with replacing(folder / "train.parquet") as file:
        pq.write_table(pa.Table.from_pylist(rows, schema=DATASET_SCHEMA), file)

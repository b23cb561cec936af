"""The table of samples: one row a completion, with its question, its verdict and its reward."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.artifacts.location import RunFolderError
from problems.arrow_files import ArrowFileError, read_table
from problems.plain_text import one_line, storable
from problems.problem import Group, Problem, Sample, Verdict

SAMPLE_SCHEMA = pa.schema(
    [
        ("step", pa.int32()),  # the learner's step that consumed it; -1 in an evaluation
        ("policy_version", pa.int32()),
        ("adapter_hash", pa.string()),
        ("averaged", pa.bool_()),
        ("sequence", pa.int64()),
        ("attempt", pa.int32()),
        ("group_id", pa.string()),
        ("index", pa.int32()),
        ("problem_id", pa.string()),
        ("question_hash", pa.string()),
        ("family", pa.string()),
        ("mode", pa.string()),
        ("difficulty", pa.int32()),
        ("split", pa.string()),
        ("prompt", pa.string()),
        ("prompt_tokens", pa.int32()),
        ("gold", pa.string()),  # of evaluations: a right answer or program; null where none is known
        ("completion", pa.string()),
        ("completion_ids", pa.list_(pa.int32())),
        ("logprobs", pa.list_(pa.float32())),
        ("finish_reason", pa.string()),
        ("engine", pa.string()),
        ("status", pa.string()),
        ("passed", pa.bool_()),
        ("tests_passed", pa.int32()),
        ("tests_run", pa.int32()),
        ("tests_total", pa.int32()),
        ("cpu_seconds", pa.float32()),
        ("wall_seconds", pa.float32()),
        ("memory_mib", pa.float32()),
        ("isolation", pa.int32()),
        ("detail", pa.string()),
        ("reward", pa.float32()),  # null where the infrastructure failed and the sample was not scored
        ("advantage", pa.float32()),  # null for one that was not trained on
    ]
)
ADDED = ("prompt_tokens", "gold")
"""Columns that samples of earlier versions lack: they are read as null."""


def sample_rows(
    group: Group, *, step: int = -1, advantages: Sequence[float | None] = (), gold: str | None = None
) -> list[dict[str, Any]]:
    """The rows of a judged group, by `SAMPLE_SCHEMA`; `gold` is a right answer to its problem, if one is to be kept.

    Raises ValueError where a sample has no verdict or reward.
    """
    if not len(group.samples) == len(group.verdicts) == len(group.rewards):
        counts = f"{len(group.samples)} samples, {len(group.verdicts)} verdicts, {len(group.rewards)} rewards"
        raise ValueError(f"group {group.index} is not judged: {counts}")
    problem = group.problem
    question = {
        "step": step, "sequence": group.index, "attempt": group.attempt, "prompt": group.prompt,
        "question_hash": problem.question_hash, "family": problem.family, "mode": problem.variant,
        "difficulty": problem.difficulty, "split": problem.split, "gold": gold,
    }  # fmt: skip
    rows = []
    for number, (sample, verdict, reward) in enumerate(zip(group.samples, group.verdicts, group.rewards)):
        answered = {
            "policy_version": sample.policy_version, "adapter_hash": sample.adapter_hash,
            "averaged": sample.averaged, "prompt_tokens": len(sample.prompt_ids),
            "group_id": sample.group_id, "index": sample.index, "problem_id": sample.problem_id,
            "completion": sample.text, "completion_ids": sample.completion_ids, "logprobs": sample.logprobs,
            "finish_reason": sample.finish_reason, "engine": sample.engine, "reward": reward,
            "advantage": advantages[number] if len(advantages) else None,
        }  # fmt: skip
        row = {**question, **answered, **verdict.to_row(), "passed": verdict.passed}
        rows.append({key: storable(value) if isinstance(value, str) else value for key, value in row.items()})
    return rows


def read_samples(files: Sequence[Path], columns: Sequence[str] | None) -> pa.Table:
    """The tables of samples in `files` as one; `columns` None for all.

    Raises RunFolderError for a file that is damaged, lacks a column, or is of other types.
    """
    wanted = SAMPLE_SCHEMA.empty_table().select(list(columns) if columns is not None else SAMPLE_SCHEMA.names)
    tables = []
    for file in files:
        try:
            table = read_table(file, wanted.schema)
        except ArrowFileError as error:
            raise RunFolderError(one_line(error)) from None
        for column in (name for name in ADDED if name in wanted.column_names and name not in table.column_names):
            table = table.append_column(column, pa.nulls(table.num_rows, SAMPLE_SCHEMA.field(column).type))
        if missing := [column for column in wanted.column_names if column not in table.column_names]:
            raise RunFolderError(f"{file}: it has no column {', '.join(missing[:3])}; no job writes such samples")
        tables.append(table.select(wanted.column_names))
    return pa.concat_tables(tables) if tables else wanted


def groups_of(table: pa.Table) -> list[Group]:
    """The judged groups that a table of samples holds, in its order. Tests are not in it; prompts have as many tokens
    as they had, all of them 0.

    Enough for every statistic of an evaluation; not enough to train on.
    """
    found: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        found.setdefault((row["sequence"], row["group_id"]), []).append(row)
    return [_group(rows) for rows in found.values()]


def _group(rows: Sequence[dict[str, Any]]) -> Group:
    first = rows[0]
    problem = Problem(
        id=first["problem_id"], family=first["family"], family_version=0, difficulty=first["difficulty"],
        split=first["split"], statement="", entry_point="", signature="", public_examples=(), hidden_tests=(),
        variant=first["mode"],
    )  # fmt: skip
    samples = tuple(
        Sample(
            problem_id=row["problem_id"],
            group_id=row["group_id"],
            index=row["index"],
            prompt_ids=np.zeros(row.get("prompt_tokens") or 0, np.int32),
            completion_ids=np.asarray(row["completion_ids"], np.int32),
            logprobs=np.asarray(row["logprobs"], np.float32),
            text=row["completion"],
            finish_reason=row["finish_reason"],
            policy_version=row["policy_version"],
            adapter_hash=row["adapter_hash"],
            engine=row["engine"],
            averaged=bool(row.get("averaged")),  # absent in folders of before there was one
        )
        for row in rows
    )
    names = [f.name for f in fields(Verdict)]
    verdicts = tuple(Verdict.from_row({name: row[name] for name in names}) for row in rows)
    rewards = tuple(row["reward"] for row in rows)
    return Group(first["sequence"], first["attempt"], problem, samples, verdicts, rewards, first.get("prompt", ""))

"""Evaluations in run folders: whole ones, and those that are going on, from which a resumed run goes on.

Judged groups are written in parts, a few seconds of work each, until the table of the whole evaluation is there. Each
sample has its adapter's hash and its question's, so nothing of another policy or problem is ever taken over.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from pipelines.artifacts.plain_files import reading
from pipelines.artifacts.run_folder import RunFolder
from pipelines.artifacts.samples import groups_of, sample_rows
from pipelines.measure.evaluation import Evaluation
from problems.problem import Group, Problem, Status
from problems.questions import worked_answer
from rollout.fleet import short_of_room
from rollout.policy import PolicyVersion

PART_SECONDS = 3.0
"""Of judged groups that are written together: what is asked again, at most, after a kill."""


def load_evaluation(folder: RunFolder, name: str) -> Evaluation | None:
    """An evaluation that the run folder holds already, from its samples' table; None where it holds none.

    Raises RunFolderError for a table that is damaged.
    """
    if not (folder.path / "samples" / f"{table_name(name)}.parquet").is_file():
        return None
    with reading(str(folder.path / "samples" / f"{table_name(name)}.parquet")):
        table = folder.samples(table_name(name))
        gold = dict(zip(table["problem_id"].to_pylist(), table["gold"].to_pylist(), strict=True))
        return Evaluation(name, tuple(groups_of(table)), gold={i: text for i, text in gold.items() if text})


def write_evaluation(folder: RunFolder, evaluation: Evaluation, step: int) -> None:
    """Writes samples first and the metrics row after them, so that a row always has its samples."""
    name = table_name(evaluation.name)
    folder.write_samples(name, _rows(evaluation.groups, evaluation.gold))
    folder.remove_parts(name)
    folder.append_metrics(evaluation.row(step))


def known_groups(
    folder: RunFolder, name: str, problems: Sequence[Problem], policy: PolicyVersion, samples: int
) -> dict[str, Group]:
    """Problem id -> its judged group of `samples` samples under `policy`, of the problems that an earlier process of
    the run has answered. What the infrastructure failed to judge is none. Raises RunFolderError."""
    by_id = {problem.id: problem for problem in problems}
    with reading(str(folder)):
        table = pa.concat_tables([folder.samples(table_name(name)), folder.parts(table_name(name))])
        recorded = groups_of(table.take(pa.array(_fitting(table, by_id, policy), pa.int64())))
    return {
        group.problem.id: replace(group, problem=by_id[group.problem.id])
        for group in recorded
        if len(group.samples) == samples and not any(v.status is Status.INFRASTRUCTURE for v in group.verdicts)
    }


def _fitting(table: pa.Table, problems: Mapping[str, Problem], policy: PolicyVersion) -> list[int]:
    """Places of the rows of these questions under this policy, each sample once: a process that dies between the whole
    table and its parts' removal leaves both."""
    found: dict[tuple[str, int], int] = {}
    columns = (table[name].to_pylist() for name in ("problem_id", "index", "question_hash", "adapter_hash"))
    for place, (problem, index, question, adapter) in enumerate(zip(*columns, strict=True)):
        if problem in problems and problems[problem].question_hash == question and adapter == policy.adapter_hash:
            found.setdefault((problem, index), place)
    return list(found.values())


class Parts:
    """Writes the groups of an evaluation as they are judged; without a run folder it keeps nothing."""

    def __init__(self, folder: RunFolder | None, name: str) -> None:
        self._folder, self._name = folder, table_name(name)
        self._waiting: list[Group] = []
        self._since = time.monotonic()

    def add(self, group: Group) -> None:
        """A judged group; it is written with others, unless it has samples without a verdict, which are asked again."""
        if self._folder is None or any(verdict.status is Status.INFRASTRUCTURE for verdict in group.verdicts):
            return
        self._waiting.append(group)
        if time.monotonic() - self._since >= PART_SECONDS:
            self._write()

    def __enter__(self) -> Parts:
        return self

    def __exit__(self, *_: object) -> None:
        self._write()

    def _write(self) -> None:
        if self._folder is not None and self._waiting:
            self._folder.write_part(self._name, _rows(self._waiting, {}))
        self._waiting, self._since = [], time.monotonic()


def collected(
    name: str,
    problems: Sequence[Problem],
    groups: Mapping[str, Group],
    missing: Sequence[str],
    max_tokens: int,
    max_model_len: int,
) -> Evaluation:
    """The evaluation that judged `groups`, by problem id, make up, in the order of the problems."""
    ordered = tuple(groups[p.id] for p in problems if p.id in groups)
    room = short_of_room(ordered, max_tokens, max_model_len)
    gold = {p.id: text for p in problems if p.id in groups and (text := worked_answer(p))}
    return Evaluation(name, ordered, tuple(missing), room, gold=gold)


def table_name(name: str) -> str:
    """What the table of an evaluation's samples is called."""
    return f"evaluation-{name}"


def _rows(groups: Sequence[Group], gold: Mapping[str, str]) -> list[dict[str, Any]]:
    return [row for group in groups for row in sample_rows(group, gold=gold.get(group.problem.id))]

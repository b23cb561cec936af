"""Which samples the report shows: a few hundred out of all, chosen to cover steps and statuses."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape
from itertools import zip_longest
from typing import Any, cast

import pyarrow as pa
from pydantic import ValidationError

from pipelines.artifacts.run_folder import RunFolder, step_name
from pipelines.report.run_data import Record
from problems.config import ProblemsConfig
from problems.problem import Split
from problems.stream import ProblemStream

LIMIT = 240
"""Samples shown."""
STEPS_SHOWN = 20
"""Steps from which every status is shown; others appear where a status is rare."""
OF_EACH_STATUS = 6
"""Samples of each status that are shown in any case, spread over all steps."""
LONGEST = 4000
"""Characters shown of a text."""
BUDGET = 900_000
"""Characters of escaped text in all: keeps the page small whatever models write."""

_COLUMNS = (
    "group_id", "index", "problem_id", "question_hash", "family", "mode", "difficulty", "split", "prompt", "gold",
    "completion", "finish_reason", "policy_version", "engine", "status", "tests_passed", "tests_run", "tests_total",
    "cpu_seconds", "memory_mib", "isolation", "detail", "reward", "advantage",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Shown:
    """A sample as the page shows it."""

    source: str
    """`step 12`, or the name of an evaluation."""
    row: Mapping[str, Any]
    completion: str
    completion_left_out: int
    """Characters of it that are not shown."""
    prompt: str
    prompt_kind: str
    """`prompt` as it was sent, or `question` where it was written out again from the problem's id; "" for none."""
    gold: str
    """A right answer or program; "" where none is known."""

    @property
    def reward(self) -> str:
        reward = self.row["reward"]
        return "not scored" if reward is None else f"{reward:g}"


@dataclass(frozen=True, slots=True)
class Browser:
    """The samples shown and what can be chosen among them."""

    samples: tuple[Shown, ...]
    kept: int
    """Samples in the run folder."""
    sources: tuple[str, ...]
    families: tuple[str, ...]
    statuses: tuple[str, ...]


def browse(folder: RunFolder, record: Record) -> Browser:
    """Chooses and reads the samples to show. Reads texts only of the steps that it shows something of."""
    labels = _labels(folder, record)
    always = {str(row["name"]) for row in record.evaluations}
    chosen = choose([(source, row["status"], row["family"]) for _, source, rows in labels for row in rows], always)
    samples, at, spent, questions = [], 0, 0, Questions(record)
    for name, source, rows in labels:
        wanted = [number for number in range(len(rows)) if at + number in chosen]
        at += len(rows)
        if not wanted:
            continue
        table = folder.samples(name, _COLUMNS).take(pa.array(wanted))
        for row in table.to_pylist():
            shown = _shown(source, row, questions)
            spent += len(escape(shown.completion)) + len(escape(shown.prompt)) + len(escape(shown.gold))
            if spent <= BUDGET:
                samples.append(shown)
    values = ([s.source for s in samples], [s.row["family"] for s in samples], [s.row["status"] for s in samples])
    sources, families, statuses = values
    return Browser(
        tuple(samples), at, tuple(dict.fromkeys(sources)), tuple(sorted(set(families))), tuple(sorted(set(statuses)))
    )


def choose(labels: Sequence[tuple[str, str, str]], always: Collection[str] = (), limit: int = LIMIT) -> set[int]:
    """Places of at most `limit` of the samples, given as (source, status, family). Sources in `always` are all shown.

    First some of each status, from all along the run; then turn by turn one of each status of each shown source, of a
    family not yet seen there where there is one.
    """
    by_status: dict[str, list[int]] = {}
    for place, (_, status, _) in enumerate(labels):
        by_status.setdefault(status, []).append(place)
    chosen = dict.fromkeys(place for places in by_status.values() for place in spread(places, OF_EACH_STATUS))
    steps = list(dict.fromkeys(source for source, _, _ in labels if source not in always))
    shown = {*always, *spread(steps, STEPS_SHOWN)}
    cells: dict[tuple[str, str], list[int]] = {}
    for place, (source, status, _) in enumerate(labels):
        if source in shown:
            cells.setdefault((source, status), []).append(place)
    queues = [_families_in_turn(places, labels) for places in cells.values()]
    for turn in zip_longest(*queues):
        chosen |= dict.fromkeys(place for place in turn if place is not None)
        if len(chosen) >= limit:
            break
    return set(list(chosen)[:limit])


def spread(items: Sequence[Any], count: int) -> list[Any]:
    """At most `count` of the items, evenly spaced, the first and the last among them."""
    if len(items) <= count:
        return list(items)
    return [items[round(at * (len(items) - 1) / (count - 1))] for at in range(count)]


class Questions:
    """Writes out again what a problem asked, from its id. Only what has the recorded hash is trusted."""

    def __init__(self, record: Record) -> None:
        try:
            self._config = ProblemsConfig.model_validate(record.setting("problems", {}))
        except ValidationError:  # of another version: its questions cannot be written out, all else can be shown
            self._config = None
        self._stream = lru_cache(maxsize=16)(self._stream)

    def text(self, row: Mapping[str, Any]) -> str:
        """Statement and signature; "" where this problem cannot be written out."""
        place = re.fullmatch(r".+-(train|val|test)-(-?\d+)-(\d+)", row["problem_id"] or "")
        if self._config is None or place is None:
            return ""
        try:
            problem = self._stream(cast(Split, place[1]), int(place[2])).problem(int(place[3]))
        except (ValueError, LookupError):
            return ""
        if problem.question_hash != row["question_hash"]:
            return ""
        return f"{problem.statement}\n\n{problem.signature}".strip()

    def _stream(self, split: Split, seed: int) -> ProblemStream:
        if self._config is None:
            raise ValueError("the problems of another version cannot be written out")
        return ProblemStream(self._config.model_copy(update={"seed": seed}), split)


def _labels(folder: RunFolder, record: Record) -> list[tuple[str, str, list[dict[str, Any]]]]:
    """(name of the file, source, its rows with status and family): evaluations before training, steps, and after."""
    names = [str(row["name"]) for row in record.evaluations]
    files = [(f"evaluation-{name}", name) for name in names]
    steps = sorted(set(folder.samples("step-*", ["step"])["step"].to_pylist()))
    middle = [(step_name(step), f"step {step}") for step in steps]
    first = [file for file in files if file[1] != "after"]
    last = [file for file in files if file[1] == "after"]
    columns = ("status", "family")
    return [(name, source, folder.samples(name, columns).to_pylist()) for name, source in (*first, *middle, *last)]


def _families_in_turn(places: Sequence[int], labels: Sequence[tuple[str, str, str]]) -> Iterator[int]:
    seen: dict[str, int] = {}
    turns = []
    for place in places:
        family = labels[place][2]
        turns.append((seen.get(family, 0), place))
        seen[family] = seen.get(family, 0) + 1
    return iter([place for _, place in sorted(turns)])


def _shown(source: str, row: Mapping[str, Any], questions: Questions) -> Shown:
    completion = row["completion"] or ""
    prompt, kind = row["prompt"] or "", "prompt"
    if not prompt:
        prompt, kind = questions.text(row), "question"
    return Shown(
        source=source,
        row=row,
        completion=completion[:LONGEST],
        completion_left_out=max(0, len(completion) - LONGEST),
        prompt=prompt[:LONGEST],
        prompt_kind=kind if prompt else "",
        gold=(row["gold"] or "")[:LONGEST],
    )

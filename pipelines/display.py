"""The live view of a training run: one table that changes on a terminal, one line a step elsewhere."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from problems.plain_text import shown

TREND = 8
"""Steps over which the smoothed columns are averaged."""

COLUMNS: tuple[tuple[str, str, str], ...] = (
    ("reward", "reward", "{:.3f}"),
    ("pass rate", "pass_rate", "{:.1%}"),
    ("informative", "acceptance", "{:.0%}"),
    ("entropy", "entropy", "{:.3f}"),
    ("KL", "kl", "{:.4f}"),
    ("grad norm", "grad_norm", "{:.3f}"),
    ("staleness", "staleness_mean", "{:.2f}"),
    ("sync gap", "logprob_gap/fresh_max", "{:.1e}"),
    ("short room", "short_room", "{:,.0f}"),
    ("skipped", "skipped_steps", "{:,.0f}"),
    ("tokens/s", "tokens_per_second", "{:,.0f}"),
    ("s/step", "seconds/whole_step", "{:.2f}"),
)
"""Heading, key of `metrics.jsonl`, format."""
ONLY_IF_ANY = ("short_room", "skipped_steps")
"""Keys of columns that are shown from when they count something: samples that had fewer than `max_tokens` to answer in,
updates skipped for a gradient that was not finite."""


class LiveDisplay:
    """`with LiveDisplay(steps, console) as display: display.update(row)` for each step's row of metrics."""

    def __init__(self, steps: int, console: Console):
        self._steps = steps
        self._console = console
        self._rows: deque[Mapping[str, Any]] = deque(maxlen=TREND)
        self._progress = Progress(
            TextColumn("training"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._progress.add_task("", total=steps)
        self._live: Live | None = None
        self._told = 0.0

    def __enter__(self) -> LiveDisplay:
        if self._console.is_terminal:
            self._live = Live(self._view(), console=self._console, refresh_per_second=4, transient=False)
            self._live.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        if self._live is not None:
            self._live.__exit__(*exception)

    def update(self, row: Mapping[str, Any]) -> None:
        """Shows a finished step."""
        self._rows.append(row)
        self._progress.update(self._task, completed=row["step"])
        if self._live is not None:
            self._live.update(self._view())
        else:
            self._console.print(shown(line(row, self._steps)), soft_wrap=True)

    def note(self, text: str) -> None:
        """Says something once, above the table."""
        self._console.print(shown(text, "yellow"))

    def _view(self) -> Group:
        table = Table(expand=True, title_justify="left")
        shown = columns(self._rows)
        for heading, _, _ in shown:
            table.add_column(heading, justify="right")
        if self._rows:
            table.add_row(*cells(self._rows[-1], shown))
            table.add_row(*cells(mean_row(self._rows), shown), style="dim")
            table.caption = f"last step, and the mean of the last {len(self._rows)}   {time_line(self._rows)}"
        else:
            table.caption = "waiting for the first batch"
        return Group(table, self._progress)


def columns(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, str]]:
    """Those of `COLUMNS` that say something of these rows."""
    return [column for column in COLUMNS if column[1] not in ONLY_IF_ANY or any(row.get(column[1]) for row in rows)]


def cells(row: Mapping[str, Any], shown: Sequence[tuple[str, str, str]] = COLUMNS) -> list[str]:
    """The row's values as text, "" where there is none."""
    return [form.format(row[key]) if isinstance(row.get(key), int | float) else "" for _, key, form in shown]


def line(row: Mapping[str, Any], steps: int) -> str:
    """One step as one line of text."""
    shown = columns([row])
    parts = [f"{heading} {text}" for (heading, _, _), text in zip(shown, cells(row, shown), strict=True) if text]
    return f"{time.strftime('%H:%M:%S')} step {row['step']}/{steps}  " + "  ".join(parts)


def mean_row(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """The mean of every displayed column over the rows that have it."""
    means = {}
    for _, key, _ in COLUMNS:
        values = [row[key] for row in rows if isinstance(row.get(key), int | float)]
        if values:
            means[key] = sum(values) / len(values)
    return means


def time_line(rows: Sequence[Mapping[str, Any]]) -> str:
    """Where the learner's wall time went over these rows."""
    whole = sum(row.get("seconds/whole_step") or 0.0 for row in rows)
    if not whole:
        return ""
    shares = {
        "wait for samples": sum(row.get("seconds/wait_for_batch") or 0.0 for row in rows),
        "train": sum(row.get("seconds/step") or 0.0 for row in rows),
        "publish": sum(row.get("publish/seconds") or 0.0 for row in rows),
    }
    shares["other"] = max(0.0, whole - sum(shares.values()))
    return "time: " + ", ".join(f"{name} {value / whole:.0%}" for name, value in shares.items())

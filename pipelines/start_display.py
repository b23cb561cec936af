"""What is shown while engines start: phases and the model's download, live on a terminal, else a line now and then."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from typing import Any

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.spinner import Spinner

from pipelines.progress import LINE_SECONDS
from problems.plain_text import shown
from rollout.starting import StartReport


class StartDisplay:
    """`with StartDisplay(count, console) as display: display.update(reports)`, the reports of engines not yet up."""

    def __init__(self, engines: int, console: Console, what: str = "rollout engine"):
        self._engines = engines
        self._what = what
        self._console = console
        self._began = self._printed = time.monotonic()
        self._live: Live | None = None
        self._bar = Progress(
            TextColumn("downloading the model"),
            BarColumn(bar_width=None),
            DownloadColumn(binary_units=True),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._bar.add_task("", total=None)
        self._spinner = Spinner("dots", f"starting the {what}s")

    def __enter__(self) -> StartDisplay:
        if self._console.is_terminal:
            self._live = Live(self._spinner, console=self._console, refresh_per_second=8, transient=True)
            self._live.__enter__()
        return self

    def __exit__(self, *exception: Any) -> None:
        if self._live is not None:
            self._live.__exit__(*exception)

    def update(self, reports: Mapping[int, StartReport]) -> None:
        """Shows how far the engines are that are not up."""
        line = phases_line(reports, self._engines, self._what)
        loading = widest_download(reports)
        if self._live is not None:
            self._spinner.update(text=shown(line))
            if loading is not None:
                self._bar.update(self._task, completed=loading.done, total=loading.total)
            self._live.update(Group(self._spinner, self._bar) if loading is not None else self._spinner)
        elif reports and time.monotonic() - self._printed >= LINE_SECONDS:
            self._printed = time.monotonic()
            so_far = f" {size(loading.done)} of {size(loading.total)}" if loading is not None else ""
            self._console.print(shown(f"{line}{so_far} ({self._printed - self._began:.0f} s)"), soft_wrap=True)


def widest_download(reports: Mapping[int, StartReport]) -> StartReport | None:
    """The download with the most bytes: engines of one node wait for one of them, those of others have their own."""
    return max((r for r in reports.values() if r.downloading), key=lambda report: report.done, default=None)


def phases_line(reports: Mapping[int, StartReport], engines: int, what: str = "rollout engine") -> str:
    """`starting the rollout engine: loading weights`, or how many of several are in which phase."""
    phases = Counter(report.phase for report in reports.values())
    if engines == 1:
        return f"starting the {what}: {next(iter(phases), 'up')}"
    up = engines - len(reports)
    counts = [f"{count} {phase}" for phase, count in phases.items()] + ([f"{up} up"] if up else [])
    return f"starting {engines} {what}s: {', '.join(counts)}"


def size(count: int) -> str:
    """Bytes for people."""
    return f"{count / 2**30:.1f} GiB" if count >= 2**30 else f"{count / 2**20:.0f} MiB"

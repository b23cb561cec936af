"""How far counted work is: a bar on a terminal, a line every ten seconds in a captured log."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from problems.plain_text import one_line, shown

LINE_SECONDS = 10.0
"""Between two lines, where there is no terminal for a bar."""


class CountedProgress:
    """`with CountedProgress(console, "evaluating", total) as progress: progress.update(done, note)`."""

    def __init__(self, console: Console, what: str, total: int | None = None, done: int = 0):
        """`total` may come later; `done` of it was done before this began, and says nothing of the pace."""
        self._console, self._what = console, one_line(what)
        self._total, self._done, self._before = total, done, done
        self._note = ""
        columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(),
                   TextColumn("{task.fields[note]}", markup=False), TimeRemainingColumn())  # fmt: skip
        self._bar = Progress(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task(self._what, total=total, completed=done, note="")
        self._began = self._printed = time.monotonic()

    def __enter__(self) -> CountedProgress:
        self._began = self._printed = time.monotonic()
        self._bar.start()
        return self

    def __exit__(self, *exception: Any) -> None:
        self._bar.stop()

    def update(self, done: int | None = None, note: str | None = None, total: int | None = None) -> None:
        """So much is done, of so much; what is not given stays."""
        self._done = self._done if done is None else done
        self._note = self._note if note is None else note
        self._total = self._total if total is None else total
        self._bar.update(self._task, completed=self._done, total=self._total, note=self._note)
        now = time.monotonic()
        if not self._console.is_terminal and now - self._printed >= LINE_SECONDS:
            self._printed = now
            self._console.print(shown(self._line(now - self._began)), soft_wrap=True)

    def _line(self, seconds: float) -> str:
        """`evaluating before 120/1,280  pass@1 31.0 %  (20 s, about 193 s left)`."""
        of_all = f"/{self._total:,}" if self._total is not None else ""
        fresh = self._done - self._before
        left = f", about {seconds / fresh * (self._total - self._done):.0f} s left" if fresh > 0 and self._total else ""
        note = f"  {self._note}" if self._note else ""
        return f"{self._what} {self._done:,}{of_all}{note}  ({seconds:.0f} s{left})"

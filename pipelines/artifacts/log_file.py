"""What a run says of itself, besides its figures."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from problems.plain_text import one_line


@dataclass(frozen=True, slots=True)
class LogFile:
    """A run's `log.txt`: called with a line, appends it with the time before it."""

    path: Path

    def __call__(self, line: str) -> None:
        with open(self.path, "a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')}  {one_line(line)}\n")

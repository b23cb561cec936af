"""Where a command tells people what it does: standard error."""

from __future__ import annotations

import sys

from rich.console import Console


def open_console() -> Console:
    """Standard error. On a terminal long lines wrap between words; elsewhere, as in a captured log, a line stays one
    line, so that it can be searched and its paths copied. Tables fit the width in both."""
    return Console(file=sys.stderr, highlight=False, soft_wrap=not sys.stderr.isatty())

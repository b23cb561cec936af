"""`crucible undo`: a student is taught again and again from its own errors."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from cluster.hardware import NoRoom
from pipelines.artifacts.run_folder import RunFolderError
from pipelines.config import ConfigError, fail, parse, resumed_config, take_option
from pipelines.jobs.undo.config import UndoConfig
from problems.plain_text import shown


def main(argv: Sequence[str]) -> int:
    """`crucible undo`."""
    argv = list(argv)
    try:
        resumed = take_option(argv, "--resume")
        default = resumed_config(UndoConfig, Path(resumed)) if resumed is not None else None
        config = parse(UndoConfig, argv, prog="crucible undo", default=default)
    except ConfigError as error:
        return fail(str(error))
    # After the options are read: help, and a mistyped option, need not wait for these.
    from pipelines.jobs.undo.job import run
    from rollout.teacher.request_cache import TeacherStopped

    console = Console(file=sys.stderr, highlight=False)
    try:
        outcome = run(config, console, resume=resumed is not None)
    except (ConfigError, RunFolderError, NoRoom, TeacherStopped) as error:
        return fail(str(error))
    except KeyboardInterrupt:
        return fail("interrupted; all answers so far are kept, and `--resume RUN_FOLDER` goes on") and 130
    console.print(shown(f"results: {outcome.folder}/results.json, report: {outcome.folder}/report.html"))
    return 0

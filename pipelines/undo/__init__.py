"""`crucible undo`: a student is taught again and again from its own errors."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from cluster.hardware import NoRoom
from pipelines.config import ConfigError, fail, load_yaml, parse, take_option
from pipelines.run_folder import RunFolderError
from pipelines.undo.config import UndoConfig
from rollout.answers import TeacherStopped


def main(argv: Sequence[str]) -> int:
    """`crucible undo`."""
    from pipelines.undo.job import run

    argv = list(argv)
    console = Console(file=sys.stderr, highlight=False)
    try:
        resumed = take_option(argv, "--resume")
        default = None
        if resumed is not None:
            where = Path(resumed)
            default = load_yaml(UndoConfig, where / "config.yaml")
            default = default.model_copy(update={"runs": where.parent, "name": where.name})
        config = parse(UndoConfig, argv, prog="crucible undo", default=default)
        outcome = run(config, console, resume=resumed is not None)
    except (ConfigError, RunFolderError, NoRoom, TeacherStopped) as error:
        return fail(str(error))
    except KeyboardInterrupt:
        return fail("interrupted; all answers so far are kept, and `--resume RUN_FOLDER` goes on") and 130
    console.print(f"results: {outcome.folder}/results.json, report: {outcome.folder}/report.html")
    return 0

"""`crucible lrl`: a strategy is learnt in words, and then handed to a small model by LoRA."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from cluster.hardware import NoRoom
from pipelines.artifacts.run_folder import RunFolderError
from pipelines.config import ConfigError, fail, parse, resumed_config, take_option
from pipelines.jobs.lrl.config import LRLConfig
from problems.plain_text import shown


def main(argv: Sequence[str]) -> int:
    """`crucible lrl`."""
    argv = list(argv)
    try:
        resumed = take_option(argv, "--resume")
        default = resumed_config(LRLConfig, Path(resumed)) if resumed is not None else None
        config = parse(LRLConfig, argv, prog="crucible lrl", default=default)
    except ConfigError as error:
        return fail(str(error))
    # After the options are read: help, and a mistyped option, need not wait for these.
    from pipelines.jobs.lrl.job import run
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

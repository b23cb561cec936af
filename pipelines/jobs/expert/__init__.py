"""`crucible expert-iteration`: a model learns a few families from its own verified samples and keeps what it knew."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from cluster.hardware import NoRoom
from pipelines.artifacts.run_folder import RunFolderError
from pipelines.config import ConfigError, fail, parse, resumed_config, take_option
from pipelines.jobs.expert.config import ExpertConfig
from problems.plain_text import shown


def main(argv: Sequence[str]) -> int:
    """`crucible expert-iteration`."""
    argv = list(argv)
    try:
        resumed = take_option(argv, "--resume")
        default = resumed_config(ExpertConfig, Path(resumed)) if resumed is not None else None
        config = parse(ExpertConfig, argv, prog="crucible expert-iteration", default=default)
    except ConfigError as error:
        return fail(str(error))
    # After the options are read: help, and a mistyped option, need not wait for these.
    from pipelines.artifacts.traces import TracesError
    from pipelines.jobs.expert.job import run
    from pipelines.jobs.sft import SFTFailed

    console = Console(file=sys.stderr, highlight=False)
    try:
        outcome = run(config, console, resume=resumed is not None)
    except (ConfigError, RunFolderError, NoRoom, SFTFailed, TracesError) as error:
        return fail(str(error))
    except KeyboardInterrupt:
        return fail("interrupted; all samples so far are kept, and `--resume RUN_FOLDER` goes on") and 130
    console.print(
        shown(f"results: {outcome.folder}/results.json, report: {outcome.folder}/report.html"), soft_wrap=True
    )
    return 0

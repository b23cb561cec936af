"""`crucible lrl`: a strategy is learnt in words, and then handed to a small model by LoRA."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from cluster.hardware import NoRoom
from pipelines.config import ConfigError, fail, load_yaml, parse, take_option
from pipelines.lrl.config import LRLConfig
from pipelines.run_folder import RunFolderError
from rollout.answers import TeacherStopped


def main(argv: Sequence[str]) -> int:
    """`crucible lrl`."""
    from pipelines.lrl.job import run

    argv = list(argv)
    console = Console(file=sys.stderr, highlight=False)
    try:
        resumed = take_option(argv, "--resume")
        default = None
        if resumed is not None:
            where = Path(resumed)
            default = load_yaml(LRLConfig, where / "config.yaml")
            default = default.model_copy(update={"runs": where.parent, "name": where.name})
        config = parse(LRLConfig, argv, prog="crucible lrl", default=default)
        outcome = run(config, console, resume=resumed is not None)
    except (ConfigError, RunFolderError, NoRoom, TeacherStopped) as error:
        return fail(str(error))
    except KeyboardInterrupt:
        return fail("interrupted; all answers so far are kept, and `--resume RUN_FOLDER` goes on") and 130
    console.print(f"results: {outcome.folder}/results.json, report: {outcome.folder}/report.html")
    return 0

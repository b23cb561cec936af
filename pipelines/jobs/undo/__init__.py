"""`crucible undo`: a student is taught again and again from its own errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

from pipelines.job import MAY_CHANGE, Context, Job
from pipelines.jobs.teacher_job_config import TEACHER_MAY_CHANGE
from pipelines.jobs.undo.config import UndoConfig
from problems.plain_text import shown

# Imported when the work begins: help, and a mistyped option, need not wait for it.
if TYPE_CHECKING:
    from pipelines.jobs.undo.job import Outcome


def _check(config: UndoConfig) -> None:
    from pipelines.sync_teacher import check_teacher

    check_teacher(config.teacher)


def _run(context: Context[UndoConfig]) -> Outcome:
    from pipelines.jobs.undo.job import run

    return run(context)


def _report(context: Context[UndoConfig], outcome: Outcome) -> None:
    from pipelines.jobs.undo.report import write_report

    write_report(outcome.results, context.folder)


def _show(console: Console, outcome: Outcome) -> None:
    from pipelines.jobs.undo.report import show

    show(console, outcome.results)
    results = f"results: {outcome.folder}/results.json, report: {outcome.folder}/report.html"
    console.print(shown(results), soft_wrap=True)


JOB = Job(
    "undo", UndoConfig, _run, _show, _report, check=_check, named_after="teacher",
    may_change=(*MAY_CHANGE, "hub_repo", "hub_private", "hub_endpoint", *TEACHER_MAY_CHANGE),
)  # fmt: skip
main = JOB.main

"""`crucible lrl`: a strategy is learnt in words, and then handed to a small model by LoRA."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

from pipelines.job import MAY_CHANGE, Context, Job
from pipelines.jobs.lrl.config import LRLConfig
from pipelines.jobs.teacher_job_config import TEACHER_MAY_CHANGE
from problems.plain_text import shown

# Imported when the work begins: help, and a mistyped option, need not wait for it.
if TYPE_CHECKING:
    from pipelines.jobs.lrl.job import Outcome


def _check(config: LRLConfig) -> None:
    from pipelines.sync_teacher import check_teacher

    check_teacher(config.teacher)


def _run(context: Context[LRLConfig]) -> Outcome:
    from pipelines.jobs.lrl.job import run

    return run(context)


def _report(context: Context[LRLConfig], outcome: Outcome) -> None:
    from pipelines.jobs.lrl.report import write_report

    write_report(outcome.results, context.folder)


def _show(console: Console, outcome: Outcome) -> None:
    from pipelines.jobs.lrl.report import show

    show(console, outcome.results)
    results = f"results: {outcome.folder}/results.json, report: {outcome.folder}/report.html"
    console.print(shown(results), soft_wrap=True)


JOB = Job(
    "lrl", LRLConfig, _run, _show, _report, check=_check, named_after="teacher",
    may_change=(*MAY_CHANGE, *TEACHER_MAY_CHANGE),
)  # fmt: skip
main = JOB.main

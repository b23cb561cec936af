"""`crucible expert-iteration`: a model learns a few families from its own verified samples and keeps what it knew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console

from pipelines.job import Context, Job
from pipelines.jobs.expert.config import ExpertConfig
from problems.plain_text import shown

# Imported when the work begins: help, and a mistyped option, need not wait for it.
if TYPE_CHECKING:
    from pipelines.jobs.expert.job import Outcome


def _run(context: Context[ExpertConfig]) -> Outcome:
    from pipelines.jobs.expert.job import run

    return run(context)


def _report(context: Context[ExpertConfig], outcome: Outcome) -> None:
    from pipelines.jobs.expert.report import write_report

    write_report(outcome.results, context.folder)


def _show(console: Console, outcome: Outcome) -> None:
    from pipelines.jobs.expert.report import show

    show(console, outcome.results)
    results = f"results: {outcome.folder}/results.json, report: {outcome.folder}/report.html"
    console.print(shown(results), soft_wrap=True)


JOB = Job("expert-iteration", ExpertConfig, _run, _show, _report)
main = JOB.main

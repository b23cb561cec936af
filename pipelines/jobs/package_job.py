"""Jobs that are packages: what they do, and what their report shows, are modules of the package.

`PACKAGE.job` has `run(context) -> Outcome`, `PACKAGE.report` has `write_report(results, folder)` and
`show(console, results)`. Both are imported when the work begins: help, and a mistyped option, need not wait for them.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from rich.console import Console

from pipelines.evaluation_tables import show_conditions
from pipelines.job import Config, Context, Job
from pipelines.measure.conditions import Result
from problems.plain_text import shown


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a run."""

    folder: str
    """Its path or its URL."""
    results: Mapping[str, Any]
    """The content of `results.json`."""


def package_job(package: str, command: str, config: type[Config], **more: Any) -> Job[Config, Outcome]:
    """The job of a package by its dotted name; `more` as for `Job`."""

    def module(name: str) -> ModuleType:
        return importlib.import_module(f"{package}.{name}")

    def run(context: Context[Config]) -> Outcome:
        return module("job").run(context)

    def report(context: Context[Config], outcome: Outcome) -> None:
        module("report").write_report(outcome.results, context.folder)

    def show(console: Console, outcome: Outcome) -> int:
        module("report").show(console, outcome.results)
        status = show_conditions(console, [Result(**row) for row in outcome.results.get("conditions", ())])
        line = f"results: {outcome.folder}/results.json, report: {outcome.folder}/report.html"
        console.print(shown(line), soft_wrap=True)
        if where := outcome.results.get("kept_at"):
            console.print(shown(f"{Path(where).name}: {outcome.folder}/{where}"), soft_wrap=True)
        return status

    return Job(command, config, run, show, report, **more)


def check_teacher(config: Any) -> None:
    """The `check` of a job with a section `teacher`. Raises ConfigError."""
    from pipelines import sync_teacher

    sync_teacher.check_teacher(config.teacher)

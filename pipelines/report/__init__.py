"""`report.html`: the results of a run, its course, and what the model wrote, in one file that needs no network."""

from __future__ import annotations

import importlib
import secrets
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import jinja2
import plotly.io
import plotly.offline
import yaml
from markupsafe import Markup

from pipelines.artifacts.plain_files import read_object, read_rows, read_tail, reading
from pipelines.artifacts.run_folder import RunFolder, RunFolderError
from pipelines.display import TREND
from pipelines.errors import fail
from pipelines.report import figures, tables, traces
from pipelines.report.browser import browse
from pipelines.report.page_layout import as_script, environment
from pipelines.report.run_data import Record, engine_rates, whole_overlap
from problems.plain_text import plain_text, storable

OWN_PAGES = ("expert", "lrl", "undo")
"""Jobs whose report is their own: `pipelines.jobs.<job>.report`."""
LOG_LINES = 200
"""Last lines of the log that are shown."""
LOG_BYTES = 200_000
"""Of these lines."""


def write_report(run_folder: RunFolder) -> Path:
    """Writes `report.html` from what the run folder holds, of a finished run or of an interrupted one.

    Raises RunFolderError where `metrics.jsonl` cannot be read, and for a sweep. Whatever else is missing is left out of
    the page.
    """
    with reading(str(run_folder)):
        html = _of_its_job(run_folder) or render(run_folder)
    return run_folder.write_report(storable(html))


def _of_its_job(folder: RunFolder) -> str:
    """The page of a job that has a page of its own and has ended; else ""."""
    if (folder.path / "trials").is_dir():
        raise RunFolderError(f"{folder} is a sweep's: `crucible sweep --resume {folder}` writes its report again")
    distilled = [row for row in folder.metrics() if row.get("kind") == "distil"]
    if distilled and (attempts := read_rows(folder.path / "attempts.jsonl")):
        return traces.render(distilled[-1], attempts, folder)
    path = folder.path / "results.json"
    results = read_object(path) if path.is_file() else {}
    if results.get("job") not in OWN_PAGES:
        return ""
    return importlib.import_module(f"pipelines.jobs.{results['job']}.report").render(results, folder)


def render(folder: RunFolder) -> str:
    """The page as text."""
    record = Record.read(folder)
    charts = {
        "grid": figures.grid_charts(record),
        "learning": figures.learning_curves(record),
        "sync": _some(figures.sync_chart(record)),
        "time": _some(figures.time_chart(record), figures.engine_chart(record)),
        "statuses": _some(figures.status_chart(record)),
    }
    return _environment().get_template("page.html.jinja").render(
        record=record,
        headline=tables.headline(record),
        model=tables.model_name(record),
        tiles=tables.tiles(record),
        produced=tables.produced(record),
        results=tables.results(record),
        evaluation_facts=tables.evaluation_facts(record),
        conditions=tables.conditions(record),
        evaluation_statuses=tables.evaluation_statuses(record),
        charts=charts,
        trend=TREND,
        figures=_figures_json([chart for section in charts.values() for chart in section]),
        plotly=Markup(plotly.offline.get_plotlyjs()) if any(charts.values()) else "",
        sync_sentence=tables.sync_sentence(record),
        time_shares=tables.time_shares(record),
        overlap=whole_overlap(record),
        engine_rates=engine_rates(record),
        accounting=tables.accounting(record),
        verify_seconds=sum(value or 0.0 for value in record.series("verify_cpu_seconds")),
        browser=browse(folder, record),
        config=yaml.safe_dump(folder.config, sort_keys=False, allow_unicode=True),
        log=_log(folder),
        written=time.strftime("%Y-%m-%d %H:%M"),
        # Only scripts that carry it are run: text that slipped through as markup could not know it.
        nonce=secrets.token_urlsafe(16),
    )  # fmt: skip


def main(argv: Sequence[str]) -> int:
    """`crucible report RUN_FOLDER`: writes the report again, also of a run that is going on."""
    if len(argv) != 1 or argv[0] in ("-h", "--help"):
        is_help = bool(argv) and argv[0] in ("-h", "--help")
        usage = "usage: crucible report RUN_FOLDER\n\nWrites RUN_FOLDER/report.html from what the run has done so far."
        print(usage, file=sys.stdout if is_help else sys.stderr)
        return 0 if is_help else 2
    try:
        with RunFolder.open(argv[0]) as folder:
            write_report(folder)
            print(plain_text(f"{folder}/report.html"))
    except RunFolderError as error:
        return fail(str(error))
    return 0


def _environment() -> jinja2.Environment:
    made = environment("pipelines.report")
    made.filters |= {"duration": tables.duration, "readable": figures.readable}
    made.globals["colour_of"] = {str(status): colour for status, colour in figures.STATUS_COLOURS.items()}
    return made


def _figures_json(charts: Sequence[figures.Chart]) -> Markup:
    """{div id: figure} for the page's script."""
    return as_script({f"chart-{chart.key}": plotly.io.to_json(chart.figure, validate=False) or "" for chart in charts})


def _some(*charts: figures.Chart | None) -> list[figures.Chart]:
    return [chart for chart in charts if chart is not None]


def _log(folder: RunFolder) -> str:
    if not folder.log_file.path.is_file():
        return ""
    lines = read_tail(folder.log_file.path, LOG_BYTES).decode("utf-8", "backslashreplace").splitlines()
    return "\n".join(lines[-LOG_LINES:])

"""`report.html`: what a run came to, how it went, and what the model wrote, in one file that needs no network."""

from __future__ import annotations

import json
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

from pipelines.display import TREND
from pipelines.report import figures, tables
from pipelines.report.browser import browse
from pipelines.report.record import Record, engine_rates, whole_overlap
from pipelines.run_folder import RunFolder, RunFolderError

LOG_LINES = 200
"""Last lines of the log that are shown."""


def write_report(run_folder: RunFolder) -> Path:
    """Writes `report.html` from what the run folder holds, of a finished run or of an interrupted one.

    Raises RunFolderError where `metrics.jsonl` cannot be read. Whatever else is missing is left out of the page.
    """
    html = render(run_folder)
    # A lone surrogate, which JSON can carry, has no UTF-8.
    return run_folder.write_report(html.encode("utf-8", "backslashreplace").decode())


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
        asked = bool(argv) and argv[0] in ("-h", "--help")
        usage = "usage: crucible report RUN_FOLDER\n\nWrites RUN_FOLDER/report.html from what the run has done so far."
        print(usage, file=sys.stdout if asked else sys.stderr)
        return 0 if asked else 2
    try:
        with RunFolder.open(argv[0]) as folder:
            write_report(folder)
            print(f"{folder}/report.html")
    except RunFolderError as error:
        print(f"crucible: {error}", file=sys.stderr)
        return 2
    return 0


def style_sheet() -> str:
    """The look of all reports, as CSS."""
    return _environment().get_template("style.css.jinja").render()


def _environment() -> jinja2.Environment:
    """Everything is escaped: names, details and completions are text that a model may have written."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pipelines.report", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"duration": tables.duration, "readable": figures.readable}
    environment.globals["colour_of"] = {str(status): colour for status, colour in figures.STATUS_COLOURS.items()}
    return environment


def _figures_json(charts: Sequence[figures.Chart]) -> Markup:
    """{div id: figure}, without any character that could end the script that holds it."""
    texts = {f"chart-{chart.key}": plotly.io.to_json(chart.figure, validate=False) for chart in charts}
    inner = ",".join(f"{json.dumps(key)}:{text}" for key, text in texts.items())
    return Markup("{" + inner.replace("<", "\\u003c").replace(">", "\\u003e") + "}")


def _some(*charts: figures.Chart | None) -> list[figures.Chart]:
    return [chart for chart in charts if chart is not None]


def _log(folder: RunFolder) -> str:
    if not folder.log_path.is_file():
        return ""
    lines = folder.log_path.read_text(encoding="utf-8", errors="backslashreplace").splitlines()
    return "\n".join(lines[-LOG_LINES:])

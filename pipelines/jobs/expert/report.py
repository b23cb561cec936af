"""The figures of a run: tables on the terminal, and `report.html` with focus and general skill by iteration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from rich.console import Console
from rich.table import Table

from pipelines.artifacts.plain_files import json_lines
from pipelines.artifacts.run_folder import RunFolder
from pipelines.measure.statistics import Difference, Estimate
from pipelines.report.figures import BLUE, RED, TEAL, blank
from pipelines.report.page_layout import error_bars, sheet
from problems.plain_text import shown

SIDES = ("focus", "general")
COLOURS = {"focus": BLUE, "general": TEAL}


def show(console: Console, results: Mapping[str, Any]) -> None:
    """Prints the figures."""
    console.print(_iterations(results))
    console.print(_test(results))
    for line in sentences(results):
        console.print(shown(line), soft_wrap=True)


def write_report(results: Mapping[str, Any], folder: RunFolder) -> None:
    """Writes the figures into the run folder, as a page."""
    folder.write_report(render(results, folder))


def sentences(results: Mapping[str, Any]) -> list[str]:
    """What the run came to, in words."""
    found = [
        f"test, {side}: {verdict(Difference(**change))} ({results['best']} against the start)"
        for side, change in results["change"].items()
    ]
    if not found:
        found = ["no iteration raised focus validation and was kept, so there is no adapter"]
    return [*found, f"best: {results['best']}; ended because {results['stopped']}"]


def verdict(change: Difference) -> str:
    """Whether a side moved by more than its interval."""
    moved = "improved" if change.improved else "worsened" if change.worsened else "did not change beyond chance"
    return f"{moved}, {change}"


def render(results: Mapping[str, Any], folder: RunFolder) -> str:
    """The page as text. Everything is escaped."""
    return sheet(
        folder,
        "pipelines.jobs.expert",
        "expert",
        "expert iteration",
        {"skill": skill(results)},
        results=results,
        sides=SIDES,
        sentences=sentences(results),
        solutions=_examples(folder),
        share=_share,
        change=_change,
    )


def skill(results: Mapping[str, Any]) -> go.Figure:
    """Validation pass@1 by iteration with 95 % intervals; an iteration that was rolled back has a cross."""
    figure = blank(360)
    names = ["start", *(row["name"] for row in results["iterations"])]
    for side in SIDES:
        shown = [results["start"][side], *(row["val"][side] for row in results["iterations"])]
        lost = [False, *(not row["accepted"] for row in results["iterations"])]
        figure.add_scatter(
            x=names,
            y=[one["value"] for one in shown],
            error_y=error_bars(shown),
            mode="lines+markers",
            name=side,
            line={"color": COLOURS[side], "width": 2},
            marker={
                "size": 10,
                "symbol": ["x" if is_lost else "circle" for is_lost in lost],
                "color": [RED if is_lost else COLOURS[side] for is_lost in lost],
            },
        )
    figure.update_layout(yaxis_tickformat=".0%", hovermode="x", margin_t=40)
    return figure


def _examples(folder: RunFolder, most: int = 12) -> list[Mapping[str, Any]]:
    """Some kept solutions, the last iteration's first."""
    found: list[Mapping[str, Any]] = []
    paths = folder.path.glob("iterations/*/solutions.jsonl")
    for path in sorted(paths, key=lambda p: -int(p.parent.name)):
        found += [row for _, row in json_lines(path)][: most // 3]
    return found[:most]


def _iterations(results: Mapping[str, Any]) -> Table:
    table = Table(title="Validation pass@1; change is against the start, paired by problem, 95 %", title_justify="left")
    for head in ("", "learnt", "replay", "focus", "change", "general", "change", ""):
        table.add_column(head, justify="right" if head else "left")
    table.add_row(
        "start", "", "", _percent(results["start"]["focus"]), "", _percent(results["start"]["general"]), "", ""
    )
    for row in results["iterations"]:
        cells: Sequence[str] = [text for s in SIDES for text in (_percent(row["val"][s]), _change(row["change"][s]))]
        fate = shown("" if row["accepted"] else f"rolled back: {' and '.join(row['fallen'])} fell", "red")
        kept = " best" if row["name"] == results["best"] else ""
        learnt = row["learnt"]
        table.add_row(
            shown(row["name"].rpartition("-")[2] + kept), str(learnt["focus"]), str(learnt["replay"]), *cells, fate,
        )  # fmt: skip
    return table


def _test(results: Mapping[str, Any]) -> Table:
    table = Table(title="Test pass@1, on problems that chose nothing", title_justify="left")
    tests = results["test"]
    table.add_column("")
    for name in tests:
        table.add_column(shown(name), justify="right")
    for side in SIDES:
        table.add_row(side, *(_share(found[side]["pass_at_1"]) for found in tests.values()), style="bold")
        for family in tests["start"][side]["families"]:
            table.add_row(shown(f"  {family}"), *(_share(found[side]["families"][family]) for found in tests.values()))
    return table


def _share(estimate: Mapping[str, Any]) -> str:
    return str(Estimate(**estimate))


def _percent(estimate: Mapping[str, float]) -> str:
    return f"{100 * estimate['value']:.1f} %"


def _change(change: Mapping[str, Any]) -> str:
    return str(Difference(**change)).replace(" points", "")

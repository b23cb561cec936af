"""The figures of a run: tables on the terminal, and `report.html` with charts and what was taught."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import plotly.graph_objects as go
from rich.console import Console
from rich.table import Table

from pipelines.artifacts.plain_files import read_rows
from pipelines.artifacts.run_folder import RunFolder
from pipelines.jobs.undo.suites import columns
from pipelines.measure.statistics import Estimate
from pipelines.report.figures import AMBER, BLUE, RED, SLATE, TEAL, VIOLET, blank
from pipelines.report.page_layout import error_bars, sheet
from problems.plain_text import shown
from rollout.teacher.config import REFERENCE

LABELS = {"base": "untaught", "iteration-0": "taught once (plain distillation)"}


def show(console: Console, results: Mapping[str, Any]) -> None:
    """Prints the figures."""
    for part in parts(results):
        console.print(part)


def write_report(results: Mapping[str, Any], folder: RunFolder) -> None:
    """Writes the figures into the run folder, as a page."""
    folder.write_report(render(results, folder))


def render(results: Mapping[str, Any], folder: RunFolder) -> str:
    """The page as text, with what the run folder holds beside the figures."""
    return sheet(
        folder,
        "pipelines.jobs.undo",
        "undo",
        "UNDO",
        {"skill": skill(results), "hints": hints(results), **({"suites": suites(results)} if columns(results) else {})},
        results=results,
        sentences=_compared(results) or ["the untaught student is kept: no iteration was better on validation"],
        families=_families(results),
        suites=columns(results),
        labels=LABELS,
        offline=results["cost"]["teacher"] == REFERENCE,
        taught=_taught(folder),
        share=_share,
    )


def skill(results: Mapping[str, Any]) -> go.Figure:
    """pass@1 on training and validation problems by iteration, with 95 % intervals."""
    figure = blank(340)
    names = ["untaught", *(row["name"] for row in results["iterations"])]
    for split, label, colour in (("train", "training", SLATE), ("val", "validation", TEAL)):
        shown = [results["base"][split], *(row[split] for row in results["iterations"])]
        figure.add_scatter(
            x=names,
            y=[one["value"] for one in shown],
            error_y=error_bars(shown),
            mode="lines+markers",
            name=label,
            line={"color": colour, "width": 2},
            marker_size=9,
        )
    figure.update_layout(yaxis_tickformat=".0%", hovermode="x", margin_t=40, title="pass@1")
    return figure


def suites(results: Mapping[str, Any]) -> go.Figure:
    """pass@1 on each suite by iteration, with 95 % intervals."""
    figure = blank(340)
    rows = results["suites"]["iterations"]
    colours = (BLUE, TEAL, AMBER, VIOLET, RED, SLATE)
    for number, suite in enumerate(columns(results)):
        found = [row[suite] for row in rows.values()]
        figure.add_scatter(
            x=["untaught" if name == "base" else name for name in rows],
            y=[one["value"] for one in found],
            error_y=error_bars(found),
            mode="lines+markers",
            name=suite,
            line={"color": colours[number % len(colours)], "width": 2},
            marker_size=9,
        )
    figure.update_layout(yaxis_tickformat=".0%", hovermode="x", margin_t=40, title="pass@1 on the suites")
    return figure


def hints(results: Mapping[str, Any]) -> go.Figure:
    """How many problems the teacher solved with how much help, by iteration."""
    figure = blank(340)
    names = [row["name"] for row in results["iterations"]]
    colours = {"none": TEAL, "answer": AMBER, "solution": VIOLET}
    for hint in next((row["solved_with"] for row in results["iterations"]), {}):
        counts = [row["solved_with"].get(hint, 0) for row in results["iterations"]]
        figure.add_bar(x=names, y=counts, name=f"hint {hint}", marker_color=colours.get(hint, BLUE))
    figure.add_bar(x=names, y=[row["dropped"] for row in results["iterations"]], name="not solved", marker_color=RED)
    figure.update_layout(barmode="stack", margin_t=40, title="problems that the teacher was asked")
    return figure


def _taught(folder: RunFolder, most: int = 16) -> list[Mapping[str, Any]]:
    """Rows of the last dataset, the last written first."""
    paths = sorted(folder.path.glob("dataset/*/train.jsonl"), key=lambda path: int(path.parent.name.rpartition("-")[2]))
    rows = read_rows(paths[-1]) if paths else []
    return [*sorted(rows, key=lambda row: -row["written_in"])[:most]]


def _compared(results: Mapping[str, Any]) -> list[str]:
    """The kept iteration against the baselines, on test problems and on each suite, in words."""
    found = []
    for row in [*results["comparisons"], *results.get("suites", {}).get("comparisons", ())]:
        points = row["pass_at_1"]
        low, high = 100 * points["low"], 100 * points["high"]
        p = f", McNemar p {row['mcnemar_p']:.3g}" if "mcnemar_p" in row else ""
        found.append(
            f"{row.get('suite', 'test')}, {row['before']} -> {row['after']}: {100 * points['value']:+.1f} points, "
            f"95 % interval [{low:+.1f}, {high:+.1f}]{p}"
        )
    return found


def parts(results: Mapping[str, Any]) -> list[Table | str]:
    """Everything that the report says, in order."""
    found: list[Table | str] = [_iterations(results)]
    found += [_suites(results)] if columns(results) else []
    found += [_test(results)] if results["test"] else []
    found += _compared(results)
    cost = results["cost"]
    found.append(f"kept: {results['best']}; ended because {results['stopped']}")
    found.append(f"{cost['requests_paid']} answers of {cost['teacher']} paid: ${cost['dollars']:.4f}")
    if cost["teacher"] == REFERENCE:
        found.append("The reference teacher writes the same answer however often it is asked: it takes up no error.")
    return found


def _iterations(results: Mapping[str, Any]) -> Table:
    table = Table(title="pass@1, greedy, with 95 % intervals", title_justify="left")
    heads = ("", "rewritten", "solved, by hint", "dropped", "taught", "training", "validation")
    for name in heads:
        table.add_column(name, justify="left" if not name else "right")
    base = results["base"]
    table.add_row("untaught", "", "", "", "", _share(base["train"]), _share(base["val"]))
    for row in results["iterations"]:
        solved = ", ".join(f"{hint} {count}" for hint, count in row["solved_with"].items())
        fate = ", rolled back" if results["rollback"] and not row["accepted"] else ""
        table.add_row(
            shown(f"{row['name']}{fate}"), str(row["asked"]), shown(solved), str(row["dropped"]), str(row["taught"]),
            _share(row["train"]), _share(row["val"]),
        )  # fmt: skip
    return table


def _suites(results: Mapping[str, Any]) -> Table:
    counts = results["suites"]["problems"]
    table = Table(title="Suites, pass@1, greedy, with 95 % intervals: nothing was chosen by them", title_justify="left")
    table.add_column("")
    for suite in columns(results):
        table.add_column(shown(f"{suite} ({counts[suite]})"), justify="right")
    for name, row in results["suites"]["iterations"].items():
        kept = ", kept" if name == results["best"] else ""
        label = "untaught" if name == "base" else name
        cells = [_share(row[suite]) for suite in columns(results)]
        table.add_row(shown(f"{label}{kept}"), *cells, style="bold" if kept else None)
    return table


def _families(results: Mapping[str, Any]) -> list[str]:
    """Of the test problems; [] without any."""
    return list(next(iter(results["test"].values()), {"families": ()})["families"])


def _test(results: Mapping[str, Any]) -> Table:
    table = Table(title="Test problems, which chose nothing", title_justify="left")
    tests = results["test"]
    table.add_column("")
    for name in tests:
        kept = ", kept" if name == results["best"] else ""
        table.add_column(shown(f"{LABELS.get(name, name)}{kept}"), justify="right")
    table.add_row("pass@1", *(_share(row["pass_at_1"]) for row in tests.values()), style="bold")
    for family in _families(results):
        cells = [row["families"][family] for row in tests.values()]
        table.add_row(
            shown(f"  {family}"),
            *(f"{100 * c['value']:.1f} % [{100 * c['low']:.1f}, {100 * c['high']:.1f}]" for c in cells),
        )
    for status in ("unparsed", "truncated", "infrastructure"):
        table.add_row(status, *(f"{100 * row['statuses'].get(status, 0):.1f} %" for row in tests.values()), style="dim")
    return table


def _share(estimate: Mapping[str, Any]) -> str:
    return str(Estimate(**estimate))

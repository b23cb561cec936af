"""The figures of a run as tables, on the terminal and in `report.html`."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from pipelines.run_folder import RunFolder
from pipelines.statistics import Estimate
from rollout.teacher_config import REFERENCE


def report(results: Mapping[str, Any], folder: RunFolder, console: Console) -> None:
    """Prints the figures and writes them into the run folder."""
    page = Console(record=True, file=io.StringIO(), width=150, highlight=False)
    for out in (console, page):
        for part in parts(results):
            out.print(part)
    folder.write_report(page.export_html(inline_styles=True))


def parts(results: Mapping[str, Any]) -> list[Table | str]:
    """Everything that the report says, in order."""
    found: list[Table | str] = [_iterations(results), _test(results)]
    for row in results["comparisons"]:
        points = row["pass_at_1"]
        low, high = 100 * points["low"], 100 * points["high"]
        p = f", McNemar p {row['mcnemar_p']:.3g}" if "mcnemar_p" in row else ""
        found.append(
            f"test, {row['before']} -> {row['after']}: {100 * points['value']:+.1f} points, 95 % interval "
            f"[{low:+.1f}, {high:+.1f}]{p}"
        )
    cost = results["cost"]
    found.append(f"kept: {results['best']}; ended because {results['stopped']}")
    found.append(f"{cost['requests_paid']} answers of {cost['teacher']} paid: ${cost['dollars']:.4f}")
    if cost["teacher"] == REFERENCE:
        found.append("The reference teacher writes the same answer however often it is asked: it takes up no error.")
    found += [f"hub, {name}: {url}" for name, url in results["hub"].items()]
    return found


def _iterations(results: Mapping[str, Any]) -> Table:
    table = Table(title="pass@1, greedy, with 95 % intervals", title_justify="left")
    heads = ("", "asked anew", "solved, by hint", "dropped", "taught", "training", "validation")
    for name in heads:
        table.add_column(name, justify="left" if not name else "right")
    base = results["base"]
    table.add_row("untaught", "", "", "", "", _share(base["train"]), _share(base["val"]))
    for row in results["iterations"]:
        solved = ", ".join(f"{hint} {count}" for hint, count in row["solved_with"].items())
        table.add_row(
            row["name"], str(row["asked"]), solved, str(row["dropped"]), str(row["taught"]), _share(row["train"]),
            _share(row["val"]),
        )  # fmt: skip
    return table


def _test(results: Mapping[str, Any]) -> Table:
    table = Table(title="Test problems, which chose nothing", title_justify="left")
    tests = results["test"]
    labels = {"base": "untaught", "iteration-0": "taught once (plain distillation)"}
    table.add_column("")
    for name in tests:
        kept = ", kept" if name == results["best"] else ""
        table.add_column(labels.get(name, name) + kept, justify="right")
    table.add_row("pass@1", *(_share(row["pass_at_1"]) for row in tests.values()), style="bold")
    for family in next(iter(tests.values()))["families"]:
        cells = [row["families"][family] for row in tests.values()]
        table.add_row(
            f"  {family}", *(f"{100 * c['value']:.1f} % [{100 * c['low']:.1f}, {100 * c['high']:.1f}]" for c in cells)
        )
    for status in ("unparsed", "truncated", "infrastructure"):
        table.add_row(status, *(f"{100 * row['statuses'].get(status, 0):.1f} %" for row in tests.values()), style="dim")
    return table


def _share(estimate: Mapping[str, float]) -> str:
    return str(Estimate(**estimate))

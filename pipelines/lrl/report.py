"""The figures of a run as tables, on the terminal and in `report.html`."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from pipelines.lrl.lesson import LABELS
from pipelines.lrl.scores import ANSWERED, text
from pipelines.run_folder import RunFolder
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
    stages = results["stages"]
    found: list[Table | str] = [_scores(stages), _confusion(stages)]
    if results["comparisons"]:
        found.append(_comparisons(results["comparisons"]))
    cost = results["cost"]
    found.append(
        f"{cost['requests_paid']} answers of {cost['teacher']} paid: ${cost['dollars']:.4f}"
        + (f", and at most ${cost['dollars_open']:.4f} for requests that were lost" if cost["dollars_open"] else "")
    )
    if cost["teacher"] == REFERENCE:
        found.append(
            "The reference teacher knows every answer: its own stages check the machinery, and measure no strategy."
        )
    found.append(f"Strategy after {results['distillations']} distillations:\n{results['strategy']}")
    return found


def verdict(stage: Mapping[str, Any]) -> str:
    """Whether a measurement is beyond what a constant answer scores."""
    balanced, base = stage["balanced_accuracy"], stage["majority"]["balanced_accuracy"]
    if balanced is None:
        return "not known"
    return "above" if balanced["low"] > base else "below" if balanced["high"] < base else "no"


def _scores(stages: Mapping[str, Any]) -> Table:
    table = Table(title="YES or NO, with 95 % intervals", title_justify="left")
    for name in ("", "accuracy", "balanced accuracy", "majority baseline", "beyond it?", "no verdict", "not scored"):
        table.add_column(name, justify="left" if not name else "right")
    for name, stage in stages.items():
        base = stage["majority"]
        constant = f"{100 * base['accuracy']:.1f} % ({base['label']})" if base["label"] else "-"
        silent = {s: n for s, n in stage["statuses"].items() if s != ANSWERED}
        unscored = stage["problems"] - stage["scored"]
        none = sum(stage["confusion"][gold]["none"] for gold in LABELS)
        told = f" ({', '.join(f'{n} {s}' for s, n in silent.items())})" if silent else ""
        table.add_row(
            name, text(stage["accuracy"]), text(stage["balanced_accuracy"]), constant, verdict(stage), f"{none}{told}",
            str(unscored),
        )  # fmt: skip
    return table


def _confusion(stages: Mapping[str, Any]) -> Table:
    table = Table(title="Confusion: true verdict, then what was said", title_justify="left")
    heads = [f"{gold}: {said}" for gold in LABELS for said in (*LABELS, "none")]
    for name in ("", *heads, "recall YES", "recall NO"):
        table.add_column(name, justify="left" if not name else "right")
    for name, stage in stages.items():
        cells = [str(stage["confusion"][gold][said]) for gold in LABELS for said in (*LABELS, "none")]
        table.add_row(name, *cells, *(text(stage["recall"][gold]) for gold in LABELS))
    return table


def _comparisons(comparisons: Mapping[str, Any]) -> Table:
    table = Table(title="Accuracy after minus before, on the same problems", title_justify="left")
    for name in ("", "points, 95 % interval", "gained", "lost", "McNemar p"):
        table.add_column(name, justify="left" if not name else "right")
    for name, found in comparisons.items():
        if found is not None:
            points = f"{100 * found['value']:+.1f} [{100 * found['low']:+.1f}, {100 * found['high']:+.1f}]"
            table.add_row(name, points, str(found["gained"]), str(found["lost"]), f"{found['p']:.3g}")
    return table

"""What evaluations look like on a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple
from typing import Any

from rich.console import Console
from rich.table import Table

from pipelines.measure.conditions import UNMET, Result
from pipelines.measure.evaluation import BANDS, Evaluation, reasons
from pipelines.measure.statistics import NEEDED, Difference
from problems.plain_text import shown


def show(console: Console, evaluations: Sequence[Evaluation]) -> None:
    """Prints one column an evaluation: pass rates with 95 % intervals, over all and by family."""
    table = Table(title="Held-out problems", title_justify="left")
    table.add_column("")
    for evaluation in evaluations:
        table.add_column(shown(evaluation.name), justify="right")
    for k in [k for k in (1, 8) if all(k in e.ks for e in evaluations)]:
        table.add_row(f"pass@{k}", *(str(e.pass_at(k)) for e in evaluations), style="bold")
    for band in BANDS:
        parts = [e.bands().get(band) for e in evaluations]
        if any(parts):
            table.add_row(f"  {band}", *(f"{100 * p.pass_at(1).value:.0f} %" if p else "" for p in parts))
    for family in evaluations[0].grid():
        table.add_row(shown(f"  {family}"), *(_family_rate(e, family) for e in evaluations))
    table.add_row("solved / partial / failed", *(str(e.counts) for e in evaluations), style="dim")
    credits = [e.partial_credit for e in evaluations]
    texts = ("" if credit is None else f"{100 * credit:.1f} %" for credit in credits)
    table.add_row("partial credit of those not solved", *texts, style="dim")
    for label, key in (("tests passed", "tests_passed"), ("truncated", "truncated"), ("unparsed", "unparsed")):
        table.add_row(label, *(f"{100 * getattr(e, key):.1f} %" for e in evaluations), style="dim")
    table.add_row("problems x samples", *(f"{len(e.groups)} x {len(e.groups[0].samples)}" for e in evaluations))
    console.print(table)
    for evaluation in evaluations:
        _show_missing(console, evaluation)


def _show_missing(console: Console, evaluation: Evaluation) -> None:
    """Says what an evaluation is without, and what had less room than the others."""
    if missing := evaluation.without_verdict:
        of = len(missing) + len(evaluation.outcomes)
        console.print(
            shown(
                f"{len(missing)} of {of} problems of {evaluation.name} have no verdict and are left out, not counted "
                f"as wrong: {reasons(missing)}",
                "yellow",
            )
        )
    if evaluation.short_of_room:
        console.print(
            shown(
                f"{evaluation.short_of_room} samples of {evaluation.name} had fewer than max_tokens to answer in: "
                "their prompts leave less of engine.max_model_len",
                "yellow",
            )
        )


def show_grid(console: Console, evaluation: Evaluation) -> None:
    """Prints pass@1 by family and difficulty, with the number of problems behind each, and the samples' counts."""
    grid = evaluation.grid()
    difficulties = sorted({d for cells in grid.values() for d in cells})
    title = shown(f"pass@1 of {evaluation.name} in % (problems), by difficulty")
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for heading in (*map(str, difficulties), "solved", "partial", "failed"):
        table.add_column(heading, justify="right")
    for family, cells in grid.items():
        texts = [f"{100 * cells[d].value:.0f} ({cells[d].problems})" if d in cells else "" for d in difficulties]
        of_it = evaluation.part(lambda p, family=family: p.family == family)
        table.add_row(shown(family), *texts, *map(str, astuple(of_it.counts)))
    for band, part in evaluation.bands().items():
        rate = part.pass_at(1)
        table.add_row(
            f"{band}: {100 * rate.value:.1f} % ({rate.problems})",
            *[""] * len(difficulties),
            *map(str, astuple(part.counts)),
            style="dim",
        )
    console.print(table)


def show_conditions(console: Console, results: Sequence[Result]) -> int:
    """Prints what became of each condition, those that are not met as lines of their own. Returns the exit status."""
    if not results:
        return 0
    table = Table(title="Conditions", title_justify="left")
    for heading in ("condition", "measured", ""):
        table.add_column(heading)
    for result in results:
        mark = shown("met") if result.met else shown("not met", "red")
        table.add_row(shown(result.condition), _measured(result), mark)
    console.print(table)
    unmet = [result for result in results if not result.met]
    for result in unmet:
        console.print(shown(f"not met: {result.condition}, measured {_measured(result)}", "red"), soft_wrap=True)
    return UNMET if unmet else 0


def _measured(result: Result) -> str:
    return "nothing, for lack of verdicts" if result.value is None else f"{result.value:.2f} %"


def verdict_line(difference: Difference | Mapping[str, Any]) -> str:
    """One sentence on whether pass@1 moved by more than its interval."""
    value, low, high = (100 * _get(difference, key) for key in ("value", "low", "high"))
    moved = "improved" if low > 0 else "worsened" if high < 0 else "did not change beyond chance"
    few = difference.get("informative") if isinstance(difference, Mapping) else difference.informative
    note = f"; {few} problems differ, and fewer than {NEEDED} decide nothing" if few and few < NEEDED else ""
    return f"held-out pass@1 {moved}: {value:+.1f} points, 95 % interval [{low:+.1f}, {high:+.1f}]{note}"


def _family_rate(evaluation: Evaluation, family: str) -> str:
    cells = evaluation.grid().get(family)
    return f"{100 * evaluation.pass_at(1, [family]).value:.0f} %" if cells else ""


def _get(record: Any, key: str) -> float:
    return record[key] if isinstance(record, Mapping) else getattr(record, key)

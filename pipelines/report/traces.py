"""The report of `crucible distil`: what was kept, how the rest failed, and what the teacher wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

import plotly.graph_objects as go

from pipelines.artifacts.run_folder import RunFolder
from pipelines.measure.statistics import Estimate
from pipelines.report.figures import SLATE, STATUS_COLOURS, blank
from pipelines.report.page_layout import sheet

SHOWN = 24
"""Traces, and as many failures, that the page shows."""


def render(figures: Mapping[str, Any], rows: Sequence[Mapping[str, Any]], folder: RunFolder) -> str:
    """The page as text. `figures` is the run's row of metrics, `rows` are all answers."""
    kept = [row for row in rows if row["verified"]]
    failed = [row for row in rows if not row["verified"]]
    height = 140 + 34 * max(len(figures["families"]), len(figures["statuses"]))
    return sheet(
        folder,
        "pipelines.report",
        "traces",
        "distillation",
        {"cells": cells(figures, height), "statuses": statuses(figures, height)},
        kept=figures,
        height=height,
        samples=[
            ("Failures", "Kept apart with their verdicts; nothing learns from them.", _some_of_each(failed)),
            ("Traces", "Some of each family and difficulty, as the teacher wrote them.", _some_of_each(kept)),
        ],
        share=lambda estimate: str(Estimate(estimate["value"], estimate["low"], estimate["high"], figures["asked"])),
    )


def cells(figures: Mapping[str, Any], height: int) -> go.Figure:
    """Kept of asked by family and difficulty."""
    families = list(figures["families"])
    difficulties = sorted({d for found in figures["families"].values() for d in found}, key=int)
    counts = [[figures["families"][family].get(d) for d in difficulties] for family in families]
    figure = blank(height)
    figure.add_heatmap(
        x=[f"difficulty {d}" for d in difficulties],
        y=families,
        z=[[cell[0] / cell[1] if cell else None for cell in row] for row in counts],
        text=[[f"{cell[0]} / {cell[1]}" if cell else "" for cell in row] for row in counts],
        texttemplate="%{text}",
        colorscale="Tealgrn",
        zmin=0,
        zmax=1,
        showscale=False,
    )
    figure.update_yaxes(autorange="reversed", automargin=True)
    return figure


def statuses(figures: Mapping[str, Any], height: int) -> go.Figure:
    """How many answers had which verdict."""
    names = list(figures["statuses"])
    figure = blank(height)
    figure.add_bar(
        x=[figures["statuses"][name] for name in names],
        y=names,
        orientation="h",
        marker_color=[STATUS_COLOURS.get(name, SLATE) for name in names],
    )
    figure.update_yaxes(autorange="reversed", automargin=True)
    figure.update_layout(showlegend=False, xaxis_title="answers")
    return figure


def _some_of_each(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The first rows of each family and difficulty, in turn."""

    def cell(row: Mapping[str, Any]) -> tuple[str, int]:
        return row["problem_type"], row["difficulty"]

    groups = [list(found) for _, found in groupby(sorted(rows, key=cell), key=cell)]
    turns = [found[turn] for turn in range(max(map(len, groups), default=0)) for found in groups if turn < len(found)]
    return turns[:SHOWN]

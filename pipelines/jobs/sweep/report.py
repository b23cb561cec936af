"""The sweep's `report.html`: settings compared, every trial's curve, and settings against results in parallel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import plotly.express
import plotly.graph_objects as go

from pipelines.artifacts.run_folder import RunFolder
from pipelines.jobs.sweep.config import SweepConfig
from pipelines.jobs.sweep.results import Setting, Trial
from pipelines.report.figures import blank
from pipelines.report.page_layout import sheet

SMOOTHED = 5
"""Steps over which a trial's curve is averaged."""


def write_sweep_report(
    folder: RunFolder, config: SweepConfig, trials: Sequence[Trial], settings: Sequence[Setting]
) -> Path:
    """Writes the report of a sweep, finished or not."""
    charts = {"curves": curves(trials, settings)}
    if (parallel := parallel_coordinates(trials)) is not None:
        charts["parallel"] = parallel
    measured = {row["name"]: row for row in folder.metrics() if row.get("kind") == "evaluation"}
    compared = [row for row in folder.metrics() if row.get("kind") == "comparison"]
    html = sheet(
        folder,
        "pipelines.jobs.sweep",
        "sweep",
        "sweep",
        charts,
        settings=settings,
        trials=trials,
        window=config.report_every,
        seeds=config.seeds,
        before=measured.get("before"),
        test=[(name, measured[name]) for name in ("start", "best") if name in measured],
        split=config.grpo.evaluation.split,
        change=compared[-1]["pass_at_1"] if compared else None,
        charts=list(charts),
        percent=_percent,
    )
    return folder.write_report(html)


def curves(trials: Sequence[Trial], settings: Sequence[Setting]) -> go.Figure:
    """Pass rate on fresh training problems by step, one line a trial, one colour a setting."""
    palette = plotly.express.colors.qualitative.Dark24
    colours = {setting.name: palette[i % len(palette)] for i, setting in enumerate(settings)}
    figure = blank(420)
    seen: set[str] = set()
    for trial in trials:
        smooth = _smoothed(trial.pass_rates)
        figure.add_scatter(
            x=list(range(1, len(smooth) + 1)),
            y=smooth,
            mode="lines",
            line={"color": colours[trial.setting], "width": 2},
            name=trial.setting,
            legendgroup=trial.setting,
            showlegend=trial.setting not in seen,
            text=f"{trial.setting}<br>seed {trial.seed}, trial {trial.id}",
            hovertemplate="%{text}<br>step %{x}: %{y:.1%}<extra></extra>",
        )
        seen.add(trial.setting)
    figure.update_layout(yaxis_tickformat=".0%", xaxis_title="step", hovermode="closest", margin_t=60)
    return figure


def parallel_coordinates(trials: Sequence[Trial]) -> go.Figure | None:
    """Every trial as a line through its values and its result; None for fewer than two trials with steps."""
    shown = [trial for trial in trials if trial.pass_rates]
    if len(shown) < 2:
        return None
    dimensions: list[dict[str, Any]] = []
    for key in shown[0].values:
        values = [trial.values[key] for trial in shown]
        numeric = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
        ticks = sorted(set(values)) if numeric else sorted(set(map(str, values)))
        places = values if numeric else [ticks.index(str(v)) for v in values]
        dimension = {"label": key, "values": places}
        if len(ticks) <= 8:
            dimension |= {"tickvals": ticks if numeric else list(range(len(ticks))), "ticktext": list(map(str, ticks))}
        dimensions.append(dimension)
    scores = [trial.score(SMOOTHED) for trial in shown]
    dimensions.append({"label": "last pass rate", "values": scores})
    skills = [trial.val["value"] for trial in shown if trial.val is not None]
    if len(skills) == len(shown):
        dimensions.append({"label": "val pass@1", "values": skills})
    line = {"color": scores, "colorscale": "Viridis", "showscale": True}
    figure = blank(420)
    figure.add_trace(go.Parcoords(line=line, dimensions=dimensions))
    figure.update_layout(margin={"l": 60, "r": 40, "t": 60, "b": 30})
    return figure


def _smoothed(values: Sequence[float]) -> list[float]:
    """Mean of each value and up to SMOOTHED - 1 before it."""
    return [sum(values[max(0, i - SMOOTHED + 1) : i + 1]) / min(SMOOTHED, i + 1) for i in range(len(values))]


def _percent(value: float | None) -> str:
    return "" if value is None or math.isnan(value) else f"{100 * value:.1f} %"

"""The charts of the report, as plotly figures. A chart whose numbers are nowhere in the run is left out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from pipelines.report.run_data import (
    OTHER,
    Record,
    engine_times,
    is_number,
    mapping,
    smoothed,
    step_overlaps,
    sync_bounds,
    time_parts,
)
from problems.problem import Status

INK, GRID = "#7b8794", "rgba(128,138,150,0.18)"
"""Text and lines that read on a light page and on a dark one."""
BEFORE, AFTER = "#8793a3", "#0f9d8a"
PALE = "rgba(140,150,165,0.32)"
BLUE, TEAL, AMBER, RED, VIOLET, SLATE = "#3b7ddd", "#0f9d8a", "#e0a100", "#d1495b", "#8a63d2", "#a3adba"

STATUS_COLOURS: dict[str, str] = {
    Status.PASSED: "#23a26d",
    Status.WRONG_ANSWER: "#e9b949",
    Status.EXCEPTION: "#e07a3f",
    Status.TIMEOUT: "#8a63d2",
    Status.OUT_OF_MEMORY: "#c2569b",
    Status.OUTPUT_FLOOD: "#7c4d79",
    Status.UNPARSED: "#6c8ebf",
    Status.TRUNCATED: "#4fa3c7",
    Status.FORBIDDEN: "#c8323f",
    Status.INFRASTRUCTURE: "#5b6470",
}
"""In the order in which they are stacked."""

TIME_COLOURS = {
    "waiting for samples": SLATE,
    "training": BLUE,
    "publishing the adapter": TEAL,
    "checkpoint": AMBER,
    OTHER: PALE,
}
ENGINE_COLOURS = {"prefill": VIOLET, "decode": BLUE, "load": TEAL, "idle": PALE}

SMALLEST_GAP = 1e-9
"""A gap of zero has no place on a logarithmic axis: it is drawn here."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A figure with its heading and a sentence on how to read it."""

    key: str
    title: str
    note: str
    figure: go.Figure


@dataclass(frozen=True, slots=True)
class _Curve:
    key: str
    title: str
    note: str
    lines: tuple[tuple[str, str, str], ...]
    """Metric, label, colour."""
    format: str = ""
    top: float | None = None
    """Where the axis ends, for shares."""


CURVES = (
    _Curve("reward", "Reward", "mean of the scored samples", (("reward", "reward", BLUE),)),
    _Curve(
        "pass-rate", "Pass rate", "in training; diamonds: held-out pass@1",
        (("pass_rate", "pass rate", TEAL),), ".0%",
    ),
    _Curve(
        "acceptance", "Informative groups", "groups that pass in part",
        (("acceptance", "informative", VIOLET),), ".0%", 1.0,
    ),
    _Curve(
        "loss", "Loss", "nats a completion token; diamonds: validation, whose lowest is kept",
        (("loss", "training", BLUE),),
    ),
    _Curve(
        "token-accuracy", "Token accuracy", "tokens of the traces that would be the model's own choice",
        (("mean_token_accuracy", "training", TEAL),), ".0%",
    ),
    _Curve("entropy", "Entropy", "of the policy's next token, in nats", (("entropy", "entropy", BLUE),)),
    _Curve(
        "entropy-weight", "Entropy bonus", "weight that the entropy floor gave it",
        (("entropy_weight", "weight", VIOLET),),
    ),
    _Curve("kl", "KL to the reference", "nats per token", (("kl", "KL", RED),)),
    _Curve("grad-norm", "Gradient norm", "before clipping", (("grad_norm", "gradient norm", AMBER),)),
    _Curve("length", "Completion length", "tokens, mean of the step", (("completion_length", "tokens", BLUE),)),
    _Curve(
        "truncated", "Truncated", "share that met the token limit",
        (("truncated", "truncated", RED),), ".0%",
    ),
    _Curve(
        "staleness", "Staleness", "policy versions behind the step",
        (("staleness_mean", "mean", BLUE), ("staleness_max", "largest", SLATE)),
    ),
    _Curve("throughput", "Throughput", "completion tokens a second", (("tokens_per_second", "tokens/s", TEAL),)),
)  # fmt: skip


def learning_curves(record: Record) -> list[Chart]:
    """Raw and smoothed metrics over the steps."""
    charts = []
    for curve in CURVES:
        lines = [(record.series(key), label, colour) for key, label, colour in curve.lines]
        # GRPO's loss says nothing to people: its value is near 0 whatever is learnt.
        if all(value is None for values, _, _ in lines for value in values) or (
            curve.key == "loss" and not record.validation
        ):
            continue
        figure = blank(210)
        for values, label, colour in lines:
            figure.add_traces(list(_raw_and_smoothed(record.numbers, values, label, colour)))
        if curve.key == "pass-rate":
            _mark_evaluations(figure, record)
        if curve.key == "loss":
            looks = [(row["step"], row["loss"]) for row in record.validation]
            figure.add_scatter(
                x=[step for step, _ in looks], y=[loss for _, loss in looks], mode="markers", name="validation",
                marker={"symbol": "diamond", "size": 9, "color": AFTER}, hovertemplate="%{y:.4f}",
            )  # fmt: skip
        if curve.key == "entropy":
            _mark_entropy_bounds(figure, record)
        figure.update_yaxes(tickformat=curve.format, rangemode="tozero")
        if curve.top is not None:
            figure.update_yaxes(range=[0, curve.top * 1.03])
        figure.update_xaxes(**_line_axis(record))
        figure.update_layout(showlegend=len(lines) > 1)
        charts.append(Chart(curve.key, curve.title, curve.note, figure))
    return charts


SYNC_LINES = (
    ("publish/canary_gap", "canary, after each publication", TEAL, "solid"),
    ("logprob_gap/fresh_max", "samples of the current policy, largest", BLUE, "solid"),
    ("logprob_gap/max", "all samples, stale ones too, largest", SLATE, "dot"),
)


def sync_chart(record: Record) -> Chart | None:
    """Gaps between the engines' and the learner's log-probabilities, with the bound."""
    figure, seen = blank(300), []
    for key, label, colour, dash in SYNC_LINES:
        values = record.series(key)
        if all(value is None for value in values):
            continue
        seen += [value for value in values if value is not None]
        drawn = [None if value is None else max(abs(value), SMALLEST_GAP) for value in values]
        figure.add_scatter(
            x=record.numbers, y=drawn, customdata=values, name=label, mode="lines+markers",
            line=_line(colour, 1.6, dash), marker={"size": 4}, hovertemplate="%{customdata:.2e}",
        )  # fmt: skip
    if not seen:
        return None
    bounds = sync_bounds(record)
    for label, bound in bounds.items():
        figure.add_hline(y=bound, line=_line(RED, 1.4, "dash"))
        figure.add_annotation(
            x=0, xref="paper", y=math.log10(bound), text=f"{label} of {bound:g}", showarrow=False, xanchor="left",
            yanchor="bottom", font={"color": RED, "size": 11},
        )  # fmt: skip
    edges = [math.log10(max(value, SMALLEST_GAP)) for value in (*seen, *bounds.values())]
    figure.update_yaxes(range=[min(edges) - 0.5, max(edges) + 0.7])
    figure.update_xaxes(**_line_axis(record))
    figure.update_yaxes(type="log", exponentformat="power", dtick=1, title_text="|difference| in log-probability")
    return Chart("sync", "Sampler against learner", "", figure)


def time_chart(record: Record) -> Chart | None:
    """Stacked parts of each step's wall time, and what perfect overlap would have taken."""
    parts = time_parts(record)
    if not parts:
        return None
    figure = blank(300)
    for label, seconds in parts.items():
        figure.add_bar(
            x=record.numbers, y=seconds, name=label, marker_color=TIME_COLOURS[label], hovertemplate="%{y:.3f} s"
        )
    bounds = [None if overlap is None else overlap.bound for overlap in step_overlaps(record)]
    if any(bound is not None for bound in bounds):
        figure.add_scatter(
            x=record.numbers, y=bounds, name="perfect overlap", mode="markers", hovertemplate="%{y:.3f} s",
            marker={"symbol": "line-ew", "size": 9, "line": {"width": 2, "color": RED}},
        )  # fmt: skip
    figure.update_layout(barmode="stack", bargap=0.15)
    figure.update_yaxes(title_text="seconds", rangemode="tozero")
    figure.update_xaxes(**_bar_axis(record))
    _shorten_first(figure, record.numbers, [sum(step) for step in zip(*parts.values())])
    return Chart("time", "The learner's wall time, step by step", "", figure)


def engine_chart(record: Record) -> Chart | None:
    """Stacked kinds of work of the engines between a step and the next, mean over engines."""
    times = engine_times(record)
    if not any(times):
        return None
    figure = blank(300)
    kinds = sorted({kind for step in times for clock in step.values() for kind in clock}, key=_engine_order)
    for kind in kinds:
        seconds = [sum(clock.get(kind, 0.0) for clock in step.values()) / len(step) if step else None for step in times]
        if any(seconds):
            colour = ENGINE_COLOURS.get(kind, AMBER)
            figure.add_bar(x=record.numbers, y=seconds, name=kind, marker_color=colour, hovertemplate="%{y:.3f} s")
    figure.update_layout(barmode="stack", bargap=0.15)
    figure.update_yaxes(title_text="seconds of an engine", rangemode="tozero")
    figure.update_xaxes(**_bar_axis(record))
    return Chart("engines", "The engines' time, step by step", "", figure)


def status_chart(record: Record) -> Chart | None:
    """How judging ended, as shares of each step's samples. An area needs two steps; one is drawn as a bar."""
    counts = [mapping(row.get("statuses")) for row in record.steps]
    names = ordered_statuses({name for row in counts for name in row})
    if not names:
        return None
    figure = blank(300)
    wholes = [sum(v for v in row.values() if is_number(v)) for row in counts]
    for name in names:
        shares = [(row.get(name) or 0) / whole if whole else None for row, whole in zip(counts, wholes)]
        look = {"name": readable(name), "hovertemplate": "%{y:.1%}"}
        colour = STATUS_COLOURS.get(name, SLATE)
        if len(shares) > 1:
            figure.add_scatter(
                x=record.numbers, y=shares, stackgroup="all", mode="lines", line={"width": 0.5, "color": colour},
                fillcolor=colour, **look,
            )  # fmt: skip
        else:
            figure.add_bar(x=record.numbers, y=shares, marker_color=colour, **look)
    figure.update_layout(barmode="stack")
    figure.update_yaxes(tickformat=".0%", range=[0, 1])
    figure.update_xaxes(**(_steps_axis(record, record.numbers[0], 0) if len(wholes) > 1 else _bar_axis(record)))
    return Chart("statuses", "Verdicts over the steps", "", figure)


def grid_charts(record: Record) -> list[Chart]:
    """One heat map an evaluation: pass@1 by family and difficulty. None where there is but one cell."""
    charts = []
    for number, row in enumerate(record.evaluations):
        grid = mapping(row.get("grid"))
        families = sorted((f for f in grid if isinstance(grid[f], Mapping)), reverse=True)
        difficulties = sorted({d for f in families for d in grid[f] if d.isdecimal()}, key=int)
        cells = [[_cell(grid[f].get(d)) for d in difficulties] for f in families]
        if sum(cell is not None for line in cells for cell in line) < 2:
            continue
        figure = blank(60 + 26 * len(families))
        figure.add_heatmap(
            x=difficulties, y=[readable(f) for f in families], zmin=0, zmax=1, xgap=2, ygap=2, hoverongaps=False,
            z=[[cell and cell["value"] for cell in line] for line in cells],
            text=[[_cell_text(cell) for cell in line] for line in cells], texttemplate="%{z:.0%}",
            hovertemplate="%{y}, difficulty %{x}: %{text}<extra></extra>",
            colorscale=[[0, RED], [0.5, AMBER], [1, TEAL]], colorbar={"tickformat": ".0%", "thickness": 10},
        )  # fmt: skip
        figure.update_layout(hovermode="closest", margin={"l": 130})
        figure.update_xaxes(type="category", title_text="difficulty")
        title = f"pass@1 by family and difficulty, {row['name']}"
        charts.append(Chart(f"grid-{number}", title, "hover for interval and problems", figure))
    return charts


def _cell(value: Any) -> Mapping[str, Any] | None:
    keys = ("value", "low", "high", "problems")
    return value if isinstance(value, Mapping) and all(is_number(value.get(key)) for key in keys) else None


def _cell_text(cell: Mapping[str, Any] | None) -> str:
    if cell is None:
        return ""
    low, high, problems = cell["low"], cell["high"], cell["problems"]
    plural = "s" * (problems != 1)
    return f"{cell['value']:.1%}, 95 % interval {low:.0%} to {high:.0%}, {problems:.0f} problem{plural}"


def ordered_statuses(names: set[str]) -> list[str]:
    """Statuses in the order in which they are stacked, unknown ones last."""
    known = [str(status) for status in STATUS_COLOURS]
    return sorted(names, key=lambda name: (known.index(name) if name in known else len(known), name))


def readable(status: str) -> str:
    """A status as people write it."""
    return str(status).replace("_", " ")


def blank(height: int) -> go.Figure:
    """An empty figure in the look of all, `height` pixels high."""
    axis = {
        "gridcolor": GRID, "zeroline": False, "linecolor": GRID, "tickfont": {"size": 11}, "automargin": True,
        "title": {"font": {"size": 11}, "standoff": 6},
    }  # fmt: skip
    return go.Figure(
        layout={
            "template": "none", "height": height, "margin": {"l": 40, "r": 10, "t": 8, "b": 28},
            "paper_bgcolor": "rgba(0,0,0,0)", "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"family": "system-ui, -apple-system, Segoe UI, Roboto, sans-serif", "size": 12, "color": INK},
            "xaxis": {**axis, "showgrid": False, "tickformat": "d", "nticks": 8}, "yaxis": axis,
            "hovermode": "x unified", "hoverlabel": {"font": {"size": 12}},
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "font": {"size": 11}},
        }
    )  # fmt: skip


def _line(colour: str, width: float, dash: str = "solid") -> dict[str, Any]:
    return {"color": colour, "width": width, "dash": dash}


def _raw_and_smoothed(
    steps: Sequence[int], values: Sequence[float | None], label: str, colour: str
) -> Iterator[go.Scatter]:
    yield go.Scatter(
        x=steps, y=values, name=label, mode="lines+markers", opacity=0.35, line=_line(colour, 1), marker={"size": 3},
        showlegend=False, hovertemplate="%{y:.4g}",
    )  # fmt: skip
    yield go.Scatter(
        x=steps, y=smoothed(values), name=label, mode="lines", line=_line(colour, 2.4),
        hovertemplate="%{y:.4g} smoothed",
    )  # fmt: skip


def _mark_evaluations(figure: go.Figure, record: Record) -> None:
    for row, colour in zip(record.evaluations, _evaluation_colours(record)):
        rate = (row.get("pass_at") or {}).get("1") or {}
        if not all(is_number(rate.get(key)) for key in ("value", "low", "high")) or not is_number(row.get("step")):
            continue
        error = {
            "array": [rate["high"] - rate["value"]], "arrayminus": [rate["value"] - rate["low"]], "color": colour,
            "thickness": 1.6, "width": 4,
        }  # fmt: skip
        figure.add_scatter(
            x=[row["step"]], y=[rate["value"]], error_y=error, mode="markers", name=f"held out, {row['name']}",
            marker={"symbol": "diamond", "size": 9, "color": colour}, hovertemplate="%{y:.1%}",
        )  # fmt: skip


def _mark_entropy_bounds(figure: go.Figure, record: Record) -> None:
    for key, label, colour in (("train.entropy_floor", "floor", AMBER), ("train.entropy_alarm", "alarm", RED)):
        bound = record.setting(key)
        if is_number(bound):
            figure.add_hline(y=bound, line=_line(colour, 1.2, "dash"), annotation_text=label)


def _evaluation_colours(record: Record) -> list[str]:
    return [AFTER if row["name"] == "after" else BEFORE for row in record.evaluations]


def _steps_axis(record: Record, first: float, margin: float) -> dict[str, Any]:
    ticks = {"dtick": 1} if record.last_step <= 10 else {}  # or plotly puts ticks between whole steps
    return {"range": [first - margin, record.last_step + margin], **ticks}


def _line_axis(record: Record) -> dict[str, Any]:
    return _steps_axis(record, 0, 0.03 * max(1, record.last_step))


def _bar_axis(record: Record) -> dict[str, Any]:
    return _steps_axis(record, record.numbers[0], 0.6)


def _engine_order(kind: str) -> tuple[int, str]:
    known = list(ENGINE_COLOURS)
    return (known.index(kind) if kind in known else len(known), kind)


def _shorten_first(figure: go.Figure, steps: Sequence[int], seconds: Sequence[float]) -> None:
    """The first step waits for engines to warm up: where it dwarfs the others its bar is cut and labelled."""
    rest = max(seconds[1:], default=0.0)
    if rest and seconds[0] > 2.5 * rest:
        figure.update_yaxes(range=[0, 1.25 * rest])
        figure.add_annotation(
            x=steps[0] + 0.6, y=1.25 * rest, text=f"← {seconds[0]:.1f} s", showarrow=False, yanchor="top",
            xanchor="left", font={"size": 11},
        )  # fmt: skip

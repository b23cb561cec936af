"""The figures of a run: tables on the terminal, and `report.html` with charts, strategy, journal and answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go
from plotly.subplots import make_subplots
from rich.console import Console
from rich.table import Table

from pipelines.artifacts.plain_files import read_object, read_rows
from pipelines.artifacts.run_folder import RunFolder
from pipelines.jobs.lrl.balanced_problems import LABELS
from pipelines.jobs.lrl.scores import ANSWERED, UNSCORED, text
from pipelines.report.figures import AMBER, BLUE, RED, SLATE, TEAL, VIOLET, blank
from pipelines.report.page_layout import error_bars, sheet
from problems.plain_text import shown
from rollout.teacher.config import REFERENCE

NAMES = {
    "student": "student alone",
    "teacher": "teacher alone",
    "bootstrap": "teacher while it learns",
    "teacher_with_strategy": "teacher with strategy",
    "student_with_strategy": "student with strategy",
    "student_trained": "student trained",
}


def show(console: Console, results: Mapping[str, Any]) -> None:
    """Prints the figures."""
    for part in parts(results):
        console.print(part)


def write_report(results: Mapping[str, Any], folder: RunFolder) -> None:
    """Writes the figures into the run folder, as a page."""
    folder.write_report(render(results, folder))


def render(results: Mapping[str, Any], folder: RunFolder) -> str:
    """The page as text, with what the run folder holds beside the figures."""
    state = folder.path / "state.json"
    kept = read_object(state) if state.is_file() else {"journal": [], "evolution": []}
    stages = results["stages"]
    figures = {"stages": accuracies(stages), "levels": levels(stages)}
    if of_verdicts(stages):
        figures["confusion"] = confusions(stages)
    answers = read_rows(folder.path / "answers.jsonl")
    if kept["evolution"]:
        figures["evolution"] = evolution(answers, kept["evolution"])
    return sheet(
        folder,
        "pipelines.jobs.lrl",
        "lrl",
        "linguistic RL",
        figures,
        results=results,
        sentences=sentences(results),
        comparisons={name: found for name, found in results["comparisons"].items() if found is not None},
        of_verdicts=of_verdicts(stages),
        offline=results["cost"]["teacher"] == REFERENCE,
        evolution=[{"accuracy_before": None, **row} for row in kept["evolution"]],
        journal=kept["journal"],
        answers=_shown(answers, folder),
        verdict=verdict,
        silent=silent_answers,
        text=text,
        change=_change,
    )


def sentences(results: Mapping[str, Any]) -> list[str]:
    """What the run came to, in words."""
    return [
        f"{NAMES[name]}: {measured(stage)}, "
        + {"above": "above", "below": "below", "no": "not beyond", "not known": "not comparable with"}[verdict(stage)]
        + " a constant answer"
        for name, stage in results["stages"].items()
        if name in ("teacher_with_strategy", "student_trained")
    ]


def of_verdicts(stages: Mapping[str, Any]) -> bool:
    """Whether any of the problems wanted YES or NO."""
    return any(stage["scored"] > stage.get("boxed", 0) for stage in stages.values()) or not stages


def silent_answers(stage: Mapping[str, Any]) -> int:
    """Answers of which nobody can say what they are."""
    return sum(n for status, n in stage["statuses"].items() if status not in (ANSWERED, *UNSCORED))


def measured(stage: Mapping[str, Any]) -> str:
    """The figure that is compared with a constant answer's."""
    if "boxed" in stage:
        return f"accuracy {text(stage['accuracy'])}"
    return f"balanced accuracy {text(stage['balanced_accuracy'])}"


def accuracies(stages: Mapping[str, Any]) -> go.Figure:
    """Accuracy and balanced accuracy by stage, beside the better constant answer's."""
    figure = blank(380)
    names = [NAMES.get(name, name) for name in stages]
    for key, label, colour in (("accuracy", "accuracy", BLUE), ("balanced_accuracy", "balanced accuracy", TEAL)):
        shown = [stage[key] for stage in stages.values()]
        figure.add_bar(
            x=names,
            y=[one["value"] if one else None for one in shown],
            error_y=error_bars(shown),
            name=label,
            marker_color=colour,
        )
    constant = [stage["majority"]["accuracy"] for stage in stages.values()]
    line = {"color": RED, "width": 2, "dash": "dash"}
    figure.add_scatter(x=names, y=constant, mode="lines+markers", line=line, name="constant answer")
    figure.update_layout(barmode="group", yaxis_tickformat=".0%", yaxis_range=[0, 1.05], margin_t=40)
    return figure


def confusions(stages: Mapping[str, Any]) -> go.Figure:
    """One matrix a stage."""
    figure = make_subplots(rows=1, cols=max(1, len(stages)), subplot_titles=[NAMES.get(n, n) for n in stages])
    figure.update_layout(blank(250).layout)
    said = (*LABELS, "none")
    for column, stage in enumerate(stages.values(), 1):
        counts = [[stage["confusion"][gold][word] for word in said] for gold in LABELS]
        figure.add_heatmap(
            x=said, y=LABELS, z=counts, text=counts, texttemplate="%{text}", showscale=False, colorscale="Blues",
            zmin=0, row=1, col=column,
        )  # fmt: skip
    figure.update_yaxes(autorange="reversed")
    figure.update_layout(margin_t=40)
    return figure


def levels(stages: Mapping[str, Any]) -> go.Figure:
    """Accuracy of each stage by level."""
    figure = blank(320)
    colours = (SLATE, AMBER, VIOLET, TEAL, RED, BLUE)
    for (name, stage), colour in zip(stages.items(), colours * len(stages)):
        shown = list(stage["levels"].values())
        figure.add_bar(
            x=list(stage["levels"]),
            y=[one["value"] if one else None for one in shown],
            error_y=error_bars(shown),
            name=NAMES.get(name, name),
            marker_color=colour,
        )
    figure.update_layout(barmode="group", yaxis_tickformat=".0%", yaxis_range=[0, 1.05], margin_t=40)
    return figure


def evolution(answers: Sequence[Mapping[str, Any]], distilled: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Share of each training batch that the teacher judged rightly; a line at each distillation."""
    batches: dict[int, list[bool]] = {}
    for row in answers:
        kind, _, number = row["stage"].partition("-")
        if kind == "bootstrap" and row["status"] not in UNSCORED:
            batches.setdefault(int(number), []).append(row["said"] == row["gold"])
    numbers = sorted(batches)
    shares = [sum(batches[n]) / len(batches[n]) for n in numbers]
    figure = blank(300)
    figure.add_scatter(x=numbers, y=shares, mode="lines+markers", line={"color": BLUE, "width": 2}, name="batch")
    for row in distilled:
        used = row["status"] == ANSWERED
        figure.add_vline(x=row["batch"] + 0.5, line={"color": TEAL if used else RED, "dash": "dot"})
    figure.update_layout(yaxis_tickformat=".0%", yaxis_range=[0, 1.05], xaxis_title="batch", margin_t=30)
    return figure


def _shown(answers: Sequence[Mapping[str, Any]], folder: RunFolder, most: int = 24) -> list[Mapping[str, Any]]:
    """Some of the teacher's answers, wrong ones first, and of the student's."""
    teacher: list[Mapping[str, Any]] = [{"who": f"teacher, {row['stage']}", **row} for row in answers]
    teacher.sort(key=lambda row: row["said"] == row["gold"])
    student: list[Mapping[str, Any]] = []
    for name in ("student_trained", "student"):
        if (folder.path / "samples" / f"evaluation-{name}.parquet").is_file():
            columns = ["mode", "status", "passed", "completion", "prompt"]
            for row in folder.samples(f"evaluation-{name}", columns).to_pylist()[: most // 2]:
                said = {"who": NAMES[name], "level": row["mode"], "gold": "", "said": "", "status": row["status"]}
                student.append({**said, "text": f"{row['prompt']}\n\n{row['completion']}"})
            break
    return teacher[:most] + student


def parts(results: Mapping[str, Any]) -> list[Table | str]:
    """Everything that the report says, in order."""
    stages = results["stages"]
    found: list[Table | str] = [_scores(stages), *([_confusion(stages)] if of_verdicts(stages) else [])]
    if results["comparisons"]:
        found.append(_comparisons(results["comparisons"]))
    cost = results["cost"]
    found.append(
        f"{cost['requests_paid']} answers of {cost['teacher']} paid: ${cost['dollars']:.4f}"
        + (f", and at most ${cost['dollars_open']:.4f} for requests that were lost" if cost["dollars_open"] else "")
    )
    if cost["teacher"] == REFERENCE:
        found.append(
            "The reference teacher knows every answer: its own stages check the software, and measure no strategy."
        )
    found.append(f"Strategy after {results['distillations']} distillations:\n{results['strategy']}")
    return found


def verdict(stage: Mapping[str, Any]) -> str:
    """Whether a measurement is beyond what a constant answer scores."""
    key = "accuracy" if "boxed" in stage else "balanced_accuracy"
    balanced, base = stage[key], stage["majority"][key]
    if balanced is None:
        return "not known"
    return "above" if balanced["low"] > base else "below" if balanced["high"] < base else "no"


def _scores(stages: Mapping[str, Any]) -> Table:
    what = "YES or NO" if of_verdicts(stages) else "Answers"
    table = Table(title=f"{what}, with 95 % intervals", title_justify="left")
    for name in ("", "accuracy", "balanced accuracy", "majority baseline", "beyond it?", "no verdict", "not scored"):
        table.add_column(name, justify="left" if not name else "right")
    for name, stage in stages.items():
        base = stage["majority"]
        constant = f"{100 * base['accuracy']:.1f} % ({base['label']})" if base["label"] else "-"
        silent = {s: n for s, n in stage["statuses"].items() if s != ANSWERED}
        unscored = stage["problems"] - stage["scored"]
        none = silent_answers(stage)
        told = f" ({', '.join(f'{n} {s}' for s, n in silent.items())})" if silent else ""
        table.add_row(
            shown(name), text(stage["accuracy"]), text(stage["balanced_accuracy"]), shown(constant), verdict(stage),
            shown(f"{none}{told}"),
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
        table.add_row(shown(name), *cells, *(text(stage["recall"][gold]) for gold in LABELS))
    return table


def _comparisons(comparisons: Mapping[str, Any]) -> Table:
    table = Table(title="Accuracy after minus before, on the same problems", title_justify="left")
    for name in ("", "points, 95 % interval", "gained", "lost", "McNemar p"):
        table.add_column(name, justify="left" if not name else "right")
    for name, found in comparisons.items():
        if found is not None:
            table.add_row(shown(name), _change(found), str(found["gained"]), str(found["lost"]), f"{found['p']:.3g}")
    return table


def _change(found: Mapping[str, float]) -> str:
    return f"{100 * found['value']:+.1f} [{100 * found['low']:+.1f}, {100 * found['high']:+.1f}]"

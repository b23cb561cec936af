"""`crucible hard-distil`: a teacher's traces, fine-tuning on them, GRPO; held-out skill before, between and after.

Each stage is a run of its own in the folder (`distil`, `sft`, `grpo`), resumed where it was interrupted; each one's
output is the next one's input, and the adapter of the second goes on in the third. `metrics.json` holds the results.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from rich.console import Console

from pipelines.artifacts.run_folder import RunFolder, plain_config, replace_file
from pipelines.artifacts.traces import TracesError
from pipelines.errors import ConfigError, JobFailed
from pipelines.job import MAY_CHANGE as ALL_MAY_CHANGE
from pipelines.job import Context, Job
from pipelines.jobs import distil, grpo, sft
from pipelines.jobs.evaluate import (
    Evaluation,
    compare,
    held_out,
    load_evaluation,
    show,
    show_conditions,
    verdict_line,
    write_evaluation,
)
from pipelines.jobs.teacher_job_config import TEACHER_MAY_CHANGE, HardDistilConfig
from pipelines.measure.conditions import LAST, Required, Result, conditions_row
from problems.plain_text import shown

MAY_CHANGE = (
    *ALL_MAY_CHANGE,
    "skip_traces",
    "skip_sft",
    "skip_grpo",
    "traces",
    "steps",
    "require",
    "train.workers",
    "train.shard",
    *TEACHER_MAY_CHANGE,
)
METRICS_FILE = "metrics.json"


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a run."""

    folder: str
    """Its path or its URL."""
    metrics: Mapping[str, Any]
    evaluations: tuple[Evaluation, ...]

    conditions: tuple[Result, ...]
    """What became of those that were required."""


def run(context: Context[HardDistilConfig]) -> Outcome:
    """Runs the stages that are not skipped and not done, and writes the results. Raises what the stages raise."""
    config, console = context.config.agreed(), context.console
    required = Required.twice(config.require, held_out(config), config.evaluation.group_size)
    context.config, context.resuming = config, context.resuming or _skips(config)
    folder, seconds = context.folder, {}
    path = folder.path
    context.ray()
    traces = _timed(seconds, "distil", lambda: _distil(config, path, console))
    folder.changed()
    adapter = _timed(seconds, "sft", lambda: _sft(config, path, traces, console))
    folder.changed()
    last = path / "sft"
    if not config.skip_grpo:
        _timed(seconds, "grpo", lambda: _grpo(config, path, adapter, console))
        last = path / "grpo"
    evaluations = _evaluations(path / "sft", last)
    conditions = required.results({"before": evaluations[0], LAST: evaluations[-1]})
    metrics = _metrics(config, path, evaluations, seconds)
    metrics["conditions"] = [asdict(result) for result in conditions]
    replace_file(path / METRICS_FILE, json.dumps(metrics, indent=1))
    _write_run(folder, evaluations, conditions)
    return Outcome(str(folder), metrics, evaluations, conditions)


def _skips(config: HardDistilConfig) -> bool:
    """Whether a stage's output must be there already: that of an earlier run of this name."""
    return config.skip_sft or (config.skip_traces and not config.traces)


def _distil(config: HardDistilConfig, path: Path, console: Console) -> tuple[str, ...]:
    """Where the traces of the first stage are."""
    if config.skip_traces and config.traces:
        return tuple(str(Path(place).resolve()) if Path(place).exists() else place for place in config.traces)
    done = path / "distil" / "traces.parquet"
    if config.skip_traces:
        if not done.exists():
            raise ConfigError(f"skip_traces is set, and there are no traces at {done}; name some by --traces")
        return (str(done.resolve()),)
    if not done.is_file():
        console.rule("1 of 3: traces")
        stage = config.distil_stage(path)
        if not distil.JOB.execute(stage, console, resume=_begun(path / "distil")).figures["kept"]:
            raise TracesError(f"no trace passed its tests; {path}/distil/failures.jsonl says why")
    return (str(done.resolve()),)


def _sft(config: HardDistilConfig, path: Path, traces: Sequence[str], console: Console) -> Path:
    """The folder with the adapter of the second stage."""
    folder = path / "sft"
    done = (folder / "adapter").is_dir() and _has(folder, "comparison")
    if config.skip_sft and not done:
        raise ConfigError(f"skip_sft is set, and {folder} holds no finished adapter; run that stage first")
    if not done:
        console.rule("2 of 3: fine-tuning")
        sft.JOB.execute(config.sft_stage(traces, path), console, resume=_begun(folder))
    return folder


def _grpo(config: HardDistilConfig, path: Path, adapter: Path, console: Console) -> None:
    folder = path / "grpo"
    if _has(folder, "comparison") and not _more_steps(config, folder):
        return
    console.rule("3 of 3: GRPO")
    stage = config.grpo_stage(str(adapter.resolve()), path)
    grpo.JOB.execute(stage, console, resume=_begun(folder))


def _begun(folder: Path) -> bool:
    return (folder / "config.yaml").is_file()


def _has(folder: Path, kind: str) -> bool:
    return _begun(folder) and any(row.get("kind") == kind for row in RunFolder.open(folder).metrics())


def _more_steps(config: HardDistilConfig, folder: Path) -> bool:
    return RunFolder.open(folder).config["steps"] < config.steps


def _timed(seconds: dict[str, float], name: str, stage: Any) -> Any:
    began = time.monotonic()
    result = stage()
    seconds[name] = round(time.monotonic() - began, 1)
    return result


def _evaluations(sft_folder: Path, last: Path) -> tuple[Evaluation, ...]:
    """Before, after fine-tuning, and after GRPO where there was any."""
    places = [(sft_folder, "before", "before"), (sft_folder, "after", "sft")]
    if last != sft_folder:
        places.append((last, "after", "after"))
    else:
        places[-1] = (sft_folder, "after", "after")
    found = []
    for folder, name, called in places:
        evaluation = load_evaluation(RunFolder.open(folder), name)
        if evaluation is None:
            raise JobFailed(f"{folder} holds no evaluation {name}, though its stage has ended")
        found.append(replace(evaluation, name=called))
    return tuple(found)


def _metrics(
    config: HardDistilConfig, path: Path, evaluations: Sequence[Evaluation], seconds: Mapping[str, float]
) -> dict[str, Any]:
    """The content of `metrics.json`."""
    stages = {
        name: [row for row in RunFolder.open(path / name).metrics() if row.get("kind") == kind][-1:]
        for name, kind in (("distil", "distil"), ("sft", "sft"))
        if _begun(path / name)
    }
    return {
        "config": plain_config(config),
        "stages": {name: rows[0] for name, rows in stages.items() if rows},
        "evaluations": {evaluation.name: evaluation.row(0) for evaluation in evaluations},
        "comparisons": [compare(a, b) for a, b in pairwise(evaluations)]
        + ([compare(evaluations[0], evaluations[-1])] if len(evaluations) > 2 else []),
        "seconds": dict(seconds),
    }


def _write_run(folder: RunFolder, evaluations: Sequence[Evaluation], conditions: Sequence[Result]) -> None:
    """The whole run's evaluations, comparison and conditions, as those of any other job."""
    folder.roll_back(-1)
    for step, evaluation in enumerate(evaluations):
        write_evaluation(folder, evaluation, step)
    folder.append_metrics({**compare(evaluations[0], evaluations[-1]), "step": len(evaluations)})
    if conditions:
        folder.append_metrics(conditions_row(conditions, len(evaluations)))


def show_outcome(console: Console, outcome: Outcome) -> int:
    """Prints skill before, between and after, and what became of the conditions; returns the status."""
    show(console, outcome.evaluations)
    for comparison in outcome.metrics["comparisons"]:
        console.print(shown(f"{comparison['before']} → {comparison['after']}: {verdict_line(comparison['pass_at_1'])}"))
    status = show_conditions(console, outcome.conditions)
    took = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in outcome.metrics["seconds"].items())
    console.print(shown(f"{took}; report: {outcome.folder}/report.html, figures: {outcome.folder}/{METRICS_FILE}"))
    return status


JOB = Job("hard-distil", HardDistilConfig, run, show_outcome, may_change=MAY_CHANGE, takes_prompt=False)
main = JOB.main

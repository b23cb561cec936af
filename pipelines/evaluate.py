"""Evaluation: pass@1 and pass@k on held-out problems, by the same engines, prompts and sandbox as training."""

from __future__ import annotations

import collections
import json
import statistics
import sys
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from cluster.hardware import NoRoom
from cluster.storage import Storage, StorageError, url_of
from pipelines.config import ConfigError, EvaluateConfig, EvaluationConfig, JobConfig, fail, parse
from pipelines.run_folder import RUN_FOLDER_LINE, RunFolder, RunFolderError
from pipelines.samples import sample_rows
from pipelines.session import (
    Session,
    default_name,
    engine_spec,
    open_session,
    resolve_model,
    wait_for_engines,
    with_model_prompt,
)
from pipelines.statistics import Difference, Estimate, mcnemar, paired_difference, pass_rate
from problems.problem import Group, Problem, Status
from problems.stream import ProblemStream
from rollout.config import Sampling
from rollout.fleet import RolloutJob
from rollout.policy import PolicyVersion, Publication


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Judged samples of one policy on a fixed list of problems."""

    name: str
    groups: tuple[Group, ...]
    lost: tuple[str, ...] = ()
    """Why some problems have no answer: never counted as wrong."""
    seeds: Mapping[str, Any] = field(default_factory=dict)

    @property
    def outcomes(self) -> dict[str, list[bool]]:
        """Problem id -> whether each of its scored samples passed."""
        return {
            g.problem.id: [v.passed for v in g.verdicts if v.status is not Status.INFRASTRUCTURE] for g in self.groups
        }

    def pass_at(self, k: int, families: Sequence[str] = ()) -> Estimate:
        """pass@k with its 95 % interval, over all families or those named."""
        kept = {g.problem.id for g in self.groups if not families or g.problem.family in families}
        return pass_rate({i: o for i, o in self.outcomes.items() if i in kept and len(o) >= k}, k)

    def shares(self) -> dict[str, float]:
        """Share of samples by how their judging ended."""
        counts = collections.Counter(str(v.status) for g in self.groups for v in g.verdicts)
        return {status: count / max(1, sum(counts.values())) for status, count in sorted(counts.items())}

    def row(self, step: int) -> dict[str, Any]:
        """The evaluation's row of `metrics.jsonl`."""
        largest = min((len(o) for o in self.outcomes.values()), default=1)
        ks = [k for k in (1, 2, 4, 8, 16, 32, 64) if k <= largest]
        families = sorted({g.problem.family for g in self.groups})
        lengths = [len(s.completion_ids) for g in self.groups for s in g.samples]
        return {
            "kind": "evaluation",
            "name": self.name,
            "step": step,
            "problems": len(self.groups),
            "samples": len(lengths),
            "lost": len(self.lost),
            "pass_at": {str(k): _plain(self.pass_at(k)) for k in ks},
            "families": {name: _plain(self.pass_at(1, [name])) for name in families},
            "difficulties": {str(d): _plain(e) for d, e in self._by_difficulty().items()},
            "tests_passed": _mean(v.tests_passed / max(1, v.tests_total) for g in self.groups for v in g.verdicts),
            "statuses": self.shares(),
            "truncated": _mean(s.finish_reason == "length" for g in self.groups for s in g.samples),
            "completion_tokens": statistics.fmean(lengths) if lengths else 0.0,
        }

    def _by_difficulty(self) -> dict[int, Estimate]:
        found: dict[int, dict[str, list[bool]]] = collections.defaultdict(dict)
        outcomes = self.outcomes
        for group in self.groups:
            found[group.problem.difficulty][group.problem.id] = outcomes[group.problem.id]
        return {d: pass_rate(found[d], 1) for d in sorted(found)}


def held_out(config: JobConfig) -> list[Problem]:
    """The problems that an evaluation asks: distinct questions of the chosen split, the same for the same seed."""
    evaluation = config.evaluation
    stream = ProblemStream(config.problems.model_copy(update={"seed": evaluation.seed}), evaluation.split)
    chosen: dict[str, Problem] = {}
    for index in range(50 * evaluation.problems):
        problem = stream.problem(index)
        chosen.setdefault(problem.question_hash, problem)
        if len(chosen) == evaluation.problems:
            break
    return list(chosen.values())


def evaluate(
    session: Session,
    config: JobConfig,
    problems: Sequence[Problem],
    policy: PolicyVersion,
    name: str,
    max_tokens: int,
    console: Console,
) -> Evaluation:
    """Samples and judges every problem under `policy`, which is loaded first. Shows a progress bar."""
    from pipelines.stream import answer_all

    run = f"{session.run}-{name}"
    settings: EvaluationConfig = config.evaluation
    publication = session.ray.put(Publication(PolicyVersion(run, 0, policy.weights, policy.lora_config)))
    session.ray.get([engine.load.remote(publication) for engine in session.engines])
    job = RolloutJob(
        run=run,
        group_size=1 if settings.temperature == 0 else settings.samples,
        sampling=Sampling(temperature=settings.temperature, max_tokens=max_tokens),
        prompt=config.prompt,
        seed=settings.seed,
    )
    groups: dict[str, Group] = {}
    lost = []
    with _progress(console) as progress:
        task = progress.add_task(f"evaluating {name}", total=len(problems), rate="")
        for problem, group, error in answer_all(problems, job, session.engines, config.verify):
            if group is None:
                lost.append(f"{problem.id}: {error}")
            else:
                groups[problem.id] = group
            passed = [v.passed for g in groups.values() for v in g.verdicts]
            progress.update(task, advance=1, rate=f"pass@1 {100 * _mean(passed):.1f} %")
    session.ray.get([engine.forget.remote(run) for engine in session.engines])
    if not groups:
        raise ConfigError(f"no problem could be answered: {lost[0] if lost else 'there are none'}")
    ordered = tuple(groups[p.id] for p in problems if p.id in groups)
    return Evaluation(name, ordered, tuple(lost))


def load_evaluation(folder: RunFolder, name: str) -> Evaluation | None:
    """An evaluation that the run folder holds already, from its samples' table; None where it holds none."""
    path = folder.path / "samples" / f"evaluation-{name}.parquet"
    if not path.is_file():
        return None
    from pipelines.samples import groups_of

    return Evaluation(name, tuple(groups_of(folder.samples(f"evaluation-{name}"))))


def write_evaluation(folder: RunFolder, evaluation: Evaluation, step: int) -> None:
    """Writes samples first and the metrics row after them, so that a row always has its samples."""
    rows = [row for group in evaluation.groups for row in sample_rows(group)]
    folder.write_samples(f"evaluation-{evaluation.name}", rows)
    folder.append_metrics(evaluation.row(step))


def compare(before: Evaluation, after: Evaluation) -> dict[str, Any]:
    """After minus before, paired by problem: the row of `metrics.jsonl`."""
    shared = before.outcomes.keys() & after.outcomes.keys()
    one, two = ({i: e.outcomes[i] for i in shared} for e in (before, after))
    difference = paired_difference(one, two)
    row = {"kind": "comparison", "before": before.name, "after": after.name, "pass_at_1": _plain(difference)}
    if all(len(o) == 1 for o in (*one.values(), *two.values())):
        row["mcnemar_p"] = mcnemar(one, two).p_value
    return row


def show(console: Console, evaluations: Sequence[Evaluation]) -> None:
    """Prints one column an evaluation: pass rates with 95 % intervals, over all and by family."""
    table = Table(title="Held-out problems", title_justify="left")
    table.add_column("")
    for evaluation in evaluations:
        table.add_column(evaluation.name, justify="right")
    largest = min(len(o) for e in evaluations for o in e.outcomes.values())
    for k in [k for k in (1, 8) if k <= largest]:
        table.add_row(f"pass@{k}", *(str(e.pass_at(k)) for e in evaluations), style="bold")
    for family in sorted({g.problem.family for g in evaluations[0].groups}):
        table.add_row(f"  {family}", *(f"{100 * e.pass_at(1, [family]).value:.0f} %" for e in evaluations))
    for label, key in (("truncated", "truncated"), ("unparsed", "unparsed")):
        table.add_row(label, *(f"{100 * e.shares().get(key, 0):.1f} %" for e in evaluations), style="dim")
    table.add_row("problems x samples", *(f"{len(e.groups)} x {len(e.groups[0].samples)}" for e in evaluations))
    console.print(table)
    for evaluation in evaluations:
        if evaluation.lost:
            console.print(
                f"[yellow]{len(evaluation.lost)} problems of {evaluation.name} could not be answered and are left "
                f"out, not counted as wrong; the first: {evaluation.lost[0]}"
            )


def verdict_line(difference: Difference | Mapping[str, Any]) -> str:
    """One sentence on whether pass@1 moved by more than its interval."""
    value, low, high = (100 * _get(difference, key) for key in ("value", "low", "high"))
    moved = "improved" if low > 0 else "worsened" if high < 0 else "did not change beyond chance"
    return f"held-out pass@1 {moved}: {value:+.1f} points, 95 % interval [{low:+.1f}, {high:+.1f}]"


def read_adapter(path: str, run: str) -> PolicyVersion:
    """An adapter folder, or a checkpoint that holds one, here or on an object store; "" is the model alone.

    Raises ConfigError.
    """
    if not path:
        return PolicyVersion(run, 0)
    folder = _brought(path)
    inner = folder / "adapter"
    try:
        return PolicyVersion.read(inner if inner.is_dir() else folder, run=run, number=0)
    except FileNotFoundError as error:
        raise ConfigError(f"{error}; name a checkpoint of a run folder, or a folder that peft wrote") from None


def _brought(path: str) -> Path:
    """The folder itself, or a copy of what is of use to engines in one on an object store. Raises ConfigError."""
    try:
        url = url_of(path)
        if url is None:
            return Path(path).expanduser()
        storage, folder = Storage(url), Path(tempfile.mkdtemp(prefix="crucible-"))
        storage.download([name for name in storage.names() if name.endswith((".json", ".safetensors"))], folder)
    except StorageError as error:
        raise ConfigError(str(error)) from None
    return folder


def run(config: EvaluateConfig, console: Console) -> Evaluation:
    """The whole of `crucible evaluate`."""
    model = resolve_model(config.model)
    config = with_model_prompt(config, model)
    policy = read_adapter(config.adapter, "evaluate")
    name = config.name or default_name("evaluate", model)
    config = config.model_copy(update={"name": name})
    with RunFolder.create(config.runs / name, config) as folder:
        console.print(f"{RUN_FOLDER_LINE}{folder.location}", soft_wrap=True)
        rank = int(policy.lora_config.get("r", 8)) if policy.weights else 8
        spec = engine_spec(model, config.engine, rank, 1, 0)
        with open_session(config, spec, config.engines) as session:
            with console.status("starting the rollout engine"):
                wait_for_engines(session)
            problems = held_out(config)
            evaluation = evaluate(session, config, problems, policy, "model", config.max_tokens, console)
        write_evaluation(folder, evaluation, 0)
        show(console, [evaluation])
    return evaluation


def main(argv: Sequence[str]) -> int:
    """`crucible evaluate`."""
    try:
        config = parse(EvaluateConfig, argv, prog="crucible evaluate")
        run(config, Console(file=sys.stderr, highlight=False))
    except (ConfigError, RunFolderError, NoRoom) as error:
        return fail(str(error))
    return 0


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    return Progress(*columns, TimeRemainingColumn(), console=console, transient=True)


def _plain(estimate: Estimate | Difference) -> dict[str, float]:
    return {"value": estimate.value, "low": estimate.low, "high": estimate.high}


def _get(record: Any, key: str) -> float:
    return record[key] if isinstance(record, Mapping) else getattr(record, key)


def _mean(values: Iterable[float]) -> float:
    numbers = [float(v) for v in values]
    return sum(numbers) / len(numbers) if numbers else 0.0


def as_json(evaluation: Evaluation) -> str:
    """The evaluation's figures as one JSON text."""
    return json.dumps(evaluation.row(0), indent=1)

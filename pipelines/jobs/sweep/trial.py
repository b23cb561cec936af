"""One trial: a whole GRPO run, as the function that Ray Tune runs in an actor of its own."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from cluster.hardware import Demand
from pipelines.artifacts.location import CHECKPOINTS
from pipelines.artifacts.run_folder import RunFolder
from pipelines.config import GRPOConfig
from pipelines.jobs.evaluate import load_evaluation, read_adapter
from pipelines.jobs.grpo import MAY_CHANGE, Outcome, recorded_start, run_in
from pipelines.jobs.sweep.config import SweepConfig
from pipelines.jobs.sweep.space import configure
from pipelines.jobs.sweep.state import TRIALS
from pipelines.model_copies import bring
from pipelines.session import ClusterSession, open_session, wait_for_engines
from rollout.engine_spec import EngineSpec

CONSOLE = "console.txt"
POINTER = "checkpoint.json"
"""File of a Tune checkpoint: where the run's own checkpoint lies."""


@dataclass(frozen=True, slots=True)
class Fleet:
    """What trials are given of the sweep's session."""

    run: str
    model: str
    engines: tuple[Any, ...]
    """Actor handles; () where every trial starts its own."""
    board: Any
    """Of the sweep's session: all trials share its stream."""
    learner: Demand


def trial_config(config: SweepConfig, folder: Path, trial: str, values: Mapping[str, Any]) -> GRPOConfig:
    """The run of a trial. Raises ConfigError where its setting cannot be run."""
    base = config.grpo.model_copy(
        update={
            "name": trial,
            "runs": folder / TRIALS,
            "evaluation": config.grpo.evaluation.model_copy(update={"split": "val"}),
        }
    )
    if config.scheduler == "pbt":
        every = base.train.model_copy(update={"checkpoint_every": config.report_every})
        base = base.model_copy(update={"train": every})
    return configure(base, values)


def run_trial(values: Mapping[str, Any], config: SweepConfig, folder: str, fleet: Fleet) -> None:
    """Trains and measures one setting; or goes on with its run folder. Reports to Ray Tune as it goes."""
    from ray import tune

    bring(fleet.model)
    trial = tune.get_context().get_trial_id()
    given = tune.get_checkpoint()
    grpo = trial_config(config, Path(folder), trial, values)
    path = grpo.runs / trial
    if given is not None:
        with given.as_directory() as pointer:
            adopt(Path(json.loads((Path(pointer) / POINTER).read_text())["path"]), path)
    # Population based training changes settings on the way; everything else is the same when a trial goes on.
    may_change = (*MAY_CHANGE, *values)
    started = (path / "config.yaml").is_file()
    opened = RunFolder.resume(path, grpo, may_change) if started else RunFolder.create(path, grpo)
    with opened as run_folder, open(path / CONSOLE, "a", encoding="utf-8") as text:
        report = Reporter(config, grpo, run_folder, tune.report)
        console = Console(file=text, width=160, highlight=False, soft_wrap=True)
        before = load_evaluation(RunFolder.open(folder), "before")
        report.end(_run(grpo, fleet, trial, run_folder, console, before, report))


def _run(
    grpo: GRPOConfig, fleet: Fleet, trial: str, folder: RunFolder, console: Console, before: Any, report: Reporter
) -> Outcome:
    import ray

    initial = recorded_start(folder, grpo.name)
    if initial is None and grpo.adapter:
        initial = read_adapter(grpo.adapter, grpo.name)
    if fleet.engines:
        engine, name = grpo.rollout.engine, f"{fleet.run}-{trial}"
        engines = list(fleet.engines)
        session = ClusterSession(
            ray,
            engines,
            fleet.board,
            fleet.learner,
            name,
            fleet.model,
            engine.patience_seconds,
            engine.max_model_len,
        )
        return run_in(session, grpo, folder, console, initial, before, report.step)
    spec = EngineSpec(fleet.model, grpo.rollout.engine, grpo.train.lora_r, grpo.rollout.live_adapters, grpo.seed)
    with open_session(grpo, spec, grpo.rollout.engines, grpo.train.workers) as session:
        wait_for_engines(session, console)
        return run_in(replace(session, model=fleet.model), grpo, folder, console, initial, before, report.step)


class Reporter:
    """Turns the rows of steps into reports to Tune: a score each `report_every` steps, and the result at the end."""

    def __init__(self, config: SweepConfig, grpo: GRPOConfig, folder: RunFolder, report: Callable[..., None]):
        self._every = config.report_every
        self._steps = grpo.steps
        self._folder = folder
        self._checkpoints = folder.checkpoints if config.scheduler == "pbt" else None
        self._spent = 0.0
        self._report = report
        self._recent: deque[float] = deque(maxlen=config.report_every)
        self._last: dict[str, Any] = {}

    def step(self, row: Mapping[str, Any]) -> None:
        """Takes in a finished step."""
        self._recent.append(row["pass_rate"])
        if row["step"] % self._every and row["step"] != self._steps:
            return
        score = sum(self._recent) / len(self._recent)
        self._last = {"step": row["step"], "score": score, "val_pass_at_1": None}
        # The last step is reported with its evaluation: no scheduler may stop a trial between the two.
        if row["step"] != self._steps:
            self._send(self._last)

    def end(self, outcome: Outcome) -> None:
        """Takes in the end of the run, with its held-out result."""
        value = outcome.after.pass_at(1).value
        score = self._last.get("score", value)
        self._folder.append_metrics({"kind": "trial", "seconds/tune": self._spent})
        self._send({"step": outcome.steps, "score": score, "val_pass_at_1": value})

    def _send(self, metrics: dict[str, Any]) -> None:
        began = time.perf_counter()
        self._report_with_checkpoint(metrics)
        self._spent += time.perf_counter() - began

    def _report_with_checkpoint(self, metrics: dict[str, Any]) -> None:
        newest = _newest(self._checkpoints) if self._checkpoints is not None else None
        if newest is None:
            self._report(metrics)
            return
        from ray import tune

        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / POINTER).write_text(json.dumps({"path": str(newest)}))
            self._report(metrics, checkpoint=tune.Checkpoint.from_directory(folder))


def adopt(checkpoint: Path, run: Path) -> None:
    """Makes `checkpoint` the newest of the run folder `run`, where it is another run's."""
    own = run / CHECKPOINTS
    if not checkpoint.is_dir() or checkpoint.parent.resolve() == own.resolve():
        return
    own.mkdir(parents=True, exist_ok=True)
    aside = own / f".adopted-{checkpoint.name}"
    shutil.rmtree(aside, ignore_errors=True)
    shutil.copytree(checkpoint, aside)
    for old in own.iterdir():
        if old.name.isdecimal():
            shutil.rmtree(old)
    aside.rename(own / checkpoint.name)


def _newest(checkpoints: Path) -> Path | None:
    from train import checkpoint

    return checkpoint.latest(checkpoints)

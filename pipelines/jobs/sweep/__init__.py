"""`crucible sweep`: Ray Tune over GRPO runs that share one fleet of engines."""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from cluster.connect import live_nodes, ray_session
from cluster.hardware import check_trials, plan
from cluster.storage import url_of
from pipelines.artifacts.location import CHECKPOINTS
from pipelines.artifacts.run_folder import RunFolder, plain_config, replace_file
from pipelines.errors import ConfigError
from pipelines.job import Context, Job
from pipelines.jobs.evaluate import (
    compare,
    evaluate,
    held_out,
    load_evaluation,
    read_adapter,
    verdict_line,
    write_evaluation,
)
from pipelines.jobs.sweep.config import SweepConfig
from pipelines.jobs.sweep.results import Setting, Trial, read_trial, settings_of, write_table
from pipelines.jobs.sweep.space import Axis, check_space, configure, parse_space
from pipelines.jobs.sweep.state import NAME, TRIALS, check_resumable, empty, is_known, tune_folder
from pipelines.jobs.sweep.trial import Fleet, run_trial
from pipelines.measure.problem_set import with_questions
from pipelines.model_copies import offer
from pipelines.session import Check, ClusterSession, nothing_to_check, open_session, wait_for_engines
from problems.plain_text import shown
from rollout.engine_spec import EngineSpec
from train import checkpoint

MAY_CHANGE = ("concurrency", "grpo.address")
"""Keys that a resumed sweep may have other values for."""
SEED = "seed"
RETRIES = 1
"""Times that a trial that failed is started again where it stood."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a sweep."""

    folder: str
    """Its path or its URL."""
    config: SweepConfig
    settings: list[Setting]
    """The best first."""
    trials: list[Trial]
    change: Mapping[str, Any] | None
    """Held-out pass@1 of the best setting against the start's, where it was measured."""
    seconds: float


def check(config: SweepConfig) -> None:
    """Raises ConfigError for a space that cannot be searched so."""
    axes = parse_space(config.space)
    check_space(axes, config.grpo)
    _check_scheduler(config, axes)


def run(context: Context[SweepConfig]) -> Outcome:
    """Runs all trials, measures the winner on the test split, and writes table and best setting."""
    began, console, model = time.monotonic(), context.console, context.model
    axes = parse_space(context.config.space)
    _check_adapter(context.config, axes, model)
    is_local = url_of(context.path) is None
    if context.resuming and is_local:  # before anything is written to it
        check_resumable(context.path)
    grpo = with_questions(context.config.grpo, console)
    config = context.config = context.config.model_copy(update={"grpo": grpo})
    folder, change = context.folder, None
    if context.resuming and not is_local:
        check_resumable(folder.path)
    with ray_session(config.grpo.address or None), _fleet(config, axes, model, context) as (session, fleet):
        offer(model)
        _measure_start(config, folder, session, model, console)
        trials = _trials(_tune(config, axes, folder, fleet, session, console, context.resuming), folder.path)
        settings = settings_of(trials)
        _write(config, folder, trials, settings)
        if settings and settings[0].val is not None:
            change = _measure_best(config, folder, session, model, settings[0], console)
    return Outcome(str(folder), config, settings, trials, change, time.monotonic() - began)


def _check_adapter(config: SweepConfig, axes: Sequence[Axis], model: str) -> None:
    """Raises ConfigError where some trial could not go on from the adapter."""
    if not config.grpo.adapter:
        return
    read_adapter(config.grpo.adapter, config.name, model, config.grpo.train)
    if any(axis.key == "train.lora_r" for axis in axes):
        raise ConfigError("an adapter goes on with its own lora_r: leave lora_r out of the space, or grpo.adapter out")


@contextlib.contextmanager
def _fleet(
    config: SweepConfig, axes: Sequence[Axis], model: str, context: Context[SweepConfig]
) -> Iterator[tuple[ClusterSession | None, Fleet]]:
    """The engines that all trials share; with `dedicated` none, and trials are given the placement of learners."""
    if config.dedicated:
        with _session(config, axes, model, 0, context.console, context.check_places()) as session:
            grpo, nodes = config.grpo, live_nodes()
            split = grpo.rollout.engine.tensor_parallel
            trial = plan(grpo.hardware, nodes, grpo.rollout.engines, grpo.train.workers, tensor_parallel=split)
            check_trials(*trial, nodes, config.concurrency)
            fleet = Fleet(session.run, model, (), None, session.learner)
        yield None, fleet
        return
    with _session(config, axes, model, config.concurrency, context.console, context.check_places()) as session:
        yield session, Fleet(session.run, model, tuple(session.engines), session.board, session.learner)


@contextlib.contextmanager
def _session(
    config: SweepConfig,
    axes: Sequence[Axis],
    model: str,
    trials: int,
    console: Console,
    check: Check = nothing_to_check,
) -> Iterator[ClusterSession]:
    """Engines with room for the adapters of `trials` trials at once, of the largest rank that the space holds."""
    grpo = config.grpo
    rank = max([grpo.train.lora_r, *(axis.largest for axis in axes if axis.key == "train.lora_r")])
    staleness = max([grpo.rollout.max_staleness, *(a.largest for a in axes if a.key == "rollout.max_staleness")])
    # One more for the policy that is being measured.
    each = grpo.rollout.model_copy(update={"max_staleness": staleness}).live_adapters
    spec = EngineSpec(model, grpo.rollout.engine, rank, (trials + 1) * each, grpo.seed)
    named = grpo.model_copy(update={"name": config.name})
    with open_session(named, spec, grpo.rollout.engines, grpo.train.workers, max(1, trials), check) as session:
        wait_for_engines(session, console)
        yield session


@contextlib.contextmanager
def _borrow(
    config: SweepConfig, session: ClusterSession | None, model: str, console: Console
) -> Iterator[ClusterSession]:
    if session is not None:
        yield session
        return
    with _session(config, parse_space(config.space), model, 0, console) as own:
        yield own


def _measure_start(
    config: SweepConfig, folder: RunFolder, session: ClusterSession | None, model: str, console: Console
) -> None:
    """Held-out skill of the policy that all trials start from, on the val split, once for all of them."""
    if load_evaluation(folder, "before") is not None:
        return
    grpo = _on_split(config, "val")
    with _borrow(config, session, model, console) as engines:
        start = read_adapter(grpo.adapter, config.name)
        tokens = grpo.rollout.sampling.max_tokens
        before = evaluate(engines, grpo, held_out(grpo), start, "before", tokens, console, folder)
    write_evaluation(folder, before, 0)


def _measure_best(
    config: SweepConfig, folder: RunFolder, session: ClusterSession | None, model: str, best: Setting, console: Console
) -> Mapping[str, Any]:
    """The winner against the start on problems that chose nothing: those of `grpo.evaluation.split`."""
    winner = max(best.trials, key=lambda trial: trial.val["value"] if trial.val is not None else -1.0)
    grpo = config.grpo
    newest = checkpoint.latest(folder.path / TRIALS / winner.id / CHECKPOINTS)
    measured = []
    with _borrow(config, session, model, console) as engines:
        for name, adapter in (("start", grpo.adapter), ("best", str(newest))):
            found = load_evaluation(folder, name)
            if found is None:
                policy = read_adapter(adapter, config.name)
                policy = replace(policy, run=f"{config.name}-{name}")
                tokens = grpo.rollout.sampling.max_tokens
                found = evaluate(engines, grpo, held_out(grpo), policy, name, tokens, console, folder)
                write_evaluation(folder, found, 0)
            measured.append(found)
    comparison = compare(*measured)
    folder.append_metrics(comparison)
    return comparison["pass_at_1"]


def _on_split(config: SweepConfig, split: str) -> Any:
    evaluation = config.grpo.evaluation.model_copy(update={"split": split})
    return config.grpo.model_copy(update={"evaluation": evaluation})


def _check_scheduler(config: SweepConfig, axes: Sequence[Axis]) -> None:
    if config.scheduler == "pbt":
        fixed = {"train.lora_r", "train.lora_alpha"} & {axis.key for axis in axes}
        if fixed:
            raise ConfigError(
                f"pbt varies settings in the middle of a run, and {fixed.pop()} is the adapter's shape: leave it out "
                f"of --space, or use --scheduler asha"
            )
        if config.search != "random":
            raise ConfigError("pbt starts from a random population: use --search random and --trials")
    if config.search == "grid" and (ranges := [axis.key for axis in axes if not axis.choices]):
        raise ConfigError(f"a grid needs values, and {ranges[0]} is a range; use --search random or optuna")


def _tune(
    config: SweepConfig,
    axes: Sequence[Axis],
    folder: RunFolder,
    fleet: Fleet,
    session: ClusterSession | None,
    console: Console,
    resume: bool,
) -> Any:
    """Ray Tune's results of all trials. Raises KeyboardInterrupt where the user interrupted."""
    from ray import tune

    from pipelines.jobs.sweep.watch import Watch

    for name in ("ray.tune", "ray.train"):
        logging.getLogger(name).setLevel(logging.ERROR)
    os.environ.setdefault("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
    os.environ.setdefault("TUNE_WARN_THRESHOLD_S", "30")
    # A trial only waits: what it computes, its learner and its verifiers take their own resources for.
    trainable = tune.with_resources(
        tune.with_parameters(run_trial, config=config, folder=str(folder.path.resolve()), fleet=fleet), {"CPU": 0.01}
    )
    storage = tune_folder(folder.path)
    watch = Watch(console, list(fleet.engines), config.grpo.steps)
    run_config = tune.RunConfig(
        name=NAME,
        storage_path=str(storage),
        callbacks=[watch],
        verbose=0,
        failure_config=tune.FailureConfig(max_failures=RETRIES),
    )
    space = {axis.key: axis.domain(config.search == "grid") for axis in axes}
    if config.search != "optuna":
        space[SEED] = tune.grid_search(list(config.seeds))
    else:
        space[SEED] = config.seeds[0]
    if resume and is_known(storage):
        tuner = tune.Tuner.restore(str(storage / NAME), trainable, resume_errored=True, param_space=space)
        local: Any = tuner._local_tuner
        local._run_config.callbacks = [watch]
    else:
        empty(storage)
        tuner = tune.Tuner(trainable, param_space=space, tune_config=_tune_config(config, axes), run_config=run_config)
    with watch:
        return tuner.fit()


def _tune_config(config: SweepConfig, axes: Sequence[Axis]) -> Any:
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler, FIFOScheduler, PopulationBasedTraining

    scheduler: Any = FIFOScheduler()
    if config.scheduler == "asha":
        scheduler = ASHAScheduler(
            time_attr="step",
            max_t=config.grpo.steps,
            grace_period=min(config.grace_steps, config.grpo.steps),
            reduction_factor=config.reduction,
            # A trial that has done all its steps has only its measurement left to do.
            stop_last_trials=False,
        )
    elif config.scheduler == "pbt":
        scheduler = PopulationBasedTraining(
            time_attr="step",
            perturbation_interval=config.grace_steps,
            hyperparam_mutations={a.key: list(a.choices) if a.choices else a.domain(False) for a in axes},
            synch=False,
        )
    search = None
    if config.search == "optuna":
        from optuna.samplers import TPESampler
        from ray.tune.search.optuna import OptunaSearch

        search = OptunaSearch(sampler=TPESampler(seed=config.seed))
    elif config.search == "random":
        from ray.tune.search.basic_variant import BasicVariantGenerator

        search = BasicVariantGenerator(random_state=config.seed, constant_grid_search=True)
    return tune.TuneConfig(
        metric="score",
        mode="max",
        scheduler=scheduler,
        search_alg=search,
        num_samples=1 if config.search == "grid" else config.trials,
        max_concurrent_trials=config.concurrency,
        trial_name_creator=lambda trial: trial.trial_id,
        trial_dirname_creator=lambda trial: trial.trial_id,
    )


def _trials(finished: Any, folder: Path) -> list[Trial]:
    """All trials in the order of their ids."""
    found = []
    for result in finished:
        id = Path(result.path).name
        values = {key: value for key, value in result.config.items() if key != SEED}
        error = " ".join(str(result.error).strip().splitlines()[-1:]) if result.error is not None else ""
        found.append(read_trial(folder / TRIALS / id, id, values, result.config[SEED], error))
    return sorted(found, key=lambda trial: trial.id)


def _write(config: SweepConfig, folder: RunFolder, trials: Sequence[Trial], settings: Sequence[Setting]) -> None:
    """Table, best setting and a first report, before the winner is measured."""
    from pipelines.jobs.sweep.report import write_sweep_report

    write_table(folder.path / "results.parquet", trials, config.report_every)
    if settings and settings[0].val is not None:
        best = configure(config.grpo, settings[0].values).model_copy(update={"name": ""})
        replace_file(folder.path / "best.yaml", yaml.safe_dump(plain_config(best), sort_keys=False))
    write_sweep_report(folder, config, trials, settings)


def write_report(context: Context[SweepConfig], outcome: Outcome) -> None:
    """Writes the report of a sweep that is done."""
    from pipelines.jobs.sweep.report import write_sweep_report

    write_sweep_report(context.folder, outcome.config, outcome.trials, outcome.settings)


def show(console: Console, outcome: Outcome) -> int:
    """Prints one row a setting, the best first, and what is to be known of its trials; 1 where none was measured."""
    config, settings = outcome.config, outcome.settings
    if outcome.change is not None:
        line = verdict_line(outcome.change)
        console.print(shown(f"best setting on the {config.grpo.evaluation.split} split: {line}"))
    console.print(_table(config, settings))
    _show_failures(console, settings)
    folder = outcome.folder
    best = settings[0] if settings and settings[0].val is not None else None
    if best is not None:
        console.print(shown(f"best setting: {best.name}; train with it: crucible grpo --config {folder}/best.yaml"))
    console.print(shown(f"table: {folder}/results.parquet   report: {folder}/report.html"))
    console.print(shown(f"{outcome.seconds:.0f} s", "dim"))
    return 0 if best is not None else 1


def _table(config: SweepConfig, settings: Sequence[Setting]) -> Table:
    table = Table(
        title=f"Settings by held-out pass@1 on the val split, over {len(config.seeds)} seeds", title_justify="left"
    )
    for heading in ("setting", "finished", "steps", "val pass@1", "against the best", "last pass rate"):
        left = heading == "setting"
        table.add_column(heading, justify="left" if left else "right", overflow="fold", min_width=15 if left else None)
    for setting in settings:
        steps = "/".join(str(trial.steps) for trial in setting.trials)
        scores = [trial.score(config.report_every) for trial in setting.trials if trial.pass_rates]
        table.add_row(
            shown(setting.name),
            f"{setting.finished} of {len(setting.trials)}",
            steps,
            str(setting.val) if setting.val else "stopped",
            str(setting.behind).replace(" %", "") if setting.behind else "",
            f"{100 * sum(scores) / len(scores):.1f} %" if scores else "",
        )
    return table


def _show_failures(console: Console, settings: Sequence[Setting]) -> None:
    """Says which trials have problems without a verdict, and which failed."""
    for trial in (trial for setting in settings for trial in setting.trials if trial.missing):
        console.print(
            shown(
                f"trial {trial.id} ({trial.setting}, seed {trial.seed}): {trial.missing} problems of its "
                "evaluations have no verdict and are left out",
                "yellow",
            )
        )
    failed = [trial for setting in settings for trial in setting.trials if trial.status == "failed"]
    for trial in failed:
        console.print(shown(f"trial {trial.id} ({trial.setting}, seed {trial.seed}) failed: {trial.error}", "red"))


JOB = Job("sweep", SweepConfig, run, show, write_report, check=check, may_change=MAY_CHANGE, part="grpo")
main = JOB.main

"""Evaluation: pass@1 and pass@k on held-out problems, by the same engines, prompts and sandbox as training."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from cluster.hardware import NoRoom
from cluster.storage import Storage, StorageError, url_of
from pipelines.artifacts.plain_files import reading
from pipelines.artifacts.run_folder import RUN_FOLDER_LINE, RunFolder, RunFolderError
from pipelines.artifacts.samples import sample_rows
from pipelines.config import ConfigError, EvaluateConfig, EvaluationConfig, JobConfig, fail, parse
from pipelines.measure.evaluation import Evaluation, compare, reasons
from pipelines.measure.problem_set import questions_of, with_questions
from pipelines.measure.statistics import NEEDED, Difference
from pipelines.session import (
    ClusterSession,
    default_name,
    open_session,
    resolve_model,
    wait_for_engines,
    with_model_prompt,
)
from problems.plain_text import one_line, shown
from problems.problem import Group, Problem
from rollout.adapter import check_adapter, largest_rank
from rollout.backends import EngineSpec
from rollout.config import Sampling
from rollout.fleet import NoEngine, RolloutJob, ended_since, load_policies, out_line, short_of_room
from rollout.policy import ADAPTER_FILES, PolicyVersion, Publication
from train import checkpoint
from train.config import TrainConfig

FORMAT = 1
"""Of `evaluation.json`."""


def held_out(config: JobConfig) -> list[Problem]:
    """The problems that an evaluation asks: distinct questions of the chosen split, the same for the same seed.

    Raises ConfigError where there are none.
    """
    evaluation = config.evaluation
    try:
        return questions_of(config).distinct(evaluation.split, evaluation.problems, evaluation.seed)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def held_out_by(config: JobConfig, seeds: Sequence[int]) -> dict[int, list[Problem]]:
    """What each seed brings in: its held-out problems but those whose question an earlier seed asks already.

    Raises ConfigError for a seed that brings in nothing, as all but the first do on a whole data set.
    """
    if isinstance(config, EvaluateConfig) and config.suites:
        return {config.evaluation.seed: questions_of(config).whole(config.evaluation.split)}
    asked: set[str] = set()
    found = {}
    for seed in seeds:
        evaluation = config.evaluation.model_copy(update={"seed": seed})
        drawn = held_out(config.model_copy(update={"evaluation": evaluation}))
        found[seed] = [problem for problem in drawn if problem.question_hash not in asked]
        if not found[seed]:
            raise ConfigError(
                f"seed {seed} draws no problem that the seeds before it did not: leave it out, and raise "
                "evaluation.samples for more samples of the same problems"
            )
        asked |= {problem.question_hash for problem in drawn}
    return found


def evaluate(
    session: ClusterSession,
    config: JobConfig,
    problems: Sequence[Problem],
    policy: PolicyVersion,
    name: str,
    max_tokens: int,
    console: Console,
) -> Evaluation:
    """Samples and judges every problem under `policy`, which is loaded first. Shows a progress bar.

    Goes on with the engines that there are, and says which are out. Raises ConfigError for an adapter that the engines
    refuse, where no engine answers, and where more than 1 % of the problems have no verdict.
    """
    from pipelines.stream import StreamFailed, answer_all

    run = f"{session.run}-{name}"
    settings: EvaluationConfig = config.evaluation
    publication = session.ray.put(Publication(replace(policy, run=run, number=0)))
    try:
        reports, out = load_policies(session.engines, publication, session.patience_seconds)
    except session.ray.exceptions.RayTaskError as error:
        raise ConfigError(f"the adapter of {name} does not fit model {session.model}: {error.cause}") from error
    except NoEngine as error:
        raise ConfigError(f"{name} cannot be evaluated: {error}") from error
    if out:
        console.print(shown(f"{out_line(out, len(session.engines))}; {name} is evaluated by the others", "yellow"))
    job = RolloutJob(
        run=run,
        group_size=1 if settings.temperature == 0 else settings.samples,
        sampling=Sampling(temperature=settings.temperature, max_tokens=max_tokens),
        prompt=config.prompt,
        seed=settings.seed,
        publication=publication,
        patience_seconds=session.patience_seconds,
    )
    groups: dict[str, Group] = {}
    lost = []
    with _progress(console) as progress:
        task = progress.add_task(one_line(f"evaluating {name}"), total=len(problems), rate="")
        try:
            for problem, group, error in answer_all(session.board, problems, job, config.verify):
                if group is None:
                    lost.append(f"{problem.id}: {error}")
                else:
                    groups[problem.id] = group
                passed = [v.passed for g in groups.values() for v in g.verdicts]
                progress.update(task, advance=1, rate=f"pass@1 {100 * sum(passed) / max(1, len(passed)):.1f} %")
        except StreamFailed as error:
            raise ConfigError(f"{name} cannot be evaluated: {error}") from None
    forgotten = [engine.forget.remote(run) for engine in session.engines]
    session.ray.wait(forgotten, num_returns=len(forgotten), timeout=5)
    ended = ended_since(session.engines, {number: report["pid"] for number, report in reports.items()})
    for number in ended.keys() - out.keys():
        console.print(shown(f"engine number {number} of {len(session.engines)} {ended[number]}", "yellow"))
    if not problems:
        raise ConfigError("there are no problems to answer")
    ordered = tuple(groups[p.id] for p in problems if p.id in groups)
    room = short_of_room(ordered, max_tokens, session.max_model_len)
    evaluation = Evaluation(name, ordered, tuple(lost), room)
    check(evaluation, config)
    return evaluation


def check(evaluation: Evaluation, config: JobConfig) -> None:
    """Raises ConfigError where too many problems have no verdict, in all or in one of the suites, for a score."""
    parts: dict[str, list[str]] = {}
    if isinstance(config, EvaluateConfig) and config.suites:
        ids = [*evaluation.outcomes, *evaluation.without_verdict]
        names = [suite.partition("=")[0] for suite in config.suites]
        parts = {name: [i for i in ids if i.startswith(f"{name}-")] for name in names}
    try:
        evaluation.check_complete(parts)
    except ValueError as error:
        raise ConfigError(str(error)) from None


def load_evaluation(folder: RunFolder, name: str) -> Evaluation | None:
    """An evaluation that the run folder holds already, from its samples' table; None where it holds none.

    Raises RunFolderError for a table that is damaged.
    """
    path = folder.path / "samples" / f"evaluation-{name}.parquet"
    if not path.is_file():
        return None
    from pipelines.artifacts.samples import groups_of

    with reading(str(path)):
        return Evaluation(name, tuple(groups_of(folder.samples(f"evaluation-{name}"))))


def write_evaluation(folder: RunFolder, evaluation: Evaluation, step: int) -> None:
    """Writes samples first and the metrics row after them, so that a row always has its samples."""
    rows = [row for group in evaluation.groups for row in sample_rows(group)]
    folder.write_samples(f"evaluation-{evaluation.name}", rows)
    folder.append_metrics(evaluation.row(step))


def show(console: Console, evaluations: Sequence[Evaluation]) -> None:
    """Prints one column an evaluation: pass rates with 95 % intervals, over all and by family."""
    table = Table(title="Held-out problems", title_justify="left")
    table.add_column("")
    for evaluation in evaluations:
        table.add_column(shown(evaluation.name), justify="right")
    for k in [k for k in (1, 8) if all(k in e.ks for e in evaluations)]:
        table.add_row(f"pass@{k}", *(str(e.pass_at(k)) for e in evaluations), style="bold")
    for family in evaluations[0].grid():
        table.add_row(shown(f"  {family}"), *(_family_rate(e, family) for e in evaluations))
    for label, key in (("tests passed", "tests_passed"), ("truncated", "truncated"), ("unparsed", "unparsed")):
        table.add_row(label, *(f"{100 * getattr(e, key):.1f} %" for e in evaluations), style="dim")
    table.add_row("problems x samples", *(f"{len(e.groups)} x {len(e.groups[0].samples)}" for e in evaluations))
    console.print(table)
    for evaluation in evaluations:
        _show_missing(console, evaluation)


def _show_missing(console: Console, evaluation: Evaluation) -> None:
    """Says what an evaluation is without, and what had less room than the others."""
    if lost := evaluation.without_verdict:
        of = len(lost) + len(evaluation.outcomes)
        console.print(
            shown(
                f"{len(lost)} of {of} problems of {evaluation.name} have no verdict and are left out, not counted "
                f"as wrong: {reasons(lost)}",
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
    """Prints pass@1 by family and difficulty, with the number of problems behind each."""
    grid = evaluation.grid()
    difficulties = sorted({d for cells in grid.values() for d in cells})
    title = shown(f"pass@1 of {evaluation.name} in % (problems), by difficulty")
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for difficulty in difficulties:
        table.add_column(str(difficulty), justify="right")
    for family, cells in grid.items():
        texts = (f"{100 * cells[d].value:.0f} ({cells[d].problems})" if d in cells else "" for d in difficulties)
        table.add_row(shown(family), *texts)
    console.print(table)


def verdict_line(difference: Difference | Mapping[str, Any]) -> str:
    """One sentence on whether pass@1 moved by more than its interval."""
    value, low, high = (100 * _get(difference, key) for key in ("value", "low", "high"))
    moved = "improved" if low > 0 else "worsened" if high < 0 else "did not change beyond chance"
    few = difference.get("informative") if isinstance(difference, Mapping) else difference.informative
    note = f"; {few} problems differ, and fewer than {NEEDED} decide nothing" if few and few < NEEDED else ""
    return f"held-out pass@1 {moved}: {value:+.1f} points, 95 % interval [{low:+.1f}, {high:+.1f}]{note}"


def read_adapter(path: str, run: str, model: str = "", learner: TrainConfig | None = None) -> PolicyVersion:
    """An adapter folder, or a checkpoint that holds one, here or on an object store; "" is the model alone.

    Raises ConfigError, also for one that says it was trained on another base model than `model`, where that is given,
    for one whose configuration asks for what is not computed here, and for one of another rank than that of the
    `learner` that is to go on from it. Its scale need not be the learner's: see `train.lora.Adapter.load`.
    """
    if not path:
        return PolicyVersion(run, 0)
    with _brought(path) as folder:
        inner = folder / "adapter"
        folder = inner if inner.is_dir() else folder
        try:
            policy = PolicyVersion.read(folder, run=run, number=0)
        except FileNotFoundError as error:
            raise ConfigError(f"{error}; name a checkpoint of a run folder, or a folder that peft wrote") from None
        except (OSError, ValueError) as error:
            raise ConfigError(f"adapter {path} cannot be read: {error}") from None
    try:
        check_adapter(policy.lora_config, policy.weights, f"adapter {path}")
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if model:
        _check_base(path, policy.base, model)
    if learner is not None:
        _check_rank(path, policy.lora_config, learner)
    return policy


def _check_rank(adapter: str, config: Mapping[str, Any], learner: TrainConfig) -> None:
    """Raises ConfigError, naming the field, for an adapter that the learner's cannot go on from."""
    rank, ranks = config.get("r", 8), set((config.get("rank_pattern") or {}).values())
    if rank != learner.lora_r:
        raise ConfigError(
            f"adapter {adapter} does not fit: its lora_r is {rank}, and lora_r is {learner.lora_r} here; set it to "
            f"{rank}"
        )
    if ranks - {rank}:
        raise ConfigError(
            f"adapter {adapter} does not fit: its rank_pattern gives some layers the rank {min(ranks - {rank})} and "
            f"lora_r is {rank} for all layers here; train an adapter of one rank"
        )


def _check_base(adapter: str, told: Mapping[str, str], model: str) -> None:
    """Compares fingerprints where the adapter has one and was trained on a model of another name. Raises ConfigError.

    Of equal shape, an adapter of another model would load, and make nonsense of every answer.
    """
    if not told.get("fingerprint") or told.get("model") == model:
        return
    import torch
    from transformers.utils.logging import disable_progress_bar

    from train.learner import load_base
    from train.lora import fingerprint

    disable_progress_bar()
    try:
        found = fingerprint(load_base(model, TrainConfig(), torch.device("cpu")))
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if found != told["fingerprint"]:
        raise ConfigError(
            f"adapter {adapter} was trained on base model {one_line(told.get('model'), 100)} "
            f"({one_line(told['fingerprint'], 40)}), and {model} is another one ({found}); give the model that it was "
            "trained on, or another adapter"
        )


@contextlib.contextmanager
def _brought(path: str) -> Iterator[Path]:
    """The folder itself, or for the block a copy of what is of use to engines in one on an object store.

    Raises ConfigError.
    """
    try:
        url = url_of(path)
    except StorageError as error:
        raise ConfigError(str(error)) from None
    if url is None:
        yield Path(path).expanduser()
        return
    with tempfile.TemporaryDirectory(prefix="crucible-") as folder:
        try:
            wanted = {f"{inside}{name}" for inside in ("", "adapter/") for name in ADAPTER_FILES}
            of_use = {name: size for name, size in Storage(url).names().items() if name in wanted}
            Storage(url).download(of_use, Path(folder))
        except StorageError as error:
            raise ConfigError(str(error)) from None
        yield Path(folder)


def run(config: EvaluateConfig, console: Console) -> Evaluation:
    """The whole of `crucible evaluate`."""
    model = resolve_model(config.model)
    config = with_model_prompt(config, model, console)
    policy = read_adapter(config.adapter, "evaluate", model)
    opponent = opponent_of(config, model)
    name = config.name or default_name("evaluate", model)
    given = config.problems
    config = with_questions(config.model_copy(update={"name": name, "problems": config.asked}), console)
    # The suites are recorded by their names alone, so that the file can be given to `--config` again.
    with RunFolder.create(config.runs / name, config.model_copy(update={"problems": given})) as folder:
        console.print(shown(f"{RUN_FOLDER_LINE}{folder.location}"), soft_wrap=True)
        by_seed = held_out_by(config, config.seeds or (config.evaluation.seed,))
        problems = [problem for drawn in by_seed.values() for problem in drawn]
        recorded = opponent if isinstance(opponent, RunFolder) else None
        other = recorded_evaluation(recorded, config, problems) if recorded else None
        policies = {"model": policy} | ({"against": opponent} if isinstance(opponent, PolicyVersion) else {})
        for key, value in policies.items():
            if base := other_base(value, model):
                console.print(
                    shown(f"the adapter of {key} was made for model {base}, and is asked on {model}", "yellow")
                )
        ranks = [largest_rank(p.lora_config) for p in policies.values()]
        spec = EngineSpec(model, config.engine, max(ranks))
        with open_session(config, spec, config.engines) as session:
            with console.status("starting the rollout engine"):
                wait_for_engines(session)
            found = {
                key: evaluate(session, config, problems, value, key, config.max_tokens, console)
                for key, value in policies.items()
            }
        seeds = {seed: [p.id for p in drawn] for seed, drawn in by_seed.items()} if len(by_seed) > 1 else {}
        evaluation = replace(found["model"], seeds=seeds)
        conclude(folder, config, policy, evaluation, found.get("against", other), console)
    return evaluation


def conclude(
    folder: RunFolder,
    config: EvaluateConfig,
    policy: PolicyVersion,
    evaluation: Evaluation,
    other: Evaluation | None,
    console: Console,
) -> None:
    """Writes samples, figures and report of a finished evaluation, and prints its tables."""
    from pipelines.report import write_report

    both = [evaluation] if other is None else [other, evaluation]
    for one in both:
        write_evaluation(folder, one, 0)
    comparison = None
    if other is not None:
        try:
            comparison = compare(other, evaluation)
        except ValueError as error:
            raise ConfigError(f"against {config.against}: {error}") from None
        folder.append_metrics(comparison)
    settings = config.evaluation
    path = folder.write_evaluation(
        {
            "format": FORMAT,
            "model": config.model,
            "adapter": config.adapter,
            "adapter_hash": policy.adapter_hash,
            "against": config.against,
            "split": settings.split,
            "temperature": settings.temperature,
            "greedy": settings.temperature == 0,
            "max_tokens": config.max_tokens,
            "seeds": list(config.seeds or (settings.seed,)),
            "suites": list(config.suites),
            "evaluations": {one.name: one.row(0) for one in both},
            "comparison": comparison,
        }
    )
    report = write_report(folder)
    show(console, both)
    show_grid(console, evaluation)
    if comparison is not None:
        console.print(shown(verdict_line(comparison["pass_at_1"])))
        if "mcnemar_p" in comparison:
            gained, lost, p = (comparison[key] for key in ("gained", "lost", "mcnemar_p"))
            console.print(
                shown(f"solved by the model alone {gained}, by the other alone {lost}; McNemar's exact p = {p:.2g}")
            )
    console.print(shown(f"figures: {path}   report: {report}"))


def other_base(policy: PolicyVersion, model: str) -> str:
    """The base model that an adapter names, where it goes by another name than `model`; else "".

    Folders and ids are told apart by their last part alone, for models are moved about and downloaded.
    """
    base = str(policy.lora_config.get("base_model_name_or_path") or "")
    return base if base and Path(base).name != Path(model).name else ""


def opponent_of(config: EvaluateConfig, model: str = "") -> PolicyVersion | RunFolder | None:
    """Whom to compare with: a policy to be sampled, or a run folder whose recorded samples are to be used.

    A run folder with a checkpoint stands for the newest of its adapters. Raises ConfigError where it is none of these.
    """
    if not config.against:
        return None
    if config.against == "base":
        return PolicyVersion("against", 0)
    path = Path(config.against).expanduser()
    if not (path / "config.yaml").is_file():
        return read_adapter(config.against, "against", model)
    folder = RunFolder.open(path)
    newest = checkpoint.latest(folder.checkpoints)
    if newest is not None:
        return read_adapter(str(newest), "against", model)
    if load_evaluation(folder, "model") is None:
        raise ConfigError(f"against: the run folder {path} has no checkpoint and no recorded evaluation")
    return folder


def recorded_evaluation(folder: RunFolder, config: EvaluateConfig, problems: Sequence[Problem]) -> Evaluation:
    """What an earlier `crucible evaluate` recorded of its model on these problems.

    Raises ConfigError where it was sampled in another way, or asked other problems: then nothing can be paired; and
    RunFolderError where its files are damaged.
    """
    with reading(str(folder), ConfigError):
        return _recorded_evaluation(folder, config, problems)


def _recorded_evaluation(folder: RunFolder, config: EvaluateConfig, problems: Sequence[Problem]) -> Evaluation:
    now = {"evaluation.temperature": config.evaluation.temperature, "max_tokens": config.max_tokens}
    then = {
        "evaluation.temperature": (folder.config.get("evaluation") or {}).get("temperature"),
        "max_tokens": folder.config.get("max_tokens"),
    }
    for key, value in now.items():
        if then[key] != value:
            raise ConfigError(f"against {folder.path}: {key} was {then[key]} there and is {value} here; use the same")
    rows = folder.samples("evaluation-model", ["problem_id", "question_hash"]).to_pylist()
    asked = {row["problem_id"]: row["question_hash"] for row in rows}
    missing = [p.id for p in problems if asked.get(p.id) != p.question_hash]
    if missing:
        raise ConfigError(
            f"against {folder.path}: {len(missing)} of these {len(problems)} problems (such as {missing[0]}) were not "
            "asked there; use the same problems, split and seeds"
        )
    recorded = load_evaluation(folder, "model")
    wanted = {p.id for p in problems}
    found = Evaluation("against", tuple(g for g in recorded.groups if g.problem.id in wanted))
    check(found, config)
    return found


def main(argv: Sequence[str]) -> int:
    """`crucible evaluate`."""
    try:
        config = parse(EvaluateConfig, argv, prog="crucible evaluate")
        run(config, Console(file=sys.stderr, highlight=False))
    except (ConfigError, RunFolderError, NoRoom) as error:
        return fail(str(error))
    return 0


def _progress(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
    )
    return Progress(*columns, TimeRemainingColumn(), console=console, transient=True)


def _family_rate(evaluation: Evaluation, family: str) -> str:
    cells = evaluation.grid().get(family)
    return f"{100 * evaluation.pass_at(1, [family]).value:.0f} %" if cells else ""


def _get(record: Any, key: str) -> float:
    return record[key] if isinstance(record, Mapping) else getattr(record, key)

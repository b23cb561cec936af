"""Evaluation: pass@1 and pass@k on held-out problems, by the same engines, prompts and sandbox as training."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from pipelines.adapters import read_adapter
from pipelines.artifacts.plain_files import reading
from pipelines.artifacts.run_folder import RunFolder
from pipelines.config import EvaluateConfig, EvaluationConfig, JobConfig
from pipelines.errors import ConfigError
from pipelines.evaluation_tables import show, show_conditions, show_grid, verdict_line
from pipelines.job import MAY_CHANGE as ALL_MAY_CHANGE
from pipelines.job import Context, Job
from pipelines.measure.conditions import LAST, Required, Result, conditions_row
from pipelines.measure.evaluation import Evaluation, compare
from pipelines.measure.problem_set import questions_of, with_questions
from pipelines.measure.recorded import Parts, collected, known_groups, load_evaluation, write_evaluation
from pipelines.progress import CountedProgress
from pipelines.session import ClusterSession
from problems.plain_text import shown
from problems.problem import Group, Problem
from rollout.adapter import largest_rank
from rollout.engine_spec import EngineSpec
from rollout.fleet import NoEngine, RolloutJob, ended_since, load_policies, out_line
from rollout.policy import PolicyVersion, Publication
from train import checkpoint

MAY_CHANGE = (*ALL_MAY_CHANGE, "require")
FROM_A_FILE = " (--suites NAME=FILE reads it from a file)"
FORMAT = 1
"""Of `evaluation.json`."""


def held_out(config: JobConfig, without: Collection[str] = ()) -> list[Problem]:
    """The problems of an evaluation: distinct questions of the chosen split, the same for the same seed. Those of a
    grid fill it beside the questions `without`, which are given by their hashes.

    Raises ConfigError where there are none, and where a cell of the grid has too few.
    """
    evaluation, questions = config.evaluation, questions_of(config)
    split, count, seed = evaluation.split, evaluation.per_cell, evaluation.seed
    try:
        if count:
            return questions.grid(split, count, seed, without)
        return questions.distinct(split, evaluation.problems, seed)
    except ValueError as error:
        raise ConfigError(f"{error}; lower evaluation.per_cell" if count else str(error)) from None


def held_out_by(config: JobConfig, seeds: Sequence[int]) -> dict[int, list[Problem]]:
    """What each seed brings in: its held-out problems but those that an earlier seed has brought in.

    Raises ConfigError for a seed that brings in nothing, as all but the first do on a whole data set.
    """
    if isinstance(config, EvaluateConfig) and config.suites:
        return {config.evaluation.seed: questions_of(config).whole(config.evaluation.split)}
    seen: set[str] = set()
    found = {}
    for seed in seeds:
        evaluation = config.evaluation.model_copy(update={"seed": seed})
        sampled = held_out(config.model_copy(update={"evaluation": evaluation}), seen)
        found[seed] = [problem for problem in sampled if problem.question_hash not in seen]
        if not found[seed]:
            raise ConfigError(
                f"seed {seed} brings in no problem that the seeds before it did not: leave it out, and raise "
                "evaluation.samples for more samples of the same problems"
            )
        seen |= {problem.question_hash for problem in sampled}
    return found


def evaluate(
    session: ClusterSession,
    config: JobConfig,
    problems: Sequence[Problem],
    policy: PolicyVersion,
    name: str,
    max_tokens: int,
    console: Console,
    folder: RunFolder | None = None,
) -> Evaluation:
    """Samples and judges every problem under `policy`, which is loaded first. Shows a progress bar.

    With a run folder, what is judged is kept in it as it comes, and what an earlier process of the run has kept there
    is not asked again. Goes on with the engines that there are, and says which are out. Raises ConfigError for an
    adapter that the engines refuse, where no engine answers, and where more than 1 % of the problems have no verdict.
    """
    if not problems:
        raise ConfigError("there are no problems to answer")
    run = f"{session.run}-{name}"
    settings: EvaluationConfig = config.evaluation
    known = known_groups(folder, name, problems, policy, settings.group_size) if folder is not None else {}
    if len(known) == len(problems):
        return collected(name, problems, known, (), max_tokens, session.max_model_len)
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
        group_size=settings.group_size,
        sampling=settings.sampling(max_tokens),
        prompt=config.prompt,
        seed=settings.seed,
        publication=publication,
        patience_seconds=session.patience_seconds,
    )
    with Parts(folder, name) as parts:
        groups, missing = _answers(session, problems, job, config, name, console, known, parts)
    forgotten = [engine.forget.remote(run) for engine in session.engines]
    session.ray.wait(forgotten, num_returns=len(forgotten), timeout=5)
    ended = ended_since(session.engines, {number: report["pid"] for number, report in reports.items()})
    for number in ended.keys() - out.keys():
        console.print(shown(f"engine number {number} of {len(session.engines)} {ended[number]}", "yellow"))
    evaluation = collected(name, problems, groups, missing, max_tokens, session.max_model_len)
    check(evaluation, config)
    return evaluation


def _answers(
    session: ClusterSession,
    problems: Sequence[Problem],
    job: RolloutJob,
    config: JobConfig,
    name: str,
    console: Console,
    known: Mapping[str, Group],
    parts: Parts,
) -> tuple[dict[str, Group], list[str]]:
    """Judged groups by problem id, the `known` ones among them, and a line for each problem without; with a progress
    bar. Each new group goes to `parts`. Raises ConfigError."""
    from pipelines.stream import StreamFailed, answer_all

    groups, missing = dict(known), list[str]()
    verdicts = [verdict for group in known.values() for verdict in group.verdicts]
    answers, passed = len(verdicts), sum(verdict.passed for verdict in verdicts)
    if known:
        console.print(shown(f"{len(known)} of {len(problems)} problems of {name} are answered already"))
    with CountedProgress(console, f"evaluating {name}", len(problems), done=len(known)) as progress:
        try:
            for problem, group, error in answer_all(session.board, problems, job, config.verify, without=known.keys()):
                if group is None:
                    missing.append(f"{problem.id}: {error}")
                else:
                    groups[problem.id] = group
                    parts.add(group)
                    answers += len(group.verdicts)
                    passed += sum(verdict.passed for verdict in group.verdicts)
                progress.update(len(groups) + len(missing), f"pass@1 {100 * passed / max(1, answers):.1f} %")
        except StreamFailed as error:
            raise ConfigError(f"{name} cannot be evaluated: {error}") from None
    return groups, missing


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


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of `crucible evaluate`."""

    evaluation: Evaluation
    other: Evaluation | None
    """What it is compared with."""
    comparison: Mapping[str, Any] | None
    folder: str
    """The run folder's path or URL."""
    conditions: tuple[Result, ...] = ()
    """What became of those that were required."""


def run(context: Context[EvaluateConfig]) -> Outcome:
    """Measures the model, and what it is compared with, on the same problems; what a resumed run has is not asked
    again, and where nothing is missing no engine is started."""
    config, console, model = context.config, context.console, context.model
    policy = read_adapter(config.adapter, "evaluate", model)
    opponent = opponent_of(config, model)
    # The suites are recorded by their names alone, so that the file can be given to `--config` again.
    try:
        resolved = with_questions(config.model_copy(update={"problems": config.questions}), console)
    except ConfigError as error:
        raise ConfigError(f"{error}{FROM_A_FILE if config.suites else ''}") from None
    context.config = resolved.model_copy(update={"problems": config.problems})
    by_seed = held_out_by(resolved, config.seeds or (config.evaluation.seed,))
    problems = [problem for brought_in in by_seed.values() for problem in brought_in]
    asked = {LAST: problems} | ({} if opponent is None else {"against": problems})
    required = Required.of(config.require, asked, config.evaluation.group_size)
    other = recorded_evaluation(opponent, resolved, problems) if isinstance(opponent, RunFolder) else None
    policies = {"model": policy} | ({"against": opponent} if isinstance(opponent, PolicyVersion) else {})
    for key, value in policies.items():
        if base := other_base(value, model):
            console.print(shown(f"the adapter of {key} was made for model {base}, and is used on {model}", "yellow"))
    found = _measured(context, resolved, problems, policies)
    seeds = {seed: [p.id for p in brought] for seed, brought in by_seed.items()} if len(by_seed) > 1 else {}
    evaluation = replace(found["model"], seeds=seeds)
    return conclude(context.folder, resolved, policy, evaluation, found.get("against", other), required)


def _measured(
    context: Context[EvaluateConfig],
    config: EvaluateConfig,
    problems: Sequence[Problem],
    policies: Mapping[str, PolicyVersion],
) -> dict[str, Evaluation]:
    """The evaluation of each policy, by its name. Raises ConfigError."""
    folder, samples, room = context.folder, config.evaluation.group_size, config.engine.max_model_len
    known = {key: known_groups(folder, key, problems, policy, samples) for key, policy in policies.items()}
    if all(len(groups) == len(problems) for groups in known.values()):
        return {key: collected(key, problems, of_it, (), config.max_tokens, room) for key, of_it in known.items()}
    rank = max(largest_rank(policy.lora_config) for policy in policies.values())
    session = context.session(EngineSpec(context.model, config.engine, rank), config.engines)
    return {
        key: evaluate(session, config, problems, policy, key, config.max_tokens, context.console, folder)
        for key, policy in policies.items()
    }


def conclude(
    folder: RunFolder,
    config: EvaluateConfig,
    policy: PolicyVersion,
    evaluation: Evaluation,
    other: Evaluation | None,
    required: Required,
) -> Outcome:
    """Writes samples and figures of a finished evaluation. Raises ConfigError where nothing can be compared."""
    both = [evaluation] if other is None else [other, evaluation]
    folder.roll_back(-1)  # the rows of an earlier process: all figures are written again
    for one in both:
        write_evaluation(folder, one, 0)
    comparison = None
    if other is not None:
        try:
            comparison = compare(other, evaluation)
        except ValueError as error:
            raise ConfigError(f"against {config.against}: {error}") from None
        folder.append_metrics({**comparison, "step": 0})
    results = required.results({LAST: evaluation} | ({} if other is None else {"against": other}))
    if results:
        folder.append_metrics(conditions_row(results, 0))
    settings = config.evaluation
    folder.write_evaluation(
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
            "conditions": [asdict(result) for result in results],
        }
    )
    return Outcome(evaluation, other, comparison, str(folder), results)


def show_outcome(console: Console, outcome: Outcome) -> int:
    """Prints the tables of an evaluation, how it compares, and what became of the conditions; returns the status."""
    evaluation, other, comparison = outcome.evaluation, outcome.other, outcome.comparison
    show(console, [evaluation] if other is None else [other, evaluation])
    show_grid(console, evaluation)
    if comparison is not None:
        console.print(shown(verdict_line(comparison["pass_at_1"])))
        if "mcnemar_p" in comparison:
            gained, lost, p = (comparison[key] for key in ("gained", "lost", "mcnemar_p"))
            line = f"solved by the model alone {gained}, by the other alone {lost}; McNemar's exact p = {p:.2g}"
            console.print(shown(line))
    status = show_conditions(console, outcome.conditions)
    console.print(shown(f"figures: {outcome.folder}/evaluation.json   report: {outcome.folder}/report.html"))
    return status


def other_base(policy: PolicyVersion, model: str) -> str:
    """The base model that an adapter names, where it goes by another name than `model`; else "".

    Only the last part of a folder or id is compared, because models are moved and downloaded.
    """
    base = str(policy.lora_config.get("base_model_name_or_path") or "")
    return base if base and Path(base).name != Path(model).name else ""


def opponent_of(config: EvaluateConfig, model: str = "") -> PolicyVersion | RunFolder | None:
    """Whom to compare with: a policy to be sampled, or a run folder whose recorded samples are to be used.

    Of a run folder with checkpoints the newest adapter is taken. Raises ConfigError where it is none of these.
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

    Raises ConfigError where it was sampled in another way, or on other problems: then nothing can be paired; and
    RunFolderError where its files are damaged.
    """
    with reading(str(folder), ConfigError):
        return _recorded_evaluation(folder, config, problems)


def _recorded_evaluation(folder: RunFolder, config: EvaluateConfig, problems: Sequence[Problem]) -> Evaluation:
    recorded = folder.config.get("evaluation") or {}
    now, then = {"max_tokens": config.max_tokens}, {"max_tokens": folder.config.get("max_tokens")}
    for name, value in config.sampling.model_dump(mode="json", exclude={"max_tokens"}).items():
        now[f"evaluation.{name}"] = value
        then[f"evaluation.{name}"] = recorded.get(name, EvaluationConfig.model_fields[name].default)
    for key, value in now.items():
        if then[key] != value:
            raise ConfigError(f"against {folder.path}: {key} was {then[key]} there and is {value} here; use the same")
    rows = folder.samples("evaluation-model", ["problem_id", "question_hash"]).to_pylist()
    measured = {row["problem_id"]: row["question_hash"] for row in rows}
    missing = [p.id for p in problems if measured.get(p.id) != p.question_hash]
    if missing:
        raise ConfigError(
            f"against {folder.path}: {len(missing)} of these {len(problems)} problems (such as {missing[0]}) were not "
            "measured there; use the same problems, split and seeds"
        )
    recorded = load_evaluation(folder, "model")
    if recorded is None:
        raise ConfigError(f"against {folder.path}: it holds no evaluation of a model")
    wanted = {p.id for p in problems}
    found = Evaluation("against", tuple(g for g in recorded.groups if g.problem.id in wanted))
    check(found, config)
    return found


JOB = Job("evaluate", EvaluateConfig, run, show_outcome, may_change=MAY_CHANGE)
main = JOB.main

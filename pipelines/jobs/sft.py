"""`crucible sft`: an adapter learns to write verified traces, by TRL's SFTTrainer inside Ray Train.

metrics.jsonl   lengths of the traces, a row an update, a row a validation loss
checkpoints/    the trainer's own, to resume from
adapter/        the adapter of lowest validation loss, as `grpo --adapter` and `evaluate --adapter` take it
model/          with sft.full in its place: the whole model, as --model of every command takes it
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console

from cluster.hardware import Demand
from pipelines.adapters import read_adapter
from pipelines.artifacts.run_folder import RunFolder
from pipelines.artifacts.traces import Trace
from pipelines.errors import ConfigError
from pipelines.fine_tuning import (
    Examples,
    SFTFailed,
    SFTTask,
    fine_tune,
    finished,
    record_outcome,
    say_outcome,
    select_examples,
)
from pipelines.job import Context, Job
from pipelines.jobs.evaluate import (
    Evaluation,
    compare,
    evaluate,
    held_out,
    load_evaluation,
    show,
    show_conditions,
    verdict_line,
    write_evaluation,
)
from pipelines.jobs.teacher_job_config import SFTJobConfig
from pipelines.measure.conditions import LAST, Required, Result, conditions_row
from pipelines.measure.problem_set import questions_of, with_shots
from pipelines.trace_data import load_traces
from pipelines.whole_model import MODEL_FOLDER
from problems.plain_text import shown
from rollout.engine_spec import EngineSpec
from rollout.model_files import load_tokenizer
from rollout.policy import PolicyVersion
from rollout.prompts import PromptBuilder, PromptConfig
from train.sft_config import SFTConfig

MAY_CHANGE = ("address", "runs", "name", "hardware", "traces", "require")


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a run."""

    folder: str
    """Its path or its URL."""
    figures: Mapping[str, Any]
    before: Evaluation | None = None
    after: Evaluation | None = None
    difference: Mapping[str, Any] | None = None
    whole: bool = False
    """Whether it is a model rather than an adapter."""
    conditions: tuple[Result, ...] = ()
    """What became of those that were required."""


def run(context: Context[SFTJobConfig]) -> Outcome:
    """Reads traces, trains, keeps the best adapter, and measures held-out problems where `evaluate` is set.

    Raises JobError, NoRoom, SFTFailed.
    """
    config, model, console = context.config, context.model, context.console
    if config.style is not None:
        prompt = config.prompt.model_copy(update={"style": config.style})
        config = context.config = config.model_copy(update={"prompt": prompt})
    if config.prompt.few_shot:
        prompt = with_shots(config.prompt, questions_of(config, console))
        config = config.model_copy(update={"prompt": prompt})
    initial = None
    if config.adapter:
        initial = read_adapter(config.adapter, config.name, model, config.sft.adapter)
    samples = config.evaluation.group_size
    required = Required.twice(config.require, held_out(config), samples) if config.require else None
    examples = None
    if not (context.resuming and finished(context.folder.path) is not None):
        # What cannot be learnt from is refused before anything is started.
        traces, report = load_traces(config.traces, config.data, config.verify, console)
        examples = select_traces(traces, config.prompt, config.sft, model, context.folder, console, report.figures)
    folder = context.folder
    whole = config.sft.full
    if not config.evaluate:
        learner = context.learner(config.sft.workers)
        return Outcome(str(folder), _learn(learner, config, model, folder, examples, initial, console), whole=whole)
    if whole and context.lent:
        raise ConfigError("sft.full with evaluate starts engines of its own on the trained model: leave out either")
    session = context.session(EngineSpec(model, config.engine, config.sft.lora_r), config.engines, config.sft.workers)
    before = _measure(session, config, folder, initial or PolicyVersion(config.name, 0), "before", 0, console)
    figures = _learn(session.learner, config, model, folder, examples, initial, console)
    if whole:  # engines cannot change the model that they serve
        context.leave_cluster()
        trained = str((folder.path / MODEL_FOLDER).resolve())
        session = context.session(EngineSpec(trained, config.engine, config.sft.lora_r), config.engines)
    policy = PolicyVersion(config.name, 0) if whole else read_adapter(str(folder.path), config.name)
    after = _measure(session, config, folder, policy, "after", figures["steps"], console)
    comparison = compare(before, after)
    folder.append_metrics(comparison)
    results = required.results({"before": before, LAST: after}) if required is not None else ()
    if results:
        folder.append_metrics(conditions_row(results, figures["steps"]))
    return Outcome(str(folder), figures, before, after, comparison["pass_at_1"], whole, results)


def tokenised(traces: Sequence[Trace], builder: PromptBuilder) -> list[Any]:
    """A row a trace: the student's own prompt, and the completion with its end token."""
    from train.pretrain import Row

    style = builder.config.style
    return [
        Row(builder.build(trace.problem).ids, builder.encode_completion(trace.completion(style))) for trace in traces
    ]


def select_traces(
    traces: Sequence[Trace],
    prompt: PromptConfig,
    settings: SFTConfig,
    model: str,
    folder: RunFolder,
    console: Console,
    row_counts: Mapping[str, int] | None = None,
) -> Examples:
    """Rows of training and of validation, after what cannot be learnt from was reported and dropped, or refused.
    `row_counts` say what became of the files' rows, for the run's metrics.

    Raises SFTFailed.
    """
    kept = list(traces)
    if prompt.style == "think":
        kept = [trace for trace in traces if trace.thinking]
        if len(kept) < len(traces) and settings.no_thinking == "fail":
            raise SFTFailed(
                f"{len(traces) - len(kept)} of {len(traces)} traces have no thinking, and the prompt's style is think; "
                "set sft.no_thinking to drop, or style to direct"
            )
    try:
        rows = tokenised(kept, PromptBuilder(load_tokenizer(model), prompt))
    except ValueError as error:
        raise SFTFailed(str(error)) from None
    examples = select_examples(rows, [trace.problem.question_hash for trace in kept], model, settings)
    counts = {"read": len(traces), "without_thinking": len(traces) - len(kept), **examples.figures}
    counts |= row_counts or {}
    if not any(row.get("kind") == "traces" for row in folder.metrics()):
        folder.append_metrics({"kind": "traces", **counts})
    console.print(
        shown(
            f"{len(traces)} traces: {counts['train']} to learn from, {counts['val']} of other questions to validate, "
            f"{counts['without_thinking']} dropped without thinking, {counts['dropped_too_long']} dropped for length; "
            f"the longest has {counts['longest']} tokens of {settings.max_length}; none is cut"
        )
    )
    return examples


def _learn(
    demand: Demand,
    config: SFTJobConfig,
    model: str,
    folder: RunFolder,
    examples: Examples | None,
    initial: PolicyVersion | None,
    console: Console,
) -> Mapping[str, Any]:
    """Trains to the end; without `examples` that is done. Returns the outcome's figures."""
    if examples is None:
        return record_outcome(folder, finished(folder.path) or {})
    task = SFTTask(
        run=config.name,
        model=model,
        checkpoints=str(folder.checkpoints.resolve()),
        config=config.sft,
        train=examples.train,
        val=examples.val,
        initial=initial,
        store=folder.checkpoint_store,
        prompt=config.prompt.model_dump_json(indent=1) if config.prompt != PromptConfig() else "",
    )
    figures = fine_tune(demand, task, config.sft.workers, folder, folder.ray_storage, console)
    say_outcome(figures, console)
    return record_outcome(folder, figures)


def _measure(
    session: Any, config: SFTJobConfig, folder: RunFolder, policy: PolicyVersion, name: str, step: int, console: Console
) -> Evaluation:
    """An evaluation, taken from the folder where it is there already."""
    found = load_evaluation(folder, name)
    if found is None:
        found = evaluate(session, config, held_out(config), policy, name, config.max_tokens, console, folder)
        write_evaluation(folder, found, step)
    return found


def show_outcome(console: Console, outcome: Outcome) -> int:
    """Prints skill before and after, where it was measured, what became of the conditions, and where the adapter is;
    returns the status."""
    if outcome.before is not None and outcome.after is not None and outcome.difference is not None:
        show(console, [outcome.before, outcome.after])
        console.print(shown(verdict_line(outcome.difference)))
    status = show_conditions(console, outcome.conditions)
    what, where = ("model", MODEL_FOLDER) if outcome.whole else ("adapter", "adapter")
    console.print(shown(f"{what}: {outcome.folder}/{where}"))
    return status


JOB = Job("sft", SFTJobConfig, run, show_outcome, may_change=MAY_CHANGE)
main = JOB.main

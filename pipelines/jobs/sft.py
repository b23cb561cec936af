"""`crucible sft`: an adapter learns to write verified traces, by TRL's SFTTrainer inside Ray Train.

metrics.jsonl   lengths of the traces, a row an update, a row a look at the validation loss
checkpoints/    the trainer's own, to resume from
adapter/        the adapter of lowest validation loss, as `grpo --adapter` and `evaluate --adapter` take it
"""

from __future__ import annotations

import json
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cluster.hardware import Demand, NoRoom
from pipelines.artifacts.plain_files import read_object
from pipelines.artifacts.run_folder import RunFolder, RunFolderError, replace_file, write_adapter
from pipelines.artifacts.traces import Trace, TracesError, read_traces
from pipelines.config import ConfigError, fail, parse, resumed_config, take_option
from pipelines.jobs.evaluate import (
    Evaluation,
    compare,
    evaluate,
    held_out,
    load_evaluation,
    read_adapter,
    show,
    verdict_line,
    write_evaluation,
)
from pipelines.jobs.teacher_job_config import SFTJobConfig
from pipelines.session import (
    ClusterSession,
    default_name,
    open_learner,
    open_session,
    resolve_model,
    wait_for_engines,
    with_model_prompt,
)
from problems.plain_text import shown
from rollout.backends import EngineSpec
from rollout.model_files import load_config, load_tokenizer
from rollout.policy import PolicyVersion
from rollout.prompts import PromptBuilder
from train.sft_config import SFTConfig

MAY_CHANGE = ("address", "runs", "name", "hardware", "traces")
OUTCOME_FILE = "outcome.json"
CRASHES = 3
"""Times that a learner that died is started again from its last checkpoint."""


class SFTFailed(RuntimeError):
    """Training ended with an error; the message is one line."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended."""

    folder: Path
    figures: Mapping[str, Any]
    before: Evaluation | None = None
    after: Evaluation | None = None
    difference: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """What a learner worker needs to know."""

    run: str
    model: str
    folder: str
    config: SFTConfig
    train: Sequence[Any] = field(repr=False)
    val: Sequence[Any] = field(repr=False)
    initial: PolicyVersion | None = field(repr=False, default=None)


def run(
    config: SFTJobConfig,
    console: Console,
    resume: bool = False,
    session: ClusterSession | None = None,
    initial: PolicyVersion | None = None,
) -> Outcome:
    """Reads traces, trains, keeps the best adapter, and measures held-out problems where asked to.

    A job of which this is a part gives its own `session`, whose engines stay up, and the adapter at hand as `initial`;
    it measures by itself. Raises ConfigError, RunFolderError, TracesError, NoRoom, SFTFailed.
    """
    model = resolve_model(config.model)
    config = with_model_prompt(config, model, console)
    if config.style is not None:
        config = config.model_copy(update={"prompt": config.prompt.model_copy(update={"style": config.style})})
    if not config.name:
        config = config.model_copy(update={"name": default_name("sft", model)})
    traces = read_traces(config.traces)
    if config.adapter:
        initial = read_adapter(config.adapter, config.name, model, config.sft.adapter)
    path = config.runs / config.name
    opened = RunFolder.resume(path, config, MAY_CHANGE) if resume else RunFolder.create(path, config)
    with opened as folder:
        # What cannot be learnt from is said before anything is started.
        rows = None if learnt(folder.path) else _prepare(config, model, folder, traces, console)
        if session is not None:
            return Outcome(path, _learn(session.learner, config, model, folder, rows, initial, console))
        console.print(shown(f"run folder: {folder.path}"))
        if not config.evaluate:
            with open_learner(config, config.sft.workers) as learner:
                figures = _learn(learner, config, model, folder, rows, initial, console)
            _report(folder)
            return Outcome(path, figures)
        spec = EngineSpec(model, config.engine, config.sft.lora_r)
        with open_session(config, spec, 1, config.sft.workers) as session:
            with console.status("starting the rollout engine"):
                wait_for_engines(session)
            before = _measure(session, config, folder, initial or PolicyVersion(config.name, 0), "before", 0, console)
            figures = _learn(session.learner, config, model, folder, rows, initial, console)
            policy, step = read_adapter(str(folder.path), config.name), figures["steps"]
            after = _measure(session, config, folder, policy, "after", step, console)
        comparison = compare(before, after)
        folder.append_metrics(comparison)
        _report(folder)
    return Outcome(path, figures, before, after, comparison["pass_at_1"])


def tokenised(traces: Sequence[Trace], builder: PromptBuilder) -> list[Any]:
    """A row a trace: the student's own prompt, and the completion with its end token."""
    from train.pretrain import Row

    style = builder.config.style
    return [
        Row(builder.build(trace.problem).ids, builder.encode_completion(trace.completion(style))) for trace in traces
    ]


def learnt(folder: Path) -> Mapping[str, Any] | None:
    """The figures of a training that has ended well, else None. Its adapter was whole before it said so."""
    outcome = folder / OUTCOME_FILE
    figures = read_object(outcome) if outcome.is_file() else {"error": "not begun"}
    return None if figures.get("error") else figures


def _learn(
    demand: Demand,
    config: SFTJobConfig,
    model: str,
    folder: RunFolder,
    rows: tuple[list[Any], list[Any]] | None,
    initial: PolicyVersion | None,
    console: Console,
) -> Mapping[str, Any]:
    """Trains on `rows` (of training and of validation) to the end; None where that is done. Returns the outcome's
    figures."""
    if rows is None:
        return _booked(folder, learnt(folder.path))
    train, val = rows
    outcome = folder.path / OUTCOME_FILE
    outcome.unlink(missing_ok=True)
    job = Job(
        run=config.name,
        model=model,
        folder=str(folder.path.resolve()),
        config=config.sft,
        train=train,
        val=val,
        initial=initial,
    )
    with _progress(folder, console):
        fit_workers(demand, config.sft.workers, job, job.folder, sft_worker)
    figures = read_object(outcome)
    if figures.get("error"):
        raise SFTFailed(figures["error"])
    stopped = ", stopped early" if figures["stopped_early"] else ""
    text = (
        f"{figures['steps']} updates{stopped}; lowest validation loss {figures['best_loss']:.4f} after update "
        f"{figures['best_step']}"
    )
    console.print(shown(text + skipped_note(figures.get("skipped_steps", 0))))
    return _booked(folder, figures)


def skipped_note(count: int) -> str:
    """What is said of updates that were skipped; "" where there were none."""
    return f"; {count} updates skipped, whose gradient was not finite" if count else ""


def _booked(folder: RunFolder, figures: Mapping[str, Any]) -> Mapping[str, Any]:
    """The figures, once they are a row of `metrics.jsonl`."""
    if not any(row.get("kind") == "sft" for row in folder.metrics()):
        folder.append_metrics({"kind": "sft", **figures})
    return figures


def _prepare(
    config: SFTJobConfig, model: str, folder: RunFolder, traces: Sequence[Trace], console: Console
) -> tuple[list[Any], list[Any]]:
    """Rows of training and of validation, after what cannot be learnt from was reported and dropped, or refused."""
    from train.sft import SFTError, measure, split_rows

    settings = config.sft
    kept, unthinking = list(traces), 0
    if config.prompt.style == "think":
        kept = [trace for trace in traces if trace.thinking]
        unthinking = len(traces) - len(kept)
        if unthinking and settings.no_thinking == "fail":
            raise SFTFailed(
                f"{unthinking} of {len(traces)} traces have no thinking, and the prompt's style is think; set "
                "sft.no_thinking to drop, or style to direct"
            )
    try:
        tokenizer = load_tokenizer(model)
        rows = tokenised(kept, PromptBuilder(tokenizer, config.prompt))
        positions = getattr(load_config(model), "max_position_embeddings", settings.max_length)
        limit = positions if settings.too_long == "keep" else min(settings.max_length, positions)
        lengths = measure(rows, limit, tokenizer.eos_token_id)
        over = sum(len(row) > settings.max_length for row in rows)
        if lengths.too_long and settings.too_long != "drop":
            raise SFTFailed(
                f"{len(lengths.too_long)} of {len(rows)} traces are longer than {limit} tokens, the longest has "
                f"{lengths.longest}; raise sft.max_length (the model has {positions} positions) or set sft.too_long to "
                "drop. Nothing is cut: a cut answer teaches to stop in the middle"
            )
        fits = [number for number in range(len(rows)) if number not in set(lengths.too_long)]
        train, val = split_rows(
            [kept[number].problem.question_hash for number in fits], settings.val_share, settings.seed
        )
    except (SFTError, ValueError) as error:
        raise SFTFailed(str(error)) from None
    said = {
        "kind": "traces",
        "read": len(traces),
        "without_thinking": unthinking,
        "longer_than_max_length": over,
        "dropped_too_long": len(lengths.too_long),
        "train": len(train),
        "val": len(val),
        "longest": lengths.longest,
        "supervised_tokens": lengths.supervised,
        "max_length": settings.max_length,
    }
    if not any(row.get("kind") == "traces" for row in folder.metrics()):
        folder.append_metrics(said)
    console.print(
        shown(
            f"{len(traces)} traces: {len(train)} to learn from, {len(val)} of other questions to validate, "
            f"{unthinking} dropped without thinking, {len(lengths.too_long)} dropped for length; the longest has "
            f"{lengths.longest} tokens of {settings.max_length}; none is cut"
        )
    )
    return [rows[fits[number]] for number in train], [rows[fits[number]] for number in val]


def fit_workers(demand: Demand, workers: int, job: Any, folder: str, work: Callable[[Mapping[str, Any]], None]) -> None:
    """Runs `work` on Ray Train's workers, which get `job`. Raises SFTFailed where they cannot end it."""
    from pipelines.training import train

    name, storage = f"sft-{uuid.uuid4().hex[:8]}", str(Path(folder) / "ray")
    try:
        train(work, {"job": job}, demand, workers, name, storage, failures=CRASHES)
    except Exception as error:
        causes = getattr(error, "worker_failures", None) or {}
        lines = [line for line in str(next(iter(causes.values()), error)).splitlines() if line.strip()]
        raise SFTFailed(f"the learner failed: {lines[-1].strip() if lines else type(error).__name__}") from error


def sft_worker(loop_config: Mapping[str, Any]) -> None:
    """The train function of Ray Train's workers. What cannot be mended by trying again is written, not raised."""
    import ray.train
    import ray.train.torch
    import torch

    from train.learner import load_base
    from train.pretrain import prepare_cpu
    from train.sft import checkpoint_step, fit

    job: Job = loop_config["job"]
    first = ray.train.get_context().get_world_rank() == 0
    folder = RunFolder.open(job.folder)
    if not torch.cuda.is_available():
        prepare_cpu(torch.get_num_threads())
    if first:
        folder.roll_back(checkpoint_step(folder.checkpoints))
    try:
        base = load_base(job.model, job.config.adapter, ray.train.torch.get_device())
        result = fit(
            base,
            load_tokenizer(job.model),
            job.train,
            job.val,
            job.config,
            folder.checkpoints,
            job.run,
            job.initial,
            folder.append_metrics,
        )
    except (ValueError, FloatingPointError) as error:
        if first:
            replace_file(folder.path / OUTCOME_FILE, json.dumps({"error": str(error)}))
        return
    if first:
        write_adapter(folder.path, result.policy)
        figures = {
            "steps": result.steps,
            "best_step": result.best_step,
            "best_loss": result.best_loss,
            "stopped_early": result.stopped_early,
            "skipped_steps": result.skipped_steps,
            "adapter_hash": result.policy.adapter_hash,
        }
        replace_file(folder.path / OUTCOME_FILE, json.dumps(figures, indent=1))


def _measure(
    session: Any, config: SFTJobConfig, folder: RunFolder, policy: PolicyVersion, name: str, step: int, console: Console
) -> Evaluation:
    """An evaluation, taken from the folder where it is there already."""
    found = load_evaluation(folder, name)
    if found is None:
        found = evaluate(session, config, held_out(config), policy, name, config.max_tokens, console)
        write_evaluation(folder, found, step)
    return found


@contextmanager
def _progress(folder: RunFolder, console: Console) -> Iterator[None]:
    """Shows how far the learner's rows have come while the block runs."""
    columns = (
        TextColumn("fine-tuning"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}", markup=False),
    )
    done = threading.Event()
    with Progress(*columns, TimeRemainingColumn(), console=console, transient=True) as progress:
        task = progress.add_task("", total=None, note="")

        def look() -> None:
            while not done.wait(0.5):
                rows = folder.metrics()
                steps = [row for row in rows if row.get("kind") == "step"]
                looks = [row["loss"] for row in rows if row.get("kind") == "validation"]
                if steps:
                    note = f"loss {steps[-1]['loss']:.3f}" + (f", validation {looks[-1]:.3f}" if looks else "")
                    progress.update(task, completed=steps[-1]["step"], total=steps[-1]["steps"], note=note)

        watcher = threading.Thread(target=look, daemon=True)
        watcher.start()
        try:
            yield
        finally:
            done.set()
            watcher.join()


def _report(folder: RunFolder) -> None:
    from pipelines.report import write_report

    write_report(folder)


def main(argv: Sequence[str]) -> int:
    """`crucible sft`."""
    argv = list(argv)
    console = Console(file=sys.stderr, highlight=False)
    try:
        resumed = take_option(argv, "--resume")
        default = resumed_config(SFTJobConfig, Path(resumed)) if resumed is not None else None
        config = parse(SFTJobConfig, argv, prog="crucible sft", default=default)
        outcome = run(config, console, resume=resumed is not None)
    except (ConfigError, RunFolderError, TracesError, NoRoom, SFTFailed) as error:
        return fail(str(error))
    except KeyboardInterrupt:
        return fail("interrupted; `--resume RUN_FOLDER` goes on from the last checkpoint") and 130
    if outcome.before is not None:
        show(console, [outcome.before, outcome.after])
        console.print(shown(verdict_line(outcome.difference)))
    console.print(shown(f"adapter: {outcome.folder}/adapter"))
    return 0

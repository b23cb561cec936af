"""`crucible grpo`: the main job. Engines, sandbox and learner run side by side; this module says who talks to whom."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from rich.console import Console

from cluster.reservation import waiting_for
from pipelines.artifacts.metrics import step_row
from pipelines.artifacts.run_folder import RunFolder, step_name
from pipelines.artifacts.samples import sample_rows
from pipelines.config import GRPOConfig
from pipelines.display import LiveDisplay
from pipelines.errors import Interrupted, JobFailed
from pipelines.job import Context, Job
from pipelines.jobs.evaluate import (
    Evaluation,
    compare,
    evaluate,
    held_out,
    load_evaluation,
    read_adapter,
    show,
    show_conditions,
    verdict_line,
    write_evaluation,
)
from pipelines.measure.conditions import LAST, Required, Result, conditions_row
from pipelines.measure.problem_set import outcomes_of, start_levels, train_problem, with_questions
from pipelines.session import ClusterSession, interruption
from problems import families
from problems.plain_text import shown
from problems.stream import ProblemStream
from rollout.coordinator import Coordinator, Event
from rollout.engine_spec import EngineSpec
from rollout.fleet import NoEngine, RolloutJob, first_answer, silent
from rollout.policy import PolicyVersion
from train import checkpoint
from train.credit import assign_credit

MAY_CHANGE = ("steps", "address", "runs", "name", "hardware", "require", "train.workers", "train.shard")
"""Keys that a resumed run may have other values for."""

TRAIN_FAILURES = 3
"""Times that a learner that died is restarted from its last checkpoint."""

SILENCE = 60.0
"""Seconds without an event of the run after which the engines are checked."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of a run."""

    folder: str
    """Its path or its URL."""
    steps: int
    before: Evaluation
    after: Evaluation
    difference: dict[str, Any]
    conditions: tuple[Result, ...] = ()
    """What became of those that were required."""


def run(context: Context[GRPOConfig]) -> Outcome:
    """Evaluates, trains and evaluates again; or goes on where the run folder is."""
    config = context.config = with_questions(context.config, context.console)
    model = context.model
    initial = recorded_start(context.folder, config.name) if context.resuming else None
    if initial is None and config.adapter:
        initial = read_adapter(config.adapter, config.name, model, config.train)
    required = Required.twice(config.require, held_out(config), config.evaluation.group_size)
    folder, rollout = context.folder, config.rollout
    spec = EngineSpec(model, rollout.engine, config.train.lora_r, rollout.live_adapters, config.seed)
    session = context.session(spec, rollout.engines, config.train.workers)
    outcome = run_in(session, config, folder, context.console, initial)
    results = required.results({"before": outcome.before, LAST: outcome.after})
    if results:
        folder.append_metrics(conditions_row(results, outcome.steps))
    return replace(outcome, conditions=results)


def recorded_start(folder: RunFolder, run: str) -> PolicyVersion | None:
    """The adapter that training in this folder began with; None before it has, and for a fresh one. Raises ConfigError
    where it cannot be read."""
    return read_adapter(str(folder.start), run) if folder.start is not None else None


def run_in(
    session: ClusterSession,
    config: GRPOConfig,
    folder: RunFolder,
    console: Console,
    initial: PolicyVersion | None,
    before: Evaluation | None = None,
    on_step: Callable[[dict[str, Any]], None] = lambda row: None,
) -> Outcome:
    """The run itself, in a session that is up: evaluates, trains, evaluates again.

    `initial` is the adapter to go on from, which is `config.adapter`; `before` where the starting policy has been
    evaluated elsewhere; `on_step` gets every step's row of metrics. Raises Interrupted after the step at which the user
    interrupted, and JobFailed where the run cannot go on.
    """
    problems = held_out(config)
    max_tokens = config.rollout.sampling.max_tokens
    found = load_evaluation(folder, "before")
    if found is None:
        start = initial or PolicyVersion(config.name, 0)
        found = before or evaluate(session, config, problems, start, "before", max_tokens, console, folder)
        write_evaluation(folder, found, 0)
    if initial is not None:
        folder.record_start(initial)
    steps = _Run(config, session, folder, initial, console, on_step).train()
    if steps < config.steps:
        raise Interrupted(f"stopped after step {steps}")
    trained = read_adapter(str(checkpoint.latest(folder.checkpoints)), config.name)
    after = evaluate(session, config, problems, trained, "after", max_tokens, console, folder)
    write_evaluation(folder, after, steps)
    comparison = compare(found, after)
    folder.append_metrics(comparison)
    return Outcome(str(folder), steps, found, after, comparison["pass_at_1"])


def train_steps(
    config: GRPOConfig,
    session: ClusterSession,
    folder: RunFolder,
    console: Console,
    on_step: Callable[[dict[str, Any]], None],
) -> None:
    """The training alone, with a fresh adapter. Raises Interrupted after the step at which the user interrupted, and
    JobFailed where it cannot go on."""
    steps = _Run(config, session, folder, None, console, on_step).train()
    if steps < config.steps:
        raise Interrupted(f"stopped after step {steps}")


class _Run:
    """The training of one run, from the driver's side."""

    def __init__(
        self,
        config: GRPOConfig,
        session: ClusterSession,
        folder: RunFolder,
        initial: PolicyVersion | None,
        console: Console,
        on_step: Callable[[dict[str, Any]], None],
    ):
        self._config = config
        self._session = session
        self._folder = folder
        self._initial = initial
        self._console = console
        self._on_step = on_step
        self._coordinator_name = f"{session.run}-coordinator"
        self._levels: Any = None
        self._alarmed = False
        self._micro_batch_tokens = config.train.micro_batch_tokens

    def train(self) -> int:
        """Trains up to `config.steps`. Returns the steps done: fewer where the user interrupted.

        Raises JobFailed, with the cause, where the run cannot go on.
        """
        ray = self._session.ray
        canary = self._canary()
        coordinator = self._start_coordinator()
        fit = _Fit(lambda: self._fit(coordinator, canary))
        noted, latest, warned, handled = False, time.monotonic(), False, ""
        with LiveDisplay(self._config.steps, self._console) as display, interruption() as interrupted:
            while True:
                if interrupted() and not noted:
                    noted = True
                    display.note("interrupted: finishing the step and writing a checkpoint (again to end at once)")
                    coordinator.stop.remote()
                try:
                    events = ray.get(coordinator.events.remote(0.5, handled))
                    self._book(events, display)
                    handled = events[-1].id if events else handled
                    if fit.done and not events:
                        break
                    if events:
                        latest, warned = time.monotonic(), False
                    elif not warned and time.monotonic() - latest > SILENCE:
                        warned = True
                        self._note_silence(display)
                except ray.exceptions.ActorUnavailableError:
                    continue
        ray.get(coordinator.stop.remote())
        ray.kill(coordinator)
        if self._levels is not None:
            ray.kill(self._levels)
        fit.result()
        self._folder.pull_checkpoints()
        last = checkpoint.latest(self._folder.checkpoints)
        return checkpoint.read(last).step if last is not None else 0

    def _canary(self) -> tuple[Any, Any]:
        """Prompt and completion tokens of a worked answer to a held-out problem, encoded by an engine."""
        config = self._config
        problem = ProblemStream(config.problems, "val").problem(0)
        answer = families.get(problem.family).solutions(problem).correct[0]
        seconds = config.rollout.engine.patience_seconds
        try:
            return first_answer(
                self._session.engines,
                lambda engine: engine.canary_tokens.remote(problem, answer, config.prompt),
                seconds,
                "the canary's tokens",
            )
        except NoEngine as error:
            raise JobFailed(str(error)) from error

    def _start_coordinator(self) -> Any:
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        from pipelines.stream import Judging
        from rollout.board import StreamJob

        config, session = self._config, self._session
        rollout = config.rollout
        job = RolloutJob(
            run=config.name,
            group_size=rollout.group_size,
            sampling=rollout.sampling,
            prompt=config.prompt,
            seed=config.seed,
            averaged=rollout.ema_samples,
            coordinator=self._coordinator_name,
            patience_seconds=rollout.engine.patience_seconds,
        )
        self._levels = start_levels(session.ray, config, self._folder.path, f"{session.run}-levels")
        problem = train_problem(config, self._levels)
        # Room for every lease that may be out at once, so that admission alone decides.
        leases = (rollout.max_staleness + 1) * rollout.groups_per_step * (1 + rollout.refill)
        judging = Judging(config.verify, config.seed if config.control == "shuffled_rewards" else None)
        stream = StreamJob(job, None, judging, rollout.lease_size, max(16 * rollout.lease_size, leases))

        # Beside the driver, so that the run's state survives the loss of another node.
        here = NodeAffinitySchedulingStrategy(session.ray.get_runtime_context().get_node_id(), soft=True)
        actor = session.ray.remote(Coordinator).options(
            name=self._coordinator_name,
            num_cpus=0,
            max_concurrency=4096,
            max_restarts=-1,
            max_task_retries=0,
            scheduling_strategy=here,
        )
        return actor.remote(
            rollout, session.engines, session.board, stream, problem, config.steps, config.train.group_filter
        )

    def _fit(self, coordinator: Any, canary: tuple[Any, Any]) -> Any:
        from pipelines.training import train
        from train import worker

        config = self._config
        job = worker.Job(
            run=config.name,
            model=self._session.model,
            config=config.learner,
            steps=config.steps,
            checkpoints=str((self._folder.checkpoints).resolve()),
            store=self._folder.checkpoint_store,
            canary=(canary[0].tolist(), canary[1].tolist()),
            initial=self._initial,
            publish_average=config.rollout.ema_samples > 0,
        )
        return train(
            worker.train_worker,
            {"job": job, "coordinator": coordinator},
            self._session.learner,
            config.train.workers,
            name=f"{self._session.run}-train",
            storage=self._folder.ray_storage,
            failures=TRAIN_FAILURES,
            model=job.model,
        )

    def _book(self, events: Sequence[Event], display: LiveDisplay) -> None:
        for event in events:
            if event.kind == "begin":
                self._folder.roll_back(event.step)
                if self._levels is not None:
                    self._levels.roll_back.remote(event.step)
            elif event.kind == "note":
                self._folder.log(event.text)
                display.note(event.text)
            elif event.kind == "fatal":
                raise JobFailed(event.text)
            elif event.kind == "step":
                row = step_row(event)
                if event.batch is not None:
                    credit, rows = assign_credit(event.batch.groups, self._config.train), []
                    for group, advantages in zip(event.batch.groups, credit.advantages, strict=True):
                        rows += sample_rows(group, step=event.step, advantages=advantages)
                    self._folder.write_samples(step_name(event.step), rows)
                    self._folder.write_ledger(event.batch.ledger.to_dict())
                if self._levels is not None:
                    groups = event.batch.groups if event.batch is not None else ()
                    self._levels.observe.remote(event.step - 1, outcomes_of(groups))
                self._folder.append_metrics(row)
                self._note_alarm(row, display)
                self._note_memory(row, display)
                display.update(row)
                self._on_step(row)

    def _note_silence(self, display: LiveDisplay) -> None:
        """Says which engines do not answer, after a while in which nothing happened."""
        missing = silent(self._session.engines)
        if missing:
            text = (
                f"{SILENCE:.0f} s without a step: of {len(self._session.engines)} engines number "
                f"{', '.join(map(str, missing))} does not answer. Where its node has failed, Ray waits for "
                "another that can take it: `ray status` shows what it needs; add such a node, or press Ctrl-C and "
                "--resume with the engines there are"
            )
            self._folder.log(text)
            display.note(text)
        if missing := waiting_for(self._session.run):
            text = f"{SILENCE:.0f} s without a step: Ray waits for a place for {missing}"
            self._folder.log(text)
            display.note(text)

    def _note_alarm(self, row: dict[str, Any], display: LiveDisplay) -> None:
        """Notes that the entropy fell below its alarm: once for each time it does, not at every step there."""
        if "entropy_alarm" not in row:
            return
        if row["entropy_alarm"] and not self._alarmed:
            text = (
                f"entropy {row['entropy']:.4f} at step {row['step']} is below train.entropy_alarm "
                f"{self._config.train.entropy_alarm:g}: the policy is collapsing onto few answers"
            )
            self._folder.log(text)
            display.note(text)
        self._alarmed = bool(row["entropy_alarm"])

    def _note_memory(self, row: dict[str, Any], display: LiveDisplay) -> None:
        """Notes, once, that the learner's device had no room for the micro-batches that were set."""
        tokens = row.get("micro_batch_tokens")
        if tokens is not None and tokens != self._micro_batch_tokens:
            text = (
                f"the learner had no memory left at step {row['step']}, and went on with micro-batches of {tokens} "
                f"tokens rather than {self._micro_batch_tokens}: set train.micro_batch_tokens {tokens}"
            )
            self._micro_batch_tokens = tokens
            self._folder.log(text)
            display.note(text)


class _Fit:
    """Ray Train in a thread of its own, so that Ctrl-C reaches the loop that can end it at a step's boundary."""

    def __init__(self, fit: Any):
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(fit,), name="ray-train", daemon=True)
        self._thread.start()

    def _run(self, fit: Any) -> None:
        try:
            fit()
        except BaseException as error:
            self._error = error

    @property
    def done(self) -> bool:
        """Whether it has returned or failed."""
        return not self._thread.is_alive()

    def result(self) -> None:
        """Raises JobFailed with the learner's own error where it failed."""
        self._thread.join()
        if self._error is not None:
            errors = getattr(self._error, "worker_failures", None) or {}
            cause = next(iter(errors.values()), self._error)
            raise JobFailed(f"the learner failed: {_last_line(cause)}") from self._error


def _last_line(error: BaseException) -> str:
    lines = [line for line in str(error).strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__


def show_outcome(console: Console, outcome: Outcome) -> int:
    """Prints skill before and after, what became of the conditions, and where the rest is; returns the status."""
    show(console, [outcome.before, outcome.after])
    console.print(shown(verdict_line(outcome.difference)))
    status = show_conditions(console, outcome.conditions)
    console.print(shown(f"report: {outcome.folder}/report.html   adapter: {outcome.folder}/checkpoints"))
    return status


JOB = Job("grpo", GRPOConfig, run, show_outcome, may_change=MAY_CHANGE)
main = JOB.main

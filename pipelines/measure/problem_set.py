"""The problems of a job: read, checked in the sandbox, and given at the level of the curriculum."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar, cast

import pyarrow as pa
from rich.console import Console

from cluster.connect import ray_session
from cluster.hardware import NoRoom
from pipelines.artifacts.run_folder import RunFolder
from pipelines.config import GRPOConfig, JobConfig
from pipelines.errors import ConfigError, fail
from problems import cli
from problems.curriculum import CurriculumConfig, Levels, Outcome
from problems.plain_text import shown
from problems.problem import Group, Problem
from problems.questions import Questions, QuestionsConfig, by_index, worked_answer
from problems.sources import NothingScoredError, Report
from rollout.prompts import PromptConfig, Shot, completion_text, shot
from verify.config import VerifyConfig
from verify.sandbox.probe import IsolationTooLow

FOLLOW_OUTCOMES = ("adaptive", "self_paced", "staged")
"""Schedules that depend on how groups ended."""
PATIENCE = 30.0
"""Seconds that an index waits for the outcomes of the steps before it. They always come, save where many problems were
given up, which pushes the stream ahead of its steps."""
SHOT_SEED = -1
"""Of the stream that few-shot examples are taken from: no run has it."""

Job = TypeVar("Job", bound=JobConfig)


class Asking(Protocol):
    """What a configuration says of its problems."""

    @property
    def problems(self) -> QuestionsConfig:
        """Which they are."""
        ...

    @property
    def verify(self) -> VerifyConfig:
        """How the gold answers of data sets are checked."""
        ...


_opened: dict[str, Questions] = {}
"""What this process has read, by configuration: trials of a sweep ask the same."""


def with_questions(config: Job, console: Console) -> Job:
    """Reads what the job asks, and draws its few-shot examples into the configuration that is returned.

    Says what became of the rows of data sets. Raises ConfigError where something cannot be read, or where nothing is
    there to train or to be evaluated on.
    """
    questions = questions_of(config, console)
    report = questions.report
    try:
        questions.part(config.evaluation.split, config.evaluation.seed)
        if isinstance(config, GRPOConfig):
            questions.part("train", config.seed)
        config = config.model_copy(update={"prompt": with_shots(config.prompt, questions)})
    except ValueError as error:
        raise ConfigError(str(error)) from None
    say_report(report, console)
    return config


def say_report(report: Report, console: Console) -> None:
    """Says what became of the rows of data sets."""
    for note in report.notes:
        console.print(shown(note))
    for reason in report.reasons:
        console.print(shown("excluded", "yellow"), shown(reason))
    if report.kept:
        leaked = (
            f", {report.leaked} training rows left out because a held-out set asks them too" if report.leaked else ""
        )
        console.print(shown(f"data sets: {report.kept} problems, {report.excluded} rows excluded{leaked}"))


def check_known(problems: Sequence[Problem]) -> None:
    """Refuses problems that the offline teacher cannot solve. Raises ConfigError."""
    unknown = [problem for problem in problems if not worked_answer(problem)]
    if unknown:
        raise ConfigError(
            f"the offline reference teacher knows no answer to {len(unknown)} of {len(problems)} problems, "
            f"{unknown[0].id} for example; name a teacher by --teacher.model"
        )


def questions_of(config: Asking, console: Console | None = None) -> Questions:
    """What the job asks; data sets are read and proven once a process, which `console` shows. Raises ConfigError."""
    key = config.problems.model_dump_json() + config.verify.model_dump_json()
    if key not in _opened:
        try:
            with SandboxProof(config.verify) as prove, _showing(console, prove):
                _opened[key] = Questions(config.problems, prove)
        except (ValueError, IsolationTooLow) as error:
            raise ConfigError(f"problems: {error}") from None
    return _opened[key]


def _showing(console: Console | None, progress: SandboxProof) -> Any:
    """The display of a proof's progress, refreshed while the block works."""
    return console.status(cast(Any, progress)) if console is not None else contextlib.nullcontext()


class SandboxProof:
    """Judges gold answers as a model's would be, and sees to it that no program passes that answers nothing.

    Sandboxes start with the first problem, in the process that judges it, as many as it has cores for many problems.
    """

    def __init__(self, config: VerifyConfig | None = None) -> None:
        self._config = config
        self._judges: Any = None
        self._starting = threading.Lock()
        self.proven = 0
        """Problems judged so far."""

    @property
    def workers(self) -> int:
        """Threads that may ask at once."""
        return self._pool().workers

    def _pool(self) -> Any:
        from verify.local_judges import LocalJudges

        with self._starting:
            if self._judges is None:
                self._judges = LocalJudges(self._config)
            return self._judges

    def __rich__(self) -> str:
        """What a display says while it works."""
        return f"reading problems: {self.proven:,} gold answers proven" if self.proven else "reading problems"

    def __reduce__(self) -> tuple[Any, ...]:
        return SandboxProof, (self._config,)

    def __call__(self, problem: Problem, gold: str) -> str:
        """Why a gold answer or reference program fails its own checker; "" where it passes, or where there is none.

        Raises NothingScoredError where a program passes that answers nothing.
        """
        from verify.null_programs import passing_null_program

        if not gold and problem.kind == "answer":
            return ""
        self.proven += 1
        with self._pool().judge() as judge:
            if gold:
                verdict = judge.judge(problem, completion_text(gold, kind=problem.kind))
                if not verdict.passed:
                    return f"{verdict.status}, {verdict.detail}".rstrip(", ")
            if null := passing_null_program(problem, judge):
                raise NothingScoredError(f"a program that {null} passes the tests, so they score nothing")
        return ""

    def __enter__(self) -> SandboxProof:
        return self

    def __exit__(self, *_: object) -> None:
        if self._judges is not None:
            self._judges.close()
            self._judges = None


def with_shots(prompt: PromptConfig, questions: Questions) -> PromptConfig:
    """`prompt` with its few-shot examples chosen: worked problems of the train split, unlike ones first.

    Raises ConfigError where there are too few, or none to draw from.
    """
    shots: list[Shot] = []
    if not prompt.few_shot:
        return prompt
    try:
        part = questions.part("train", SHOT_SEED)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    for problem, answer in _unlike_first(part.problem(number) for number in range(20 * prompt.few_shot)):
        if len(shots) < prompt.few_shot:
            with contextlib.suppress(ValueError):  # a program that style complete cannot show
                shots.append(shot(problem, answer, prompt))
    if len(shots) < prompt.few_shot:
        raise ConfigError(f"prompt.few_shot {prompt.few_shot}: answers are known of {len(shots)} training problems")
    return prompt.model_copy(update={"shots": (*prompt.shots, *shots), "few_shot": 0})


def _unlike_first(problems: Iterable[Problem]) -> list[tuple[Problem, str]]:
    """Problems with answers, where these are known: one of each family first, then one of each answer in it."""
    families: dict[str, tuple[Problem, str]] = {}
    answers: dict[tuple[str, str], tuple[Problem, str]] = {}
    found: dict[str, tuple[Problem, str]] = {}
    for problem in problems:
        if answer := worked_answer(problem):
            pair = found.setdefault(problem.id, (problem, answer))
            families.setdefault(problem.family, pair)
            answers.setdefault((problem.family, answer), pair)
    return list({p.id: (p, a) for p, a in (*families.values(), *answers.values(), *found.values())}.values())


class LevelsActor:
    """Ray actor that knows the level of every index of a run's stream; started again, it reads the run folder."""

    def __init__(self, config: CurriculumConfig, indices_per_step: int, max_staleness: int, folder: str) -> None:
        self._levels = Levels(config, indices_per_step, max_staleness)
        self._changed = asyncio.Condition()
        self._rolled_back = 0
        table = RunFolder.open(folder).samples(columns=["step", *_COLUMNS])
        for step, outcomes in enumerate(outcomes_of_table(table)):
            self._levels.observe(step, outcomes)

    async def difficulties(self, index: int, family: str) -> tuple[int, ...]:
        """The difficulties of this index, once the outcomes that decide it are known.

        A roll-back ends the waiting: the lease of whoever waits is void then.
        """
        deadline, rolled_back = time.monotonic() + PATIENCE, self._rolled_back
        while self._levels.steps < self._levels.steps_before(index) and rolled_back == self._rolled_back:
            if (left := deadline - time.monotonic()) <= 0:
                break
            async with self._changed:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), left)
        return self._levels.difficulties(index, family)

    async def observe(self, step: int, outcomes: Sequence[Outcome]) -> None:
        """Notes the groups of a step; see `Levels.observe`."""
        self._levels.observe(step, outcomes)
        await self._notify()

    async def roll_back(self, steps: int) -> None:
        """Forgets all but the first `steps` steps, which are done again."""
        self._levels.roll_back(steps)
        self._rolled_back += 1
        await self._notify()

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()


class AskLevels:
    """Asks the actor: a picklable function for Ray's workers."""

    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def __call__(self, index: int, family: str) -> tuple[int, ...]:
        """The difficulties of an index of the stream."""
        import ray

        return ray.get(self._actor.difficulties.remote(index, family))


def start_levels(ray: Any, config: GRPOConfig, folder: Path, name: str) -> Any:
    """The run's `LevelsActor`, on this node, where the run folder is; None where no outcome moves the curriculum."""
    if config.problems.curriculum.schedule not in FOLLOW_OUTCOMES:
        return None
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor = ray.remote(LevelsActor).options(
        name=name, num_cpus=0, max_concurrency=1024, max_restarts=-1, max_task_retries=-1,
        scheduling_strategy=here,
    )  # fmt: skip
    return actor.remote(
        config.problems.curriculum, indices_per_step(config), config.rollout.max_staleness, str(folder.resolve())
    )


def train_problem(config: GRPOConfig, levels: Any) -> Callable[[int], Problem]:
    """The problem of each index of the run's stream, at the level that `levels` (see `start_levels`) gives it."""
    part = questions_of(config).part("train", config.problems.seed + config.seed)
    difficulties = AskLevels(levels) if levels is not None else None
    return by_index(part, config.problems.curriculum, indices_per_step(config), difficulties)


def indices_per_step(config: GRPOConfig) -> int:
    """The most indices of the stream that a step consumes."""
    return config.rollout.groups_per_step * (1 + config.rollout.refill)


_COLUMNS = ("sequence", "family", "difficulty", "passed", "reward")


def outcomes_of(groups: Iterable[Group]) -> list[Outcome]:
    """How a step's groups ended, in the order of the stream."""
    found = []
    for group in sorted(groups, key=lambda g: g.index):
        passed = [v.passed for v, r in zip(group.verdicts, group.rewards, strict=True) if r is not None]
        if passed:
            found.append((group.problem.family, group.problem.difficulty, sum(passed) / len(passed)))
    return found


def outcomes_of_table(table: pa.Table) -> list[list[Outcome]]:
    """The same of every step of a table of samples, the first step first."""
    rows = [row for row in table.to_pylist() if row["reward"] is not None]
    rows.sort(key=lambda row: (row["step"], row["sequence"]))
    steps: list[list[Outcome]] = [[] for _ in range(max(table["step"].to_pylist(), default=0))]
    for (step, _), samples in itertools.groupby(rows, key=lambda row: (row["step"], row["sequence"])):
        group = list(samples)
        rate = sum(row["passed"] for row in group) / len(group)
        steps[step - 1].append((group[0]["family"], group[0]["difficulty"], rate))
    return steps


def main(argv: Sequence[str]) -> int:
    """`crucible problems`, whose `load` runs gold answers in the sandbox."""
    with contextlib.ExitStack() as stack:
        if any(word in ("--ray", "--ray=True") for word in argv):  # Ray Data would start one that every network reaches
            try:
                stack.enter_context(ray_session())
            except NoRoom as error:
                return fail(str(error))
        return cli.main(argv, stack.enter_context(SandboxProof()))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

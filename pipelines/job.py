"""The frame of all jobs: what they have in common is here, and each job is a declaration in its own file.

    def run(context: Context[DemoConfig]) -> Outcome: ...
    def show(console: Console, outcome: Outcome) -> int | None: ...

    JOB = Job("demo", DemoConfig, run, show)
    main = JOB.main

The frame reads options and YAML, resolves the model, its prompt and the run's name, creates or resumes the run folder
on this machine or on an object store, joins the cluster, writes the report, uploads what `push` asks for, and ends all
of it. The folder is opened, and the cluster joined, when `run` first uses them: what is refused before that leaves
nothing behind.

Errors are one line and exit status 2. Ctrl-C ends a job with status 130 and the command that resumes it. A job that
would rather end at a point of its own watches for Ctrl-C itself (`pipelines.session.interruption`) and raises
Interrupted; the second Ctrl-C then ends it at once. SIGTERM is taken as Ctrl-C.
"""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast

from rich.console import Console

from pipelines.config import JobConfig, RunConfig
from pipelines.console import open_console
from pipelines.errors import ConfigError, Interrupted, expected_errors, fail
from pipelines.options import OwnOption, load_yaml, parse, take_option
from pipelines.publish.config import PUBLISH_KEYS
from pipelines.termination import sigterm_as_interrupt, take_sigterm_back
from problems.plain_text import shown

# Imported when they are used: help, and a mistyped option, need not wait for them.
if TYPE_CHECKING:
    from cluster.hardware import Demand
    from pipelines.artifacts.run_folder import RunFolder
    from pipelines.defaults import Defaults
    from pipelines.publish.publisher import Publisher, Target
    from pipelines.session import Check, ClusterSession, TeacherFleet
    from rollout.engine_spec import EngineSpec

RESUME, OR_RESUME = "--resume", "--or-resume"
RESUME_OPTIONS = (
    OwnOption("resume", "RUN_FOLDER", "Goes on with that run from where it was interrupted, with its configuration."),
    OwnOption("or-resume", "", "Goes on with the run of this name if there is one, and starts it otherwise."),
)
MAY_CHANGE = ("address", "runs", "name", "hardware")
"""Keys that a resumed run may have other values for, unless a job names others."""

Config = TypeVar("Config", bound=RunConfig)
Result = TypeVar("Result")


def _show_nothing(console: Console, result: Any) -> int | None:
    return None


def _check_nothing(config: Any) -> None:
    pass


def _write_report(context: Context[Any], result: Any) -> None:
    from pipelines.report import write_report

    write_report(context.folder)


@dataclass(frozen=True)
class Job(Generic[Config, Result]):
    """What a job is."""

    command: str
    """What people type after `crucible`."""
    config: type[Config]
    """Its options. What it cannot use of the sections it names is in its `unused`: key -> reason."""
    run: Callable[[Context[Config]], Result]
    """Does the work. Raises JobError for a mistake of the user's, JobFailed for another failure, Interrupted."""
    show: Callable[[Console, Result], int | None] = _show_nothing
    """Prints the outcome, and returns the exit status where that is not 0."""
    report: Callable[[Context[Config], Result], None] | None = _write_report
    """Writes the run folder's report; None where `run` has written it."""
    check: Callable[[Config], None] = _check_nothing
    """Refuses what can be refused before a model is made or read."""
    resumable: bool = True
    may_change: tuple[str, ...] = MAY_CHANGE
    """Dotted keys that a resumed run may have other values for."""
    named_after: Literal["model", "teacher"] = "model"
    """What a run without a name is called after."""
    part: str = ""
    """Section of the configuration that holds model and prompt; "" where these are at its top."""
    takes_prompt: bool = True
    """Whether the prompt that a model was trained with is taken where the configuration names none."""

    def main(self, argv: Sequence[str], session: ClusterSession | None = None) -> int:
        """Runs the command with its arguments and returns the exit status; with a `session`, on its engines."""
        context = None
        try:
            config, resume = self.read(argv)
            context = Context(self, config, open_console(), resume, session)
            with sigterm_as_interrupt(), context:
                result = self._work(context)
            return self.show(context.console, result) or int(context.is_unpushed)
        except expected_errors() as error:
            return fail(str(error))
        except (KeyboardInterrupt, Interrupted) as error:
            return fail(self._interrupted(str(error) or "interrupted", context)) and 130

    def execute(
        self, config: Config, console: Console, resume: bool = False, session: ClusterSession | None = None
    ) -> Result:
        """Runs the job in this process, as a stage of another one or in a test; its errors are raised."""
        with Context(self, config, console, resume, session) as context:
            return self._work(context)

    def read(self, argv: Sequence[str]) -> tuple[Config, bool]:
        """The configuration that the arguments describe, and whether a run is to be resumed. Raises JobError."""
        argv = list(argv)
        if not self.resumable:
            if given := next((word for word in argv if word.partition("=")[0] in (RESUME, OR_RESUME)), None):
                raise ConfigError(f"{given}: crucible {self.command} cannot be resumed; run it again")
            return parse(self.config, argv, prog=f"crucible {self.command}"), False
        resumed, either = take_option(argv, RESUME), OR_RESUME in argv
        if resumed is not None and either:
            raise ConfigError(f"{OR_RESUME} has no effect beside {RESUME}: leave it out")
        default = self._recorded(resumed) if resumed is not None else None
        rest = [word for word in argv if word != OR_RESUME]
        config = parse(self.config, rest, prog=f"crucible {self.command}", default=default, own=RESUME_OPTIONS)
        return config, resumed is not None or (either and self._is_there(config))

    def _recorded(self, where: str) -> Config:
        """The configuration of the run to resume, wherever that has been moved to. Raises JobError."""
        from pipelines.artifacts.location import recorded_config

        path = Path(where) if Path(where).name else Path(where).resolve()
        with recorded_config(path) as file:
            if file is None:
                raise ConfigError(f"{where} holds no run to resume (no config.yaml); give a run folder, as runs/NAME")
            try:
                config = load_yaml(self.config, file)
            except ConfigError as error:
                hint = "is it a run of another command, or of another version?"
                raise ConfigError(f"{where} cannot be resumed by crucible {self.command}: {error}; {hint}") from None
        return config.model_copy(update={"runs": path.parent, "name": path.name})

    def _is_there(self, config: Config) -> bool:
        from pipelines.artifacts.location import recorded_config

        if not config.name:
            raise ConfigError(f"{OR_RESUME} needs --name: a name made of the time is never there already")
        with recorded_config(config.runs / config.name) as file:
            return file is not None

    def _work(self, context: Context[Config]) -> Result:
        self.check(context.config)
        context.find_push_target()
        context.resolve()
        result = self.run(context)
        context.leave_cluster()
        if self.report is not None:
            self.report(context, result)
        return result

    def _interrupted(self, how: str, context: Context[Config] | None) -> str:
        if context is None or context.location is None:
            return f"{how} before the run had a folder"
        if not self.resumable:
            return f"{how}; what was done is in {context.location}"
        return f"{how}; go on with: crucible {self.command} {RESUME} {shlex.quote(context.location)}"


class Context(Generic[Config]):
    """What a job works with. What was opened is closed with the block: the cluster first, the run folder last."""

    def __init__(
        self, job: Job[Config, Any], config: Config, console: Console, resume: bool, session: ClusterSession | None
    ) -> None:
        self.config = config
        """What is set here before `folder` is used is what the run folder records."""
        self.console = console
        self.resuming = resume
        """Whether `folder` is that of an earlier run."""
        self.model = ""
        """The folder or Hugging Face id to load; "" for a job without a model."""
        self.location: str | None = None
        """The run folder's path or URL, from when it is open."""
        self.lent = session is not None
        """Whether `session` is another job's."""
        self.defaults: Defaults | None = None
        """How the options that nobody set were filled, and for which model; None for a job without one."""
        self._job = job
        self._session = session
        self._folder: RunFolder | None = None
        self._target: Target | None = None
        self._publisher: Publisher | None = None
        self._stack, self._cluster = contextlib.ExitStack(), contextlib.ExitStack()

    @property
    def path(self) -> Path:
        """Where the run folder lies or will lie: a path, or a URL whose slashes pathlib has merged."""
        return self.config.runs / self.config.name

    @property
    def folder(self) -> RunFolder:
        """The run folder, created or resumed at the first use and held against other processes. Raises JobError."""
        from pipelines.artifacts.run_folder import RUN_FOLDER_LINE, RunFolder

        if self._folder is None:
            opened = (
                RunFolder.resume(self.path, self.config, (*self._job.may_change, *PUBLISH_KEYS))
                if self.resuming
                else RunFolder.create(self.path, self.config)
            )
            self._folder = self._stack.enter_context(opened)
            self.location = str(self._folder)
            self.console.print(shown(f"{RUN_FOLDER_LINE}{self._folder.location}"), soft_wrap=True)
            if self._target is not None:
                from pipelines.publish.publisher import Publisher

                job, kind = self._job.command, type(self.config)
                made = Publisher(self._target, job, self._folder, self.model, self.console, kind)
                self._publisher = self._stack.enter_context(made)
        return self._folder

    def find_push_target(self) -> None:
        """Makes sure, before anything else is done, that what the run makes can be uploaded. Raises ConfigError."""
        if self.config.push:
            from pipelines.publish.publisher import Target

            given = self.config.model_dump(mode="json")
            self._target = Target.find(self.config.push, self.config.publish, given, self._job.command)

    @property
    def is_unpushed(self) -> bool:
        """Whether something that was to be on the Hub is not, once the context is closed."""
        return self._publisher is not None and bool(self._publisher.unpushed)

    def session(self, spec: EngineSpec | None, engines: int = 1, workers: int = 0) -> ClusterSession:
        """The cluster with `engines` engines up, a teacher's too, and room for `workers` learner workers; the same at
        every use.

        Raises NoRoom, and JobError where the model cannot be loaded.
        """
        from pipelines.session import open_session, wait_for_engines

        if self._session is None:
            config = cast(JobConfig, self.config)  # a job without these keys has no engines
            teacher = self._teacher_fleet()
            opened = open_session(config, spec, engines, workers, check=self.check_places(), teacher=teacher)
            self._session = self._cluster.enter_context(opened)
            take_sigterm_back()  # Ray would end its processes at once
            wait_for_engines(self._session, self.console)
        return self._session

    def teachers(self) -> list[Any]:
        """Engines of the teacher, [] where it has none here: the session's, or without one a session of them alone.

        Raises NoRoom, and JobError where its model cannot be loaded.
        """
        if self._teacher_fleet() is None:
            return []
        return self.session(None, 0).teachers

    def learner(self, workers: int) -> Demand:
        """The place of `workers` learner workers without engines, held as long as the cluster is. Raises NoRoom."""
        from pipelines.session import open_learner

        if self._session is not None:
            return self._session.learner
        self.ray()
        config = cast(JobConfig, self.config)
        return self._cluster.enter_context(open_learner(config, workers, self.check_places()))

    def ray(self) -> Any:
        """The `ray` module, connected for a job that needs no engine of its own."""
        from cluster.connect import ray_session

        connected = self._cluster.enter_context(ray_session(getattr(self.config, "address", "") or None))
        take_sigterm_back()  # Ray would end its processes at once
        return connected

    def leave_cluster(self) -> None:
        """Ends what the job has started on the cluster, so that a session with other engines may follow; one that is
        lent goes on."""
        self._cluster.close()
        if not self.lent:
            self._session = None

    def resolve(self) -> None:
        """Finds the model, making the default student on first use, takes its prompt, and names the run.

        Raises JobError.
        """
        from pipelines.session import default_name, resolve_model, with_model_prompt

        job = self._job
        part: Any = getattr(self.config, job.part) if job.part else self.config
        if "model" in type(part).model_fields:
            self.model = resolve_model(part.model)
            if job.takes_prompt:
                part = with_model_prompt(part, self.model, self.console)
                self.config = self.config.model_copy(update={job.part: part}) if job.part else part
        if not self.config.name:
            config: Any = self.config
            subject = config.teacher.model if job.named_after == "teacher" else self.model
            self.config = self.config.model_copy(update={"name": default_name(job.command, subject)})
        teacher = self._resolve_teacher()
        if self.model or teacher:
            self._fill(teacher)

    def _resolve_teacher(self) -> str:
        """The model of a teacher on engines, found; "" without one. Raises JobError."""
        from pipelines.session import resolve_model

        teacher = getattr(self.config, "teacher", None)
        if teacher is None or (one := teacher.on_engines) is None:
            return ""
        model = resolve_model(one.model)
        self.config = self.config.model_copy(update={"teacher": teacher.with_engine_model(model)})
        return model

    def _teacher_fleet(self) -> TeacherFleet | None:
        """The engines of a teacher, if the configuration names one of its own."""
        from pipelines.session import TeacherFleet
        from rollout.engine_spec import EngineSpec

        teacher = getattr(self.config, "teacher", None)
        one = teacher.on_engines if teacher is not None else None
        if one is None:
            return None
        return TeacherFleet(EngineSpec(one.model, one.engine, lora_rank=0, live_adapters=0), one.engines)

    def _fill(self, teacher: str) -> None:
        """Fills what follows from the model and the hardware: of a resumed run with what that recorded."""
        from pipelines import defaults
        from pipelines.artifacts.location import recorded_config

        if self.resuming:
            with recorded_config(self.path) as file:
                if file is not None:
                    recorded = defaults.recorded_values(self.config, self._job.part, file)
                    self.config = defaults.with_values(self.config, recorded)
        part: Any = getattr(self.config, self._job.part) if self._job.part else self.config
        hardware = defaults.hardware_now(part.address)
        if hardware is None:
            self.ray()
            hardware = defaults.hardware_now(part.address)
        assert hardware is not None
        shapes = [defaults.read_shapes(model) if model else None for model in (self.model, teacher)]
        self.defaults = defaults.fill(self.config, self._job.part, shapes[0], hardware, shapes[1])
        self.config = self.defaults.config

    def check_places(self) -> Check:
        """What a session of the job does with its places before it starts anything."""
        from pipelines.session import nothing_to_check

        return self.defaults.announce(self.console) if self.defaults is not None else nothing_to_check

    def __enter__(self) -> Context[Config]:
        return self

    def __exit__(self, *exception: Any) -> None:
        with self._stack:
            self._cluster.__exit__(*exception)

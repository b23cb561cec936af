"""A job's session on the cluster: Ray, the engines, the stream, and where things are placed."""

from __future__ import annotations

import contextlib
import importlib
import os
import re
import signal
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from rich.console import Console
from rich.text import Text

from cluster.connect import LOCAL_STORE, is_own, live_nodes, ray_session
from cluster.hardware import Demand, check_labels, plan
from cluster.nodes import Node
from cluster.private import NotPrivate, cache_folder, write_private
from cluster.reservation import actor_options, reserve
from pipelines.config import STUDENT, ConfigError, JobConfig
from pipelines.model_copies import bring, offer
from pipelines.store_size import store_bytes
from pipelines.stream import start_stream
from problems.plain_text import shown, storable
from rollout.backends import nothing
from rollout.config import EngineConfig
from rollout.engine_spec import EngineSpec
from rollout.fleet import await_ready, end_fleet, start_fleet
from rollout.model_files import MODEL_CONFIG, brought_by, read_prompt
from rollout.policy import ADAPTER_CONFIG
from rollout.prompts import PromptConfig
from rollout.start_errors import EngineStartFailed, tail

Job = TypeVar("Job", bound=JobConfig)
Check = Callable[[Sequence[Demand], Demand, Sequence[Node]], None]
"""Gets the planned engines and learner of a session, and the nodes of its cluster."""


def nothing_to_check(fleet: Sequence[Demand], learner: Demand, nodes: Sequence[Node]) -> None:
    """Takes the places as they are."""


@dataclass(frozen=True, slots=True)
class ClusterSession:
    """What is up while a job runs."""

    ray: Any
    engines: list[Any]
    board: Any
    """Handle of the board where jobs have problems answered and judged: see `rollout.board`."""
    learner: Demand
    run: str
    """Unique in the cluster: names of the job's actors and adapters begin with it."""
    model: str
    patience_seconds: float
    """An engine that does not answer for this long is out."""
    max_model_len: int
    """Longest prompt plus completion, in tokens, that every engine takes."""
    start_seconds: float = 1200.0
    """Seconds that an engine may take to start."""
    teachers: list[Any] = field(default_factory=list)
    """Engines of the job's teacher."""
    teacher: TeacherFleet | None = None
    """What these are."""
    start_teachers: Callable[[], None] = nothing
    """Starts those that share a GPU with the engines, once these are up: an engine measures the memory of its GPU while
    it starts, and would take what another takes meanwhile for its own."""


@dataclass(frozen=True, slots=True)
class TeacherFleet:
    """Engines of a teacher, beside those of the model that it teaches."""

    spec: EngineSpec
    count: int


@contextlib.contextmanager
def open_session(
    config: JobConfig,
    spec: EngineSpec | None,
    engines: int,
    workers: int = 0,
    learners: int = 1,
    check: Check = nothing_to_check,
    teacher: TeacherFleet | None = None,
) -> Iterator[ClusterSession]:
    """Connects, checks that there is room for engines and learners, starts the engines; all of it ends with the block.

    Without `spec` the `teacher`'s engines are all that there are. `check` gets the places before any is reserved, and
    may refuse them. Raises NoRoom and ConfigError with one line each.
    """
    with ray_session(config.address or None, store_bytes(spec) if spec is not None else LOCAL_STORE) as ray:
        if spec is not None and config.hardware.profiles and engines != 1:
            raise ConfigError(
                f"engines {engines} has no effect beside hardware.profiles, whose counts are used: drop it"
            )
        settings = spec.config if spec is not None else EngineConfig()
        nodes = live_nodes()
        teachers = (teacher.count, teacher.spec.config.tensor_parallel) if teacher is not None else (0, 1)
        fleet, learner = plan(
            config.hardware, nodes, engines if spec else 0, workers, learners, settings.tensor_parallel, teachers
        )
        check_labels("verify.labels", config.verify.labels, nodes)
        check(fleet, learner, nodes)
        run = f"{(config.name or 'job')[:40]}-{uuid.uuid4().hex[:6]}"
        stack = contextlib.ExitStack()
        handles: list[Any] = []
        guests: list[Any] = []
        longest, board = settings.max_model_len, None
        try:
            fleet, learner = stack.enter_context(reserve(fleet, learner, nodes, run))
            own, others = [[d for d in fleet if d.count and d.is_teacher is of] for of in (False, True)]
            if spec is not None:
                for demand in own:
                    handles += _start(demand, spec, run)
                    longest = min(longest, _settings(demand, spec).max_model_len)

            def start_teachers() -> None:
                if teacher is not None and not guests:
                    for demand in others:
                        guests.extend(_start(demand, teacher.spec, run))

            if not (shared := _share_a_gpu(own, others)):
                start_teachers()
            if handles:
                board = start_stream(handles, config.verify, run, local=is_own())
            yield ClusterSession(
                ray, handles, board, learner, run, spec.model if spec is not None else "", settings.patience_seconds,
                longest, settings.start_seconds, guests, teacher, start_teachers if shared else nothing,
            )  # fmt: skip
        finally:
            if board is not None:
                ray.kill(board)
            end_fleet([*handles, *guests])
            stack.close()


def _share_a_gpu(one: Sequence[Demand], other: Sequence[Demand]) -> bool:
    """Whether engines of both have a seat on the same GPU."""
    first, second = ({(s.node, gpu) for d in part for s in d.seats for gpu in s.devices} for part in (one, other))
    return bool(first & second)


def _settings(demand: Demand, spec: EngineSpec) -> EngineConfig:
    """Of the engines of one demand: a profile's own count before the job's."""
    overrides = demand.profile.overrides if demand.profile is not None else {}
    return spec.config.model_copy(update=overrides)


def _start(demand: Demand, spec: EngineSpec, run: str) -> list[Any]:
    """Handles of the engines of one demand, which are starting. Raises ConfigError."""
    own = replace(spec, config=_settings(demand, spec), bring=bring)
    offer(spec.model)
    refuse_other_device(own.config, on_gpu=demand.gpus > 0, section="teacher.engine" if demand.is_teacher else "engine")
    options = [actor_options(demand, index) for index in range(demand.count)]
    return start_fleet(own, demand.count, run, options, demand.name)


@contextlib.contextmanager
def open_learner(config: JobConfig, workers: int, check: Check = nothing_to_check) -> Iterator[Demand]:
    """The place of a learner without engines on the connected cluster, held for the block. `check` as for
    `open_session`. Raises NoRoom."""
    nodes = live_nodes()
    fleet, learner = plan(config.hardware, nodes, 0, workers)
    check(fleet, learner, nodes)
    with reserve(fleet, learner, nodes, f"learner-{uuid.uuid4().hex[:6]}") as (_, learner):
        yield learner


def refuse_other_device(engine: EngineConfig, on_gpu: bool, section: str = "engine") -> None:
    """Raises ConfigError for an engine's option that only the other kind of device has a use for."""
    idle = {"kv_cache_gib": "gpu_memory_share"} if on_gpu else {
        "gpu_memory_share": "kv_cache_gib", "enforce_eager": "", "tensor_parallel": "",
    }  # fmt: skip
    for name, instead in idle.items():
        value = getattr(engine, name)
        if value != type(engine).model_fields[name].default:
            fix = f"set {instead}" if instead else "leave it out"
            raise ConfigError(f"{section}.{name} {value} has no effect on a {'GPU' if on_gpu else 'CPU'}: {fix}")


@contextlib.contextmanager
def interruption() -> Iterator[Callable[[], bool]]:
    """Yields a function that says whether Ctrl-C was pressed; only the second one raises KeyboardInterrupt.

    An exception would be raised wherever the main thread is, even in a callback of a library that swallows it. Outside
    of the main thread, which alone gets signals, nothing changes.
    """
    interrupted = threading.Event()

    def note(signum: int, frame: Any) -> None:
        if interrupted.is_set():
            raise KeyboardInterrupt
        interrupted.set()

    if threading.current_thread() is not threading.main_thread():
        yield interrupted.is_set
        return
    before = signal.signal(signal.SIGINT, note)
    try:
        yield interrupted.is_set
    finally:
        signal.signal(signal.SIGINT, before)


def wait_for_engines(session: ClusterSession, console: Console | None = None) -> None:
    """Blocks until the engines answer, and shows on `console` how far they are. Raises ConfigError, which says why one
    cannot start; where the cause is not known, the end of its log is printed. The whole of that is kept as a file."""
    console = console or Console(stderr=True, quiet=True)
    if session.engines:
        session.board.start.remote()
        _await("rollout engine", session.engines, session.start_seconds, session.model, session.run, console)
    session.start_teachers()
    if session.teachers and session.teacher is not None:
        spec = session.teacher.spec
        _await("teacher's engine", session.teachers, spec.config.start_seconds, spec.model, session.run, console)
        if not session.ray.get(session.teachers[0].speaks.remote()):
            raise ConfigError(
                f"the teacher {spec.model} has no chat template, and a teacher is asked by messages: give an "
                "instruction-tuned model, or add a chat_template.jinja to its folder"
            )


def _await(what: str, engines: Sequence[Any], seconds: float, model: str, run: str, console: Console) -> None:
    from pipelines.start_display import StartDisplay

    try:
        with StartDisplay(len(engines), console, what) as display:
            await_ready(engines, seconds, display.update, model=model)
    except EngineStartFailed as error:
        if not error.known:
            console.print(shown(tail(error.log), "dim"), soft_wrap=True)
        raise ConfigError(f"the {what} did not start: {error}{_kept(error.log, run)}") from error
    except TimeoutError as error:
        raise ConfigError(str(error) if what == "rollout engine" else f"the {what} did not start: {error}") from error


def _kept(log: str, run: str) -> str:
    """Keeps an engine's log and says where."""
    if not log.strip():
        return ""
    try:
        path = write_private(cache_folder("logs") / f"{run}-engine.log", storable(log).encode())
    except (OSError, NotPrivate):
        return ""
    return f" (its log: {path})"


def resolve_model(model: str) -> str:
    """The folder or Hugging Face id to load. `student` is made on first use. Raises ConfigError where there is none."""
    if model == STUDENT:
        from pipelines.student import StudentRecipe, build_student

        try:
            return str(build_student(StudentRecipe()))
        except NotPrivate as error:
            raise ConfigError(str(error)) from None
    path = Path(model).expanduser()
    if path.is_dir():
        if not (path / MODEL_CONFIG).is_file():
            raise ConfigError(f"the folder {model} holds no model: it has no {MODEL_CONFIG}")
        if (path / ADAPTER_CONFIG).is_file():
            # transformers would put it on, with the base that it names, and vLLM would not.
            raise ConfigError(
                f"the folder {model} holds an adapter beside a model ({ADAPTER_CONFIG}); give it with --adapter, and "
                "a folder without it as the model"
            )
        return str(path.resolve())
    if model.startswith((".", "/", "~")) or model.count("/") > 1:
        raise ConfigError(f"there is no model folder {model}; give a folder, a Hugging Face id, or `student`")
    check_hub_model(model)
    return model


def with_model_prompt(config: Job, model: str, console: Console) -> Job:
    """`config` with the prompt that the model was trained with, as its folder records it, unless the config sets one.

    What the folder brings is printed on the console. Raises ConfigError for an invalid prompt.
    """
    try:
        if brought := brought_by(model):
            console.print(Text(brought), soft_wrap=True)
        prompt = read_prompt(Path(model)) if config.prompt == PromptConfig() else None
    except ValueError as error:
        raise ConfigError(str(error)) from None
    return config if prompt is None else config.model_copy(update={"prompt": prompt})


def check_hub_model(model: str) -> None:
    """Looks a model up in the local Hugging Face cache, then on the hub. Raises ConfigError where it is in neither, and
    for a gated one that this account has no access to."""
    from huggingface_hub import HfApi, get_session, try_to_load_from_cache
    from huggingface_hub.errors import GatedRepoError, HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    fix = "give a folder, another id, or `student`"
    # The hub's client is httpx or its successor, by version.
    client = importlib.import_module(type(get_session()).__module__.partition(".")[0])
    try:
        if isinstance(try_to_load_from_cache(model, MODEL_CONFIG), str):
            return
        if HfApi().model_info(model, timeout=10).gated:
            HfApi().auth_check(model)
    except GatedRepoError:
        raise ConfigError(
            f"{model} is a gated repository, and this account has no access: accept its terms at "
            f"https://huggingface.co/{model}, then set HF_TOKEN or run `hf auth login`"
        ) from None
    except (HfHubHTTPError, HFValidationError) as error:
        reason = str(error).strip().splitlines()[0]
        raise ConfigError(f"there is no model {model} on the Hugging Face hub ({reason}); {fix}") from None
    except (OfflineModeIsEnabled, client.HTTPError, OSError) as error:
        raise ConfigError(
            f"model {model} is not in the local cache, and the Hugging Face hub cannot be reached ({error}); {fix}"
        ) from None


def default_name(job: str, model: str) -> str:
    """A name for a run without one. Characters of the model's folder that a run's name may not have become `_`."""
    called = re.sub(r"[^\w.+-]", "_", Path(model).name)[:60].strip(".") or "model"
    return f"{job}-{called}-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid() % 1000:03d}"

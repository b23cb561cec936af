"""The fleet: starting engine actors, loading policies into them, finding out which of them are out, ending them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from problems.problem import Group
from rollout.backends import EngineDead
from rollout.config import Sampling
from rollout.prompts import PromptConfig
from rollout.start_errors import EngineStartFailed, explain
from rollout.starting import PLACING, StartReport

_KILLED = "the kernel may have killed it because memory had run out (`dmesg | grep -i killed` shows that)"


class NoEngine(RuntimeError):
    """No engine of the fleet answers."""


@dataclass(frozen=True, slots=True)
class RolloutJob:
    """What an engine must know to answer problems for a run."""

    run: str
    group_size: int
    sampling: Sampling
    prompt: PromptConfig = field(default_factory=PromptConfig)
    seed: int = 0
    averaged: int = 0
    """How many of the group are sampled from the moving average of the policy."""
    coordinator: str = ""
    """Name of the actor that holds the run's current policy; "" where there is one policy all along: `publication`."""
    publication: Any = field(default=None, repr=False)
    """Reference to the one policy, for an engine that comes back without it."""
    patience_seconds: float = 600.0
    """An engine that has work and answers nothing for this long is out, and the work goes to another."""


def fleet_token() -> str:
    """What a job's own actors share and other jobs of the cluster do not know: its random Ray namespace."""
    import ray

    return ray.get_runtime_context().namespace


def answer_room(prompt_tokens: int, max_model_len: int) -> int:
    """Tokens that a prompt leaves for the answer."""
    return max_model_len - prompt_tokens


def short_of_room(groups: Iterable[Group], max_tokens: int, max_model_len: int) -> int:
    """Samples that had fewer than `max_tokens` to answer in, because their prompts are long."""
    samples = [sample for group in groups for sample in group.samples]
    return sum(answer_room(len(sample.prompt_ids), max_model_len) < max_tokens for sample in samples)


def start_fleet(
    spec: Any,
    count: int,
    fleet: str,
    resources: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    kind: str = "engine",
    actor: type | None = None,
) -> list[Any]:
    """Starts `count` engine actors at once and returns their handles; `await_ready` waits for them.

    They are named <fleet>-<kind>-<index>. `resources` are Ray actor options (num_cpus, num_gpus, label_selector,
    scheduling_strategy), one for all of them or one for each. `actor` is `EngineActor` unless given.
    """
    import ray

    from rollout.engine_actor import EngineActor

    remote = ray.remote(actor or EngineActor)
    each = [resources] * count if isinstance(resources, Mapping) else resources
    names = [f"{fleet}-{kind}-{index}" for index in range(count)]
    return [
        remote.options(
            name=name,
            max_restarts=-1,
            max_task_retries=0,  # whoever asks has other engines to turn to, and a deadline
            max_concurrency=1024,
            **{"scheduling_strategy": "DEFAULT", **options},
        ).remote(spec, name)
        for name, options in zip(names, each, strict=True)
    ]


def end_fleet(engines: Sequence[Any], seconds: float = 20.0) -> None:
    """Ends engine actors; they have `seconds` to remove what is theirs."""
    import ray

    # Those that are out answer at once or never.
    if closing := [engine.close.remote() for engine in engines]:
        ray.wait(closing, num_returns=len(closing), timeout=seconds)
    for engine in engines:
        ray.kill(engine)


def silent(engines: Sequence[Any], seconds: float = 5.0) -> list[int]:
    """Indices of the engines that do not answer within `seconds`: dead, and perhaps waiting for a node to take them."""
    import ray

    requests = [engine.stats.remote() for engine in engines]
    answered, _ = ray.wait(requests, num_returns=len(requests), timeout=seconds)
    return [number for number, one in enumerate(requests) if one not in answered or _failed(one)]


def ended_since(engines: Sequence[Any], pids: Mapping[int, int], seconds: float = 5.0) -> dict[int, str]:
    """Number -> what became of engines that do not answer within `seconds` or have another process than in `pids`."""
    import ray

    requests = [engine.stats.remote() for engine in engines]
    answered, _ = ray.wait(requests, num_returns=len(requests), timeout=seconds)
    found = {}
    for number, one in enumerate(requests):
        if one not in answered or _failed(one):
            found[number] = "is out: it does not answer"
        elif pids.get(number, 0) not in (0, cast(Any, ray.get(one))["pid"]):
            found[number] = "was started again: its process had ended, and other engines took its requests"
    return found


def await_ready(
    engines: Sequence[Any],
    seconds: float = 1200.0,
    watch: Callable[[Mapping[int, StartReport]], None] = lambda reports: None,
    poll: float = 1.0,
    model: str = "the model",
) -> None:
    """Waits until all engines answer; `watch` is given, every `poll` seconds, how far those are that do not yet.

    Raises EngineStartFailed with the cause where one cannot start, and TimeoutError, naming the phase, where one has
    not got up within `seconds`, in which the download of its model does not count as long as bytes come.
    """
    import ray
    import ray.exceptions

    waiting = {engine.ready.remote(): number for number, engine in enumerate(engines)}
    reports = dict.fromkeys(range(len(engines)), StartReport(PLACING))
    clocks = dict.fromkeys(reports, time.monotonic() + seconds)
    asked: dict[Any, int] = {}
    while waiting:
        done, _ = ray.wait(list(waiting), num_returns=1, timeout=poll)
        for one in done:
            number = waiting.pop(one)
            try:
                ray.get(one)
            except ray.exceptions.RayError as error:
                raise _start_error(error, reports[number], number, len(engines), model) from None
        answered, _ = ray.wait(list(asked), num_returns=len(asked), timeout=0) if asked else ([], [])
        bytes_come = False
        for one in answered:
            number = asked.pop(one)
            if not _failed(one):
                report = cast(StartReport, ray.get(one))
                bytes_come |= report.downloading and report.done != reports[number].done
                reports[number] = report
        if bytes_come:  # engines of one node wait for the one that downloads
            clocks |= {n: time.monotonic() + seconds for n, report in reports.items() if report.downloading}
        missing = sorted(waiting.values())
        asked |= {engines[number].starting.remote(): number for number in missing if number not in asked.values()}
        watch({number: reports[number] for number in missing})
        if late := {number: reports[number].phase for number in missing if time.monotonic() > clocks[number]}:
            raise TimeoutError(_late(late, len(engines), seconds))


def _start_error(error: Exception, report: StartReport, number: int, engines: int, model: str) -> EngineStartFailed:
    """The reason of a failed start in one line: the engine's own, or what its process wrote before it ended."""
    import ray.exceptions

    cause = getattr(error, "cause", None)
    if not isinstance(cause, EngineStartFailed):
        known = explain(f"{report.log}\n{error}", model)
        died = isinstance(error, ray.exceptions.RayActorError)
        why = f"its process ended; {_KILLED}" if died else why_out(error)
        line = str(known) if known else f"{report.phase}: {why}"
        cause = EngineStartFailed(line, report.log, known is not None)
    which = f"engine {number} of {engines}: " if engines > 1 else ""
    return EngineStartFailed(which + cause.line, cause.log, cause.known)


def _late(phases: Mapping[int, str], engines: int, seconds: float) -> str:
    numbers, placing = _listed(phases), PLACING in phases.values()
    fix = "`ray status` shows whether the cluster has room for it" if placing else "raise start_seconds if it was busy"
    reached = ", ".join(sorted(set(phases.values())))
    return f"engine number {numbers} of {engines} was not up after {seconds:.0f} s ({reached}); {fix}"


def load_policies(
    engines: Sequence[Any], publication: Any, seconds: float
) -> tuple[dict[int, dict[str, Any]], dict[int, str]]:
    """Has all engines load and prove a policy, given by reference, and goes on without those that cannot.

    Returns the reports of those that have, and why the others have not, by number. An engine that is dead is not waited
    for, and one that is silent only for `seconds`: both fetch the policy when work reaches them. Raises what an engine
    says of the policy itself, and NoEngine where none is left.
    """
    import ray.exceptions

    deadline, token = time.monotonic() + seconds, fleet_token()
    reports: dict[int, dict[str, Any]] = {}
    out: dict[int, str] = {}
    waiting = {engine.load.remote(publication, token): number for number, engine in enumerate(engines)}
    while waiting and time.monotonic() < deadline:
        done, _ = ray.wait(list(waiting), num_returns=1, timeout=min(1.0, max(0.0, deadline - time.monotonic())))
        for one in done:
            number = waiting.pop(one)
            try:
                reports[number] = ray.get(one)
                out.pop(number, None)
            except ray.exceptions.RayError as error:
                cause = getattr(error, "cause", None)
                if isinstance(error, ray.exceptions.RayTaskError) and not isinstance(cause, EngineDead):
                    raise
                out[number] = why_out(error)
        if not waiting and not reports:
            # All are gone, perhaps to come back: a run of one engine waits for it.
            time.sleep(min(1.0, max(0.0, deadline - time.monotonic())))
            waiting = {engine.load.remote(publication, token): number for number, engine in enumerate(engines)}
    out |= {number: f"no answer within {seconds:.0f} s" for number in waiting.values() if number not in out}
    if not reports:
        raise NoEngine(f"none of {len(engines)} engines could load the policy: {out_line(out, len(engines))}")
    return reports, out


def first_answer(engines: Sequence[Any], ask: Callable[[Any], Any], seconds: float, what: str) -> Any:
    """The answer of the first engine that gives one to the call that `ask` makes of it.

    Raises NoEngine, naming `what` was awaited; an engine's own error where it lives and raises.
    """
    import ray.exceptions

    errors = {}
    for number, engine in enumerate(engines):
        try:
            return ray.get(ask(engine), timeout=seconds)
        except ray.exceptions.RayTaskError as error:
            if not isinstance(error.cause, EngineDead):
                raise
            errors[number] = why_out(error)
        except ray.exceptions.RayError as error:
            errors[number] = why_out(error)
    raise NoEngine(f"{what} could not be had of any engine: {out_line(errors, len(engines))}")


def out_line(out: Mapping[int, str], engines: int) -> str:
    """Which of the engines are out, and why."""
    return "; ".join(f"engine number {number} of {engines} is out ({why})" for number, why in sorted(out.items()))


def _failed(one: Any) -> bool:
    import ray.exceptions

    try:
        ray.get(one)
    except ray.exceptions.RayError:
        return True
    return False


def why_out(error: Exception) -> str:
    """One line on why an engine did not answer."""
    import ray.exceptions

    if isinstance(error, ray.exceptions.ActorUnavailableError):
        return "its process has ended, and Ray is starting it again"
    text = str(getattr(error, "cause", None) or error).strip().splitlines()
    return text[0] if text else type(error).__name__


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))

"""The fleet: engines as long-lived named Ray actors.

An actor whose vLLM cannot go on ends its process. Ray restarts it, and it comes back empty: the first request that it
cannot answer makes it fetch the run's current policy, so nobody has to notice the restart. What was asked of it in the
meantime fails at once, for whoever asked to turn to another engine.
"""

from __future__ import annotations

import os
import secrets
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from problems.plain_text import one_line
from problems.problem import Group, Problem
from rollout.admission import Lease
from rollout.backends import EngineDead
from rollout.config import Sampling
from rollout.policy import Publication
from rollout.prompts import PromptBuilder, PromptConfig, completion_text

HEALTH_SECONDS = 1.0
"""How often an engine's process looks whether its vLLM can go on; and how long it then stays, for its last answers."""
RESTART_PAUSE = 10.0
"""Seconds before another try where an engine that was restarted cannot start: the memory may not be free yet."""


class ForeignPolicy(PermissionError):
    """Another job than the one that started an engine has sent it a policy."""


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
    """How many of the group are drawn from the moving average of the policy."""
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


def sample_seeds(seed: int, sequence: int, group_size: int) -> tuple[int, ...]:
    """One seed a sample, a pure function of the run's seed and the problem's number in the stream."""
    return tuple(int(s) for s in np.random.SeedSequence([seed, sequence]).generate_state(group_size, np.uint32))


class EngineActor:
    """Thin Ray shell around `rollout.engine.Engine`; every method may run while others wait."""

    def __init__(self, spec: Any, name: str):
        self._engine = _open_engine(spec, name)
        self._builders: dict[str, PromptBuilder] = {}
        self._pull: Any = None
        # A thread: it must see the end also while the event loop waits for something of the engine.
        threading.Thread(target=_end_with, args=(self._engine,), name="engine-health", daemon=True).start()

    async def ready(self) -> dict[str, Any]:
        """Runs every kernel once, so that the first real request is not slower than the others."""
        await self._engine.warm_up()
        return {"pid": os.getpid(), "name": self._engine.name}

    async def load(self, publication: Publication, token: str) -> dict[str, Any]:
        """Loads and proves a policy version; see `Engine.load`.

        Raises ForeignPolicy where `token` is not this engine's own `fleet_token`.
        """
        if not secrets.compare_digest(token.encode(), fleet_token().encode()):
            raise ForeignPolicy(
                f"{self._engine.name} belongs to another job than the one that sent it policy {publication.policy.name}"
                f"; each job starts engines of its own"
            )
        report = await self._engine.load(publication)
        return {
            "seconds": report.seconds,
            "bytes": report.bytes,
            "canary_gap": report.canary_gap,
            "proven": report.proven,
            **await self.stats(),
        }

    async def canary_tokens(self, problem: Problem, answer: str, prompt: PromptConfig) -> tuple[np.ndarray, np.ndarray]:
        """int32 prompt and completion ids of a worked answer, for learners to score as a canary."""
        builder = self._builder(prompt)
        completion = builder.encode_completion(completion_text(answer, kind=problem.kind))
        return np.asarray(builder.build(problem).ids, np.int32), np.asarray(completion, np.int32)

    async def rollout(self, job: RolloutJob, lease: Lease, problem: Problem) -> Group:
        """The group of a leased problem, sampled from the run's current policy."""
        from rollout.engine import GroupRequest, PolicyMissing

        prompt = self._builder(job.prompt).build(problem)
        room = answer_room(len(prompt.ids), self._engine.spec.config.max_model_len)
        if room < 1:
            raise ValueError(
                f"the prompt of {problem.id} has {len(prompt.ids)} tokens and rollout.engine.max_model_len is "
                f"{self._engine.spec.config.max_model_len}; raise it or leave out such problems"
            )
        sampling = job.sampling
        if sampling.max_tokens > room:
            sampling = sampling.model_copy(update={"max_tokens": room})
        request = GroupRequest(
            run=job.run,
            problem_id=problem.id,
            group_id=f"{lease.sequence}.{lease.attempt}",
            prompt_ids=np.asarray(prompt.ids, np.int32),
            seeds=sample_seeds(job.seed, lease.sequence, job.group_size),
            sampling=sampling,
            min_version=lease.min_version,
            averaged=job.averaged,
        )
        try:
            samples = await self._engine.generate(request)
        except PolicyMissing:
            await self._fetch_policy(job, lease.min_version)
            samples = await self._engine.generate(request)
        return Group(lease.sequence, lease.attempt, problem, tuple(samples), prompt=prompt.text)

    async def forget(self, run: str) -> None:
        """Frees the adapters of a run that has ended."""
        await self._engine.forget(run)

    async def stats(self) -> dict[str, Any]:
        """Totals since the actor's start: samples, tokens, loads, and seconds by kind of work."""
        stats = self._engine.stats()
        return {
            "engine": self._engine.name,
            "pid": os.getpid(),
            "samples": stats.samples,
            "completion_tokens": stats.completion_tokens,
            "prompt_tokens": stats.prompt_tokens,
            "clock": dict(stats.seconds),
        }

    async def abort(self) -> int:
        """Ends all requests in flight. Returns how many there were."""
        return await self._engine.abort()

    async def close(self) -> None:
        """Stops vLLM and removes adapter files."""
        await self._engine.close()

    def _builder(self, config: PromptConfig) -> PromptBuilder:
        key = config.model_dump_json()
        if key not in self._builders:
            self._builders[key] = PromptBuilder(self._engine.tokenizer, config)
        return self._builders[key]

    async def _fetch_policy(self, job: RolloutJob, version: int) -> None:
        import asyncio

        import ray

        # One fetch at a time: all the requests that a restarted engine is asked at once need the same policy.
        if self._pull is None:
            self._pull = asyncio.Lock()
        async with self._pull:
            if self._engine.holds(job.run, version):
                return
            if job.coordinator:
                coordinator = ray.get_actor(job.coordinator)
                sent = coordinator.current_policy.remote(self._engine.name)
            else:
                sent = job.publication
            try:
                publication = await asyncio.wait_for(sent, job.patience_seconds)
            except TimeoutError:
                raise TimeoutError(
                    f"{self._engine.name} waited {job.patience_seconds:.0f} s for the policy of run {job.run} from "
                    f"{job.coordinator or 'the object store'}"
                ) from None
            await self._engine.load(publication)


def _open_engine(spec: Any, name: str) -> Any:
    """The engine. One that was up before is tried again until it starts: Ray gives an actor up whose start raises."""
    import ray

    from rollout.engine import Engine

    try:
        return Engine(spec, name)
    except Exception as error:
        if not ray.get_runtime_context().was_current_actor_reconstructed:
            raise
        print(
            f"{name} cannot start again: {one_line(error)}; next try in {RESTART_PAUSE:.0f} s",
            file=sys.stderr,
            flush=True,
        )
        time.sleep(RESTART_PAUSE)
        os._exit(1)


def _end_with(engine: Any) -> None:
    """Ends this process when the engine cannot go on, so that Ray starts it again."""
    while not (failure := engine.failure()):
        time.sleep(HEALTH_SECONDS)
    print(
        f"{engine.name}: {one_line(failure)}; its process ends, for Ray to start it again", file=sys.stderr, flush=True
    )
    engine.remove_files()
    time.sleep(HEALTH_SECONDS)  # what is in flight is answered with the error
    os._exit(1)


def start_fleet(
    spec: Any,
    count: int,
    fleet: str,
    resources: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    kind: str = "engine",
    actor: type = EngineActor,
) -> list[Any]:
    """Starts `count` engine actors at once and returns their handles; `await_ready` waits for them.

    They are named <fleet>-<kind>-<index>. `resources` are Ray actor options (num_cpus, num_gpus, label_selector,
    scheduling_strategy), one for all of them or one for each.
    """
    import ray

    remote = ray.remote(actor)
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
    """Numbers of the engines that do not answer within `seconds`: lost, and perhaps waiting for a node to take them."""
    import ray

    asked = [engine.stats.remote() for engine in engines]
    answered, _ = ray.wait(asked, num_returns=len(asked), timeout=seconds)
    return [number for number, one in enumerate(asked) if one not in answered or _failed(one)]


def ended_since(engines: Sequence[Any], pids: Mapping[int, int], seconds: float = 5.0) -> dict[int, str]:
    """Number -> what became of engines that do not answer within `seconds` or have another process than in `pids`."""
    import ray

    asked = [engine.stats.remote() for engine in engines]
    answered, _ = ray.wait(asked, num_returns=len(asked), timeout=seconds)
    found = {}
    for number, one in enumerate(asked):
        if one not in answered or _failed(one):
            found[number] = "is out: it does not answer"
        elif pids.get(number, 0) not in (0, ray.get(one)["pid"]):
            found[number] = "was started again: its process had ended, and others were asked in its place"
    return found


def await_ready(engines: Sequence[Any], seconds: float = 600.0) -> None:
    """Waits until all engines answer. Raises the engine's own error where one cannot start, or TimeoutError."""
    import ray

    waiting = {engine.ready.remote(): number for number, engine in enumerate(engines)}
    deadline = time.monotonic() + seconds
    while waiting:
        done, _ = ray.wait(list(waiting), num_returns=1, timeout=max(0.0, deadline - time.monotonic()))
        if not done:
            raise TimeoutError(
                f"engine number {_listed(waiting.values())} of {len(engines)} was not up after {seconds:.0f} s; "
                "`ray status` tells whether the cluster has room for it"
            )
        for one in done:
            ray.get(one)
            del waiting[one]


def load_policies(
    engines: Sequence[Any], publication: Any, seconds: float, known_out: Collection[int] = ()
) -> tuple[dict[int, dict[str, Any]], dict[int, str]]:
    """Has all engines load and prove a policy, given by reference, and goes on without those that cannot.

    Returns the reports of those that have, and why the others have not, by number. An engine that is dead is not waited
    for, one that is silent for `seconds`, and one of `known_out` only until the others are done: all three fetch the
    policy when work reaches them. Raises what an engine says of the policy itself, and NoEngine where none is left.
    """
    import ray

    deadline, token = time.monotonic() + seconds, fleet_token()
    reports: dict[int, dict[str, Any]] = {}
    out: dict[int, str] = {}
    waiting = {engine.load.remote(publication, token): number for number, engine in enumerate(engines)}
    while waiting and time.monotonic() < deadline:
        if reports and set(waiting.values()) <= set(known_out):
            break
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
    import ray

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
    import ray

    try:
        ray.get(one)
    except ray.exceptions.RayError:
        return True
    return False


def why_out(error: Exception) -> str:
    """One line on why an engine did not answer."""
    import ray

    if isinstance(error, ray.exceptions.ActorUnavailableError):
        return "its process has ended, and Ray is starting it again"
    text = str(getattr(error, "cause", None) or error).strip().splitlines()
    return text[0] if text else type(error).__name__


def _listed(numbers: Iterable[int]) -> str:
    return ", ".join(map(str, sorted(numbers)))

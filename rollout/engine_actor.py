"""The engine as a long-lived named Ray actor.

An actor whose vLLM cannot go on ends its process. Ray restarts it without a policy, and the first request that needs
one makes it fetch the run's current policy, so nobody has to notice the restart. Requests in flight fail at once, so
that their callers can turn to another engine.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import secrets
import sys
import threading
import time
from dataclasses import replace
from typing import Any

import numpy as np

from problems.plain_text import one_line
from problems.problem import Group, Problem
from rollout.admission import Lease
from rollout.backends import log_while_starting
from rollout.config import Sampling
from rollout.conversation import TEACHER, Completion, Conversation, NoRoomToAnswer
from rollout.fleet import RolloutJob, answer_room, fleet_token
from rollout.lease_search import lease_key
from rollout.policy import AdapterForm, PolicyVersion, Publication
from rollout.prompts import PromptBuilder, PromptConfig, completion_text
from rollout.start_errors import EngineStartFailed, start_failure
from rollout.starting import BEGINNING, DOWNLOADING, WARMING_UP, OwnLog, StartReport, fetch_model, phase_of

HEALTH_SECONDS = 1.0
"""How often an engine's process looks whether its vLLM can go on; and how long it then stays, for its last answers."""
SENT_LOG = 1 << 14
"""Characters of the log that travel with each report of a start."""
RESTART_PAUSE = 10.0
"""Seconds before another try where an engine that was restarted cannot start: the memory may not be free yet."""


class ForeignPolicy(PermissionError):
    """Another job than the one that started an engine has sent it a policy."""


def sample_seeds(seed: int, index: int, group_size: int) -> tuple[int, ...]:
    """One seed a sample, a pure function of the run's seed and the problem's index in the stream."""
    return tuple(int(s) for s in np.random.SeedSequence([seed, index]).generate_state(group_size, np.uint32))


class EngineStart:
    """The start of an engine in a thread of its own, so that its actor answers meanwhile how far it is."""

    def __init__(self, spec: Any, name: str):
        self.name = name
        self.opening: concurrent.futures.Future = concurrent.futures.Future()
        """The engine, or EngineStartFailed."""
        self._spec = spec
        self._log = OwnLog()
        self._download: tuple[int, int] | None = None

    def begin(self) -> None:
        """Starts the thread."""

        def work() -> None:
            try:
                self.opening.set_result(self.open())
            except BaseException as error:
                self.opening.set_exception(error)

        threading.Thread(target=work, name="engine-start", daemon=True).start()

    def open(self) -> Any:
        """The engine, watched from now on. Raises EngineStartFailed."""
        from rollout.engine import Engine

        log_while_starting(self._spec.config.start_seconds)
        try:
            self._download = (0, 0)
            for bring in (self._spec.bring, fetch_model):
                bring(self._spec.model, lambda done, total: setattr(self, "_download", (done, total)))
            self._download = None
            engine = Engine(self._spec, self.name)
        except Exception as error:
            raise self.failure(error) from None
        # A thread: it must see the end also while the event loop waits for something of the engine.
        threading.Thread(target=_end_with, args=(engine,), name="engine-health", daemon=True).start()
        return engine

    def failure(self, error: Exception) -> EngineStartFailed:
        """The reason of a failed start, from what the engine's processes wrote and the error at hand."""
        return start_failure(self._spec.model, self._log.read(), error)

    def report(self) -> StartReport:
        """How far it is."""
        log = self._log.read()
        if self._download is not None:
            done, total = self._download
            return StartReport(DOWNLOADING if total else BEGINNING, done, total, log[-SENT_LOG:])
        up = self.opening.done() and self.opening.exception() is None
        return StartReport(WARMING_UP if up else phase_of(log), log=log[-SENT_LOG:])


class EngineActor:
    """Thin Ray shell around `rollout.engine.Engine`; every method may run while others wait."""

    def __init__(self, spec: Any, name: str):
        import ray

        self._builders: dict[str, PromptBuilder] = {}
        self._pull: asyncio.Lock | None = None
        self._start = EngineStart(spec, name)
        self._engine: Any = None
        if ray.get_runtime_context().was_current_actor_reconstructed:
            # Not up for Ray before its engine is, so that whoever asks meanwhile turns to another.
            self._engine = _open_again(self._start)
        else:
            self._start.begin()

    async def starting(self) -> StartReport:
        """How far the start is; answers also while the engine is not up."""
        return self._start.report()

    async def ready(self) -> dict[str, Any]:
        """Runs every kernel once, so that the first real request is not slower than the others.

        Raises EngineStartFailed, which says why.
        """
        engine = await self._opened()
        try:
            await engine.warm_up()
        except Exception as error:
            raise self._start.failure(error) from None
        return {"pid": os.getpid(), "name": engine.name}

    async def load(self, publication: Publication, token: str) -> dict[str, Any]:
        """Loads and proves a policy version; see `Engine.load`.

        Raises ForeignPolicy where `token` is not this engine's own `fleet_token`.
        """
        engine = await self._opened()
        if not secrets.compare_digest(token.encode(), fleet_token().encode()):
            raise ForeignPolicy(
                f"{engine.name} belongs to another job than the one that sent it policy {publication.policy.name}"
                f"; each job starts engines of its own"
            )
        report = await engine.load(publication)
        return {
            "seconds": report.seconds,
            "bytes": report.bytes,
            "canary_gap": report.canary_gap,
            "proven": report.proven,
            **await self.stats(),
        }

    async def adapter_form(self) -> AdapterForm:
        """See `Engine.form`."""
        return (await self._opened()).form

    async def canary_tokens(self, problem: Problem, answer: str, prompt: PromptConfig) -> tuple[np.ndarray, np.ndarray]:
        """int32 prompt and completion ids of a worked answer, for learners to score as a canary."""
        await self._opened()
        builder = self._builder(prompt)
        completion = builder.encode_completion(completion_text(answer, kind=problem.kind))
        return np.asarray(builder.build(problem).ids, np.int32), np.asarray(completion, np.int32)

    async def rollout(self, job: RolloutJob, lease: Lease, problem: Problem) -> Group:
        """The group of a leased problem, sampled from the run's current policy."""
        from rollout.engine import GroupRequest
        from rollout.held_versions import PolicyMissing

        await self._opened()
        builder = self._builder(job.prompt)
        prompt = builder.build(problem)
        room = answer_room(len(prompt.ids), self._engine.spec.config.max_model_len)
        if room < 1:
            raise ValueError(
                f"the prompt of {problem.id} has {len(prompt.ids)} tokens and rollout.engine.max_model_len is "
                f"{self._engine.spec.config.max_model_len}; raise it or leave out such problems"
            )
        sampling = job.sampling
        if sampling.stop is None:
            sampling = sampling.model_copy(update={"stop": builder.stops(problem)})
        if sampling.max_tokens > room:
            sampling = sampling.model_copy(update={"max_tokens": room})
        request = GroupRequest(
            run=job.run,
            problem_id=problem.id,
            group_id=lease_key(lease),
            prompt_ids=np.asarray(prompt.ids, np.int32),
            seeds=sample_seeds(job.seed, lease.index, job.group_size),
            sampling=sampling,
            min_version=lease.min_version,
            averaged=job.averaged,
        )
        try:
            samples = await self._engine.generate(request)
        except PolicyMissing:
            await self._fetch_policy(job, lease.min_version)
            samples = await self._engine.generate(request)
        answers = tuple(
            replace(s, text=builder.answer(problem, s.text, sampling.stop or (), s.finish_reason != "length"))
            for s in samples
        )
        return Group(lease.index, lease.attempt, problem, answers, prompt=prompt.text)

    async def speaks(self) -> bool:
        """Whether the model can be asked by messages: its tokenizer has a chat template."""
        await self._opened()
        return self._builder(PromptConfig()).chat

    async def complete(self, question: Conversation) -> Completion:
        """One answer of the model alone to messages. Raises NoRoomToAnswer for a prompt that fills the context."""
        from rollout.engine import GroupRequest

        await self._opened()
        builder = self._builder(PromptConfig(system=question.system))
        prompt = builder.conversation(question.turns)
        room = answer_room(len(prompt.ids), self._engine.spec.config.max_model_len)
        if room < 1:
            raise NoRoomToAnswer(
                f"the question has {len(prompt.ids)} tokens and the teacher's engine holds "
                f"{self._engine.spec.config.max_model_len}: raise teacher.engine.max_model_len"
            )
        if not self._engine.holds(TEACHER, 0):  # the model alone has no weights to fetch
            await self._engine.load(Publication(PolicyVersion(TEACHER, 0)))
        sampling = Sampling(
            temperature=question.temperature, max_tokens=min(room, question.max_tokens), stop=question.stop
        )
        ids = np.asarray(prompt.ids, np.int32)
        (sample,) = await self._engine.generate(
            GroupRequest(TEACHER, question.key, question.key, ids, (question.seed,), sampling)
        )
        # A template that opens the thinking leaves its mark in the prompt; the answer is whole with it.
        text = builder.opened + sample.text
        return Completion(text, sample.finish_reason, len(prompt.ids), len(sample.completion_ids))

    async def abandon(self, run: str, oldest: int | None) -> int:
        """See `Engine.abandon`."""
        return 0 if self._engine is None else await self._engine.abandon(run, oldest)

    async def in_hand(self, run: str) -> dict[str, float | None]:
        """See `Engine.in_hand`."""
        return {} if self._engine is None else self._engine.in_hand(run)

    async def forget(self, run: str) -> None:
        """Frees the adapters of a run that has ended."""
        if self._engine is not None:
            await self._engine.forget(run)

    async def stats(self) -> dict[str, Any]:
        """Totals since the actor's start: samples, tokens, loads, and seconds by kind of work."""
        stats = (await self._opened()).stats()
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
        return 0 if self._engine is None else await self._engine.abort()

    async def close(self) -> None:
        """Stops vLLM and removes adapter files. What is not up yet ends with the process."""
        if self._engine is not None:
            await self._engine.close()

    async def _opened(self) -> Any:
        if self._engine is None:
            self._engine = await asyncio.shield(asyncio.wrap_future(self._start.opening))
        return self._engine

    def _builder(self, config: PromptConfig) -> PromptBuilder:
        key = config.model_dump_json()
        if key not in self._builders:
            self._builders[key] = PromptBuilder(self._engine.tokenizer, config)
        return self._builders[key]

    async def _fetch_policy(self, job: RolloutJob, version: int) -> None:
        import ray

        # One fetch at a time: all requests in flight to a restarted engine need the same policy.
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


def _open_again(start: EngineStart) -> Any:
    """The engine of an actor that was up before. It is tried again until it starts: Ray gives an actor up whose start
    raises."""
    try:
        return start.open()
    except Exception as error:
        print(
            f"{start.name} cannot start again: {one_line(error)}; next try in {RESTART_PAUSE:.0f} s",
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

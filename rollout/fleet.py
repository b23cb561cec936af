"""The fleet: engines as long-lived named Ray actors.

An actor that dies is restarted by Ray and comes back empty; the first request that it cannot answer makes it fetch the
run's current policy from the run's coordinator, so nobody has to notice the restart.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from problems.problem import Group, Problem
from rollout.admission import Lease
from rollout.config import Sampling
from rollout.policy import Publication
from rollout.prompts import PromptBuilder, PromptConfig, completion_text

NAMESPACE = "crucible"


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
    """Name of the actor that holds the run's current policy; "" where the policy was loaded by hand."""


def sample_seeds(seed: int, sequence: int, group_size: int) -> tuple[int, ...]:
    """One seed a sample, a pure function of the run's seed and the problem's number in the stream."""
    return tuple(int(s) for s in np.random.SeedSequence([seed, sequence]).generate_state(group_size, np.uint32))


class EngineActor:
    """Thin Ray shell around `rollout.engine.Engine`; every method may run while others wait."""

    def __init__(self, spec: Any, name: str):
        from rollout.engine import Engine

        self._engine = Engine(spec, name)
        self._builders: dict[str, PromptBuilder] = {}
        self._pull: Any = None

    async def ready(self) -> dict[str, Any]:
        """Runs every kernel once, so that the first real request is not slower than the others."""
        await self._engine.warm_up()
        return {"pid": os.getpid(), "name": self._engine.name}

    async def load(self, publication: Publication) -> dict[str, Any]:
        """Loads and proves a policy version; see `Engine.load`."""
        report = await self._engine.load(publication)
        return {
            "seconds": report.seconds,
            "bytes": report.bytes,
            "canary_gap": report.canary_gap,
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
        room = self._engine.spec.config.max_model_len - len(prompt.ids)
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
            coordinator = ray.get_actor(job.coordinator, namespace=NAMESPACE)
            publication = await coordinator.current_policy.remote(self._engine.name)
            await self._engine.load(publication)


def start_fleet(
    spec: Any, count: int, fleet: str, resources: Mapping[str, Any], kind: str = "engine", actor: type = EngineActor
) -> list[Any]:
    """Starts `count` engine actors at once and returns their handles; `await_ready` waits for them.

    They are named <fleet>-<kind>-<index>. `resources` are Ray actor options (num_cpus, num_gpus, label_selector).
    """
    import ray

    remote = ray.remote(actor)
    names = [f"{fleet}-{kind}-{index}" for index in range(count)]
    return [
        remote.options(
            name=name,
            namespace=NAMESPACE,
            max_restarts=-1,
            max_task_retries=-1,
            max_concurrency=1024,
            scheduling_strategy="DEFAULT",
            **resources,
        ).remote(spec, name)
        for name in names
    ]


def silent(engines: Sequence[Any], seconds: float = 5.0) -> list[int]:
    """Numbers of the engines that do not answer within `seconds`: lost, and perhaps waiting for a node to take them."""
    import ray

    asked = [engine.stats.remote() for engine in engines]
    answered, _ = ray.wait(asked, num_returns=len(asked), timeout=seconds)
    return [number for number, one in enumerate(asked) if one not in answered]


def await_ready(engines: Sequence[Any], seconds: float = 600.0) -> None:
    """Waits until all engines answer. Raises the engine's own error where one cannot start, or TimeoutError."""
    import ray

    try:
        ray.get([engine.ready.remote() for engine in engines], timeout=seconds)
    except ray.exceptions.GetTimeoutError as error:
        raise TimeoutError(
            f"engines were not up after {seconds:.0f} s; `ray status` tells whether the cluster has room for them"
        ) from error

"""An engine: policies in, samples out, and proof of which policy sampled what.

Nothing here knows of Ray: `rollout.fleet` wraps this class into an actor.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from problems.problem import Sample
from rollout.backends import Abandoned, Backend, EngineDead, Request, open_backend, reason_of, resolve_dtype
from rollout.config import Sampling
from rollout.engine_spec import EngineSpec
from rollout.fair_queue import FairQueue
from rollout.flights import Flight, Flights
from rollout.held_versions import HeldVersions, Loaded
from rollout.load_proof import LoadMismatch, check_load, expected_checksums
from rollout.policy import AdapterForm, Canary, PolicyVersion, Publication, ema_run
from rollout.prompts import CompletionDecoder

CANARY_BOUNDS = {"float32": 1e-3, "float16": 0.05, "bfloat16": 0.25, "int8": 0.5, "nf4": 1.0}
"""Mean |engine - learner| log-probability over a canary's tokens above which a load is grossly wrong, by the coarser
dtype of the two. Sound ones: 2e-5 in float32; 0.02 to 0.04 in bfloat16 (Gemma 3 270M). For a learner whose base is
quantised, an allowance."""


def canary_bound(*dtypes: str) -> float:
    """The bound where engine and learner compute in, or hold their weights in, `dtypes`: that of the coarser one."""
    return max(CANARY_BOUNDS[dtype] for dtype in dtypes)


class PolicyMismatch(RuntimeError):
    """An engine does not compute what the learner published."""


@dataclass(frozen=True, slots=True, eq=False)
class GroupRequest:
    """G completions of one prompt."""

    run: str
    problem_id: str
    group_id: str
    prompt_ids: np.ndarray
    """int32 [prompt length]."""
    seeds: tuple[int, ...]
    """One seed a completion: its length is G. Equal seeds and policies give equal samples, whatever the batch."""
    sampling: Sampling
    min_version: int = 0
    """Oldest policy version that may answer."""
    averaged: int = 0
    """How many of the G, the last ones, are sampled from the moving average of the policy."""


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What loading a policy took and how well it was proven."""

    seconds: float
    bytes: int
    canary_gap: float
    """Mean |engine - learner| log-probability over the canary's tokens; NaN without a canary."""
    proven: int = 0
    """Tensors whose checksums in the engine are those of what was published."""


@dataclass(slots=True)
class EngineStats:
    """What an engine has done since its start."""

    samples: int = 0
    completion_tokens: int = 0
    prompt_tokens: int = 0
    loads: int = 0
    seconds: dict[str, float] = field(default_factory=dict)


class Engine:
    """A vLLM engine that serves the policies of one or several runs."""

    def __init__(self, spec: EngineSpec, name: str = "engine", backend: Backend | None = None):
        self.name = name
        self.spec = spec
        self._backend = backend or open_backend(spec)
        self._held = HeldVersions(name, self._backend)
        # A group enters when there is a seat for one of its samples at least: its policy is the youngest there is when
        # its sampling begins, and a run's turn is never far.
        self._gate = FairQueue(spec.config.max_sequences)
        self._flights = Flights()
        self._request_ids = itertools.count()
        self.tokenizer = _tokenizer(spec.model)
        self._text = CompletionDecoder(self.tokenizer)
        self._stats = EngineStats()
        self._loading = asyncio.Lock()

    async def warm_up(self) -> None:
        """Runs prefill, decode and scoring once: the first call of each shape compiles kernels and takes seconds."""
        from vllm import SamplingParams

        params = SamplingParams(temperature=1.0, max_tokens=3, seed=0, ignore_eos=True, logprobs=0, detokenize=False)
        count = min(8, self.spec.config.max_sequences)
        requests = [Request(f"{self.name}-warm-{next(self._request_ids)}", [1] * 24, params) for _ in range(count)]
        await self._backend.generate(requests)
        await self._score([1] * 24, [1] * 24, Loaded(0, ""))

    def holds(self, run: str, version: int) -> bool:
        """Whether a version of the run at least as young is loaded."""
        return self._held.holds(run, version)

    async def load(self, publication: Publication) -> LoadReport:
        """Loads a policy version and proves it; requests in flight keep the version they began with.

        First proof: the checksums of all its tensors as the engine holds them, exact in any dtype. Second: the canary,
        for gross faults. Raises PolicyMismatch, naming engine, version and difference, where either fails; the version
        is then not served.
        """
        began = time.perf_counter()
        # First the average: whoever finds the policy held finds its average too.
        parts = [part for part in (publication.average, publication) if part is not None]
        async with self._loading:  # in the order of arrival: the last of a run's list is its current policy
            proofs = [await self._load(part) for part in parts]
        seconds = time.perf_counter() - began
        self._backend.clock.load += seconds
        size = sum(len(part.policy.weights) for part in parts)
        return LoadReport(seconds, size, max(gap for gap, _ in proofs), sum(proven for _, proven in proofs))

    async def _load(self, publication: Publication) -> tuple[float, int]:
        """Loads one policy without its average; returns the canary's gap and how many tensors are proven."""
        policy = publication.policy
        loaded = await self._held.install(policy)
        gap, proven = float("nan"), 0
        try:
            if loaded.lora is not None:
                proven = await self._prove_tensors(loaded, publication)
            if publication.canary is not None:
                gap = await self._prove_canary(publication.canary, loaded, policy)
        except PolicyMismatch:
            await self._held.free(loaded)
            raise
        await self._held.admit(policy.run, loaded)
        self._stats.loads += 1
        return gap, proven

    async def generate(self, request: GroupRequest) -> list[Sample]:
        """The G samples of a group, in the order of their seeds.

        Raises PolicyMissing where no version as young as `min_version` is loaded, Abandoned, and EngineDead.
        """
        self._held.current(request.run, request.min_version)
        flight = Flight(request.run, request.group_id, request.sampling.max_tokens)
        self._flights.add(flight)
        try:
            async with self._gate.turn(request.run, len(request.seeds)) as give_back:
                if flight.abandoned:
                    raise asyncio.CancelledError
                return await self._generate(request, flight, lambda: give_back(1))
        except asyncio.CancelledError:
            if not flight.abandoned:
                raise
            raise Abandoned(f"group {request.group_id} of run {request.run} is too old for any step to come") from None
        finally:
            self._flights.remove(flight)

    async def _generate(self, request: GroupRequest, flight: Flight, on_done: Callable[[], None]) -> list[Sample]:
        # The policy is chosen now and not before the wait: the youngest there is when sampling begins.
        own = self._held.current(request.run, request.min_version)
        held, drawn_from = [own], [own] * (len(request.seeds) - request.averaged)
        if request.averaged:
            held.append(self._held.current(ema_run(request.run), request.min_version))
            drawn_from += [held[-1]] * request.averaged
        for loaded in held:
            loaded.in_flight += 1
        try:
            prompt = request.prompt_ids.tolist()
            requests = [
                Request(
                    f"{self.name}-{next(self._request_ids)}",
                    prompt,
                    _params(request.sampling, seed),
                    loaded.lora,
                )
                for seed, loaded in zip(request.seeds, drawn_from, strict=True)
            ]
            flight.begin(own.policy_number, [one.id for one in requests], time.monotonic())
            outputs = await self._backend.generate(requests, on_done)
        except asyncio.CancelledError:
            if not self.failure():  # vLLM must not want an adapter that is freed below
                await self._backend.abort(flight.ids)
            raise
        finally:
            for loaded in held:
                loaded.in_flight -= 1
            if not self.failure():
                await self._held.sweep(request.run, held)
        self._flights.book_pace(flight, max(len(o.outputs[0].token_ids) for o in outputs), time.monotonic())
        return [
            self._sample(request, loaded, index, output)
            for index, (loaded, output) in enumerate(zip(drawn_from, outputs, strict=True))
        ]

    async def abandon(self, run: str, oldest: int | None) -> int:
        """Ends the groups of a run that are being sampled from a version older than `oldest`; None: all of them.

        Whoever waits for them gets Abandoned. Returns how many samples were in flight.
        """
        ids = self._flights.abandon(run, oldest)
        return await self._backend.abort(ids) if ids else 0

    def in_hand(self, run: str) -> dict[str, float | None]:
        """Group id -> seconds that a group of the run may take yet; None where it waits, or no pace is known."""
        return self._flights.in_hand(run, time.monotonic())

    async def score(self, prompt_ids: Sequence[int], completion_ids: Sequence[int], run: str) -> np.ndarray:
        """float32 [completion length]: log-probabilities of a completion at temperature 1 under the run's policy."""
        return await self._score(prompt_ids, completion_ids, self._held.current(run, 0))

    async def forget(self, run: str) -> None:
        """Frees all adapters of a run that has ended: those that requests in flight want, after the last of them."""
        self._gate.forget(run)
        await self._held.forget(run)

    async def abort(self) -> int:
        """Ends all requests in flight. Returns how many there were."""
        return await self._backend.abort()

    def stats(self) -> EngineStats:
        """Totals since the start; seconds by prefill, decode, load and idle."""
        self._stats.seconds = self._backend.clock.as_dict()
        return self._stats

    def failure(self) -> str:
        """Why vLLM cannot go on, for the process to end; "" while it can."""
        return self._backend.failure()

    async def close(self) -> None:
        """Stops vLLM and removes the adapters' files."""
        await self._backend.close()
        self.remove_files()

    def remove_files(self) -> None:
        """Removes the adapters' files, which no engine after this one can use."""
        self._held.folders.remove()

    @property
    def form(self) -> AdapterForm:
        """In which form it holds adapters."""
        return AdapterForm(resolve_dtype(self.spec.config), self.spec.config.tensor_parallel == 1)

    async def _prove_tensors(self, loaded: Loaded, publication: Publication) -> int:
        policy, form = publication.policy, self.form
        try:
            expected = await asyncio.to_thread(expected_checksums, publication, form)
            reports = await self._backend.adapter_checksums(loaded.lora.lora_int_id, list(expected), form.placed)
            return check_load(expected, reports)
        except EngineDead:
            raise
        except LoadMismatch as error:
            raise self._mismatch(policy, str(error)) from error
        except Exception as error:
            raise self._mismatch(policy, f"what it holds cannot be read: {reason_of(error)}") from error

    async def _prove_canary(self, canary: Canary, loaded: Loaded, policy: PolicyVersion) -> float:
        dtypes = resolve_dtype(self.spec.config), canary.dtype
        bound = self.spec.config.canary_bound or canary_bound(*dtypes)
        got = await self._score(canary.prompt_ids.tolist(), canary.completion_ids.tolist(), loaded)
        gap = float(np.mean(np.abs(got - canary.logprobs)))
        if gap > bound or not np.isfinite(gap):
            raise self._mismatch(
                policy,
                f"its canary's log-probabilities differ from the learner's by {gap:.3g} in the mean, and {bound:.3g} "
                f"is allowed with {dtypes[0]} here and {dtypes[1]} there. The base model is another one than "
                f"{self.spec.model}, or computed otherwise; raise engine.canary_bound only if you know why",
            )
        return gap

    def _mismatch(self, policy: PolicyVersion, why: str) -> PolicyMismatch:
        return PolicyMismatch(
            f"{self.name} does not compute policy version {policy.number} of run {policy.run} (adapter "
            f"{policy.adapter_hash or 'none'}): {why}"
        )

    async def _score(self, prompt_ids: Sequence[int], completion_ids: Sequence[int], loaded: Loaded) -> np.ndarray:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind

        tokens = [*prompt_ids, *completion_ids]
        params = SamplingParams(
            temperature=0.0,
            max_tokens=1,
            prompt_logprobs=0,
            detokenize=False,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )
        request = Request(f"{self.name}-score-{next(self._request_ids)}", tokens, params, loaded.lora, urgent=True)
        (output,) = await self._backend.generate([request])
        scored = output.prompt_logprobs[len(prompt_ids) :]
        return np.array([row[token].logprob for row, token in zip(scored, completion_ids, strict=True)], np.float32)

    def _sample(self, request: GroupRequest, loaded: Loaded, index: int, output: Any) -> Sample:
        completion = output.outputs[0]
        ids = np.asarray(completion.token_ids, np.int32)
        # vLLM puts the sampled token first in each position's entry.
        logprobs = np.fromiter((next(iter(row.values())).logprob for row in completion.logprobs), np.float32, len(ids))
        self._stats.samples += 1
        self._stats.completion_tokens += len(ids)
        self._stats.prompt_tokens += len(request.prompt_ids)
        return Sample(
            problem_id=request.problem_id,
            group_id=request.group_id,
            index=index,
            prompt_ids=request.prompt_ids,
            completion_ids=ids,
            logprobs=logprobs,
            text=self._text(ids.tolist()),
            finish_reason=completion.finish_reason or "abort",
            policy_version=loaded.policy_number,
            adapter_hash=loaded.adapter_hash,
            engine=self.name,
            averaged=index >= len(request.seeds) - request.averaged,
        )


def _params(sampling: Sampling, seed: int) -> Any:
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        top_k=sampling.top_k,
        min_p=sampling.min_p,
        repetition_penalty=sampling.repetition_penalty,
        max_tokens=sampling.max_tokens,
        seed=None if sampling.temperature == 0 else seed,
        logprobs=0,
        # vLLM looks for the texts that end an answer in what it decodes; without any it need not decode.
        stop=list(sampling.stop or ()),
        detokenize=bool(sampling.stop),
        output_kind=RequestOutputKind.FINAL_ONLY,
    )


def _tokenizer(model: str) -> Any:
    from rollout.model_files import load_tokenizer

    return load_tokenizer(model)

"""vLLM behind one small interface: in this process, stepped by one thread, or as `AsyncLLM` in its own.

`LLMEngine` in-process is up in seconds and needs no child process, which is what a CPU machine wants; `AsyncLLM`
overlaps scheduling with a GPU's work. Both finish requests one by one, load adapters while others are in flight, and
abort.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import queue
import re
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from rollout.config import EngineConfig, lora_rank_room
from rollout.engine_spec import EngineSpec
from rollout.model_files import place_of
from rollout.vllm_import import quick_import, search_own_modules

URGENT_SEATS = 1
"""Sequences of vLLM that only urgent requests take: policies are loaded, and so proven, one after the other."""


class EngineDead(RuntimeError):
    """The engine cannot go on; its process should end so that a fresh one takes its place."""


class Abandoned(RuntimeError):
    """A group was ended before it was done: no step may learn from its policy version any more."""


class AdapterRefused(ValueError):
    """vLLM does not take an adapter: its rank, its layers, its files."""


class Backend(Protocol):
    """What `rollout.engine.Engine` needs of vLLM."""

    clock: EngineClock

    async def generate(self, requests: Sequence[Request], on_done: Callable[[], None] = ...) -> list[Any]: ...
    async def add_lora(self, lora: Any) -> None: ...
    async def remove_lora(self, lora_id: int) -> None: ...
    async def adapter_checksums(self, lora_id: int, names: Sequence[str], placed: bool) -> list[dict[str, Any]]: ...
    async def abort(self, ids: Sequence[str] | None = None) -> int: ...
    async def close(self) -> None: ...
    def failure(self) -> str: ...


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt for one completion, in vLLM's own types."""

    id: str
    prompt_ids: Sequence[int]
    params: Any
    """`vllm.SamplingParams`."""
    lora: Any = None
    """`vllm.lora.request.LoRARequest`, None for the base model."""
    urgent: bool = False
    """Goes ahead of all that wait, into the seat that is kept for it: nobody learns while a version is being proven."""


def nothing() -> None:
    """Does nothing."""


@dataclass(slots=True)
class EngineClock:
    """Seconds of an engine's life by what it did."""

    prefill: float = 0.0
    decode: float = 0.0
    load: float = 0.0
    idle: float = 0.0

    def as_dict(self) -> dict[str, float]:
        """Seconds since the start, by name."""
        return {"prefill": self.prefill, "decode": self.decode, "load": self.load, "idle": self.idle}


def is_cuda() -> bool:
    """Whether an NVIDIA GPU is visible to this process, without importing torch or opening a CUDA context."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return visible not in ("", "-1") and os.path.exists("/dev/nvidiactl")


def prepare_environment() -> None:
    """Sets what vLLM and OpenMP read at import. Call before either is imported; what the user has set is kept."""
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ.setdefault("VLLM_CONFIGURE_LOGGING", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TQDM_DISABLE", "1")
    if is_cuda():
        # FlashInfer's sampler gives no log-probabilities and takes no seed a request, so that vLLM would compile it at
        # the start and never use it.
        os.environ.setdefault("VLLM_USE_FLASHINFER_SAMPLER", "0")
        return
    # Two OpenMP threads on a contended machine are slower than one by an order of magnitude.
    os.environ["OMP_NUM_THREADS"] = "1"
    # The engine is eager, yet a few helpers of its sampler are compiled: 12 CPU-s at the first start of a machine,
    # 2.5 at each later one, and no token is decoded sooner for it.
    os.environ.setdefault("TORCH_COMPILE_DISABLE", "1")
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")


def log_while_starting(seconds: float) -> None:
    """Has vLLM write to standard error what it does, for `rollout.starting` to read, and not give up before the caller,
    who waits `seconds`. For a process of its own, before vLLM is imported; a user's level of logging is kept."""
    if os.environ.get("VLLM_LOGGING_LEVEL", "ERROR") == "ERROR":
        os.environ["VLLM_LOGGING_LEVEL"] = "INFO"
    os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")
    os.environ.setdefault("TQDM_DISABLE", "")  # vLLM's bar is all that says that graphs are being captured
    os.environ.setdefault("VLLM_ENGINE_READY_TIMEOUT_S", str(int(seconds) + 60))


def engine_args(spec: EngineSpec) -> dict[str, Any]:
    """Keyword arguments of `vllm.EngineArgs` for `spec` on this machine."""
    config, cuda = spec.config, is_cuda()
    args: dict[str, Any] = {
        "model": place_of(spec.model),
        "trust_remote_code": False,
        "dtype": resolve_dtype(config),
        "max_model_len": config.max_model_len,
        "max_num_seqs": config.max_sequences + URGENT_SEATS,
        "max_num_batched_tokens": config.max_batched_tokens
        if cuda
        else max(config.max_batched_tokens, config.max_model_len),
        "scheduling_policy": "priority",
        "logprobs_mode": "processed_logprobs",
        "language_model_only": True,  # problems are text: a vision tower would only take memory
        "enable_prefix_caching": True,
        "enforce_eager": config.enforce_eager or not cuda,
        "tensor_parallel_size": config.tensor_parallel,
        "seed": spec.seed,
        "disable_log_stats": True,
        "worker_extension_cls": "rollout.worker_extension.WorkerExtension",
    }
    if spec.lora_rank:
        # A request for one more version than there is room for waits until *all* requests of another are done. One that
        # is evicted while a request wants it kills the engine, so there is room for stragglers.
        live, rank = spec.live_adapters, lora_rank_room(spec.lora_rank)
        args |= {"enable_lora": True, "max_lora_rank": rank, "max_loras": live + 1, "max_cpu_loras": live + 5}
    if cuda:
        args["gpu_memory_utilization"] = config.gpu_memory_share
    else:
        # Chunked prefill and a seed a request do not go together on CPU (its generators have no offset to rewind).
        args["enable_chunked_prefill"] = False
        args["kv_cache_memory_bytes"] = int(config.kv_cache_gib * 2**30)
    return args


def resolve_dtype(config: EngineConfig) -> str:
    """The dtype that `auto` stands for on this machine."""
    if config.dtype != "auto":
        return config.dtype
    return "bfloat16" if is_cuda() else "float32"


def open_backend(spec: EngineSpec) -> Backend:
    """Starts vLLM. Raises ValueError where the model cannot be loaded, with the cause."""
    prepare_environment()
    kind = spec.config.backend
    if kind == "auto":
        kind = "async" if is_cuda() else "in_process"
    if kind == "in_process":
        return InProcessBackend(spec)
    from rollout.async_backend import AsyncBackend

    return AsyncBackend(spec)


class InProcessBackend:
    """`LLMEngine` stepped by one thread of this process; every touch of the engine happens in that thread."""

    def __init__(self, spec: EngineSpec):
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        self.clock = EngineClock()
        self._commands: queue.SimpleQueue[tuple[Callable[[], Any], concurrent.futures.Future]] = queue.SimpleQueue()
        self._waiting: dict[str, concurrent.futures.Future] = {}
        self._queue: dict[str, Request] = {}
        """Requests without a seat, the oldest first: vLLM itself would give them the urgent one."""
        self._seats = spec.config.max_sequences
        self._urgent: set[str] = set()
        self._closed = False
        self._failure = ""
        self._fresh_prompts = False
        self._engine: Any = None
        up: concurrent.futures.Future = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._run, args=(spec, up), name="vllm-engine", daemon=True)
        self._thread.start()
        up.result()

    async def generate(self, requests: Sequence[Request], on_done: Callable[[], None] = nothing) -> list[Any]:
        """Outputs of all `requests`, in their order; `on_done` is called as each of them ends. Where there are seats,
        requests of one call enter the batch together."""
        futures = [concurrent.futures.Future() for _ in requests]
        await self._do(lambda: self._submit(requests, futures))
        answers = [asyncio.wrap_future(future) for future in futures]
        for answer in answers:
            answer.add_done_callback(lambda _: on_done())
        return list(await asyncio.gather(*answers))

    async def add_lora(self, lora: Any) -> None:
        """Loads an adapter beside the requests in flight. Raises AdapterRefused."""
        try:
            await self._do(lambda: self._engine.add_lora(lora))
        except EngineDead:
            raise
        except Exception as error:
            raise AdapterRefused(reason_of(error)) from error

    async def remove_lora(self, lora_id: int) -> None:
        """Frees an adapter that no request can want any more."""
        await self._do(lambda: self._engine.remove_lora(lora_id))

    async def adapter_checksums(self, lora_id: int, names: Sequence[str], placed: bool) -> list[dict[str, Any]]:
        """What each worker holds of an adapter: see `rollout.worker_extension`."""
        return await self._do(
            lambda: self._engine.collective_rpc("crucible_adapter_checksums", args=(lora_id, list(names), placed))
        )

    async def abort(self, ids: Sequence[str] | None = None) -> int:
        """Ends those of `ids` that are in flight, or all: their callers get CancelledError. Returns how many."""
        return await self._do(lambda: self._abort(ids))

    async def close(self) -> None:
        """Stops the thread and frees the engine."""
        if not self._closed:
            await self._do(self._stop)
            self._thread.join(timeout=30)

    def failure(self) -> str:
        """Why the engine cannot go on; "" while it can."""
        return self._failure

    def _do(self, command: Callable[[], Any]) -> asyncio.Future:
        if self._closed or not self._thread.is_alive():
            raise self._dead()
        future: concurrent.futures.Future = concurrent.futures.Future()
        self._commands.put((command, future))
        if self._closed:  # it ended in between: nobody will come for what was queued
            self._refuse_queued()
        return asyncio.wrap_future(future)

    def _dead(self) -> EngineDead:
        return EngineDead(self._failure or "the vLLM engine of this process has stopped")

    def _refuse_queued(self) -> None:
        while True:
            try:
                _, future = self._commands.get_nowait()
            except queue.Empty:
                return
            if future.set_running_or_notify_cancel():
                future.set_exception(self._dead())

    def _run(self, spec: EngineSpec, up: concurrent.futures.Future) -> None:
        try:
            with quick_import():
                from vllm import EngineArgs
                from vllm.v1.engine.llm_engine import LLMEngine

            if not is_cuda():
                import torch

                from rollout import embedding_cpu, lora_cpu

                torch.set_num_threads(1)  # for a process that had torch before `prepare_environment`
                lora_cpu.install()
                embedding_cpu.install()
                search_own_modules()
            self._engine = LLMEngine.from_engine_args(EngineArgs(**engine_args(spec)))
        except BaseException as error:
            up.set_exception(error)
            return
        up.set_result(None)
        try:
            while not self._closed:
                self._drain_commands()
                if not self._closed and self._engine.has_unfinished_requests():
                    self._step()
            self._refuse_queued()
        except BaseException as error:
            self._fail_all(error)

    def _drain_commands(self) -> None:
        wait = not self._engine.has_unfinished_requests()
        while True:
            began = time.perf_counter()
            try:
                command, future = self._commands.get(block=wait)
            except queue.Empty:
                return
            if wait:
                self.clock.idle += time.perf_counter() - began
            wait = False
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(command())
                except Exception as error:
                    future.set_exception(error)
            if self._closed:
                return

    def _step(self) -> None:
        began = time.perf_counter()
        fresh, self._fresh_prompts = self._fresh_prompts, False
        for output in self._engine.step():
            if output.finished:
                self._urgent.discard(output.request_id)
                future = self._waiting.pop(output.request_id, None)
                if future is not None and not future.done():
                    future.set_result(output)
        self._seat()
        spent = time.perf_counter() - began
        if fresh:
            self.clock.prefill += spent
        else:
            self.clock.decode += spent

    def _submit(self, requests: Sequence[Request], futures: Sequence[concurrent.futures.Future]) -> None:
        for request, future in zip(requests, futures, strict=True):
            self._waiting[request.id] = future
            if request.urgent:
                self._urgent.add(request.id)
                self._enter(request)
            else:
                self._queue[request.id] = request
        self._seat()

    def _seat(self) -> None:
        """Hands vLLM as many of the requests that wait as it has seats for."""
        while self._queue and len(self._waiting) - len(self._queue) - len(self._urgent) < self._seats:
            self._enter(self._queue.pop(next(iter(self._queue))))

    def _enter(self, request: Request) -> None:
        from vllm.inputs.engine import tokens_input

        prompt = tokens_input(list(request.prompt_ids))
        self._engine.add_request(
            request.id, prompt, request.params, lora_request=request.lora, priority=-int(request.urgent)
        )
        self._fresh_prompts = True

    def _abort(self, ids: Sequence[str] | None = None) -> int:
        ids = [i for i in (self._waiting if ids is None else ids) if i in self._waiting]
        self._engine.abort_request([i for i in ids if i not in self._queue])
        for request_id in ids:
            self._queue.pop(request_id, None)
            self._urgent.discard(request_id)
            self._waiting.pop(request_id).cancel()
        self._seat()
        return len(ids)

    def _stop(self) -> None:
        self._closed = True
        self._abort()
        self._engine.engine_core.shutdown()
        self._engine = None

    def _fail_all(self, error: BaseException) -> None:
        self._failure = f"the vLLM engine died: {type(error).__name__}: {error}"
        self._closed = True
        self._refuse_queued()
        dead = self._dead()
        dead.__cause__ = error
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(dead)
        self._waiting.clear()


def reason_of(error: BaseException) -> str:
    """The first line of what vLLM says, without what it wraps around the errors of its processes."""
    text = str(error).strip().splitlines()
    bare = re.sub(r"^Call to \w+ method failed: ", "", text[0]) if text else type(error).__name__
    found = re.fullmatch(
        r"Worker failed with error '(.*)', please check the stack trace above for the root cause", bare
    )
    return found[1] if found else bare

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
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from rollout.config import EngineConfig, lora_rank_room


class EngineDead(RuntimeError):
    """The engine cannot go on; its process should end so that a fresh one takes its place."""


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """What an engine is started with."""

    model: str
    """Hugging Face id or folder."""
    config: EngineConfig = field(default_factory=EngineConfig)
    lora_rank: int = 8
    """Largest rank of an adapter that it will be asked to load."""
    live_adapters: int = 2
    """Adapters that may be wanted in the same batch: staleness + 1, times the runs that share the engine."""
    seed: int = 0


class Backend(Protocol):
    """What `rollout.engine.Engine` needs of vLLM."""

    clock: EngineClock

    async def generate(self, requests: Sequence[Request]) -> list[Any]: ...
    async def add_lora(self, lora: Any) -> None: ...
    async def remove_lora(self, lora_id: int) -> None: ...
    async def abort(self) -> int: ...
    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt for one completion, in vLLM's own types."""

    id: str
    prompt_ids: Sequence[int]
    params: Any
    """`vllm.SamplingParams`."""
    lora: Any = None
    """`vllm.lora.request.LoRARequest`, None for the base model."""


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
        return
    # Two OpenMP threads on a contended machine are slower than one by an order of magnitude.
    os.environ["OMP_NUM_THREADS"] = "1"
    # The engine is eager, yet a few helpers of its sampler are compiled: 12 CPU-s at the first start of a machine,
    # 2.5 at each later one, and no token is decoded sooner for it.
    os.environ.setdefault("TORCH_COMPILE_DISABLE", "1")
    os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")


def engine_args(spec: EngineSpec) -> dict[str, Any]:
    """Keyword arguments of `vllm.EngineArgs` for `spec` on this machine."""
    config, cuda = spec.config, is_cuda()
    args: dict[str, Any] = {
        "model": spec.model,
        "dtype": resolve_dtype(config),
        "max_model_len": config.max_model_len,
        "max_num_seqs": config.max_sequences,
        "enable_lora": True,
        "max_lora_rank": lora_rank_room(spec.lora_rank),
        "max_loras": spec.live_adapters,
        # An adapter that is evicted while a request wants it kills the engine, so there is room for stragglers.
        "max_cpu_loras": spec.live_adapters + 4,
        "logprobs_mode": "processed_logprobs",
        "enable_prefix_caching": True,
        "enforce_eager": config.enforce_eager or not cuda,
        "tensor_parallel_size": config.tensor_parallel,
        "seed": spec.seed,
        "disable_log_stats": True,
    }
    if cuda:
        args["gpu_memory_utilization"] = config.gpu_memory_share
    else:
        # Chunked prefill and a seed a request do not go together on CPU (its generators have no offset to rewind).
        args["enable_chunked_prefill"] = False
        args["max_num_batched_tokens"] = max(8192, config.max_model_len)
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
    return AsyncBackend(spec) if kind == "async" else InProcessBackend(spec)


class InProcessBackend:
    """`LLMEngine` stepped by one thread of this process; every touch of the engine happens in that thread."""

    def __init__(self, spec: EngineSpec):
        os.environ["VLLM_ENABLE_V1_MULTIPROCESSING"] = "0"
        self.clock = EngineClock()
        self._commands: queue.SimpleQueue[tuple[Callable[[], Any], concurrent.futures.Future]] = queue.SimpleQueue()
        self._waiting: dict[str, concurrent.futures.Future] = {}
        self._closed = False
        self._fresh_prompts = False
        self._engine: Any = None
        up: concurrent.futures.Future = concurrent.futures.Future()
        self._thread = threading.Thread(target=self._run, args=(spec, up), name="vllm-engine", daemon=True)
        self._thread.start()
        up.result()

    async def generate(self, requests: Sequence[Request]) -> list[Any]:
        """Outputs of all `requests`, in their order. Requests of one call enter the batch together."""
        futures = [concurrent.futures.Future() for _ in requests]
        await self._do(lambda: self._submit(requests, futures))
        return list(await asyncio.gather(*(asyncio.wrap_future(f) for f in futures)))

    async def add_lora(self, lora: Any) -> None:
        """Loads an adapter beside the requests in flight."""
        await self._do(lambda: self._engine.add_lora(lora))

    async def remove_lora(self, lora_id: int) -> None:
        """Frees an adapter that no request can want any more."""
        await self._do(lambda: self._engine.remove_lora(lora_id))

    async def abort(self) -> int:
        """Ends all requests in flight: their callers get CancelledError. Returns how many there were."""
        return await self._do(self._abort_all)

    async def close(self) -> None:
        """Stops the thread and frees the engine."""
        if not self._closed:
            await self._do(self._stop)
            self._thread.join(timeout=30)

    def _do(self, command: Callable[[], Any]) -> asyncio.Future:
        if self._closed or not self._thread.is_alive():
            raise EngineDead("the vLLM engine of this process has stopped")
        future: concurrent.futures.Future = concurrent.futures.Future()
        self._commands.put((command, future))
        return asyncio.wrap_future(future)

    def _run(self, spec: EngineSpec, up: concurrent.futures.Future) -> None:
        try:
            from vllm import EngineArgs
            from vllm.v1.engine.llm_engine import LLMEngine

            if not is_cuda():
                import torch

                from rollout import lora_cpu

                torch.set_num_threads(1)  # for a process that had torch before `prepare_environment`
                lora_cpu.install()
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
                future = self._waiting.pop(output.request_id, None)
                if future is not None and not future.done():
                    future.set_result(output)
        spent = time.perf_counter() - began
        if fresh:
            self.clock.prefill += spent
        else:
            self.clock.decode += spent

    def _submit(self, requests: Sequence[Request], futures: Sequence[concurrent.futures.Future]) -> None:
        from vllm.inputs.engine import tokens_input

        for request, future in zip(requests, futures, strict=True):
            prompt = tokens_input(list(request.prompt_ids))
            self._engine.add_request(request.id, prompt, request.params, lora_request=request.lora)
            self._waiting[request.id] = future
        self._fresh_prompts = True

    def _abort_all(self) -> int:
        ids = list(self._waiting)
        self._engine.abort_request(ids)
        for request_id in ids:
            self._waiting.pop(request_id).cancel()
        return len(ids)

    def _stop(self) -> None:
        self._closed = True
        self._abort_all()
        self._engine.engine_core.shutdown()
        self._engine = None

    def _fail_all(self, error: BaseException) -> None:
        self._closed = True
        dead = EngineDead(f"the vLLM engine died: {type(error).__name__}: {error}")
        dead.__cause__ = error
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(dead)
        self._waiting.clear()


class AsyncBackend:
    """`AsyncLLM`: vLLM's engine in a process of its own."""

    def __init__(self, spec: EngineSpec):
        from vllm import AsyncEngineArgs
        from vllm.v1.engine.async_llm import AsyncLLM

        self.clock = EngineClock()
        self._in_flight: set[str] = set()
        self._busy_since = 0.0
        self._born = time.perf_counter()
        self._engine = AsyncLLM.from_engine_args(AsyncEngineArgs(**engine_args(spec)))

    async def generate(self, requests: Sequence[Request]) -> list[Any]:
        """Outputs of all `requests`, in their order."""
        return list(await asyncio.gather(*(self._generate_one(r) for r in requests)))

    async def _generate_one(self, request: Request) -> Any:
        from vllm.inputs.engine import tokens_input
        from vllm.v1.engine.exceptions import EngineDeadError

        self._enter(request.id)
        try:
            prompt = tokens_input(list(request.prompt_ids))
            final = None
            async for output in self._engine.generate(prompt, request.params, request.id, lora_request=request.lora):
                final = output
        except EngineDeadError as error:
            raise EngineDead(f"the vLLM engine died: {error}") from error
        finally:
            self._leave(request.id)
        if final is None or not final.finished:
            raise asyncio.CancelledError(request.id)
        return final

    def _enter(self, request_id: str) -> None:
        if not self._in_flight:
            self._busy_since = time.perf_counter()
        self._in_flight.add(request_id)

    def _leave(self, request_id: str) -> None:
        self._in_flight.discard(request_id)
        if not self._in_flight:
            # AsyncLLM does not tell prefill from decode: all of its busy time is booked as decode.
            self.clock.decode += time.perf_counter() - self._busy_since
        self.clock.idle = time.perf_counter() - self._born - self.clock.decode - self.clock.load

    async def add_lora(self, lora: Any) -> None:
        """Loads an adapter beside the requests in flight."""
        await self._engine.add_lora(lora)

    async def remove_lora(self, lora_id: int) -> None:
        """Frees an adapter that no request can want any more."""
        await self._engine.remove_lora(lora_id)

    async def abort(self) -> int:
        """Ends all requests in flight. Returns how many there were."""
        ids = list(self._in_flight)
        await self._engine.abort(ids)
        return len(ids)

    async def close(self) -> None:
        """Ends vLLM's process."""
        self._engine.shutdown()

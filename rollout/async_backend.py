"""vLLM as `AsyncLLM`: the engine in a child process, its core, which overlaps scheduling with a GPU's work.

The core may die while this process lives on. Every call then ends in EngineDead, and `failure` says it unasked.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from rollout.backends import (
    AdapterRefused,
    EngineClock,
    EngineDead,
    EngineSpec,
    Request,
    engine_args,
    nothing,
    reason_of,
)
from rollout.vllm_import import quick_import
from rollout.worker_extension import OWNER

HEALTH_SECONDS = 0.5
"""How often a call in flight looks whether the engine's core is alive."""


class AsyncBackend:
    """`AsyncLLM`: vLLM's engine in a process of its own, the core, which may die while this one lives on."""

    def __init__(self, spec: EngineSpec):
        os.environ[OWNER] = str(os.getpid())  # the core ends soon after this process
        with quick_import():
            from vllm import AsyncEngineArgs
            from vllm.v1.engine.async_llm import AsyncLLM

        self.clock = EngineClock()
        self._in_flight: set[str] = set()
        self._aborted: set[str] = set()
        self._seats = asyncio.Semaphore(spec.config.max_sequences)
        self._closed = False
        self._busy_since = 0.0
        self._born = time.perf_counter()
        self._engine = AsyncLLM.from_engine_args(AsyncEngineArgs(**engine_args(spec)))

    async def generate(self, requests: Sequence[Request], on_done: Callable[[], None] = nothing) -> list[Any]:
        """Outputs of all `requests`, in their order; `on_done` is called as each of them ends."""
        return list(await asyncio.gather(*(self._generate_one(r, on_done) for r in requests)))

    async def _generate_one(self, request: Request, on_done: Callable[[], None]) -> Any:
        self._enter(request.id)
        try:
            if request.urgent:
                return await self._finished(request)
            async with self._seats:
                return await self._finished(request)
        finally:
            self._leave(request.id)
            on_done()

    async def _finished(self, request: Request) -> Any:
        """The last output. Raises CancelledError where the request has been aborted."""
        final = None if request.id in self._aborted else await self._alive(self._last_output(request))
        if final is None or not final.finished or final.outputs[0].finish_reason == "abort":
            raise asyncio.CancelledError(request.id)
        return final

    async def _last_output(self, request: Request) -> Any:
        from vllm.inputs.engine import tokens_input

        prompt, final = tokens_input(list(request.prompt_ids)), None
        outputs = self._engine.generate(
            prompt, request.params, request.id, lora_request=request.lora, priority=-int(request.urgent)
        )
        async for output in outputs:
            final = output
        return final

    def _enter(self, request_id: str) -> None:
        if not self._in_flight:
            self._busy_since = time.perf_counter()
        self._in_flight.add(request_id)

    def _leave(self, request_id: str) -> None:
        self._in_flight.discard(request_id)
        self._aborted.discard(request_id)
        if not self._in_flight:
            # AsyncLLM does not tell prefill from decode: all of its busy time is booked as decode.
            self.clock.decode += time.perf_counter() - self._busy_since
        self.clock.idle = time.perf_counter() - self._born - self.clock.decode - self.clock.load

    async def add_lora(self, lora: Any) -> None:
        """Loads an adapter beside the requests in flight. Raises AdapterRefused."""
        try:
            await self._alive(self._engine.add_lora(lora))
        except EngineDead:
            raise
        except Exception as error:
            # What the core raises arrives as a plain Exception with its text.
            raise AdapterRefused(reason_of(error)) from error

    async def remove_lora(self, lora_id: int) -> None:
        """Frees an adapter that no request can want any more."""
        await self._alive(self._engine.remove_lora(lora_id))

    async def adapter_checksums(self, lora_id: int, names: Sequence[str], placed: bool) -> list[dict[str, Any]]:
        """What each worker holds of an adapter: see `rollout.worker_extension`."""
        arguments = (lora_id, list(names), placed)
        return await self._alive(self._engine.collective_rpc("crucible_adapter_checksums", args=arguments))

    async def abort(self, ids: Sequence[str] | None = None) -> int:
        """Ends those of `ids` that are in flight, or all. Returns how many there were."""
        ids = [i for i in (self._in_flight if ids is None else ids) if i in self._in_flight]
        self._aborted |= set(ids)
        await self._alive(self._engine.abort(ids))
        return len(ids)

    async def close(self) -> None:
        """Ends vLLM's process."""
        self._closed = True
        self._engine.shutdown()

    def failure(self) -> str:
        """Why the engine cannot go on; "" while it can. True to the moment also while nothing is asked of it."""
        if self._closed or not self._engine.errored:
            return ""
        manager: Any = self._engine.engine_core.resources.engine_manager
        codes = getattr(manager, "finished_procs", dict)()
        ended = ", ".join(f"{name} with exit code {code}" for name, code in codes.items())
        return f"vLLM's engine core has ended{f' ({ended})' if ended else ''}"

    async def _alive(self, call: Awaitable[Any]) -> Any:
        """The answer to a call of the core. Raises EngineDead where the core ends first: vLLM would wait for ever."""
        task = asyncio.ensure_future(call)
        try:
            while not (await asyncio.wait({task}, timeout=HEALTH_SECONDS))[0]:
                if failure := self.failure():
                    raise EngineDead(failure)
            return task.result()
        except EngineDead:
            raise
        except Exception as error:
            if failure := self.failure():
                raise EngineDead(failure) from error
            raise
        finally:
            task.cancel()

"""The Message Batches API: many requests handed in together, answered within a day, at half the price.

What was handed in is written down, so that a run that dies and is resumed waits for the same batches.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rollout.answers import Reply, RequestRefused, TeacherRequest
from rollout.purse import BudgetSpent, Purse, append_rows, read_rows
from rollout.teacher_config import TeacherConfig
from rollout.teacher_errors import TORN, BrokenAnswer

BATCHES_FILE = "batches.jsonl"
"""In a run folder: the batches that were handed in, with the keys of their requests."""
LINGER = 0.05
"""Seconds without a further request after which a batch is handed in."""
ROUNDS = 3
"""Times that a request is handed in whose batch expired, or failed by a fault of the server's."""


@dataclass(slots=True)
class _Waiting:
    request: TeacherRequest
    most: float
    answer: asyncio.Future[Reply]
    rounds: int = 0


class Batches:
    """Collects requests into batches and waits for their answers. One event loop drives it."""

    def __init__(
        self,
        api: Any,
        config: TeacherConfig,
        folder: Path,
        purse: Purse,
        keep: Callable[..., Awaitable[Reply]],
        call: Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]],
        refusal: Callable[[str], Exception],
    ) -> None:
        """`api` is the SDK's `messages.batches`; `keep` stores and books a message; `call` sends with retries;
        `refusal` says what an invalid request means."""
        self._api, self._config, self._purse = api, config, purse
        self._keep, self._call, self._refusal = keep, call, refusal
        self._path = folder / BATCHES_FILE
        self._waiting: dict[str, _Waiting] = {}
        self._pending: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._submitting = False
        self._handed: set[str] = set()  # keys that are in a batch now
        self._earlier: dict[str, tuple[str, list[str]]] = {}  # key -> batch of an earlier session, and its keys
        for batch, keys in _open_batches(self._path).items():
            self._earlier |= dict.fromkeys(keys, (batch, keys))

    async def answer(self, request: TeacherRequest, key: str, most: float) -> Reply:
        """The answer, hours later perhaps. Raises as `ApiTeacher.answer` does, and BudgetSpent."""
        waiting = self._waiting[key] = _Waiting(request, most, asyncio.get_running_loop().create_future())
        if key in self._earlier:
            batch, keys = self._earlier[key]
            for other in keys:
                del self._earlier[other]
            self._purse.adopt(len(keys))
            self._hand_over(batch, keys)
        elif key not in self._handed:
            self._queue(key)
        return await waiting.answer

    def _queue(self, key: str) -> None:
        self._pending.append(key)
        if not self._submitting:
            self._submitting = True
            self._start(self._submit())

    def _start(self, work: Any) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _hand_over(self, batch: str, keys: list[str]) -> None:
        self._handed |= set(keys)
        self._start(self._fetch(batch, keys))

    async def _submit(self) -> None:
        """Hands in what is pending, as much at a time as the budget allows."""
        seen = -1
        while seen != len(self._pending):
            seen = len(self._pending)
            await asyncio.sleep(LINGER)
        self._submitting = False
        pending, self._pending = self._pending, []
        while pending:
            keys: list[str] = []
            try:
                for key in pending[: self._config.batch_size]:
                    await self._purse.reserve(key, self._waiting[key].most, wait=not keys)
                    keys.append(key)
            except BudgetSpent as error:
                if not keys:
                    return self._fail(pending, error)
            pending = pending[len(keys) :]
            try:
                batch = await self._call(lambda keys=keys: self._create(keys))
            except Exception as error:
                for key in keys:
                    await self._purse.release(key, str(error))
                return self._fail([*keys, *pending], error)
            append_rows(self._path, [{"batch": batch.id, "keys": keys, "time": round(time.time(), 3)}])
            self._hand_over(batch.id, keys)

    async def _create(self, keys: list[str]) -> Any:
        requests = [{"custom_id": key, "params": self._waiting[key].request.body(self._config)} for key in keys]
        return await self._api.create(requests=requests)

    async def _fetch(self, batch: str, keys: list[str]) -> None:
        """Waits until a batch has been worked on and deals its answers out."""
        began = time.time()
        left = set(keys)
        try:
            while (await self._call(lambda: self._api.retrieve(batch))).processing_status != "ended":
                await asyncio.sleep(self._config.poll_seconds)
            for _ in range(ROUNDS):
                await self._call(lambda: self._read(batch, left, began))
                if not left:
                    break
            for key in left:
                await self._again(key, "the batch holds no result for it")
            append_rows(self._path, [{"batch": batch, "ended": True, "time": round(time.time(), 3)}])
        except Exception as error:
            self._fail(keys, error)

    async def _read(self, batch: str, left: set[str], began: float) -> None:
        """Deals out the answers among `left`, which loses their keys. Raises BrokenAnswer where the reading breaks
        off: what has been dealt out until then is not dealt out again."""
        results = aiter(await self._api.results(batch))
        while True:
            try:
                item = await anext(results)
            except StopAsyncIteration:
                return
            except TORN as error:
                raise BrokenAnswer(f"the batch's results broke off ({type(error).__name__}: {error})") from None
            if item.custom_id in left:
                left.discard(item.custom_id)
                await self._deal(item.custom_id, item.result, began)

    async def _deal(self, key: str, result: Any, began: float) -> None:
        waiting = self._waiting.get(key)
        self._handed.discard(key)
        if result.type == "succeeded":
            body = waiting.request.body(self._config) if waiting else {}
            reply = await self._keep(body, key, result.message, began, batch=True)
            if waiting and not waiting.answer.done():
                waiting.answer.set_result(reply)
            return
        fault = result.error.error if result.type == "errored" else None
        reason = f"{fault.type}: {fault.message}" if fault else f"the request was {result.type}"
        if fault is not None and fault.type == "invalid_request_error":
            await self._purse.release(key, reason)
            self._fail([key], self._refusal(reason))
        else:
            await self._again(key, reason)

    async def _again(self, key: str, reason: str) -> None:
        """Hands a request in once more, `ROUNDS` times in all."""
        await self._purse.release(key, reason)
        waiting = self._waiting.get(key)
        if waiting is None:
            return
        waiting.rounds += 1
        if waiting.rounds >= ROUNDS:
            self._refuse(key, f"{reason}, {ROUNDS} times")
        else:
            self._queue(key)

    def _refuse(self, key: str, reason: str) -> None:
        self._fail([key], RequestRefused(reason))

    def _fail(self, keys: list[str], error: Exception) -> None:
        for key in keys:
            waiting = self._waiting.get(key)
            if waiting is not None and not waiting.answer.done():
                waiting.answer.set_exception(error)


def _open_batches(path: Path) -> dict[str, list[str]]:
    """Batch -> keys of those that were handed in and not fetched whole."""
    rows = read_rows(path)
    ended = {row["batch"] for row in rows if row.get("ended")}
    return {row["batch"]: row["keys"] for row in rows if "keys" in row and row["batch"] not in ended}

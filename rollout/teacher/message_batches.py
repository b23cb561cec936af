"""Batches, by either protocol: many requests handed in together, answered within a day, at half the price.

What was handed in is written down, so that a run that dies and is resumed waits for the same batches.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from problems.files import append_rows, read_rows
from problems.plain_text import one_line
from rollout.teacher.config import TeacherConfig
from rollout.teacher.connection import RESULT_SECONDS, Bound, bounded
from rollout.teacher.cost_ledger import BudgetSpent, CostLedger, LedgerDamaged, max_usage
from rollout.teacher.errors import LONGEST_ERROR, TORN, AnswerTooLarge, BrokenAnswer, Untrusted
from rollout.teacher.request_cache import Reply, RequestRefused, TeacherRequest, TeacherStopped

BATCHES_FILE = "batches.jsonl"
"""In a run folder: the batches that were handed in, with the keys of their requests."""
LINGER = 0.05
"""Seconds without a further request after which a batch is handed in."""
ROUNDS = 3
"""Times that a request is handed in whose batch expired, or failed by a fault of the server's."""
LONGEST_BATCH = 26 * 3600.0
"""Seconds that a batch is waited for; the API ends each within a day."""

_STATES = ("in_progress", "canceling", "ended")
_ID = re.compile(r"[A-Za-z0-9_-]{1,128}", re.ASCII)
_KEY = re.compile(r"[0-9a-f]{64}", re.ASCII)


@dataclass(slots=True)
class _Waiting:
    request: TeacherRequest
    upper_bound: float
    answer: asyncio.Future[Reply]
    rounds: int = 0


class Batches:
    """Collects requests into batches and waits for their answers. One event loop drives it."""

    def __init__(
        self,
        api: Any,
        config: TeacherConfig,
        folder: Path,
        ledger: CostLedger,
        keep: Callable[..., Awaitable[Reply]],
        call: Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]],
        refusal: Callable[[str], Exception],
        redacted: Callable[[str], str],
    ) -> None:
        """`api` is the protocol's `batches`; `keep` stores and books a message; `call` sends with retries;
        `refusal` says what an invalid request means; `redacted` takes the key out of a text."""
        self._api, self._config, self._ledger = api, config, ledger
        self._keep, self._call, self._refusal, self._redacted = keep, call, refusal, redacted
        self._path = folder / BATCHES_FILE
        self._waiting: dict[str, _Waiting] = {}
        self._pending: list[str] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._submitting = False
        self._handed: set[str] = set()  # keys that are in a batch now
        self._unclaimed: dict[str, tuple[Any, float]] = {}  # key -> result that nobody has asked for, and its beginning
        self._batches: set[str] = set()  # all that were handed in
        self._earlier: dict[str, tuple[str, list[str]]] = {}  # key -> batch of an earlier session, and its keys
        for batch, keys in open_batches(self._path).items():
            self._batches.add(batch)
            self._earlier |= dict.fromkeys(keys, (batch, keys))

    async def answer(self, request: TeacherRequest, key: str, upper_bound: float) -> Reply:
        """The answer, hours later perhaps. Raises as `ApiTeacher.answer` does, and BudgetSpent."""
        waiting = self._waiting[key] = _Waiting(request, upper_bound, asyncio.get_running_loop().create_future())
        if key in self._earlier:
            batch, keys = self._earlier[key]
            for other in keys:
                del self._earlier[other]
            self._ledger.adopt(len(keys))
            self._hand_over(batch, keys)
        elif key in self._unclaimed:
            result, began = self._unclaimed.pop(key)
            self._ledger.adopt(1)
            self._start(self._deal(key, result, began))
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
                    await self._ledger.reserve(key, self._waiting[key].upper_bound, wait=not keys)
                    keys.append(key)
            except BudgetSpent as error:
                if not keys:
                    return self._fail(pending, error)
            pending = pending[len(keys) :]
            try:
                batch = await self._call(lambda keys=keys: self._create(keys))
            except Exception as error:
                for key in keys:
                    await self._ledger.release(key, str(error))
                return self._fail([*keys, *pending], error)
            append_rows(self._path, [{"batch": batch, "keys": keys, "time": round(time.time(), 3)}])
            self._hand_over(batch, keys)

    async def _create(self, keys: list[str]) -> str:
        """The batch's id. Raises Untrusted for one that is none, or another batch's."""
        requests = [{"custom_id": key, "params": self._waiting[key].request.body(self._config)} for key in keys]
        with bounded(Bound(more_seconds=RESULT_SECONDS * len(keys))):
            batch = getattr(await self._api.create(requests=requests), "id", None)
        if not isinstance(batch, str) or not _ID.fullmatch(batch) or batch in self._batches:
            raise Untrusted("it gives a batch an id that is none, or another batch's")
        self._batches.add(batch)
        return batch

    async def _fetch(self, batch: str, keys: list[str]) -> None:
        """Waits until a batch has been worked on and deals its answers out."""
        began = time.time()
        left = set(keys)
        try:
            await self._ended(batch)
            for _ in range(ROUNDS):
                await self._call(lambda: self._read(batch, len(keys), left, began))
                if not left:
                    break
            for key in left:
                await self._again(key, "the batch holds no result for it")
            if not self._unclaimed.keys() & set(keys):
                append_rows(self._path, [{"batch": batch, "ended": True, "time": round(time.time(), 3)}])
        except Exception as error:
            self._fail(keys, error)

    async def _ended(self, batch: str) -> None:
        """Waits for the end of a batch. Raises TeacherStopped where it has none."""
        deadline = time.monotonic() + LONGEST_BATCH
        while await self._call(lambda: self._state(batch)) != "ended":
            if time.monotonic() > deadline:
                raise TeacherStopped(f"batch {batch} has not ended in a day; --resume goes on waiting for it")
            await asyncio.sleep(self._config.poll_seconds)

    async def _state(self, batch: str) -> str:
        found = await self._api.retrieve(batch)
        state = getattr(found, "processing_status", None)
        if state not in _STATES or getattr(found, "id", None) != batch:
            raise BrokenAnswer("the state of the batch is none")
        return str(state)

    async def _read(self, batch: str, count: int, left: set[str], began: float) -> None:
        """Deals out the answers of a batch of `count` requests among `left`, which loses their keys: only what was
        handed in has an answer, and only one.

        Raises BrokenAnswer where the reading breaks off: what has been dealt out until then is not dealt out again.
        """
        with bounded(Bound.of_results(count, self._config.max_tokens)):
            async with aclosing(self._api.results(batch, tuple(left))) as results:
                while True:
                    try:
                        item = await anext(results)
                        key, result = item.custom_id, item.result
                        known = isinstance(key, str) and key in left
                    except StopAsyncIteration:
                        return
                    except TORN as error:
                        raise BrokenAnswer(f"the batch's results broke off ({type(error).__name__}: {error})") from None
                    if known:
                        left.discard(key)
                        await self._deal(key, result, began)

    async def _deal(self, key: str, result: Any, began: float) -> None:
        """Hands one result to whoever waits for it, or keeps it until somebody does."""
        waiting = self._waiting.get(key)
        self._handed.discard(key)
        kind = getattr(result, "type", None)
        if waiting is None and kind == "succeeded":
            self._unclaimed[key] = (result, began)
            await self._ledger.abandon()  # it stays booked at its dearest until it is asked for
        elif waiting is not None and kind == "succeeded":
            await self._deal_message(key, waiting, getattr(result, "message", None), began)
        else:
            fault = getattr(getattr(result, "error", None), "error", None) if kind == "errored" else None
            reason = (
                f"{getattr(fault, 'type', '')}: {getattr(fault, 'message', '')}" if fault else f"the request was {kind}"
            )
            reason = self._redacted(one_line(self._redacted(reason)))[:LONGEST_ERROR]
            if getattr(fault, "type", None) == "invalid_request_error":
                await self._ledger.release(key, reason)
                self._fail([key], self._refusal(reason))
            else:
                await self._again(key, reason)

    async def _deal_message(self, key: str, waiting: _Waiting, message: Any, began: float) -> None:
        bound = max_usage(waiting.request.texts, self._config.max_tokens)
        try:
            answer = self._api.read(message, bound)
        except (AnswerTooLarge, BrokenAnswer) as error:  # paid for, and no answer
            await self._ledger.lose(key, bound, waiting.upper_bound, model=self._config.model, batch=True)
            if isinstance(error, AnswerTooLarge):
                return self._fail([key], RequestRefused(f"{error}; the server does not keep to teacher.max_tokens"))
            return self._repeat(key, waiting, str(error))
        reply = await self._keep(waiting.request, key, answer, began, batch=True)
        if not waiting.answer.done():
            waiting.answer.set_result(reply)

    async def _again(self, key: str, reason: str) -> None:
        """Hands a request in once more, `ROUNDS` times in all."""
        await self._ledger.release(key, reason)
        waiting = self._waiting.get(key)
        if waiting is not None:
            self._repeat(key, waiting, reason)

    def _repeat(self, key: str, waiting: _Waiting, reason: str) -> None:
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


def open_batches(path: Path) -> dict[str, list[str]]:
    """Batch -> keys of those that were handed in and not fetched whole. Raises LedgerDamaged."""
    try:
        rows = read_rows(path)
        ended = {row["batch"] for row in rows if row.get("ended")}
        found = {row["batch"]: row["keys"] for row in rows if "keys" in row and row["batch"] not in ended}
        sound = all(_ID.fullmatch(batch) and all(map(_KEY.fullmatch, keys)) for batch, keys in found.items())
    except (ValueError, TypeError, LookupError, AttributeError):
        sound = False
    if not sound:
        raise LedgerDamaged(f"{path} is no list of batches; restore the file or start a new run")
    return found

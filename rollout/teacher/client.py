"""A teacher: questions in, worked answers out, nothing paid twice and nothing paid beyond the budget.

`ApiTeacher` asks any server of Anthropic's Messages API or of OpenAI's chat API through their SDKs;
`rollout.teacher.reference` writes answers offline."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from typing import Protocol as Interface

import tenacity
from pydantic import SecretStr

from rollout.teacher.answer import Incoming, Message
from rollout.teacher.booked import BookedTeacher
from rollout.teacher.config import HOMES, Protocol, TeacherConfig
from rollout.teacher.connection import Bound, bounded, speaks
from rollout.teacher.cost_ledger import Account, CostLedger
from rollout.teacher.errors import (
    FAULTS,
    LONGEST_WAIT,
    SHORTEST_SECRET,
    TORN,
    AnswerTooLarge,
    BrokenAnswer,
    failure_of,
    may_be_of_another_protocol,
    meaning,
    neutral,
    no_batches,
    not_served,
    passes,
    plain,
    refusal,
    retry_after,
    speaks_another,
    without_secret,
)
from rollout.teacher.keys import NO_KEY, permitted_key
from rollout.teacher.request_cache import (
    Reply,
    RequestRefused,
    TeacherDown,
    TeacherRequest,
    TeacherStopped,
)

REST_SECONDS = 1.0
"""For the end of a stream whose message is whole."""
Note = Callable[[str], None]


class Teacher(Interface):
    """Who answers."""

    async def answer(self, request: TeacherRequest) -> Reply:
        """Raises TeacherStopped, and RequestRefused."""
        ...

    def account(self) -> Account:
        """What all answers of the run have cost."""
        ...

    async def close(self) -> None:
        """Lets connections go."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of one request of several."""

    index: int
    reply: Reply | None
    error: str = ""
    stopped: bool = False
    """Whether the error is the teacher's end, so that this request is still to be asked."""


async def answer_all(teacher: Teacher, requests: Sequence[TeacherRequest]) -> AsyncGenerator[Answered, None]:
    """The answers as they come. Once the teacher has stopped, what is in flight is still waited for."""

    async def one(index: int) -> Answered:
        try:
            return Answered(index, await teacher.answer(requests[index]))
        except RequestRefused as error:
            return Answered(index, None, str(error))
        except TeacherStopped as error:
            return Answered(index, None, str(error), stopped=True)

    tasks = [asyncio.ensure_future(one(index)) for index in range(len(requests))]
    try:
        for done in asyncio.as_completed(tasks):
            yield await done
    finally:
        for task in tasks:
            task.cancel()


def open_api(config: TeacherConfig, key: SecretStr) -> Any:
    """The SDK of the configured protocol behind one face. The other one is not imported: each takes its time."""
    if config.protocol == "openai":
        from rollout.teacher.chat_api import ChatApi

        return ChatApi(config, key)
    from rollout.teacher.messages_api import MessagesApi

    return MessagesApi(config, key)


class ApiTeacher(BookedTeacher):
    """Asks a server, by either protocol. One event loop drives it."""

    def __init__(
        self,
        config: TeacherConfig,
        folder: Path,
        key: SecretStr,
        run: str = "",
        note: Note = print,
        ledger: CostLedger | None = None,
    ) -> None:
        """`folder` gets the ledger, unless one is shared; `run` is who pays; `note` is told of every wait, in one
        line."""
        super().__init__(config, folder, run, ledger)
        self._note = note
        key = permitted_key(config, key)
        self._secret = "" if key == NO_KEY else key.get_secret_value()
        self._api = open_api(config, key)
        variable, home = f"{config.protocol.upper()}_BASE_URL", HOMES[config.protocol]
        if not config.base_url and os.environ.get(variable, home).rstrip("/") != home:
            note(f"{variable} is not read: {home} is asked; teacher.base_url names another server")
        self._slots = asyncio.Semaphore(config.concurrency)
        self._first = asyncio.Lock()
        self._warm = False
        self._batches: Any = None
        if config.batch:
            from rollout.teacher.message_batches import Batches

            self._batches = Batches(
                self._api.batches, config, folder, self.ledger, self._keep, self._call, self._refusal, self._redacted
            )

    async def close(self) -> None:
        """See `Teacher`."""
        await self._api.close()

    async def _obtain(self, request: TeacherRequest, key: str) -> Reply:
        if self._batches is not None:
            return await self._batches.answer(request, key, self._upper_bound(request))
        await self._warm_up(request, key)
        if (known := self.known(request)) is not None:  # it was the one that warmed up
            return replace(known, cached=False)
        async with self._slots:
            return await self._pay(request, key)

    async def _warm_up(self, request: TeacherRequest, key: str) -> None:
        """Lets the first request go alone: those behind it find the shared beginning in the server's cache."""
        if self._warm:
            return
        async with self._first:
            if not self._warm:
                await self._pay(request, key)
                self._warm = True

    async def _pay(self, request: TeacherRequest, key: str) -> Reply:
        if self._stopped is not None:
            raise self._stopped
        began = time.time()
        reserved = False

        async def send() -> Any:
            nonlocal reserved
            if not reserved:
                await self.ledger.reserve(key, self._upper_bound(request))
                reserved = True
            incoming = self._api.incoming(self._bound(request))
            try:
                return await self._stream(request, incoming)
            except Exception as error:
                too_large = isinstance(neutral(error), AnswerTooLarge)
                usage = self._bound(request) if too_large else incoming.paid()
                if usage is not None:  # half an answer is paid for too, and the next try is another request
                    reserved = False
                    await self.ledger.lose(key, usage, self._dollars(request, usage), model=self.config.model)
                raise

        try:
            message = await self._call(send)
        except BaseException as error:
            if not reserved:
                pass
            elif isinstance(error, RequestRefused | TeacherStopped) and not isinstance(error, TeacherDown):
                await self.ledger.release(key, str(error))
            else:
                await self.ledger.abandon()
            raise
        return await self._keep(request, key, message, began)

    async def _stream(self, request: TeacherRequest, incoming: Incoming) -> Message:
        """The whole message. Raises BrokenAnswer where the stream ends before it has said that it does."""
        with bounded(Bound.of_message(self.config.max_tokens)):
            async with await self._api.stream(request.body(self.config)) as stream:
                try:
                    events = aiter(stream)
                    while not incoming.ended and (event := await anext(events, None)) is not None:
                        incoming.take(event)
                    await _read_to_end(events)
                    return incoming.message()
                except TORN as error:
                    raise BrokenAnswer(f"the answer broke off ({type(error).__name__}: {error})") from None

    async def _keep(
        self, request: TeacherRequest, key: str, message: Message, began: float, batch: bool = False
    ) -> Reply:
        """See `BookedTeacher`; a key that a server repeats is not stored."""
        text = self._redacted(message.text) if len(self._secret) >= SHORTEST_SECRET else message.text
        message = replace(message, text=text, model=self._redacted(message.model))
        return await super()._keep(request, key, message, began, batch)

    async def _call(self, send: Callable[[], Awaitable[Any]]) -> Any:
        """Sends, and again while the teacher is overloaded or down. Raises TeacherStopped and RequestRefused."""
        config = self.config
        backoff = tenacity.wait_random_exponential(multiplier=config.backoff, max=LONGEST_WAIT)

        def wait(state: tenacity.RetryCallState) -> float:
            return max(backoff(state), retry_after(failure_of(state)))

        def note_wait(state: tenacity.RetryCallState) -> None:
            seconds, error = getattr(state.next_action, "sleep", 0.0), self._plain(failure_of(state))
            self._note(f"the teacher fails ({error}); asking again in {seconds:.0f} s")

        tries = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception(passes),
            wait=wait,
            stop=tenacity.stop_after_delay(config.patience),
            before_sleep=note_wait,
            reraise=True,
        )
        try:
            async for attempt in tries:
                with attempt:
                    return await _in_our_words(send)
        except FAULTS as error:
            raise await self._verdict(error) from None

    async def _verdict(self, error: Exception) -> Exception:
        config, text = self.config, self._plain(error)
        if not may_be_of_another_protocol(error):
            return self._meaning(meaning(config, error, text))
        if config.batch:
            return self._stop(no_batches(config, text))
        other: Protocol = "openai" if config.protocol == "anthropic" else "anthropic"
        if await speaks(self._api.http, config, other):
            return self._stop(speaks_another(config, other))
        return self._stop(not_served(config, text))

    def _refusal(self, text: str) -> Exception:
        return self._meaning(refusal(self.config, text))

    def _meaning(self, found: RequestRefused | TeacherStopped) -> Exception:
        return self._stop(found) if isinstance(found, TeacherStopped) else found

    def _plain(self, error: BaseException) -> str:
        return plain(error, self._secret)

    def _redacted(self, text: str) -> str:
        return without_secret(text, self._secret)


async def _in_our_words(send: Callable[[], Awaitable[Any]]) -> Any:
    try:
        return await send()
    except Exception as error:
        ours = neutral(error)
        if ours is error:
            raise
        raise ours from None


async def _read_to_end(events: AsyncIterator[Any]) -> None:
    """Reads what follows the end of a message, which is nothing: only a connection that was read out is used again."""
    try:
        async with asyncio.timeout(REST_SECONDS):
            while await anext(events, None) is not None:
                pass
    except (TimeoutError, *TORN):
        return
    except Exception as error:
        if not isinstance(neutral(error), FAULTS):
            raise

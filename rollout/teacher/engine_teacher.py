"""An open model as teacher, on engines of the run's own: the same cache, ledger, budget and errors as of a server.

Batches in flight are as large as the engines take; an engine that is out costs no answer, another one gets the
question. `EngineCalls` is all that knows of Ray here.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from problems.plain_text import one_line
from rollout.conversation import Completion, Conversation, NoRoomToAnswer
from rollout.load_balancer import LoadBalancer
from rollout.publishing import EngineOut
from rollout.teacher.answer import Message
from rollout.teacher.booked import BookedTeacher
from rollout.teacher.client import Note
from rollout.teacher.config import TeacherConfig
from rollout.teacher.cost_ledger import CostLedger, Usage
from rollout.teacher.request_cache import Reply, RequestRefused, TeacherDown, TeacherRequest

SLOWEST = 20
"""Tokens a second that an engine writes of one answer at least, with the rest of its batch."""


class Engines(Protocol):
    """The teacher's engines."""

    def __len__(self) -> int: ...

    async def complete(self, number: int, question: Conversation) -> Completion:
        """The answer of one of them. Raises EngineOut where it cannot answer now, NoRoomToAnswer and ValueError where
        it will not answer this question."""
        ...


class EngineCalls:
    """`Engines` as handles of Ray actors."""

    def __init__(self, handles: Sequence[Any]) -> None:
        self._handles = list(handles)

    def __len__(self) -> int:
        return len(self._handles)

    async def complete(self, number: int, question: Conversation) -> Completion:
        """See `Engines`."""
        import ray.exceptions

        from rollout.backends import EngineDead
        from rollout.fleet import why_out

        try:
            return await self._handles[number].complete.remote(question)
        except ray.exceptions.RayTaskError as error:
            if isinstance(error.cause, EngineDead):
                raise EngineOut(why_out(error)) from error
            if isinstance(error.cause, NoRoomToAnswer):
                raise NoRoomToAnswer(str(error.cause)) from None
            raise ValueError(why_out(error)) from error
        except ray.exceptions.RayError as error:
            raise EngineOut(why_out(error)) from error


class EngineTeacher(BookedTeacher):
    """Asks engines. One event loop drives it."""

    def __init__(
        self,
        config: TeacherConfig,
        folder: Path,
        engines: Engines,
        run: str = "",
        note: Note = print,
        ledger: CostLedger | None = None,
    ) -> None:
        """As `ApiTeacher`; `config` is that of this teacher alone."""
        super().__init__(config, folder, run, ledger)
        self._engines = engines
        self._note = note
        self._balancer = LoadBalancer(len(engines))
        # One more than there are seats, so that a seat that is given back is taken at once.
        self._slots = asyncio.Semaphore(seats(config) + len(engines))

    async def _obtain(self, request: TeacherRequest, key: str) -> Reply:
        async with self._slots:
            if self._stopped is not None:
                raise self._stopped
            began = time.time()
            await self.ledger.reserve(key, self._upper_bound(request))
            try:
                done = await self._complete(self._question(request, key))
            except BaseException as error:  # nobody has counted anything
                await self.ledger.release(key, one_line(error))
                raise
            usage = Usage(input=done.prompt_tokens, output=done.completion_tokens)
            reason = "length" if done.finish_reason == "length" else "stop"
            return await self._keep(request, key, Message(done.text, reason, self.config.model, usage), began)

    async def _complete(self, question: Conversation) -> Completion:
        """An answer of any engine; those that are out are tried again for `patience`."""
        config = self.config
        deadline, noted = time.monotonic() + config.patience, False
        limit = config.timeout + config.max_tokens / SLOWEST
        while True:
            number = self._balancer.begin(time.monotonic())
            answered, failed = False, True
            try:
                async with asyncio.timeout(limit):
                    done = await self._engines.complete(number, question)
                answered, failed = True, False
                return done
            except ValueError as error:
                failed = False
                raise RequestRefused(one_line(error)) from None
            except TimeoutError:
                why = f"no answer within {limit:.0f} s"
            except EngineOut as error:
                why = one_line(error)
            finally:
                self._balancer.end(number, time.monotonic(), answered, failed)
            if time.monotonic() > deadline:
                raise self._stop(
                    TeacherDown(
                        f"the teacher's engines did not answer for {config.patience:g} s ({why}); all answers so far "
                        "are kept: --resume goes on with them"
                    )
                )
            if not noted:
                self._note(f"engine {number} of the teacher is out ({why}); its question goes to another")
                noted = True
            await asyncio.sleep(min(config.backoff, max(0.0, deadline - time.monotonic())))

    def _question(self, request: TeacherRequest, key: str) -> Conversation:
        config = self.config
        warmth = 1.0 if config.temperature is None else config.temperature
        return Conversation(key, request.system, request.messages, warmth, config.max_tokens, int(key[:8], 16))

    async def close(self) -> None:
        """The engines are the session's."""


def seats(config: TeacherConfig) -> int:
    """Questions that the engines of a teacher answer at once."""
    return config.engines * config.engine.max_sequences

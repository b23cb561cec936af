"""What all teachers that are asked have in common: no known answer is asked for again, and none goes unbooked.

The answers lie on disk (`request_cache`), what they cost in the run's ledger (`cost_ledger`).
"""

from __future__ import annotations

import asyncio
import time
from abc import ABC, abstractmethod
from pathlib import Path

from rollout.teacher.answer import Message
from rollout.teacher.config import TeacherConfig
from rollout.teacher.cost_ledger import Account, BudgetSpent, CostLedger, Usage, max_usage, upper_bound
from rollout.teacher.request_cache import AnswerCache, Reply, TeacherRequest, TeacherStopped, answers_folder

LEDGER_FILE = "costs.jsonl"
"""In a run folder: what its teacher has cost."""


class BookedTeacher(ABC):
    """A teacher over a cache and a ledger; `_obtain` asks it. One event loop drives it."""

    def __init__(self, config: TeacherConfig, folder: Path, run: str = "", ledger: CostLedger | None = None) -> None:
        """`folder` gets the ledger, unless one is shared; `run` is who pays."""
        self.config = config
        self.ledger = ledger or CostLedger(folder / LEDGER_FILE, config.budget)
        self._price = config.price
        self._cache = AnswerCache(answers_folder(config))
        self._run = run or str(folder.resolve())
        self._asked: dict[str, asyncio.Lock] = {}
        self._stopped: TeacherStopped | None = None

    async def answer(self, request: TeacherRequest) -> Reply:
        """The answer, from the disk where it was ever paid for.

        Raises TeacherStopped (a refused key, a spent budget, a teacher that stays down), and then again for every
        further request; RequestRefused where this request is the fault.
        """
        key = request.key(self.config)
        async with self._asked.setdefault(key, asyncio.Lock()):
            if (known := self.known(request)) is not None:
                return known
            try:
                return await self._obtain(request, key)
            except BudgetSpent as error:
                raise self._stop(TeacherStopped(str(error))) from None

    @abstractmethod
    async def _obtain(self, request: TeacherRequest, key: str) -> Reply:
        """Asks, stores and books. Raises what `answer` does, and BudgetSpent."""

    def known(self, request: TeacherRequest) -> Reply | None:
        """The stored answer, booked in the ledger if this run paid for it and died before it could; or None."""
        reply = self._cache.get(request.key(self.config), request.body(self.config))
        if reply is not None and reply.run == self._run:
            self.ledger.recover(reply.key, reply.usage, reply.dollars, model=reply.model, batch=reply.batch)
        return reply

    def account(self) -> Account:
        """What all answers of the run have cost."""
        return self.ledger.account()

    async def _keep(
        self, request: TeacherRequest, key: str, message: Message, began: float, batch: bool = False
    ) -> Reply:
        """Stores an answer, then books it: a run that dies between the two books it when it finds it stored."""
        now = time.time()
        reply = Reply(
            key=key,
            text=message.text,
            stop_reason=message.stop_reason,
            model=message.model or self.config.model,
            usage=message.usage,
            dollars=self._dollars(request, message.usage),
            batch=batch,
            created=round(now, 3),
            seconds=round(now - began, 3),
            run=self._run,
        )
        self._cache.put(reply, request, self.config)
        await self.ledger.settle(key, reply.usage, reply.dollars, model=reply.model, batch=batch)
        return reply

    def _bound(self, request: TeacherRequest) -> Usage:
        return max_usage(request.texts, self.config.max_tokens)

    def _dollars(self, request: TeacherRequest, usage: Usage) -> float:
        return min(usage.cost(self._price, batch=self.config.batch), self._upper_bound(request))

    def _upper_bound(self, request: TeacherRequest) -> float:
        return upper_bound(request.texts, self.config.max_tokens, self._price, batch=self.config.batch)

    def _stop(self, found: TeacherStopped) -> TeacherStopped:
        self._stopped = self._stopped or found
        return self._stopped

"""What a teacher costs: usage, dollars, a ledger on disk, and a budget that is never exceeded.

A request is booked before it is sent, at the most that it can cost, and again when its answer (or refusal) is known. So
the ledger of a run that was killed still counts what was in flight then, and the budget holds over any number of
resumes.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from problems.files import FileError, append_rows, read_rows
from rollout.teacher.config import Price

MILLION = 1_000_000
MARKUP = 64
"""Tokens that a chat template may add to a message, at most."""

INPUT_SLACK = 4096
"""Tokens that a server may count beyond the most that we reckon a prompt to be: its own instructions, say."""

MOST_IN_ROW = 10**15
"""Tokens or dollars of one row of a ledger."""

_COSTS = ("dollars", "input", "output", "cache_write", "cache_read")
_NUMBERS = {"sent": ("most",), "free": (), "paid": _COSTS, "lost": _COSTS}
"""Of each kind of row."""


class BudgetSpent(RuntimeError):
    """The next request could exceed the budget."""


class LedgerDamaged(ValueError):
    """A ledger that does not add up to what was spent."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one answer, as the server counted them; the four kinds do not overlap."""

    input: int = 0
    output: int = 0
    cache_write: int = 0
    cache_read: int = 0

    @classmethod
    def of(cls, counts: Mapping[str, Any], bound: Usage) -> Usage:
        """From the `usage` of a message, whose names are given. A stranger counted: where a number is missing, is none
        or cannot be, it is `bound`, the most that the request may use."""
        names = ("input_tokens", "output_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")
        given: list[Any] = [counts.get(name) for name in names]
        found = [count for count in (*given[:2], *(0 if c is None else c for c in given[2:])) if type(count) is int]
        if len(found) < len(names) or min(found) < 0:
            return bound
        usage = cls(*found)
        prompt = usage.input + usage.cache_write + usage.cache_read
        limit = bound.input + bound.cache_write + bound.cache_read + INPUT_SLACK
        return usage if prompt <= limit and usage.output <= bound.output else bound

    def cost(self, price: Price, *, batch: bool = False) -> float:
        """Dollars."""
        weighted = self.input + price.cache_write * self.cache_write + price.cache_read * self.cache_read
        dollars = (price.input * weighted + price.output * self.output) / MILLION
        return dollars * (price.batch if batch else 1.0)


def max_usage(texts: list[str], max_tokens: int) -> Usage:
    """Tokens that a request of these texts can use: every byte a token, all written to the cache, a full answer."""
    tokens = sum(len(text.encode("utf-8", "surrogatepass")) + MARKUP for text in texts)
    return Usage(output=max_tokens, cache_write=tokens)


def upper_bound(texts: list[str], max_tokens: int, price: Price, *, batch: bool = False) -> float:
    """Dollars that it can cost, at the dearest of the kinds of prompt tokens."""
    dearest = max(1.0, price.cache_write, price.cache_read)
    return max_usage(texts, max_tokens).cost(price.model_copy(update={"cache_write": dearest}), batch=batch)


@dataclass(frozen=True, slots=True)
class Account:
    """What a ledger adds up to."""

    requests: int
    """Whole answers paid for; usage and dollars count those that broke off too."""
    usage: Usage
    dollars: float
    open_dollars: float
    """Of requests whose outcome is not known, at their dearest."""


class CostLedger:
    """The ledger `path` (JSON lines, appended and synced) and the budget over it. One process writes it.

    Raises LedgerDamaged.
    """

    def __init__(self, path: Path, budget: float | None = None) -> None:
        self.path = path
        self.budget = budget
        self.paid: dict[str, dict[str, Any]] = {}
        """Key of a request -> row of the ledger."""
        self.lost: list[dict[str, Any]] = []
        """Rows of answers that broke off."""
        self._open: dict[str, list[float]] = defaultdict(list)
        self._dollars = 0.0
        self._open_dollars = 0.0
        self._changed = asyncio.Condition()
        self._in_flight = 0  # requests of this process, whose outcome may yet free some of the budget
        private_folder(path.parent)
        for row in _read_ledger(path):
            self._book(row)

    async def reserve(self, key: str, dollars: float, *, wait: bool = True) -> None:
        """Books a request that is about to be sent; waits where requests in flight may yet leave room for it.

        Raises BudgetSpent where it could exceed the budget even when they have all come back, and with `wait=False`
        where it could at present.
        """
        async with self._changed:
            while self.budget is not None and self._committed() + dollars > self.budget:
                if not self._in_flight or not wait:
                    raise BudgetSpent(
                        f"the budget of ${self.budget:.4f} is spent: ${self._committed():.4f} so far, and the next "
                        f"request could cost ${dollars:.4f}; resume with a larger teacher.budget"
                    )
                await self._changed.wait()
            self._in_flight += 1
            self._write({"event": "sent", "key": key, "most": dollars})

    async def settle(self, key: str, usage: Usage, dollars: float, **more: Any) -> None:
        """Books the answer to a request that was reserved."""
        await self._close({"event": "paid", "key": key, "dollars": dollars, **asdict(usage), **more})

    async def lose(self, key: str, usage: Usage, dollars: float, **more: Any) -> None:
        """Books what came of a reserved request whose answer broke off: paid for, and no answer."""
        await self._close({"event": "lost", "key": key, "dollars": dollars, **asdict(usage), **more})

    async def release(self, key: str, reason: str) -> None:
        """Books a reserved request that cost nothing."""
        await self._close({"event": "free", "key": key, "reason": reason})

    async def abandon(self) -> None:
        """Counts a reserved request as lost on the way: it stays booked at its dearest."""
        async with self._changed:
            self._in_flight -= 1
            self._changed.notify_all()

    def adopt(self, count: int) -> None:
        """Counts requests of an earlier session, still being worked on, as in flight again."""
        self._in_flight += count

    def recover(self, key: str, usage: Usage, dollars: float, **more: Any) -> None:
        """Books an answer that was stored just before this run was killed, and so is not in the ledger."""
        if key not in self.paid:
            self._write({"event": "paid", "key": key, "dollars": dollars, **asdict(usage), **more})

    def account(self) -> Account:
        """Totals over all sessions of the run."""
        rows = [*self.paid.values(), *self.lost]
        kinds = ("input", "output", "cache_write", "cache_read")
        usage = Usage(*(sum(row[kind] for row in rows) for kind in kinds))
        return Account(len(self.paid), usage, self._dollars, self._open_dollars)

    def _committed(self) -> float:
        return self._dollars + self._open_dollars

    async def _close(self, row: dict[str, Any]) -> None:
        async with self._changed:
            self._in_flight -= 1
            self._write(row)
            self._changed.notify_all()

    def _write(self, row: dict[str, Any]) -> None:
        append_rows(self.path, [{**row, "time": round(time.time(), 3)}])
        self._book(row)

    def _book(self, row: dict[str, Any]) -> None:
        if row["event"] == "sent":
            self._open[row["key"]].append(row["most"])
            self._open_dollars += row["most"]
            return
        if self._open[row["key"]]:
            self._open_dollars -= self._open[row["key"]].pop()
        if row["event"] == "paid":
            self.paid[row["key"]] = row
        elif row["event"] == "lost":
            self.lost.append(row)
        self._dollars += row.get("dollars", 0.0)


def _read_ledger(path: Path) -> list[dict[str, Any]]:
    try:
        rows = read_rows(path)
    except FileError:
        rows = [{}]
    for number, row in enumerate(rows, 1):
        if not _is_row(row):
            where = f"line {number} of " if row else ""
            raise LedgerDamaged(f"{where}{path} is no row of a ledger; restore the file or start a new run")
    return rows


def _is_row(row: Any) -> bool:
    """Whether a row is one that a ledger's owner writes."""
    if not isinstance(row, dict) or not isinstance(row.get("key"), str):
        return False
    event = row.get("event")
    if not isinstance(event, str) or event not in _NUMBERS:
        return False
    values: list[Any] = [row.get(name) for name in _NUMBERS[event]]
    return all(type(value) in (int, float) and 0 <= value <= MOST_IN_ROW for value in values)


def private_folder(path: Path) -> Path:
    """Makes a folder, and those above it that lack, which only their owner may enter."""
    for folder in reversed([path, *path.parents]):
        if not folder.exists():
            folder.mkdir(mode=0o700, exist_ok=True)
            folder.chmod(0o700)
    return path

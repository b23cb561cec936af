"""Looking for leases that are overdue: they are issued again only where nobody has them in hand."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from rollout.admission import Lease, LeaseBook

ANSWER_SECONDS = 5.0
"""An engine that does not say in this time what it has in hand may have anything."""


def lease_key(lease: Lease) -> str:
    """By what engines know a lease: the id of its group."""
    return f"{lease.index}.{lease.attempt}"


def settle_overdue(
    book: LeaseBook,
    waiting: set[Lease],
    in_hand: Sequence[Mapping[str, float | None] | None],
    now: float,
) -> None:
    """Renews those of a book's overdue leases whose time is not over; the book issues the others again.

    `waiting` are those that nobody has taken up yet. `in_hand` has what each engine says that it has: the seconds that
    each lease may take yet, None where it has not begun with it or nothing is known of its speed. An engine that has
    not answered (None) may have any lease: then those that were not found have all of their `lease_seconds`.
    """
    held = {key: seconds for engine in in_hand if engine is not None for key, seconds in engine.items()}
    for lease in book.due(now):
        left = held.get(lease_key(lease), 0.0)
        if lease in waiting or left is None:
            book.renew(lease, now, book.patience)
        elif left > 0:
            book.renew(lease, now, left)
        elif lease_key(lease) not in held and None in in_hand:
            book.renew(lease, now)


async def look_for_overdue(book: LeaseBook, board: Any, key: str, engines: Sequence[Any], run: str) -> None:
    """Asks the board and the engines of a run for the leases of `book` that are overdue, if there are any."""
    if not book.due(time.monotonic()):
        return
    waiting = await board.waiting.remote(key)
    in_hand = await asyncio.gather(*(_in_hand(engine, run) for engine in engines))
    settle_overdue(book, waiting, in_hand, time.monotonic())


async def _in_hand(engine: Any, run: str) -> Mapping[str, float | None] | None:
    """What an engine says that it has of a run; None where it says nothing, or is out: what it had then waits for
    another engine."""
    import ray.exceptions

    try:
        return await asyncio.wait_for(engine.in_hand.remote(run), ANSWER_SECONDS)
    except (TimeoutError, ray.exceptions.RayError):
        return None

"""A function of many rows, worked out by several threads, with its results in the order of the rows."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

ALONE = 16
"""First rows that are worked out one by one: so few are not worth a second thread."""
AHEAD = 4
"""Rows that may be worked on or wait, for each thread: memory stays constant."""

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(function: Callable[[Item], Result], items: Iterable[Item], workers: int) -> Iterator[Result]:
    """`map(function, items)` by up to `workers` threads. What reading the items raises comes after their results."""
    rest = iter(items)
    yield from map(function, rest if workers < 2 else itertools.islice(rest, ALONE))
    if workers < 2:
        return
    waiting: deque[Future[Result]] = deque()
    with ThreadPoolExecutor(workers) as threads:
        try:
            failed: Exception | None = None
            while failed is None:
                try:
                    waiting.append(threads.submit(function, next(rest)))
                except StopIteration:
                    break
                except Exception as error:  # raised again below
                    failed = error
                if len(waiting) >= AHEAD * workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
            if failed is not None:
                raise failed
        finally:
            for future in waiting:
                future.cancel()

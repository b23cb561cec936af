"""Several sandboxes of this machine, without Ray: for whoever has many answers to judge before a job starts."""

from __future__ import annotations

import contextlib
import itertools
import os
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

from problems.problem import Verdict
from verify.config import VerifyConfig
from verify.pool import Judge
from verify.verdict import Item

MOST = 16
"""Sandboxes at once: comparing their answers is Python's work, of one core."""


class LocalJudges:
    """As many judges as this process has cores, each with a sandbox that starts when it is first needed.

    A judge waits for its programs most of the time, so that threads of one process can drive several.
    """

    def __init__(self, config: VerifyConfig | None = None, workers: int = 0) -> None:
        self.workers = workers or min(len(os.sched_getaffinity(0)), MOST)
        """Judges at most."""
        self._config = config
        self._lock = threading.Lock()
        self._idle: list[Judge] = []
        self._places = threading.Semaphore(self.workers)

    @contextlib.contextmanager
    def judge(self) -> Iterator[Judge]:
        """A judge for this thread alone. Raises IsolationTooLow, ZygoteDied."""
        with self._places:
            with self._lock:
                held = self._idle.pop() if self._idle else None
            held = held or Judge(self._config)
            try:
                yield held
            finally:
                with self._lock:
                    self._idle.append(held)

    def judge_batch(self, items: Sequence[Item]) -> list[Verdict]:
        """The verdicts, in the order of `items`. Raises as `judge`."""
        size = (self._config or VerifyConfig()).batch_size
        chunks = [items[start : start + size] for start in range(0, len(items), size)]
        if len(chunks) < 2:
            return self._judged(items) if items else []
        with ThreadPoolExecutor(min(self.workers, len(chunks))) as threads:
            return list(itertools.chain.from_iterable(threads.map(self._judged, chunks)))

    def _judged(self, items: Sequence[Item]) -> list[Verdict]:
        with self.judge() as judge:
            return judge.judge_batch(items)

    def close(self) -> None:
        """Ends the sandboxes."""
        while self._idle:
            self._idle.pop().close()

    def __enter__(self) -> LocalJudges:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

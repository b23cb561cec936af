"""SIGTERM, by which schedulers and Kubernetes end a job, is taken as Ctrl-C: what Ctrl-C saves and uploads is saved."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

_TAKEN = threading.Event()


def _interrupt(signum: int, frame: Any) -> None:
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler):  # a shell's job in the background, `nohup` say, ignores Ctrl-C; it must not ignore this
        raise KeyboardInterrupt
    handler(signal.SIGINT, frame)


@contextlib.contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """For the block; outside of the main thread, which alone gets signals, nothing changes."""
    if threading.current_thread() is not threading.main_thread() or _TAKEN.is_set():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    _TAKEN.set()
    try:
        yield
    finally:
        _TAKEN.clear()
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)


def take_sigterm_back() -> None:
    """Takes the signal from a library that has taken it meanwhile, within such a block."""
    if _TAKEN.is_set() and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _interrupt)

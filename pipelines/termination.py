"""SIGTERM, by which schedulers and Kubernetes end a job, is taken as Ctrl-C: what Ctrl-C saves and uploads is saved."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any


def _interrupt(signum: int, frame: Any) -> None:
    signal.raise_signal(signal.SIGINT)


def take_sigterm() -> None:
    """Takes the signal, also from a library that took it; outside of the main thread, which gets it, nothing."""
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _interrupt)


@contextlib.contextmanager
def sigterm_as_interrupt() -> Iterator[None]:
    """For the block."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    take_sigterm()
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL if before is None else before)

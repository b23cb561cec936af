"""Jobs for the sandbox and their outcomes. Pure data: nothing here talks to a process."""

from __future__ import annotations

import marshal
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from problems.problem import decode_value, encode_value
from verify.sandbox.worker import Ended

FUNCTION, STREAM, SCRIPT, TEST_DRIVER, SERVE = range(5)
HELLO, VALUE, RAISED, NOT_PLAIN, FLOOD, MEMORY, UNLOADED, DONE, CALL = (
    b"@",
    b"=",
    b"!",
    b"?",
    b"#",
    b"%",
    b"~",
    b".",
    b">",
)
"""Kinds of line; the same as in `harness.py`, which cannot be imported here."""
FORGERY = b"x"
"""Kind of the test driver's last line if it received something that no harness writes."""
SLACK_PER_ANSWER = 512
"""Bytes that an answer may have beyond the size of the right one: room for an exception's text."""


class Unencodable(ValueError):
    """An argument is not plain data, so it cannot be sent to a program."""


@dataclass(frozen=True, slots=True)
class Job:
    """One program and how to run it."""

    mode: int
    code: str
    entry: str
    requests: tuple[bytes, ...]
    """One for each call, from `request`; empty for scripts and test drivers."""
    cpu_seconds: float
    wall_seconds: float
    output_bytes: int
    """Total bytes that it may send back."""
    stdin: bytes | None = None
    """Standard input of a script."""
    library: str = ""
    """Run it in a zygote that has loaded this library (a key of `worker.LIBRARIES`)."""
    calls: int = 0
    """Calls that a candidate accepts from a test driver; 0: one for each of `requests`."""
    preamble: str = ""
    """Trusted source that runs before the program and before the test code."""
    arrays: bool = False
    """Whether arrays travel between test code and candidate as arrays; otherwise as lists."""
    test_cpu_seconds: float = 0.0
    """CPU time, in seconds, that a program may take from one answer to the next; 0: only `cpu_seconds` applies."""
    test_wall_seconds: float = 0.0
    """The same in wall time."""

    def opening(self) -> bytes:
        """The bytes to send before the child is requested: a whole batched job, or only the program of any other."""
        requests = self.requests if self.mode == FUNCTION else ()
        calls = self.calls or len(self.requests)
        job = (self.mode, self.code, self.entry, self.output_bytes, calls, requests, self.preamble, self.arrays)
        return framed(marshal.dumps(job))


def framed(data: bytes) -> bytes:
    """The data prefixed with its size, as a child receives it."""
    return len(data).to_bytes(4, "little") + data


def request(args: Sequence[Any], name: str = "") -> bytes:
    """One encoded call. Raises Unencodable if an argument is not plain data."""
    try:
        # The round trip admits exactly what a problem may hold: marshal alone would take a numpy scalar for bytes.
        plain = decode_value(encode_value(list(args)))
        return marshal.dumps((name, tuple(plain), {}))
    except (TypeError, ValueError, RecursionError) as error:
        raise Unencodable(str(error)) from None


class Stop(StrEnum):
    """Why a job ended, other than by exiting on its own."""

    NONE = ""
    TIMEOUT = "timeout"
    MEMORY = "memory"
    FLOOD = "flood"
    FORGED = "forged"
    """It wrote something to the channel that the harness would not have written."""
    FORBIDDEN = "forbidden"
    INFRASTRUCTURE = "infrastructure"
    """Not the program's fault: it is not judged."""


@dataclass(slots=True)
class Outcome:
    """The result of a job."""

    answers: list[bytes] = field(default_factory=list)
    """Lines of the child, each a letter for its kind followed by text; at most one for each call."""
    stop: Stop = Stop.NONE
    detail: str = ""
    ended: Ended | None = None
    stdout: bytes = b""
    bytes_read: int = 0
    """Bytes read from the child."""

    @property
    def cpu_seconds(self) -> float:
        """CPU time of the child, summed over its threads."""
        return self.ended.cpu_seconds if self.ended else 0.0

    @property
    def wall_seconds(self) -> float:
        """From fork to end."""
        return self.ended.wall_seconds if self.ended else 0.0

    @property
    def memory_mib(self) -> float:
        """Peak resident memory, including the interpreter."""
        return self.ended.memory_mib if self.ended else 0.0

    @property
    def load_failure(self) -> bytes | None:
        """The line that reports how the program failed to load; None if it loaded."""
        first = self.answers[0] if self.answers else b""
        return first if first[:1] == UNLOADED else None


def kind(answer: bytes) -> bytes:
    """The letter for a line's kind."""
    return answer[:1]


def text(answer: bytes) -> str:
    """The text of a line, for messages."""
    return answer[1:].decode("utf-8", "replace")

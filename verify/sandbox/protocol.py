"""What the sandbox is asked, and what came back. Pure data: nothing here talks to a process."""

from __future__ import annotations

import marshal
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from problems.problem import decode_value, encode_value
from verify.sandbox.worker import Ended

FUNCTION, STREAM, SCRIPT, REFEREE, SERVE = range(5)
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
"""Kinds of line: as in `harness.py`, which may not be imported here."""
FORGERY = b"x"
"""Kind of the last line of test code that read what no harness writes."""
SLACK_PER_ANSWER = 512
"""Bytes granted to an answer beyond the size of the right one: room for an exception's text."""


class Unencodable(ValueError):
    """An argument is not plain data and cannot be sent to a program."""


@dataclass(frozen=True, slots=True)
class Job:
    """One program and what to do with it."""

    mode: int
    code: str
    entry: str
    requests: tuple[bytes, ...]
    """One a call, from `request`; empty for scripts and referees."""
    cpu_seconds: float
    wall_seconds: float
    output_bytes: int
    """What it may send back, all in all."""
    stdin: bytes | None = None
    """Standard input of a script."""
    library: str = ""
    """Run it where this library (of `worker.LIBRARIES`) is loaded already."""
    calls: int = 0
    """Calls to expect of a candidate whose requests come from a referee; otherwise one a request."""
    preamble: str = ""
    """Trusted source that a program's namespace, and that of test code, begins with."""
    arrays: bool = False
    """Whether arrays pass between test code and candidate as arrays; otherwise as lists."""
    test_cpu_seconds: float = 0.0
    """CPU time that a program may take from one answer to the next; 0: `cpu_seconds` is the only bound."""
    test_wall_seconds: float = 0.0
    """The same in wall time."""

    def opening(self) -> bytes:
        """The bytes to send before the child is asked for: all of a batched job, the program alone of
        others."""
        requests = self.requests if self.mode == FUNCTION else ()
        calls = self.calls or len(self.requests)
        job = (self.mode, self.code, self.entry, self.output_bytes, calls, requests, self.preamble, self.arrays)
        return framed(marshal.dumps(job))


def framed(data: bytes) -> bytes:
    """The data behind its size, as a child receives it."""
    return len(data).to_bytes(4, "little") + data


def request(args: Sequence[Any], name: str = "") -> bytes:
    """One call. Raises Unencodable where an argument is not plain data."""
    try:
        # The detour admits just what a problem may hold: marshal would take a numpy scalar for bytes.
        plain = decode_value(encode_value(list(args)))
        return marshal.dumps((name, tuple(plain), {}))
    except (TypeError, ValueError, RecursionError) as error:
        raise Unencodable(str(error)) from None


class Stop(StrEnum):
    """Why a job ended otherwise than by its own exit."""

    NONE = ""
    TIMEOUT = "timeout"
    MEMORY = "memory"
    FLOOD = "flood"
    FORGED = "forged"
    """It wrote on the channel what the harness would not have written."""
    FORBIDDEN = "forbidden"
    MACHINERY = "machinery"
    """Not its fault: not judged."""


@dataclass(slots=True)
class Outcome:
    """What became of a job."""

    answers: list[bytes] = field(default_factory=list)
    """Lines of the child, each a letter for its kind and a text; at most one a call."""
    stop: Stop = Stop.NONE
    detail: str = ""
    ended: Ended | None = None
    stdout: bytes = b""
    bytes_taken: int = 0
    """All that was read from the child."""

    @property
    def cpu_seconds(self) -> float:
        """CPU time of the child, over all its threads."""
        return self.ended.cpu_seconds if self.ended else 0.0

    @property
    def wall_seconds(self) -> float:
        """From fork to end."""
        return self.ended.wall_seconds if self.ended else 0.0

    @property
    def memory_mib(self) -> float:
        """Peak resident memory, the interpreter included."""
        return self.ended.memory_mib if self.ended else 0.0

    @property
    def load_failure(self) -> bytes | None:
        """How the program failed before it was called, if it did."""
        first = self.answers[0] if self.answers else b""
        return first if first[:1] == UNLOADED else None


def kind(answer: bytes) -> bytes:
    """The letter that tells what kind of answer a line is."""
    return answer[:1]


def text(answer: bytes) -> str:
    """The text of a line, for people."""
    return answer[1:].decode("utf-8", "replace")

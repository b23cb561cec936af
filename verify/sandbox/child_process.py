"""A job whose child is running: what passes over its channel, and how it ended.

The trusted side reads no more than the job's limit, and believes of what it reads only that the child said it.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import time
from dataclasses import dataclass, field

from verify.sandbox.protocol import FUNCTION, HELLO, REFEREE, SERVE, STREAM, UNLOADED, Job, Outcome, Stop, framed
from verify.sandbox.watchdog import cpu_seconds
from verify.sandbox.worker import OVER_CPU, OVER_WALL, TOLD, Ended, Zygote

_SPARE_LINES = 2
"""Lines beside the answers: the greeting, and why a program did not load or how a script ended."""
_EARLY = 0.02
"""Seconds within which answers are not timed one by one: most programs are over by then."""
_KILLED = 9
_CHUNK = 1 << 18
_SEALS = 0x1 | 0x2 | 0x4 | 0x8
"""F_SEAL_SEAL, SHRINK, GROW, WRITE."""
_CREDENTIALS = struct.Struct("iII")
"""Process, user and group id of who sent a message."""


@dataclass(slots=True)
class ChildProcess:
    """A job whose child is running."""

    number: int
    job: Job
    zygote: Zygote
    channel: socket.socket
    output: socket.socket | None = None
    """Where a script prints to."""
    pending: memoryview = field(default_factory=lambda: memoryview(b""))
    """What is still to be sent."""
    started: float = field(default_factory=time.monotonic)
    asked: int = 0
    """Calls that the child has been sent."""
    received: bytearray = field(default_factory=bytearray)
    printed: bytearray = field(default_factory=bytearray)
    answers: list[bytes] = field(default_factory=list)
    greeted: bool = False
    stop: Stop = Stop.NONE
    detail: str = ""
    told: float = 0.0
    """When the zygote was told to end it; 0 before."""
    ended: Ended | None = None
    taken: int = 0
    """Bytes read from the child."""
    over: set[socket.socket] = field(default_factory=set)
    """Sockets whose far end is closed: polled again, they would be ready for ever."""
    pid: int = 0
    """The child as seen from here, by the word of the kernel; 0 before it was first heard."""
    answered: tuple[float, float] = (0.0, 0.0)
    """The child's CPU time, and its age, when a line of it was last received."""

    @property
    def age(self) -> float:
        """Seconds since it was asked for."""
        return time.monotonic() - self.started

    def close(self) -> None:
        """Closes this side of the channel."""
        self.channel.close()
        if self.output is not None:
            self.output.close()

    def send(self, data: bytes | None = None) -> None:
        """Sends what can be sent without waiting; `data` replaces nothing that is still pending."""
        if data is not None:
            self.pending = memoryview(data)
        try:
            while self.pending:
                self.pending = self.pending[self.channel.send(self.pending) :]
        except BlockingIOError:
            pass
        except (BrokenPipeError, ConnectionResetError):
            # Nobody will read it: kept, it would have the channel polled for room, which then is ready for ever.
            self.pending = memoryview(b"")

    def exchange(self) -> None:
        """Sends and receives what can be; a streamed job gets its next input when it has answered."""
        if not self.pid:
            self._identify()
        self.receive()
        if self.job.mode == STREAM:
            self.take_answers()
            if self.greeted and self.asked < len(self.job.requests) and len(self.answers) == self.asked:
                self.asked += 1
                self.send(framed(self.job.requests[self.asked - 1]))
        if self.pending:
            self.send()

    def _identify(self) -> None:
        """Asks the kernel who wrote the greeting, which no line of the program precedes."""
        try:
            _, ancillary, _, _ = self.channel.recvmsg(1, socket.CMSG_SPACE(_CREDENTIALS.size), socket.MSG_PEEK)
        except (BlockingIOError, ConnectionResetError):
            return
        for _, kind, data in ancillary:
            if kind == socket.SCM_CREDENTIALS:
                self.pid = _CREDENTIALS.unpack(data)[0]

    def receive(self) -> None:
        """Reads what the harness wrote."""
        known = len(self.received)
        self._drain(self.channel, self.received)
        if self.job.test_cpu_seconds and self.age > _EARLY and self.received.find(b"\n", known) >= 0:
            self.answered = (cpu_seconds(self.pid), self.age)

    def time_test(self) -> None:
        """Stops a program that takes longer for one answer than a test may take.

        The time of an answer is when it is read here, which is never too early: a busy machine grants a program more.
        """
        job = self.job
        if self.stop or not job.test_cpu_seconds or self.age - self.answered[1] < job.test_cpu_seconds:
            return
        self.exchange()
        if cpu_seconds(self.pid) - self.answered[0] > job.test_cpu_seconds:
            self.stop, self.detail = Stop.TIMEOUT, f"over {job.test_cpu_seconds:g} s of CPU time in one test"
        elif self.age - self.answered[1] > job.test_wall_seconds:
            self.stop, self.detail = Stop.TIMEOUT, f"over {job.test_wall_seconds:g} s of wall time in one test"

    def receive_output(self) -> None:
        """Reads what a script printed."""
        if self.output is not None:
            self._drain(self.output, self.printed)

    def _drain(self, sock: socket.socket, into: bytearray) -> None:
        try:
            while part := sock.recv(_CHUNK):
                into += part
                self.taken += len(part)
                if self.taken > self.job.output_bytes:
                    self.stop = self.stop or Stop.FLOOD
                    return
        except BlockingIOError:
            return
        except ConnectionResetError:
            pass
        self.over.add(sock)

    def take_answers(self) -> None:
        """Moves whole lines out of the buffer; what the harness would not have sent is a forgery."""
        count = self.received.count(b"\n")
        if not count:
            return
        if count > self.asked + _SPARE_LINES and self.job.mode != REFEREE:
            # Not even read: a million empty lines would be a million objects here.
            self.stop = self.stop or Stop.FORGED
            return
        *lines, rest = self.received.split(b"\n")
        self.received = rest
        first = 0
        if not self.greeted:
            self.greeted = first = 1
            if lines[0] != HELLO:
                self.stop = self.stop or Stop.MACHINERY
        self.answers += map(bytes, lines[first:])
        calls = self.job.mode in (FUNCTION, STREAM, SERVE)
        if (
            calls
            and len(self.answers) > self.asked
            and not (self.answers[0][:1] == UNLOADED and len(self.answers) == 1)
        ):
            self.stop = self.stop or Stop.FORGED

    def outcome(self) -> Outcome:
        """Reads what is left, closes the channel, and says how the run ended."""
        if not self.stop or self.stop is Stop.TIMEOUT:
            self.receive()
            self.receive_output()
            self.take_answers()
        self.close()
        outcome = Outcome(self.answers, self.stop, self.detail, self.ended, bytes(self.printed), self.taken)
        if not outcome.stop:
            self._explain(outcome)
        if outcome.stop is Stop.FORGED:
            outcome.detail = "it wrote on the result channel"
        elif outcome.stop is Stop.FLOOD:
            outcome.detail = f"over {self.job.output_bytes} bytes of output"
        return outcome

    def _explain(self, outcome: Outcome) -> None:
        """Why the child ended, from what the zygote and the kernel say of it rather than from what it says
        itself."""
        ended, job = self.ended, self.job
        if not self.greeted:
            outcome.stop = Stop.MACHINERY
            said = f"fork error {ended.fork_errno}, wait status {ended.status}"
            outcome.detail = f"the child could not be set up ({said})"
        elif ended.why == OVER_CPU:
            outcome.stop, outcome.detail = Stop.TIMEOUT, f"over {job.cpu_seconds:g} s of CPU time"
        elif ended.why == OVER_WALL:
            outcome.stop, outcome.detail = Stop.TIMEOUT, f"over {job.wall_seconds:g} s of wall time"
        elif ended.signal == _KILLED and ended.why != TOLD:
            outcome.stop, outcome.detail = Stop.MACHINERY, "the child was killed from outside"
        elif self.received and not ended.signal:
            outcome.stop = Stop.FORGED


def sealed_input(data: bytes) -> int:
    """A descriptor to read `data` from, which nothing can be written to."""
    memory = os.memfd_create("stdin", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    view = memoryview(data)
    while view:
        view = view[os.write(memory, view) :]
    os.lseek(memory, 0, os.SEEK_SET)
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, _SEALS)
    return memory

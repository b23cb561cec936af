"""A job whose child is running: the traffic on its channel, and how the child ended.

The trusted side reads at most the job's limit, and trusts nothing in what it reads except that the child wrote it.
"""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import time
from dataclasses import dataclass, field

from verify.sandbox.protocol import FUNCTION, HELLO, SERVE, STREAM, TEST_DRIVER, UNLOADED, Job, Outcome, Stop, framed
from verify.sandbox.watchdog import cpu_seconds
from verify.sandbox.worker import KILL_REQUESTED, OVER_CPU, OVER_WALL, Ended, Zygote

_SPARE_LINES = 2
"""Lines in addition to the answers: the greeting, and why a program did not load or how a script ended."""
_EARLY = 0.02
"""Seconds for which answers are not timed one by one: most programs have finished by then."""
_KILLED = 9
_CHUNK = 1 << 18
_SEALS = 0x1 | 0x2 | 0x4 | 0x8
"""F_SEAL_SEAL, SHRINK, GROW, WRITE."""
_CREDENTIALS = struct.Struct("iII")
"""Process, user and group id of a message's sender."""


@dataclass(slots=True)
class ChildProcess:
    """A job whose child is running."""

    number: int
    job: Job
    zygote: Zygote
    channel: socket.socket
    output: socket.socket | None = None
    """Standard output of a script."""
    pending: memoryview = field(default_factory=lambda: memoryview(b""))
    """Data still to be sent."""
    started: float = field(default_factory=time.monotonic)
    delivered: int = 0
    """Messages sent to the child: calls, or answers to a test driver."""
    received: bytearray = field(default_factory=bytearray)
    printed: bytearray = field(default_factory=bytearray)
    answers: list[bytes] = field(default_factory=list)
    greeted: bool = False
    stop: Stop = Stop.NONE
    detail: str = ""
    kill_requested: float = 0.0
    """When the zygote was requested to kill it; 0 if it was not."""
    ended: Ended | None = None
    bytes_read: int = 0
    """Bytes read from the child."""
    over: set[socket.socket] = field(default_factory=set)
    """Sockets whose far end is closed: if polled again, they would always be ready."""
    pid: int = 0
    """The child's process id in this namespace, as reported by the kernel; 0 before its first message."""
    answered: tuple[float, float] = (0.0, 0.0)
    """The child's CPU time and its age, in seconds, when its last line was received."""

    @property
    def age(self) -> float:
        """Seconds since the child was requested."""
        return time.monotonic() - self.started

    def close(self) -> None:
        """Closes this side of the channel."""
        self.channel.close()
        if self.output is not None:
            self.output.close()

    def send(self, data: bytes | None = None) -> None:
        """Sends as much as possible without blocking. Pass `data` only when nothing is pending."""
        if data is not None:
            self.pending = memoryview(data)
        try:
            while self.pending:
                self.pending = self.pending[self.channel.send(self.pending) :]
        except BlockingIOError:
            pass
        except (BrokenPipeError, ConnectionResetError):
            # Nobody will read it. If it were kept, the channel would be polled for room and always be ready.
            self.pending = memoryview(b"")

    def exchange(self) -> None:
        """Sends and receives without blocking; a streamed job gets its next input once it has answered."""
        if not self.pid:
            self._identify()
        self.receive()
        if self.job.mode == STREAM:
            self.take_answers()
            if self.greeted and self.delivered < len(self.job.requests) and len(self.answers) == self.delivered:
                self.delivered += 1
                self.send(framed(self.job.requests[self.delivered - 1]))
        if self.pending:
            self.send()

    def _identify(self) -> None:
        """Asks the kernel who wrote the greeting, which precedes any line of the program."""
        try:
            _, ancillary, _, _ = self.channel.recvmsg(1, socket.CMSG_SPACE(_CREDENTIALS.size), socket.MSG_PEEK)
        except (BlockingIOError, ConnectionResetError):
            return
        for _, kind, data in ancillary:
            if kind == socket.SCM_CREDENTIALS:
                self.pid = _CREDENTIALS.unpack(data)[0]

    def receive(self) -> None:
        """Reads what the harness wrote to the channel."""
        known = len(self.received)
        self._drain(self.channel, self.received)
        if self.job.test_cpu_seconds and self.age > _EARLY and self.received.find(b"\n", known) >= 0:
            self.answered = (cpu_seconds(self.pid), self.age)

    def time_test(self) -> None:
        """Stops a program that takes too long for one answer.

        An answer is timed when it is read here, which is never too early: on a busy machine a program gets more time.
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
                self.bytes_read += len(part)
                if self.bytes_read > self.job.output_bytes:
                    self.stop = self.stop or Stop.FLOOD
                    return
        except BlockingIOError:
            return
        except ConnectionResetError:
            pass
        self.over.add(sock)

    def take_answers(self) -> None:
        """Moves complete lines out of the buffer; a line that the harness cannot have sent is a forgery."""
        count = self.received.count(b"\n")
        if not count:
            return
        if count > self.delivered + _SPARE_LINES and self.job.mode != TEST_DRIVER:
            # Not split: a million empty lines would become a million objects here.
            self.stop = self.stop or Stop.FORGED
            return
        *lines, rest = self.received.split(b"\n")
        self.received = rest
        first = 0
        if not self.greeted:
            self.greeted, first = True, 1
            if lines[0] != HELLO:
                self.stop = self.stop or Stop.INFRASTRUCTURE
        self.answers += map(bytes, lines[first:])
        calls = self.job.mode in (FUNCTION, STREAM, SERVE)
        if (
            calls
            and len(self.answers) > self.delivered
            and not (self.answers[0][:1] == UNLOADED and len(self.answers) == 1)
        ):
            self.stop = self.stop or Stop.FORGED

    def outcome(self) -> Outcome:
        """Reads the rest, closes the channel, and returns how the child ended."""
        if not self.stop or self.stop is Stop.TIMEOUT:
            self.receive()
            self.receive_output()
            self.take_answers()
        self.close()
        outcome = Outcome(self.answers, self.stop, self.detail, self.ended, bytes(self.printed), self.bytes_read)
        if not outcome.stop:
            self._explain(outcome)
        if outcome.stop is Stop.FORGED:
            outcome.detail = "it wrote on the result channel"
        elif outcome.stop is Stop.FLOOD:
            outcome.detail = f"over {self.job.output_bytes} bytes of output"
        return outcome

    def _explain(self, outcome: Outcome) -> None:
        """Sets why the child ended, from the reports of the zygote and the kernel, not from the child's own claims."""
        ended, job = self.ended, self.job
        if ended is None:
            outcome.stop, outcome.detail = Stop.INFRASTRUCTURE, "the end of the child was not reported"
        elif not self.greeted:
            status = f"fork error {ended.fork_errno}, wait status {ended.status}"
            outcome.stop, outcome.detail = Stop.INFRASTRUCTURE, f"the child could not be set up ({status})"
        elif ended.why == OVER_CPU:
            outcome.stop, outcome.detail = Stop.TIMEOUT, f"over {job.cpu_seconds:g} s of CPU time"
        elif ended.why == OVER_WALL:
            outcome.stop, outcome.detail = Stop.TIMEOUT, f"over {job.wall_seconds:g} s of wall time"
        elif ended.signal == _KILLED and ended.why != KILL_REQUESTED:
            outcome.stop, outcome.detail = Stop.INFRASTRUCTURE, "the child was killed from outside"
        elif self.received and not ended.signal:
            outcome.stop = Stop.FORGED


def sealed_input(data: bytes) -> int:
    """A descriptor from which `data` can be read and to which nothing can be written."""
    memory = os.memfd_create("stdin", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    view = memoryview(data)
    while view:
        view = view[os.write(memory, view) :]
    os.lseek(memory, 0, os.SEEK_SET)
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, _SEALS)
    return memory

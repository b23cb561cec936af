"""Runs jobs: starts zygotes as needed, feeds children, bounds what they send and how long they take.

One thread drives a `Sandbox`. Each job has a socket pair of its own whose far end only its child ever holds.
The trusted side reads no more than the job's limit, and believes of what it reads only that the child said
it.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from verify.config import VerifyConfig
from verify.sandbox.jobs import FUNCTION, HELLO, REFEREE, STREAM, UNLOADED, Job, Outcome, Stop, framed
from verify.sandbox.referral import relay
from verify.sandbox.watch import Watch
from verify.sandbox.worker import OVER_CPU, OVER_WALL, TOLD, Ended, Plan, Zygote, ZygoteDied, plan_with

_QUIET_MS = 5
"""For this long a batched job's answers are left in its socket: most are through by then, and one wake-up is
saved."""
_TICK_MS = 100
"""How often a job that takes longer is looked at."""
_GRACE = 2.0
"""Seconds within which the zygote must report a child whose time is over."""
_SPARE_LINES = 2
"""Lines beside the answers: the greeting, and why a program did not load or how a script ended."""
_KILLED = 9
_CHUNK = 1 << 18
_SEALS = 0x1 | 0x2 | 0x4 | 0x8
"""F_SEAL_SEAL, SHRINK, GROW, WRITE."""


@dataclass(slots=True)
class Run:
    """A job whose child is running."""

    number: int
    job: Job
    zygote: Zygote
    channel: socket.socket
    pending: memoryview
    """What is still to be sent."""
    output: socket.socket | None
    started: float
    asked: int
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
        except (BlockingIOError, BrokenPipeError, ConnectionResetError):
            pass

    def exchange(self) -> None:
        """Sends and receives what can be; a streamed job gets its next input when it has answered."""
        self.receive()
        if self.job.mode == STREAM:
            self.take_answers()
            if self.greeted and self.asked < len(self.job.requests) and len(self.answers) == self.asked:
                self.asked += 1
                self.send(framed(self.job.requests[self.asked - 1]))
        if self.pending:
            self.send()

    def receive(self) -> None:
        """Reads what the harness wrote."""
        self._drain(self.channel, self.received)

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
        except (BlockingIOError, ConnectionResetError):
            pass

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
        calls = self.job.mode in (FUNCTION, STREAM)
        if (
            calls
            and len(self.answers) > self.asked
            and not (self.answers[0][:1] == UNLOADED and len(self.answers) == 1)
        ):
            self.stop = self.stop or Stop.FORGED


class Sandbox:
    """Zygotes and the loop that drives them.

    `plan` simulates kernels that lack a feature; leave it alone otherwise. `level` is set by
    `verify.sandbox.probe`.
    """

    def __init__(self, config: VerifyConfig | None = None, plan: Plan | None = None):
        self.config = config or VerifyConfig()
        self.plan = plan or Plan()
        self.level = -1
        self.started = 0
        """Zygotes started so far: a rise tells that one was replaced, and is to be proven again."""
        self.bytes_taken = 0
        """Bytes read from children so far."""
        self._zygotes: dict[str, Zygote] = {}
        self._next = 0

    def zygote(self, library: str = "") -> Zygote:
        """The zygote for a job, started or replaced where needed. Raises ZygoteDied.

        A library that this interpreter lacks is missing in the plain zygote too: the program gets its
        ImportError.
        """
        zygote = self._zygotes.get(library)
        if zygote is not None and zygote.jobs < self.config.recycle_after:
            return zygote
        if zygote is not None:
            self._drop(zygote)
        plan = plan_with(self.plan, library) if library else self.plan
        if plan is None:
            return self.zygote()
        zygote = self._zygotes[library] = Zygote(plan, self.config)
        self.started += 1
        return zygote

    def close(self) -> None:
        """Ends every zygote and so every child."""
        for zygote in list(self._zygotes.values()):
            self._drop(zygote)

    def __enter__(self) -> Sandbox:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _drop(self, zygote: Zygote) -> None:
        self._zygotes = {library: z for library, z in self._zygotes.items() if z is not zygote}
        zygote.close()

    @property
    def zygotes(self) -> list[Zygote]:
        """Those that run now."""
        return list(self._zygotes.values())

    def run(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Runs the jobs one after another; while one runs, the answers of the one before it are read.

        Never raises for what a program does or for a zygote that dies: such an outcome has `Stop.MACHINERY`.
        """
        outcomes: list[Outcome] = []
        before: Run | None = None
        for job in jobs:
            try:
                run = self._start(job)
            except (ZygoteDied, OSError) as error:
                run = error
            if before is not None:
                outcomes.append(self._finish(before))
            before = None
            if isinstance(run, Exception):
                outcomes.append(_broken(run))
                continue
            try:
                self._wait((run,))
                before = run
            except (ZygoteDied, OSError) as error:
                outcomes.append(_broken(error))
                run.close()
                self._drop(run.zygote)
        if before is not None:
            outcomes.append(self._finish(before))
        return outcomes

    def referee(self, tests: Job, candidate: Job) -> tuple[Outcome, Outcome]:
        """Runs test code in one child and the candidate in another; calls pass between them unread.

        `candidate` streams: its requests are what the tests ask. Never raises, as `run`.
        """
        runs: list[Run] = []
        try:
            for job in (tests, candidate):
                runs.append(self._start(job))
            self._wait(runs)
        except (ZygoteDied, OSError) as error:
            for run in runs:
                run.close()
                self._drop(run.zygote)
            return _broken(error), _broken(error)
        return self._finish(runs[0]), self._finish(runs[1])

    def _start(self, job: Job) -> Run:
        """Sends what can be sent of a job, and asks for its child. Raises ZygoteDied, OSError."""
        zygote = self.zygote(job.library)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._next = self._next + 1 & 0xFFFFFFFF
        asked = len(job.requests) if job.mode == FUNCTION else 0
        run = Run(self._next, job, zygote, ours, memoryview(b""), None, time.monotonic(), asked)
        # Opened anew for every child: flags of an open file are shared by all who inherit it, and one program
        # could leave another a note in them.
        fds = [theirs.detach(), os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)]
        try:
            if job.stdin is not None:
                fds.append(_sealed_input(job.stdin))
                run.output, far = socket.socketpair()
                fds.append(far.detach())
                run.output.setblocking(False)
            run.send(job.opening())
            zygote.start(run.number, fds, job.cpu_seconds, job.wall_seconds)
        except BaseException as error:
            run.close()
            if isinstance(error, ZygoteDied):
                self._drop(zygote)
            raise
        finally:
            for fd in fds:
                os.close(fd)
        return run

    def _finish(self, run: Run) -> Outcome:
        outcome = _outcome(run)
        self.bytes_taken += outcome.bytes_taken
        return outcome

    def _wait(self, runs: Sequence[Run]) -> None:
        """Feeds the runs until each has ended. Raises ZygoteDied where a zygote ends or stalls."""
        if len(runs) == 1 and runs[0].job.mode == FUNCTION and not runs[0].pending:
            # The quick way: nothing is to be fed, so sleep until the zygote says that it is over.
            run = runs[0]
            if run.zygote.poller.poll(_QUIET_MS):
                run.ended = run.zygote.ended(run.number)
                if run.ended is not None:
                    return
        watch = Watch(self.config)
        while any(run.ended is None for run in runs):
            self._turn(runs)
            watch.look(runs)
            _enforce(runs)

    def _turn(self, runs: Sequence[Run]) -> None:
        """Waits for something to happen, for a tick at most, and attends to it."""
        poller = select.poll()
        zygotes = {run.zygote.control.fileno(): run.zygote for run in runs}
        for fd in zygotes:
            poller.register(fd, select.POLLIN)
        steps = _listen(poller, runs)
        for fd, _ in poller.poll(_TICK_MS):
            if fd in steps:
                steps[fd]()
            else:
                for run in runs:
                    if run.ended is None and run.zygote is zygotes[fd]:
                        run.ended = zygotes[fd].ended(run.number)
        if len(runs) > 1:
            relay(*runs)


def _listen(poller: select.poll, runs: Iterable[Run]) -> dict[int, Callable[[], None]]:
    """Registers the channels of runs that are still heard; what to do when one is ready."""
    steps: dict[int, Callable[[], None]] = {}
    for run in runs:
        if run.ended is None and not run.stop:
            poller.register(run.channel, select.POLLIN | (select.POLLOUT if run.pending else 0))
            steps[run.channel.fileno()] = run.exchange
            if run.output is not None:
                poller.register(run.output, select.POLLIN)
                steps[run.output.fileno()] = run.receive_output
    return steps


def _enforce(runs: Sequence[Run]) -> None:
    """Has runs ended that are to be stopped, or whose partner is gone. Raises ZygoteDied where none reports
    their end."""
    now = time.monotonic()
    partner_gone = any(run.ended is not None for run in runs)
    for run in runs:
        if run.ended is not None:
            continue
        if now > (run.told or run.started + run.job.wall_seconds) + _GRACE:
            raise ZygoteDied("the zygote does not report the end of a child whose time is over")
        if not run.told and (run.stop or partner_gone):
            run.told = now
            run.zygote.kill(run.number)


def _broken(error: Exception) -> Outcome:
    return Outcome(stop=Stop.MACHINERY, detail=str(error))


def _outcome(run: Run) -> Outcome:
    """Reads what is left, and says how the run ended."""
    if not run.stop:
        run.receive()
        run.receive_output()
        run.take_answers()
    run.close()
    outcome = Outcome(run.answers, run.stop, run.detail, run.ended, bytes(run.printed), run.taken)
    if not outcome.stop:
        _explain(run, outcome)
    if outcome.stop is Stop.FORGED:
        outcome.detail = "it wrote on the result channel"
    elif outcome.stop is Stop.FLOOD:
        outcome.detail = f"over {run.job.output_bytes} bytes of output"
    return outcome


def _explain(run: Run, outcome: Outcome) -> None:
    """Why the child ended, from what the zygote and the kernel say of it rather than from what it says
    itself."""
    ended, job = run.ended, run.job
    if not run.greeted:
        outcome.stop = Stop.MACHINERY
        outcome.detail = f"the child could not be set up (fork error {ended.fork_errno}, wait status {ended.status})"
    elif ended.why == OVER_CPU:
        outcome.stop, outcome.detail = Stop.TIMEOUT, f"over {job.cpu_seconds:g} s of CPU time"
    elif ended.why == OVER_WALL:
        outcome.stop, outcome.detail = Stop.TIMEOUT, f"over {job.wall_seconds:g} s of wall time"
    elif ended.signal == _KILLED and ended.why != TOLD:
        outcome.stop, outcome.detail = Stop.MACHINERY, "the child was killed from outside"
    elif run.received and not ended.signal:
        outcome.stop = Stop.FORGED


def _sealed_input(data: bytes) -> int:
    """A descriptor to read `data` from, which nothing can be written to."""
    memory = os.memfd_create("stdin", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    view = memoryview(data)
    while view:
        view = view[os.write(memory, view) :]
    os.lseek(memory, 0, os.SEEK_SET)
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, _SEALS)
    return memory

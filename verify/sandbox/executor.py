"""Runs jobs: starts zygotes on demand, feeds the children, and limits their output and run time.

A `Sandbox` is driven by one thread. Each job has its own socket pair, whose far end is held by its child alone. Jobs
run one after another; a slow job keeps running while the next one starts, so an endless loop does not block the queue.
"""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from verify.config import VerifyConfig
from verify.sandbox.child_process import ChildProcess, sealed_input
from verify.sandbox.protocol import FUNCTION, Job, Outcome, Stop
from verify.sandbox.rpc_relay import relay
from verify.sandbox.watchdog import Watchdog
from verify.sandbox.worker import Plan, Zygote, ZygoteDied, plan_with

_QUIET = 0.005
"""Seconds for which a batched job's answers are left in its socket: most jobs finish within that time, which saves a
wake-up."""
_SLOW = 0.05
"""Seconds after which a job counts as slow and the next one is started in parallel."""
_TICK = 0.1
"""Longest wait of one turn of the event loop, in seconds."""
_NO_THREAD = b"can't start new thread"
"""Python's message when the kernel refuses a thread."""
_GRACE = 2.0
"""Seconds within which the zygote must report a child that has run out of time."""


@dataclass(slots=True)
class JobHandle:
    """Children that end together: one, or test code and its candidate."""

    index: int
    """Position of the job in the batch."""
    runs: tuple[ChildProcess, ...]
    watch: Watchdog
    error: Exception | None = None
    """Why it could not be started or had to be abandoned."""
    overlapped: bool = False
    """It ran in parallel with another job."""
    crowded: bool = False
    """A job that ran in parallel exceeded its thread limit."""

    @property
    def over(self) -> bool:
        """True once all of its children have ended."""
        return self.error is not None or all(run.ended is not None for run in self.runs)

    def abandon(self, error: Exception) -> None:
        """Closes its channels and records `error` as the outcome."""
        self.error = error
        for run in self.runs:
            run.close()

    def outcomes(self) -> list[Outcome]:
        """How each of its children ended."""
        if self.error is not None:
            return [Outcome(stop=Stop.INFRASTRUCTURE, detail=str(self.error)) for _ in self.runs or (None,)]
        return [run.outcome() for run in self.runs]

    def starved(self, outcome: Outcome) -> bool:
        """Whether a job in parallel may have caused this outcome: the kernel counts threads by user, not by child.

        A program can fake this; all it gains is one more run.
        """
        if not self.overlapped or outcome.stop not in (Stop.NONE, Stop.INFRASTRUCTURE):
            return False
        unborn = outcome.ended is not None and outcome.ended.fork_errno != 0
        return self.crowded or unborn or any(_NO_THREAD in answer for answer in outcome.answers)


class Sandbox:
    """Zygotes and the event loop that drives them.

    `plan` can simulate kernels that lack a feature; the default is the real machine. `level` is set by
    `verify.sandbox.probe`.
    """

    def __init__(self, config: VerifyConfig | None = None, plan: Plan | None = None):
        self.config = config or VerifyConfig()
        self.plan = plan or Plan()
        self.level = -1
        self.started = 0
        """Zygotes started so far; when it rises, a zygote was replaced and must be probed again."""
        self.bytes_read = 0
        """Bytes read from children so far."""
        self._zygotes: dict[str, Zygote] = {}
        self._next = 0

    def zygote(self, library: str = "") -> Zygote:
        """The zygote for a job, started or replaced if needed. Raises ZygoteDied.

        If this interpreter lacks the library, the plain zygote is used and the program gets its ImportError.
        """
        zygote = self._zygotes.get(library)
        if zygote is not None and not self._worn(zygote):
            return zygote
        if zygote is not None:
            self._drop(zygote)
        plan = plan_with(self.plan, library) if library else self.plan
        if plan is None:
            return self.zygote()
        zygote = self._zygotes[library] = Zygote(plan, self.config)
        self.started += 1
        return zygote

    def _worn(self, zygote: Zygote) -> bool:
        return zygote.jobs >= self.config.recycle_after

    def close(self) -> None:
        """Ends every zygote and with it every child."""
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
        """The running zygotes."""
        return list(self._zygotes.values())

    def run(self, jobs: Sequence[Job]) -> list[Outcome]:
        """Runs the jobs; while one runs, the answers of the previous one are read.

        Never raises for what a program does or for a zygote that dies: the outcome is then `Stop.INFRASTRUCTURE`. A job
        that may have failed because of a job in parallel is run again, alone.
        """
        outcomes: dict[int, Outcome] = {}
        again: list[int] = []
        slow: list[JobHandle] = []

        def collect(handle: JobHandle | None) -> None:
            if handle is None:
                return
            (outcome,) = self._collect(handle)
            outcomes[handle.index] = outcome
            if outcome.stop is Stop.FORBIDDEN:
                for other in (*slow, newest):
                    other.crowded = True
            if handle.starved(outcome):
                again.append(handle.index)

        previous: JobHandle | None = None
        for index, job in enumerate(jobs):
            while slow and any(map(self._worn, self.zygotes)):
                slow = self._wait(slow, collect)  # replacing a zygote ends its children
            newest = handle = self._submit(index, job)
            for other in (*slow, handle) if slow else ():
                other.overlapped = True
            collect(previous)
            previous = None
            if not slow:
                self._wait_quietly(handle)
            while not handle.over and (len(slow) + 1 >= self.config.overlap or handle.runs[0].age < _SLOW):
                slow = [h for h in self._wait([*slow, handle], collect, keep=handle) if h is not handle]
            if handle.over:
                previous = handle
            else:
                slow.append(handle)
        collect(previous)
        while slow:
            slow = self._wait(slow, collect)
        for index in again:
            outcomes[index] = self._run_alone(index, jobs[index])
        return [outcomes[index] for index in range(len(jobs))]

    def _run_alone(self, index: int, job: Job) -> Outcome:
        handle = self._submit(index, job)
        while not handle.over:
            self._turn([handle])
        return self._collect(handle)[0]

    def _wait(self, handles: list[JobHandle], collect: Callable, keep: JobHandle | None = None) -> list[JobHandle]:
        """One turn of the event loop; collects the finished jobs except `keep`, and returns the running ones."""
        self._turn(handles)
        for handle in handles:
            if handle.over and handle is not keep:
                collect(handle)
        return [handle for handle in handles if not handle.over]

    def run_tests(self, tests: Job, candidate: Job) -> tuple[Outcome, Outcome]:
        """Runs test code in one child and the candidate in another; calls are relayed between them unread.

        Returns the outcome of the test driver and that of the candidate. Like `run`, never raises.
        """
        handle = self._submit(0, tests, candidate)
        while not handle.over:
            _converse(handle)
            self._turn([handle])
        driver, answered = self._collect(handle) if len(handle.runs) > 1 else handle.outcomes() * 2
        return driver, answered

    def _submit(self, index: int, *jobs: Job) -> JobHandle:
        """Starts jobs that end together. Never raises: a job that could not be started is over at once."""
        handle = JobHandle(index, (), Watchdog(self.config))
        try:
            for job in jobs:
                handle.runs += (self._start(job),)
        except (ZygoteDied, OSError, ValueError) as error:
            for run in handle.runs:
                self._drop(run.zygote)
            handle.abandon(error)
            handle.runs = ()
        return handle

    def _start(self, job: Job) -> ChildProcess:
        """Sends as much of a job as possible and requests its child. Raises ZygoteDied, OSError."""
        zygote = self.zygote(job.library)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._next = self._next + 1 & 0xFFFFFFFF
        run = ChildProcess(self._next, job, zygote, ours, delivered=len(job.requests) if job.mode == FUNCTION else 0)
        # Opened anew for every child: the flags of an open file are shared by all processes that inherit it, and one
        # program could leave another a message in them.
        fds = [theirs.detach(), os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)]
        try:
            if job.stdin is not None:
                fds.append(sealed_input(job.stdin))
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

    def _collect(self, handle: JobHandle) -> list[Outcome]:
        outcomes = handle.outcomes()
        self.bytes_read += sum(outcome.bytes_read for outcome in outcomes)
        return outcomes

    def _wait_quietly(self, handle: JobHandle) -> None:
        """The fast path of most jobs: there is nothing left to send, so sleep until the zygote reports the end."""
        if handle.over or handle.runs[0].job.mode != FUNCTION or handle.runs[0].pending:
            return
        run = handle.runs[0]
        if run.zygote.poller.poll(_QUIET * 1000):
            self._poll([handle], run.zygote)

    def _turn(self, handles: Sequence[JobHandle]) -> None:
        """Waits for the next event, at most one tick, and handles it."""
        runs = [run for handle in handles if not handle.over for run in handle.runs if run.ended is None]
        zygotes = {run.zygote.control.fileno(): run.zygote for run in runs if not run.zygote.closed}
        poller = select.poll()
        for fd in zygotes:
            poller.register(fd, select.POLLIN)
        actions = _register(poller, runs)
        youngest = min(run.age for run in runs)
        patience = _QUIET if youngest < _QUIET else _SLOW - youngest if youngest < _SLOW else _TICK
        # Looking only on wake-ups would let the program choose the moment.
        patience = min(patience, *(h.watch.patience(h.runs[0].age) for h in handles if not h.over))
        ready = [fd for fd, _ in poller.poll(patience * 1000 + 1)] if len(zygotes) else []
        for fd in ready:
            if fd in actions:
                actions[fd]()
        for fd in ready:
            if fd in zygotes:
                self._poll(handles, zygotes[fd])
        for handle in handles:
            if not handle.over:
                self._attend(handle)
        for handle in handles:
            if not handle.over and any(run.zygote.closed for run in handle.runs if run.ended is None):
                handle.abandon(ZygoteDied("the zygote ended while a job ran"))

    def _poll(self, handles: Sequence[JobHandle], zygote: Zygote) -> None:
        """Reads a zygote's reports, and closes it if it has died."""
        try:
            zygote.poll()
        except ZygoteDied:
            self._drop(zygote)
        for handle in handles:
            for run in handle.runs:
                if run.ended is None and run.zygote is zygote:
                    run.ended = zygote.ended(run.number)

    def _attend(self, handle: JobHandle) -> None:
        """Relays calls, checks time and thread limits, and kills children that must end."""
        if len(handle.runs) > 1:
            relay(*handle.runs)
        handle.watch.look(handle.runs)
        for run in handle.runs:
            if run.ended is None:
                run.time_test()
        now = time.monotonic()
        partner_gone = any(run.ended is not None for run in handle.runs)
        for run in handle.runs:
            if run.ended is not None:
                continue
            if now > (run.kill_requested or run.started + run.job.wall_seconds) + _GRACE:
                # The zygote does not report a child that is out of time: it is stopped or hangs.
                self._drop(run.zygote)
            elif not run.kill_requested and (run.stop or partner_gone):
                run.kill_requested = now
                run.zygote.kill(run.number)


def _converse(handle: JobHandle) -> None:
    """The fast path of most calls: relays lines as long as they follow each other closely.

    Everything else is left to the next turn of the event loop, a moment later.
    """
    poller = select.poll()
    runs = {run.channel.fileno(): run for run in handle.runs}
    for run in handle.runs:
        if run.ended is not None or run.stop or run.pending or run.channel in run.over:
            return
        poller.register(run.channel, select.POLLIN)
    until = time.monotonic() + _SLOW
    while time.monotonic() < until and (ready := poller.poll(_QUIET * 1000)):
        for fd, _ in ready:
            runs[fd].exchange()
        relay(*handle.runs)
        if any([run.stop or run.pending or run.channel in run.over for run in handle.runs]):
            return


def _register(poller: select.poll, runs: Iterable[ChildProcess]) -> dict[int, Callable[[], None]]:
    """Registers the channels that are still read; returns, by descriptor, what to do when one is ready."""
    actions: dict[int, Callable[[], None]] = {}
    for run in runs:
        if run.stop or (run.job.mode == FUNCTION and not run.pending and run.age < _QUIET):
            continue
        if run.channel not in run.over:
            poller.register(run.channel, select.POLLIN | (select.POLLOUT if run.pending else 0))
            actions[run.channel.fileno()] = run.exchange
        if run.output is not None and run.output not in run.over:
            poller.register(run.output, select.POLLIN)
            actions[run.output.fileno()] = run.receive_output
    return actions

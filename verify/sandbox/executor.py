"""Runs jobs: starts zygotes as needed, feeds children, bounds what they send and how long they take.

One thread drives a `Sandbox`. Each job has a socket pair of its own whose far end only its child ever holds. Jobs run
one after another; one that takes long is left to run beside the next, so that an endless loop holds up nobody.
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
"""Seconds for which a batched job's answers are left in its socket: most are through by then, and a wake-up is
saved."""
_SLOW = 0.05
"""Seconds after which a job counts as slow, and the next one is started beside it."""
_TICK = 0.1
"""Seconds between two turns at most."""
_NO_THREAD = b"can't start new thread"
"""How Python reports that the kernel refused a thread."""
_GRACE = 2.0
"""Seconds within which the zygote must report a child whose time is over."""


@dataclass(slots=True)
class JobHandle:
    """Runs that end together: one, or test code and its candidate."""

    number: int
    """Its place in the order of the jobs."""
    runs: tuple[ChildProcess, ...]
    watch: Watchdog
    error: Exception | None = None
    """Why it could not be started, or was lost."""
    beside: bool = False
    """It ran beside another one."""
    crowded: bool = False
    """One beside it bred more threads than it may."""

    @property
    def over(self) -> bool:
        """True where nothing of it runs any more."""
        return self.error is not None or all(run.ended is not None for run in self.runs)

    def lose(self, error: Exception) -> None:
        """Gives it up."""
        self.error = error
        for run in self.runs:
            run.close()

    def outcomes(self) -> list[Outcome]:
        """How each of its runs ended."""
        if self.error is not None:
            return [Outcome(stop=Stop.MACHINERY, detail=str(self.error)) for _ in self.runs or (None,)]
        return [run.outcome() for run in self.runs]

    def starved(self, outcome: Outcome) -> bool:
        """Whether what came of it may be the fault of one beside it: the kernel counts threads by user, not by child.

        A program can say so itself, and is then run twice, no more.
        """
        if not self.beside or outcome.stop not in (Stop.NONE, Stop.MACHINERY):
            return False
        unborn = outcome.ended is not None and outcome.ended.fork_errno != 0
        return self.crowded or unborn or any(_NO_THREAD in answer for answer in outcome.answers)


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
        """Runs the jobs; while one runs, the answers of the one before it are read.

        Never raises for what a program does or for a zygote that dies: such an outcome has `Stop.MACHINERY`. What a
        neighbour may have spoilt is run again, alone.
        """
        outcomes: list[Outcome | None] = [None] * len(jobs)
        again: list[int] = []
        slow: list[JobHandle] = []

        def land(flight: JobHandle | None) -> None:
            if flight is None:
                return
            (outcome,) = self._land(flight)
            outcomes[flight.number] = outcome
            if outcome.stop is Stop.FORBIDDEN:
                for other in (*slow, newest):
                    other.crowded = True
            if flight.starved(outcome):
                again.append(flight.number)

        before: JobHandle | None = None
        for number, job in enumerate(jobs):
            while slow and any(map(self._worn, self.zygotes)):
                slow = self._wait(slow, land)  # a zygote that is replaced takes its children along
            newest = flight = self._launch(number, job)
            for other in (*slow, flight) if slow else ():
                other.beside = True
            land(before)
            before = None
            if not slow:
                self._wait_quietly(flight)
            while not flight.over and (len(slow) + 1 >= self.config.overlap or flight.runs[0].age < _SLOW):
                slow = [f for f in self._wait([*slow, flight], land, but=flight) if f is not flight]
            if flight.over:
                before = flight
            else:
                slow.append(flight)
        land(before)
        while slow:
            slow = self._wait(slow, land)
        for number in again:
            outcomes[number] = self._alone(number, jobs[number])
        return outcomes

    def _alone(self, number: int, job: Job) -> Outcome:
        flight = self._launch(number, job)
        while not flight.over:
            self._turn([flight])
        return self._land(flight)[0]

    def _wait(self, flights: list[JobHandle], land: Callable, but: JobHandle | None = None) -> list[JobHandle]:
        """One turn; lands the flights that are over, save `but`. Answers with those that are not."""
        self._turn(flights)
        for flight in flights:
            if flight.over and flight is not but:
                land(flight)
        return [flight for flight in flights if not flight.over]

    def referee(self, tests: Job, candidate: Job) -> tuple[Outcome, Outcome]:
        """Runs test code in one child and the candidate in another; calls pass between them unread.

        `candidate` streams: its requests are what the tests ask. Never raises, as `run`.
        """
        flight = self._launch(0, tests, candidate)
        while not flight.over:
            _converse(flight)
            self._turn([flight])
        judged, answered = self._land(flight) if len(flight.runs) > 1 else flight.outcomes() * 2
        return judged, answered

    def _launch(self, number: int, *jobs: Job) -> JobHandle:
        """Starts jobs that end together. Never raises: a flight that could not be started is over at once."""
        flight = JobHandle(number, (), Watchdog(self.config))
        try:
            for job in jobs:
                flight.runs += (self._start(job),)
        except (ZygoteDied, OSError, ValueError) as error:
            for run in flight.runs:
                self._drop(run.zygote)
            flight.lose(error)
            flight.runs = ()
        return flight

    def _start(self, job: Job) -> ChildProcess:
        """Sends what can be sent of a job, and asks for its child. Raises ZygoteDied, OSError."""
        zygote = self.zygote(job.library)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self._next = self._next + 1 & 0xFFFFFFFF
        run = ChildProcess(self._next, job, zygote, ours, asked=len(job.requests) if job.mode == FUNCTION else 0)
        # Opened anew for every child: flags of an open file are shared by all who inherit it, and one program
        # could leave another a note in them.
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

    def _land(self, flight: JobHandle) -> list[Outcome]:
        outcomes = flight.outcomes()
        self.bytes_taken += sum(outcome.bytes_taken for outcome in outcomes)
        return outcomes

    def _wait_quietly(self, flight: JobHandle) -> None:
        """The quick way of most jobs: nothing is to be fed, so sleep until the zygote says that it is over."""
        if flight.over or flight.runs[0].job.mode != FUNCTION or flight.runs[0].pending:
            return
        run = flight.runs[0]
        if run.zygote.poller.poll(_QUIET * 1000):
            self._hear([flight], run.zygote)

    def _turn(self, flights: Sequence[JobHandle]) -> None:
        """Waits for something to happen, for a tick at most, and attends to it."""
        runs = [run for flight in flights if not flight.over for run in flight.runs if run.ended is None]
        zygotes = {run.zygote.control.fileno(): run.zygote for run in runs if not run.zygote.closed}
        poller = select.poll()
        for fd in zygotes:
            poller.register(fd, select.POLLIN)
        steps = _listen(poller, runs)
        youngest = min(run.age for run in runs)
        patience = _QUIET if youngest < _QUIET else _SLOW - youngest if youngest < _SLOW else _TICK
        # Who looks on another's wake-up looks when the program wants it.
        patience = min(patience, *(f.watch.patience(f.runs[0].age) for f in flights if not f.over))
        ready = [fd for fd, _ in poller.poll(patience * 1000 + 1)] if len(zygotes) else []
        for fd in ready:
            if fd in steps:
                steps[fd]()
        for fd in ready:
            if fd in zygotes:
                self._hear(flights, zygotes[fd])
        for flight in flights:
            if not flight.over:
                self._attend(flight)
        for flight in flights:
            if not flight.over and any(run.zygote.closed for run in flight.runs if run.ended is None):
                flight.lose(ZygoteDied("the zygote ended while a job ran"))

    def _hear(self, flights: Sequence[JobHandle], zygote: Zygote) -> None:
        """Takes in what a zygote reports, and closes one that has died."""
        try:
            zygote.hear()
        except ZygoteDied:
            self._drop(zygote)
        for flight in flights:
            for run in flight.runs:
                if run.ended is None and run.zygote is zygote:
                    run.ended = zygote.ended(run.number)

    def _attend(self, flight: JobHandle) -> None:
        """Passes on calls, looks after sleepers, ends what is to be ended."""
        if len(flight.runs) > 1:
            relay(*flight.runs)
        flight.watch.look(flight.runs)
        for run in flight.runs:
            if run.ended is None:
                run.time_test()
        now = time.monotonic()
        partner_gone = any(run.ended is not None for run in flight.runs)
        for run in flight.runs:
            if run.ended is not None:
                continue
            if now > (run.told or run.started + run.job.wall_seconds) + _GRACE:
                # It does not report a child whose time is over: it is stopped, or hangs.
                self._drop(run.zygote)
            elif not run.told and (run.stop or partner_gone):
                run.told = now
                run.zygote.kill(run.number)


def _converse(flight: JobHandle) -> None:
    """The quick way of most calls: passes lines on for as long as they come one upon the other.

    Whatever else there is to attend to is left to the turn that follows, a moment later.
    """
    poller = select.poll()
    runs = {run.channel.fileno(): run for run in flight.runs}
    for run in flight.runs:
        if run.ended is not None or run.stop or run.pending or run.channel in run.over:
            return
        poller.register(run.channel, select.POLLIN)
    until = time.monotonic() + _SLOW
    while time.monotonic() < until and (ready := poller.poll(_QUIET * 1000)):
        for fd, _ in ready:
            runs[fd].exchange()
        relay(*flight.runs)
        if any([run.stop or run.pending or run.channel in run.over for run in flight.runs]):
            return


def _listen(poller: select.poll, runs: Iterable[ChildProcess]) -> dict[int, Callable[[], None]]:
    """Registers the channels of runs that are still heard; what to do when one is ready."""
    steps: dict[int, Callable[[], None]] = {}
    for run in runs:
        if run.stop or (run.job.mode == FUNCTION and not run.pending and run.age < _QUIET):
            continue
        if run.channel not in run.over:
            poller.register(run.channel, select.POLLIN | (select.POLLOUT if run.pending else 0))
            steps[run.channel.fileno()] = run.exchange
        if run.output is not None and run.output not in run.over:
            poller.register(run.output, select.POLLIN)
            steps[run.output.fileno()] = run.receive_output
    return steps

"""Shared by the kinds of problems: running with retries, statuses of outcomes, a CPU budget over several tests."""

from __future__ import annotations

import logging
import re
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from problems.plain_text import one_line
from problems.problem import Problem, Status, Verdict
from verify.config import VerifyConfig
from verify.prepare import Prepared
from verify.sandbox import protocol
from verify.sandbox.executor import Sandbox
from verify.sandbox.protocol import Job, Outcome, Stop

log = logging.getLogger(__name__)

DETAIL = 300
"""Most characters of a verdict's detail."""
NOT_COMPARED = "the judge could not read or compare it"
"""Start of the detail of a verdict for a completion on which the judge itself raised."""

STATUS_OF_STOP = {
    Stop.TIMEOUT: Status.TIMEOUT,
    Stop.MEMORY: Status.OUT_OF_MEMORY,
    Stop.FLOOD: Status.OUTPUT_FLOOD,
    Stop.FORGED: Status.FORBIDDEN,
    Stop.FORBIDDEN: Status.FORBIDDEN,
    Stop.INFRASTRUCTURE: Status.INFRASTRUCTURE,
}
_SHOWN = 120
"""Most characters of a wrong answer that a detail shows."""
_NUMPY = re.compile(r"\bnumpy\b")
_REFUSED = "PermissionError"


def library_of(code: str) -> str:
    """The library whose zygote a program should run in; "" for the plain zygote."""
    return "numpy" if _NUMPY.search(code) else ""


def preamble_of(problem: Problem) -> str:
    """The code that runs before a program: the problem's own preamble, and an import of `typing` if the signature in
    the prompt uses it, because programs repeat its annotations without importing them.
    """
    return _typing_names(problem.signature) + problem.preamble


@cache
def _typing_names(signature: str) -> str:
    words = set(re.findall(r"[^\W\d]\w*", signature))
    shown = {word for word in words if word in typing.__all__ and word[0].isupper()}
    return "import typing\nfrom typing import *\n" if shown or "typing" in words else ""


def run_retrying(work: Sequence[Job], sandbox: Sandbox) -> list[Outcome]:
    """Runs jobs; repeats those that ended by a failure of the infrastructure, up to `retries` times."""
    outcomes = sandbox.run(work)
    for _ in range(sandbox.config.retries):
        failed = [i for i, outcome in enumerate(outcomes) if outcome.stop is Stop.INFRASTRUCTURE]
        if not failed:
            break
        for i, outcome in zip(failed, sandbox.run([work[i] for i in failed])):
            outcomes[i] = outcome
    for outcome in outcomes:
        if outcome.stop is Stop.INFRASTRUCTURE and outcome.memory_mib > sandbox.config.memory_mib / 2:
            # Killed from outside every time, and large every time: this program filled the machine's memory.
            outcome.stop, outcome.detail = Stop.MEMORY, "the machine ran out of memory"
    return outcomes


def status_of(answer: bytes) -> Status:
    """The status that a line of the child amounts to, unless it is a right answer."""
    match protocol.kind(answer):
        case protocol.MEMORY:
            return Status.OUT_OF_MEMORY
        case protocol.FLOOD:
            return Status.OUTPUT_FLOOD
        case protocol.RAISED | protocol.UNLOADED:
            return Status.FORBIDDEN if protocol.text(answer).startswith(_REFUSED) else Status.EXCEPTION
        case protocol.VALUE | protocol.NOT_PLAIN:
            return Status.WRONG_ANSWER
    return Status.FORBIDDEN


def describe(answer: bytes) -> str:
    """A line of the child that is not a right answer, for messages."""
    output = protocol.text(answer)
    match protocol.kind(answer):
        case protocol.VALUE:
            return f"answered {output[:_SHOWN]}"
        case protocol.NOT_PLAIN:
            return f"answered with a {output}, which is not plain data"
        case protocol.FLOOD:
            return f"an answer of {output} bytes"
        case protocol.RAISED | protocol.UNLOADED | protocol.MEMORY:
            return output
    return "it wrote on the result channel"


def how_it_ended(outcome: Outcome) -> str:
    """Exit status or signal, for messages."""
    if outcome.ended is None:
        return "no child"
    return f"signal {outcome.ended.signal}" if outcome.ended.signal else f"exit status {outcome.ended.status >> 8}"


def guarded(judge: Callable[[], Verdict], total: int, level: int) -> Verdict:
    """The verdict of `judge`, or of `not_compared` if it raises."""
    try:
        return judge()
    except Exception as error:
        return not_compared(error, total, level)


def not_compared(error: Exception, total: int, level: int = -1) -> Verdict:
    """A wrong answer, for a candidate whose text made the judge itself raise.

    This must not affect other candidates, and must not exempt this one from scoring. It is logged, because each such
    text reveals a bug in the judge.
    """
    log.warning("%s: %s", NOT_COMPARED, type(error).__name__, exc_info=error)
    detail = one_line(f"{NOT_COMPARED}: {type(error).__name__}: {error}", DETAIL)
    return Verdict(Status.WRONG_ANSWER, tests_total=total, isolation=level, detail=detail)


def unjudged(prepared: Prepared, outcome: Outcome, level: int, detail: str) -> Verdict:
    """The verdict after a failure of the infrastructure."""
    return verdict_of(prepared, outcome, level, Status.INFRASTRUCTURE, detail=detail)


def verdict_of(
    prepared: Prepared,
    outcome: Outcome,
    level: int,
    status: Status,
    passed: int = 0,
    run: int = 0,
    detail: str = "",
) -> Verdict:
    """A verdict with the child's measured time and memory."""
    ended = outcome.ended
    if ended is None:
        return Verdict(status, passed, run, prepared.total, isolation=level, detail=one_line(detail, DETAIL))
    return Verdict(
        status,
        passed,
        run,
        prepared.total,
        round(ended.cpu_seconds, 6),
        round(ended.wall_seconds, 6),
        round(ended.memory_mib, 1),
        level,
        one_line(detail, DETAIL),
    )


@dataclass(slots=True)
class VerdictBuilder:
    """Builds the verdict of a solution that runs in several children, each with its own limits and one CPU budget."""

    prepared: Prepared
    config: VerifyConfig
    spent: float = 0.0
    wall: float = 0.0
    memory: float = 0.0
    passed: int = 0
    run: int = 0
    first: Status | None = None
    why: str = ""

    @property
    def budget(self) -> float:
        """CPU seconds for all tests together."""
        return self.config.total_cpu_seconds(self.prepared.total)

    @property
    def over(self) -> bool:
        """Whether to stop: the budget is spent, or a test ran out of its own time, as the next one probably would."""
        return self.budget - self.spent < 0.001 or self.first is Status.TIMEOUT

    @property
    def limits(self) -> tuple[float, float]:
        """CPU and wall time, in seconds, of the next child."""
        seconds = min(self.config.cpu_seconds, self.budget - self.spent)
        return seconds, seconds * self.config.wall_factor

    def spend(self, outcome: Outcome) -> None:
        """Adds a child's time and memory."""
        self.spent += outcome.cpu_seconds
        self.wall += outcome.wall_seconds
        self.memory = max(self.memory, outcome.memory_mib)

    def count(self, status: Status, detail: str) -> None:
        """Adds a test's result."""
        self.run += 1
        self.passed += status is Status.PASSED
        if status is not Status.PASSED and self.first is None:
            self.first, self.why = status, f"test {self.run}: {detail}"

    def verdict(self, level: int) -> Verdict:
        """The verdict, after every test has run or the budget is spent."""
        if self.run < self.prepared.total:
            spent = f"over {self.budget:g} s of CPU time after {self.run} of {self.prepared.total} tests"
            self.first, self.why = self.first or Status.TIMEOUT, self.why or spent
        return Verdict(
            self.first or Status.PASSED,
            self.passed,
            self.run,
            self.prepared.total,
            round(self.spent, 6),
            round(self.wall, 6),
            round(self.memory, 1),
            level,
            one_line(self.why, DETAIL),
        )

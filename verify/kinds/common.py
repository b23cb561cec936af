"""What the kinds share: running with retries, statuses of outcomes, a budget over several tests."""

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
"""Characters of a verdict's detail."""
NOT_COMPARED = "the judge could not read or compare it"
"""How the detail begins of a verdict on something that made the judge itself raise."""

STATUS_OF_STOP = {
    Stop.TIMEOUT: Status.TIMEOUT,
    Stop.MEMORY: Status.OUT_OF_MEMORY,
    Stop.FLOOD: Status.OUTPUT_FLOOD,
    Stop.FORGED: Status.FORBIDDEN,
    Stop.FORBIDDEN: Status.FORBIDDEN,
    Stop.MACHINERY: Status.INFRASTRUCTURE,
}
_SHOWN = 120
"""Characters of a wrong answer that a detail shows."""
_NUMPY = re.compile(r"\bnumpy\b")
_REFUSED = "PermissionError"


def library_of(code: str) -> str:
    """The library that a program is better run with."""
    return "numpy" if _NUMPY.search(code) else ""


def preamble_of(problem: Problem) -> str:
    """What a program of the problem stands behind: the problem's own preamble, and the names of `typing` where the
    signature that it was shown has such: programs repeat its annotations without an import.
    """
    return _typing_names(problem.signature) + problem.preamble


@cache
def _typing_names(signature: str) -> str:
    words = set(re.findall(r"[^\W\d]\w*", signature))
    shown = {word for word in words if word in typing.__all__ and word[0].isupper()}
    return "import typing\nfrom typing import *\n" if shown or "typing" in words else ""


def run_retrying(work: Sequence[Job], sandbox: Sandbox) -> list[Outcome]:
    """Runs jobs; those that the machinery failed are run again, `retries` times."""
    outcomes = sandbox.run(work)
    for _ in range(sandbox.config.retries):
        failed = [i for i, outcome in enumerate(outcomes) if outcome.stop is Stop.MACHINERY]
        if not failed:
            break
        for i, outcome in zip(failed, sandbox.run([work[i] for i in failed])):
            outcomes[i] = outcome
    for outcome in outcomes:
        if outcome.stop is Stop.MACHINERY and outcome.memory_mib > sandbox.config.memory_mib / 2:
            # Killed from outside every time, and large every time: it is what filled the machine's memory.
            outcome.stop, outcome.detail = Stop.MEMORY, "the machine ran out of memory"
    return outcomes


def status_of(answer: bytes) -> Status:
    """What a line of the child amounts to where it is not a right answer."""
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
    """The same, for people."""
    said = protocol.text(answer)
    match protocol.kind(answer):
        case protocol.VALUE:
            return f"answered {said[:_SHOWN]}"
        case protocol.NOT_PLAIN:
            return f"answered with a {said}, which is not plain data"
        case protocol.FLOOD:
            return f"an answer of {said} bytes"
        case protocol.RAISED | protocol.UNLOADED | protocol.MEMORY:
            return said
    return "it wrote on the result channel"


def how_it_ended(outcome: Outcome) -> str:
    """Exit status or signal, for people."""
    if outcome.ended is None:
        return "no child"
    return f"signal {outcome.ended.signal}" if outcome.ended.signal else f"exit status {outcome.ended.status >> 8}"


def guarded(judge: Callable[[], Verdict], total: int, level: int) -> Verdict:
    """The verdict of `judge`, or of `not_compared` where it raises."""
    try:
        return judge()
    except Exception as error:
        return not_compared(error, total, level)


def not_compared(error: Exception, total: int, level: int = -1) -> Verdict:
    """A wrong answer: reading or comparing a candidate's text made the judge itself raise.

    That must cost its neighbours nothing, and must be no excuse from scoring. It is logged: each such text shows a
    fault of the judge's that is to be mended.
    """
    log.warning("%s: %s", NOT_COMPARED, type(error).__name__, exc_info=error)
    detail = one_line(f"{NOT_COMPARED}: {type(error).__name__}: {error}", DETAIL)
    return Verdict(Status.WRONG_ANSWER, tests_total=total, isolation=level, detail=detail)


def unjudged(prepared: Prepared, outcome: Outcome, level: int, detail: str) -> Verdict:
    """The verdict where the machinery failed."""
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
    """A verdict with what was measured of the child."""
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
class Tally:
    """One solution over several children, each with a limit of its own, that share one budget of CPU time."""

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
        """CPU seconds of all tests together."""
        return self.config.total_cpu_seconds(self.prepared.total)

    @property
    def over(self) -> bool:
        """Whether no test is left to run: the budget is spent, or a test ran out of its own time, as the next would."""
        return self.budget - self.spent < 0.001 or self.first is Status.TIMEOUT

    @property
    def limits(self) -> dict[str, float]:
        """`cpu_seconds` and `wall_seconds` of the next child."""
        seconds = min(self.config.cpu_seconds, self.budget - self.spent)
        return {"cpu_seconds": seconds, "wall_seconds": seconds * self.config.wall_factor}

    def spend(self, outcome: Outcome) -> None:
        """Books a child's time and memory."""
        self.spent += outcome.cpu_seconds
        self.wall += outcome.wall_seconds
        self.memory = max(self.memory, outcome.memory_mib)

    def count(self, status: Status, detail: str) -> None:
        """Books a test's result."""
        self.run += 1
        self.passed += status is Status.PASSED
        if status is not Status.PASSED and self.first is None:
            self.first, self.why = status, f"test {self.run}: {detail}"

    def verdict(self, level: int) -> Verdict:
        """The verdict, once every test was run or the budget is spent."""
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

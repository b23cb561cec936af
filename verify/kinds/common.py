"""What the kinds share: running with retries, statuses of outcomes, a budget over several tests."""

from __future__ import annotations

import re
import typing
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from problems.problem import Status, Verdict
from verify.config import VerifyConfig
from verify.prepare import Prepared
from verify.sandbox import jobs
from verify.sandbox.jobs import Job, Outcome, Stop
from verify.sandbox.runner import Sandbox

DETAIL = 300
"""Characters of a verdict's detail."""

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


def one_line(text: str) -> str:
    """A detail that can be shown: what a program says may hold escape sequences for a terminal."""
    return "".join([c if c.isprintable() else "?" for c in text[:DETAIL]])


def library_of(code: str) -> str:
    """The library that a program is better run with."""
    return "numpy" if _NUMPY.search(code) else ""


@cache
def preamble_of(signature: str) -> str:
    """What a program of the problem finds imported: names of `typing`, where the signature that it was shown has such.

    The signature is all of the file that a prompt shows, and programs repeat its annotations without an import.
    """
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
    match jobs.kind(answer):
        case jobs.MEMORY:
            return Status.OUT_OF_MEMORY
        case jobs.FLOOD:
            return Status.OUTPUT_FLOOD
        case jobs.RAISED | jobs.UNLOADED:
            return Status.FORBIDDEN if jobs.text(answer).startswith(_REFUSED) else Status.EXCEPTION
        case jobs.VALUE | jobs.NOT_PLAIN:
            return Status.WRONG_ANSWER
    return Status.FORBIDDEN


def describe(answer: bytes) -> str:
    """The same, for people."""
    said = jobs.text(answer)
    match jobs.kind(answer):
        case jobs.VALUE:
            return f"answered {said[:_SHOWN]}"
        case jobs.NOT_PLAIN:
            return f"answered with a {said}, which is not plain data"
        case jobs.FLOOD:
            return f"an answer of {said} bytes"
        case jobs.RAISED | jobs.UNLOADED | jobs.MEMORY:
            return said
    return "it wrote on the result channel"


def how_it_ended(outcome: Outcome) -> str:
    """Exit status or signal, for people."""
    if outcome.ended is None:
        return "no child"
    return f"signal {outcome.ended.signal}" if outcome.ended.signal else f"exit status {outcome.ended.status >> 8}"


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
        return Verdict(status, passed, run, prepared.total, isolation=level, detail=one_line(detail))
    return Verdict(
        status,
        passed,
        run,
        prepared.total,
        round(ended.cpu_seconds, 6),
        round(ended.wall_seconds, 6),
        round(ended.memory_mib, 1),
        level,
        one_line(detail),
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
            one_line(self.why),
        )

"""Problems whose tests are code: the test code in one child, the candidate in another.

The candidate never sees an assertion, and the assertions see of it plain data and proxies of its objects.
"""

from __future__ import annotations

from collections.abc import Mapping

from problems.problem import Status, Verdict
from verify.kinds.common import (
    STATUS_OF_STOP,
    Tally,
    how_it_ended,
    library_of,
    preamble_of,
    status_of,
    unjudged,
)
from verify.prepare import Prepared
from verify.sandbox import protocol
from verify.sandbox.executor import Sandbox
from verify.sandbox.protocol import Job, Outcome, Stop

_CALLS = 1_000_000
"""Calls that test code may make; CPU time is the limit in practice."""
_TESTS_OUTPUT = 1 << 26
"""What test code may send: the arguments of all of its calls."""


def judge(prepared: Prepared, code: str, sandbox: Sandbox) -> Verdict:
    """Judges one program; its tests share one budget of CPU time."""
    config, problem = sandbox.config, prepared.problem
    tally = Tally(prepared, config)
    for number, test in enumerate(problem.hidden_tests, start=1):
        work = _jobs(prepared, test.args[0], code, tally.limits)
        for _ in range(config.retries + 1):
            judged, answered = sandbox.referee(*work)
            status, detail = _result(judged, answered, config.memory_mib)
            if status is not Status.INFRASTRUCTURE:
                break
        if status is Status.INFRASTRUCTURE:
            return unjudged(prepared, answered, sandbox.level, f"test {number} of problem {problem.id}: {detail}")
        tally.spend(answered)
        tally.count(status, detail)
        if tally.over:
            break
    return tally.verdict(sandbox.level)


def _jobs(prepared: Prepared, tests: str, code: str, limits: Mapping[str, float]) -> tuple[Job, Job]:
    """What the sandbox is asked: to run the tests, and to serve the candidate to them."""
    preamble = preamble_of(prepared.problem)
    library = library_of(tests + preamble)
    shared = {"requests": (), "preamble": preamble, "arrays": bool(library), **limits}
    referee = Job(
        protocol.REFEREE, tests, prepared.problem.entry_point, output_bytes=_TESTS_OUTPUT, library=library, **shared
    )
    candidate = Job(
        protocol.SERVE,
        code,
        "",
        output_bytes=prepared.output_bytes,
        library=library or library_of(code),
        calls=_CALLS,
        **shared,
    )
    return referee, candidate


def _result(judged: Outcome, answered: Outcome, memory_mib: int) -> tuple[Status, str]:
    """What the test code found, unless the candidate was ended first.

    Test code that fails before the candidate has answered anything fails whatever is answered: the problem's own
    fault. Once the candidate has answered, it is the answer that makes the test run out of time or memory.
    """
    used = any(protocol.kind(answer) != protocol.UNLOADED for answer in answered.answers)
    final = judged.answers[-1] if judged.answers else b""
    idle = not used and protocol.kind(final) != protocol.CALL
    if answered.stop is Stop.MACHINERY and judged.stop is Stop.NONE and protocol.kind(final) == protocol.UNLOADED:
        # The tests were over before the candidate was up, which was then ended.
        return Status.INFRASTRUCTURE, protocol.text(final)
    if Stop.MACHINERY in (judged.stop, answered.stop):
        if used and judged.stop is Stop.MACHINERY and judged.memory_mib > memory_mib / 2:
            return Status.OUT_OF_MEMORY, "the tests ran out of memory with what it answered"
        return Status.INFRASTRUCTURE, judged.detail or answered.detail
    if idle and judged.stop is not Stop.NONE:
        return Status.INFRASTRUCTURE, f"the test code itself: {judged.detail}"
    if answered.stop is not Stop.NONE:
        return STATUS_OF_STOP[answered.stop], answered.detail
    if (failure := answered.load_failure) is not None:
        return status_of(failure), protocol.text(failure)
    if judged.stop is not Stop.NONE:
        return STATUS_OF_STOP[judged.stop], f"the tests, with what it answered: {judged.detail}"
    return _finding(final, answered, used)


def _finding(final: bytes, answered: Outcome, used: bool) -> tuple[Status, str]:
    """What the last line of test code that ended by itself says of the candidate."""
    match protocol.kind(final):
        case protocol.DONE:
            return Status.PASSED, ""
        case protocol.FORGERY:
            return Status.FORBIDDEN, "it wrote on the result channel"
        case protocol.UNLOADED if used:
            return Status.WRONG_ANSWER, protocol.text(final)
        case protocol.UNLOADED:
            return Status.INFRASTRUCTURE, protocol.text(final)
        case protocol.NOT_PLAIN if used:
            return Status.WRONG_ANSWER, protocol.text(final)
        case protocol.NOT_PLAIN:
            return Status.INFRASTRUCTURE, f"the test code itself: {protocol.text(final)}"
        case protocol.MEMORY if used:
            return Status.OUT_OF_MEMORY, "the tests ran out of memory with what it answered"
        case protocol.RAISED if used:
            raised = [a for a in answered.answers if protocol.kind(a) in (protocol.RAISED, protocol.MEMORY)]
            blamed = raised[-1] if raised else final
            return status_of(blamed), protocol.text(blamed).partition("\t")[0]
        case protocol.RAISED | protocol.MEMORY:
            return Status.INFRASTRUCTURE, f"the test code itself: {protocol.text(final)}"
    return Status.EXCEPTION, f"it ended before it answered ({how_it_ended(answered)})"

"""Judges problems whose tests are code: the test driver runs in one child, the candidate in another.

The candidate never sees an assertion, and an assertion sees only plain data and proxies of the candidate's objects.
"""

from __future__ import annotations

from dataclasses import replace

from problems.problem import Status, Verdict
from verify.kinds.common import (
    STATUS_OF_STOP,
    VerdictBuilder,
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
"""Most calls that test code may make; CPU time is the limit in practice."""
_ENDED_EARLY = (protocol.UNLOADED, protocol.NOT_PLAIN, protocol.RAISED, protocol.MEMORY)
"""Kinds of a test driver's last line if it ended without an answer of the candidate."""
_TESTS_OUT_OF_MEMORY = "the tests ran out of memory with its answers"
_TESTS_OUTPUT = 1 << 26
"""Most bytes that a test driver may send: the arguments of all of its calls."""


def judge(prepared: Prepared, code: str, sandbox: Sandbox) -> Verdict:
    """Judges one program; its tests share one budget of CPU time."""
    config, problem = sandbox.config, prepared.problem
    builder = VerdictBuilder(prepared, config)
    for number, test in enumerate(problem.hidden_tests, start=1):
        work = _jobs(prepared, test.args[0], code, builder.limits)
        for _ in range(config.retries + 1):
            driver, answered = sandbox.run_tests(*work)
            status, detail = _result(driver, answered, config.memory_mib)
            if status is not Status.INFRASTRUCTURE:
                break
        if status is Status.INFRASTRUCTURE:
            return unjudged(prepared, answered, sandbox.level, f"test {number} of problem {problem.id}: {detail}")
        builder.spend(answered)
        builder.count(status, detail)
        if builder.over:
            break
    return builder.verdict(sandbox.level)


def _jobs(prepared: Prepared, tests: str, code: str, limits: tuple[float, float]) -> tuple[Job, Job]:
    """The sandbox's two jobs: the test driver and the candidate."""
    preamble = preamble_of(prepared.problem)
    library = library_of(tests + preamble)
    driver = Job(
        protocol.TEST_DRIVER,
        tests,
        prepared.problem.entry_point,
        (),
        *limits,
        _TESTS_OUTPUT,
        library=library,
        preamble=preamble,
        arrays=bool(library),
    )
    candidate = replace(
        driver,
        mode=protocol.SERVE,
        code=code,
        entry="",
        output_bytes=prepared.output_bytes,
        library=library or library_of(code),
        calls=_CALLS,
    )
    return driver, candidate


def _result(driver: Outcome, answered: Outcome, memory_mib: int) -> tuple[Status, str]:
    """The result of the test code, unless the candidate ended first.

    Test code that fails before the candidate has answered would fail for any answer: that is the problem's fault. After
    an answer, running out of time or memory is blamed on the answer.
    """
    used = any(protocol.kind(answer) != protocol.UNLOADED for answer in answered.answers)
    final = driver.answers[-1] if driver.answers else b""
    idle = not used and protocol.kind(final) != protocol.CALL
    if (
        answered.stop is Stop.INFRASTRUCTURE
        and driver.stop is Stop.NONE
        and idle
        and protocol.kind(final) in _ENDED_EARLY
    ):
        # The tests ended before the candidate was up, which was therefore killed.
        return _finding(final, answered, used)
    if Stop.INFRASTRUCTURE in (driver.stop, answered.stop):
        if used and driver.stop is Stop.INFRASTRUCTURE and driver.memory_mib > memory_mib / 2:
            return Status.OUT_OF_MEMORY, _TESTS_OUT_OF_MEMORY
        return Status.INFRASTRUCTURE, driver.detail or answered.detail
    if idle and driver.stop is not Stop.NONE:
        return Status.INFRASTRUCTURE, f"the test code itself: {driver.detail}"
    if answered.stop is not Stop.NONE:
        return STATUS_OF_STOP[answered.stop], answered.detail
    if (failure := answered.load_failure) is not None:
        return status_of(failure), protocol.text(failure)
    if driver.stop is not Stop.NONE:
        return STATUS_OF_STOP[driver.stop], f"the tests, with its answers: {driver.detail}"
    return _finding(final, answered, used)


def _finding(final: bytes, answered: Outcome, used: bool) -> tuple[Status, str]:
    """The result according to the last line of a test driver that exited by itself."""
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
            return Status.OUT_OF_MEMORY, _TESTS_OUT_OF_MEMORY
        case protocol.RAISED if used:
            raised = [a for a in answered.answers if protocol.kind(a) in (protocol.RAISED, protocol.MEMORY)]
            blamed = raised[-1] if raised else final
            return status_of(blamed), protocol.text(blamed).partition("\t")[0]
        case protocol.RAISED | protocol.MEMORY:
            return Status.INFRASTRUCTURE, f"the test code itself: {protocol.text(final)}"
    return Status.EXCEPTION, f"it ended before it answered ({how_it_ended(answered)})"

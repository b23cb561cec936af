"""Problems whose tests are code: the test code in one child, the candidate in another.

The candidate never sees an assertion, and the assertions see of it only plain data.
"""

from __future__ import annotations

from problems.problem import Status, Verdict
from verify.kinds.common import (
    STATUS_OF_STOP,
    Tally,
    how_it_ended,
    library_of,
    status_of,
    unjudged,
)
from verify.prepare import Prepared
from verify.sandbox import jobs
from verify.sandbox.jobs import Job, Outcome, Stop
from verify.sandbox.runner import Sandbox

_CALLS = 1_000_000
"""Calls that test code may make; CPU time is the limit in practice."""
_TESTS_OUTPUT = 1 << 26
"""What test code may send: the arguments of all of its calls."""


def judge(prepared: Prepared, code: str, sandbox: Sandbox) -> Verdict:
    """Judges one program; its tests share one budget of CPU time."""
    config, problem = sandbox.config, prepared.problem
    tally = Tally(prepared, config)
    for number, test in enumerate(problem.hidden_tests, start=1):
        limits = tally.limits
        tests = Job(jobs.REFEREE, test.args[0], problem.entry_point, (), output_bytes=_TESTS_OUTPUT, **limits)
        candidate = Job(
            jobs.STREAM,
            code,
            "",
            (),
            output_bytes=prepared.output_bytes,
            library=library_of(code),
            calls=_CALLS,
            **limits,
        )
        for _ in range(config.retries + 1):
            judged, answered = sandbox.referee(tests, candidate)
            if Stop.MACHINERY not in (judged.stop, answered.stop):
                break
        status, detail = _result(judged, answered)
        if status is Status.INFRASTRUCTURE:
            return unjudged(prepared, answered, sandbox.level, f"test {number} of problem {problem.id}: {detail}")
        tally.spend(answered)
        tally.count(status, detail)
        if tally.over:
            break
    return tally.verdict(sandbox.level)


def _result(judged: Outcome, answered: Outcome) -> tuple[Status, str]:
    """What the test code found, unless the candidate was ended first."""
    if Stop.MACHINERY in (judged.stop, answered.stop):
        return Status.INFRASTRUCTURE, judged.detail or answered.detail
    if answered.stop is not Stop.NONE:
        return STATUS_OF_STOP[answered.stop], answered.detail
    if (failure := answered.load_failure) is not None:
        return status_of(failure), jobs.text(failure)
    if judged.stop is not Stop.NONE:
        return Status.INFRASTRUCTURE, f"the test code itself: {judged.detail}"
    final = judged.answers[-1] if judged.answers else b""
    match jobs.kind(final):
        case jobs.DONE:
            return Status.PASSED, ""
        case jobs.NOT_PLAIN:
            return Status.WRONG_ANSWER, jobs.text(final)
        case jobs.RAISED:
            raised = [a for a in answered.answers if jobs.kind(a) in (jobs.RAISED, jobs.MEMORY)]
            blamed = raised[-1] if raised else final
            return status_of(blamed), jobs.text(blamed)
    return Status.EXCEPTION, f"it ended before it answered ({how_it_ended(answered)})"

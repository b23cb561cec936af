"""Judges whole programs: one child for each test, input on descriptor 0, output on 1."""

from __future__ import annotations

from problems.problem import Status, Test, Verdict
from verify.kinds.common import (
    STATUS_OF_STOP,
    VerdictBuilder,
    describe,
    how_it_ended,
    library_of,
    run_retrying,
    status_of,
    unjudged,
)
from verify.prepare import Prepared
from verify.sandbox import protocol
from verify.sandbox.executor import Sandbox
from verify.sandbox.protocol import Job, Outcome, Stop


def judge(prepared: Prepared, code: str, sandbox: Sandbox) -> Verdict:
    """Judges one program, in a new child for each test so that none sees another's input.

    Stops at the first test that runs out of time.
    """
    builder = VerdictBuilder(prepared, sandbox.config)
    for test, expected in zip(prepared.problem.hidden_tests, prepared.expected):
        cpu_seconds, wall_seconds = builder.limits
        job = Job(
            mode=protocol.SCRIPT,
            code=code,
            entry="",
            requests=(),
            cpu_seconds=cpu_seconds,
            wall_seconds=wall_seconds,
            output_bytes=prepared.output_bytes,
            stdin=test.args[0].encode("utf-8", "surrogateescape"),
            library=library_of(code),
        )
        outcome = run_retrying([job], sandbox)[0]
        if outcome.stop is Stop.INFRASTRUCTURE:
            return unjudged(prepared, outcome, sandbox.level, outcome.detail)
        builder.spend(outcome)
        builder.count(*_result(prepared, test, expected, outcome))
        if builder.over:
            break
    return builder.verdict(sandbox.level)


def _result(prepared: Prepared, test: Test, expected: str, outcome: Outcome) -> tuple[Status, str]:
    if outcome.stop is not Stop.NONE:
        return STATUS_OF_STOP[outcome.stop], outcome.detail
    report = outcome.answers[0] if outcome.answers else protocol.DONE
    if report != protocol.DONE:
        return status_of(report), describe(report)
    if outcome.ended is None or outcome.ended.status != 0:
        return Status.EXCEPTION, f"it ended with {how_it_ended(outcome)}"
    if prepared.checker.compare(test, expected, outcome.stdout.decode("utf-8", "replace")):
        return Status.PASSED, ""
    return Status.WRONG_ANSWER, "wrong output"

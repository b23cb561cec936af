"""Judges functions: one child runs all calls of a solution."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from problems.problem import Status, Verdict
from verify.config import VerifyConfig
from verify.kinds.common import (
    STATUS_OF_STOP,
    describe,
    guarded,
    how_it_ended,
    library_of,
    preamble_of,
    run_retrying,
    status_of,
    unjudged,
    verdict_of,
)
from verify.prepare import Prepared
from verify.sandbox import protocol
from verify.sandbox.executor import Sandbox
from verify.sandbox.protocol import Job, Outcome, Stop


def judge_all(work: Sequence[tuple[Prepared, str]], sandbox: Sandbox) -> list[Verdict]:
    """Judges programs, in one pass through the sandbox."""
    outcomes = run_retrying([job(prepared, code, sandbox.config) for prepared, code in work], sandbox)
    return [
        guarded(partial(judge_outcome, prepared, outcome, sandbox.level), prepared.total, sandbox.level)
        for (prepared, _), outcome in zip(work, outcomes)
    ]


def job(prepared: Prepared, code: str, config: VerifyConfig) -> Job:
    """The sandbox's job for one program."""
    cpu_seconds = config.total_cpu_seconds(prepared.total)
    return Job(
        mode=protocol.STREAM if config.feed == "streamed" else protocol.FUNCTION,
        code=code,
        entry=prepared.problem.entry_point,
        requests=prepared.requests,
        cpu_seconds=cpu_seconds,
        wall_seconds=cpu_seconds * config.wall_factor,
        output_bytes=prepared.output_bytes,
        library=library_of(code),
        preamble=preamble_of(prepared.problem),
        test_cpu_seconds=config.cpu_seconds if prepared.total > 1 else 0.0,
        test_wall_seconds=config.cpu_seconds * config.wall_factor,
    )


def judge_outcome(prepared: Prepared, outcome: Outcome, level: int) -> Verdict:
    """Compares a program's answers with the expected values. Pure."""
    total, run = prepared.total, min(prepared.total, len(outcome.answers))
    if outcome.stop is Stop.INFRASTRUCTURE:
        return unjudged(prepared, outcome, level, outcome.detail)
    if outcome.stop is Stop.NONE and outcome.answers == prepared.right:
        return verdict_of(prepared, outcome, level, Status.PASSED, total, total)
    if outcome.stop is Stop.NONE and (failure := outcome.load_failure) is not None:
        return verdict_of(prepared, outcome, level, status_of(failure), detail=protocol.text(failure))
    passed, first, why = _compare(prepared, outcome.answers)
    if outcome.stop is not Stop.NONE:
        first, why = STATUS_OF_STOP[outcome.stop], outcome.detail
    elif run < total and first not in (Status.OUTPUT_FLOOD, Status.OUT_OF_MEMORY):
        first, why = Status.EXCEPTION, f"it ended before it answered test {run + 1} ({how_it_ended(outcome)})"
    return verdict_of(prepared, outcome, level, first or Status.PASSED, passed, run, why)


def _compare(prepared: Prepared, answers: list[bytes]) -> tuple[int, Status | None, str]:
    """(Number of right answers, status of the first wrong one, its description)."""
    passed, first, why = 0, None, ""
    for index, answer in enumerate(answers[: prepared.total]):
        right = answer == prepared.right[index]
        if not right and protocol.kind(answer) == protocol.VALUE:
            test, expected = prepared.problem.hidden_tests[index], prepared.expected[index]
            right = prepared.checker.compare(test, expected, protocol.text(answer))
        passed += right
        if not right and first is None:
            first, why = status_of(answer), f"test {index + 1}: {describe(answer)}"
    return passed, first, why

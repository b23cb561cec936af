"""Judges problems whose answer is a word, a number, a letter or a formula at the end of the completion."""

from __future__ import annotations

from problems.boxes import last_box
from problems.problem import Status, Verdict
from verify.checkers import answers, maths
from verify.checkers.maths.numbers import close, number, tidy
from verify.kinds.common import STATUS_OF_STOP, how_it_ended, run_retrying, unjudged, verdict_of
from verify.prepare import Prepared
from verify.sandbox import protocol
from verify.sandbox.executor import Sandbox
from verify.sandbox.protocol import Job, Outcome, Stop

_LONGEST = 4000
"""Most characters of a formula that is compared."""
_CPU_SECONDS = 5.0
"""CPU seconds for comparing two formulas."""


def judge(prepared: Prepared, completion: str, sandbox: Sandbox) -> Verdict:
    """Extracts the answer here; formulas are compared in the sandbox, where a comparison that hangs does no harm."""
    tests, total = prepared.problem.hidden_tests, prepared.total
    if prepared.checker.sandboxed:
        return _judge_formula(prepared, completion, sandbox)
    if all(prepared.checker.compare(t, e, completion) for t, e in zip(tests, prepared.expected)):
        return Verdict(Status.PASSED, total, total, total)
    return Verdict(Status.WRONG_ANSWER, 0, total, total, detail="wrong answer")


def _judge_formula(prepared: Prepared, completion: str, sandbox: Sandbox) -> Verdict:
    total, gold = prepared.total, str(prepared.problem.hidden_tests[0].expected)
    gold = last_box(gold) or gold
    found = answers.given_text(completion) or ""
    if len(found) > _LONGEST:
        detail = f"the answer has {len(found)} characters; {_LONGEST} are compared"
        return Verdict(Status.WRONG_ANSWER, 0, total, total, detail=detail)
    if (same := _same_number(gold, found)) is not None:
        status, count = (Status.PASSED, total) if same else (Status.WRONG_ANSWER, 0)
        return Verdict(status, count, total, total, detail="" if same else "wrong answer")
    call = protocol.request((gold, found))
    wall = _CPU_SECONDS * sandbox.config.wall_factor
    job = Job(protocol.FUNCTION, maths.program(), "equal", (call,), _CPU_SECONDS, wall, 1 << 16, library="math_verify")
    return _formula_verdict(prepared, run_retrying([job], sandbox)[0], sandbox.level)


def _same_number(gold: str, found: str) -> bool | None:
    """Whether two plain numbers are equal; None if either is anything else. Spares most answers the sandbox."""
    ours, theirs = number(tidy(gold)), number(tidy(found))
    return None if ours is None or theirs is None else close(ours, theirs)


def _formula_verdict(prepared: Prepared, outcome: Outcome, level: int) -> Verdict:
    total = prepared.total
    if outcome.stop is not Stop.NONE:
        status = STATUS_OF_STOP[outcome.stop]
        return verdict_of(prepared, outcome, level, status, detail=f"comparing the answer: {outcome.detail}")
    if (failure := outcome.load_failure) is not None:
        return unjudged(prepared, outcome, level, f"math-verify cannot be run: {protocol.text(failure)}")
    output = outcome.answers[0] if outcome.answers else b""
    if output == protocol.VALUE + b"true":
        return verdict_of(prepared, outcome, level, Status.PASSED, total, total)
    why = "wrong answer" if protocol.kind(output) == protocol.VALUE else protocol.text(output) or how_it_ended(outcome)
    return verdict_of(prepared, outcome, level, Status.WRONG_ANSWER, 0, total, why)

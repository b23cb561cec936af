"""Problems whose answer is a word, a number, a letter or a formula at the end of the completion."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from problems.problem import Status, Verdict
from verify.checkers import answers
from verify.kinds.common import STATUS_OF_STOP, how_it_ended, run_retrying, unjudged, verdict_of
from verify.prepare import Prepared
from verify.sandbox import jobs
from verify.sandbox.jobs import Job, Outcome, Stop
from verify.sandbox.runner import Sandbox

_LONGEST = 4000
"""Characters of a formula that are compared."""
_CPU_SECONDS = 5.0
"""Time to compare two formulas."""


def judge(prepared: Prepared, completion: str, sandbox: Sandbox) -> Verdict:
    """Reads the answer out here; formulas are compared in the sandbox, where that may hang without harm."""
    tests, total = prepared.problem.hidden_tests, prepared.total
    if prepared.checker.sandboxed:
        return _judge_formula(prepared, completion, sandbox)
    if all(prepared.checker.compare(t, e, completion) for t, e in zip(tests, prepared.expected)):
        return Verdict(Status.PASSED, total, total, total)
    return Verdict(Status.WRONG_ANSWER, 0, total, total, detail="wrong answer")


@cache
def _source() -> str:
    return (Path(__file__).parents[1] / "checkers" / "maths_inside.py").read_text()


def _judge_formula(prepared: Prepared, completion: str, sandbox: Sandbox) -> Verdict:
    gold = str(prepared.problem.hidden_tests[0].expected)
    found = answers.final_text(completion) or completion.strip()
    if len(found) > _LONGEST:
        detail = f"the answer has {len(found)} characters; {_LONGEST} are compared"
        return Verdict(Status.WRONG_ANSWER, 0, prepared.total, prepared.total, detail=detail)
    call = jobs.request((answers.last_box(gold) or gold, found))
    wall = _CPU_SECONDS * sandbox.config.wall_factor
    job = Job(jobs.FUNCTION, _source(), "equal", (call,), _CPU_SECONDS, wall, 1 << 16, library="math_verify")
    return _formula_verdict(prepared, run_retrying([job], sandbox)[0], sandbox.level)


def _formula_verdict(prepared: Prepared, outcome: Outcome, level: int) -> Verdict:
    total = prepared.total
    if outcome.stop is not Stop.NONE:
        status = STATUS_OF_STOP[outcome.stop]
        return verdict_of(prepared, outcome, level, status, detail=f"comparing the answer: {outcome.detail}")
    if (failure := outcome.load_failure) is not None:
        return unjudged(prepared, outcome, level, f"math-verify cannot be run: {jobs.text(failure)}")
    said = outcome.answers[0] if outcome.answers else b""
    if said == jobs.VALUE + b"true":
        return verdict_of(prepared, outcome, level, Status.PASSED, total, total)
    why = "wrong answer" if jobs.kind(said) == jobs.VALUE else jobs.text(said) or how_it_ended(outcome)
    return verdict_of(prepared, outcome, level, Status.WRONG_ANSWER, 0, total, why)

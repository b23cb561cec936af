"""Judging: from a problem and completions to verdicts.

`judge_batch` extracts the programs from the completions, runs all of them in one pass through the sandbox, compares
their answers on this side, and retries failures of the infrastructure. It never raises for the contents of a completion
or a problem, and each item is guarded separately: a problem that cannot be judged gets the status `infrastructure`, a
completion on which the judge itself fails is a wrong answer; both verdicts give the reason.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from problems.plain_text import one_line
from problems.problem import Problem, Status, Verdict
from verify.checkers import answers
from verify.config import VerifyConfig
from verify.extract import extract_code
from verify.kinds import answer, asserts, function, stdin
from verify.kinds.common import DETAIL, guarded, not_compared
from verify.prepare import BadProblem, Prepared, prepare
from verify.sandbox.executor import Sandbox

log = logging.getLogger(__name__)

Item = tuple[Problem, str, str]
"""Problem, completion text (if the prompt left thinking open, prefixed with its opening tag: see
`verify.thinking.continued`), finish reason (`stop`, `length` or `abort`)."""

_ONE_BY_ONE = {"stdin": stdin.judge, "assert": asserts.judge, "answer": answer.judge}


@dataclass(frozen=True, slots=True)
class Reading:
    """What was extracted from a completion: a text to judge, or the verdict if there is nothing to judge."""

    prepared: Prepared | None
    text: str = ""
    """The program; for problems of kind `answer` the whole completion."""
    verdict: Verdict | None = None


def read(problem: Problem, completion: str, finish_reason: str, config: VerifyConfig) -> Reading:
    """Reads a completion. Never raises: a problem that cannot be judged gets an `infrastructure` verdict, a completion
    that makes the reader raise is a wrong answer."""
    try:
        prepared = prepare(problem, config)
    except BadProblem as error:
        return Reading(None, "", Verdict(Status.INFRASTRUCTURE, detail=one_line(error, DETAIL)))
    except Exception as error:
        log.warning("the problem %s cannot be prepared", problem.id, exc_info=True)
        detail = f"problem {problem.id} cannot be prepared: {type(error).__name__}: {error}"
        return Reading(None, "", Verdict(Status.INFRASTRUCTURE, detail=one_line(detail, DETAIL)))
    try:
        return _read(prepared, completion, finish_reason, config)
    except Exception as error:
        return Reading(prepared, "", not_compared(error, prepared.total))


def _read(prepared: Prepared, completion: str, finish_reason: str, config: VerifyConfig) -> Reading:
    problem = prepared.problem
    nothing = Verdict(Status.UNPARSED, tests_total=prepared.total)
    cut_off = finish_reason == "length"
    if problem.kind == "answer":
        if answers.readable(prepared.checker.name, completion, cut_off=cut_off):
            return Reading(prepared, completion)
        status = Status.TRUNCATED if cut_off else Status.UNPARSED
        return Reading(
            prepared, "", replace(nothing, status=status, detail="there is no final answer in the completion")
        )
    found = extract_code(completion, problem.entry_point if problem.kind != "stdin" else "")
    if cut_off and not found.complete:
        detail = found.reason or "the program was cut off"
        return Reading(prepared, "", replace(nothing, status=Status.TRUNCATED, detail=detail))
    if found.code is None:
        return Reading(prepared, "", replace(nothing, detail=found.reason))
    if len(found.code) > config.code_kib * 1024:
        size = f"the program has {len(found.code) / 1024:.0f} KiB; code_kib is {config.code_kib}"
        return Reading(prepared, "", replace(nothing, detail=size))
    return Reading(prepared, found.code)


def judge(problem: Problem, completion: str, finish_reason: str, sandbox: Sandbox) -> Verdict:
    """Judges one completion. Never raises for the contents of the completion or the problem."""
    return judge_batch([(problem, completion, finish_reason)], sandbox)[0]


def judge_batch(items: Sequence[Item], sandbox: Sandbox) -> list[Verdict]:
    """Judges completions; verdicts come in the order of `items`."""
    return judge_readings([read(*item, sandbox.config) for item in items], sandbox)


def judge_readings(readings: Sequence[Reading], sandbox: Sandbox) -> list[Verdict]:
    """Judges extracted texts; all programs of kind `function` go through the sandbox in one pass."""
    verdicts = {i: reading.verdict for i, reading in enumerate(readings) if reading.verdict is not None}
    todo = {i: (r.prepared, r.text) for i, r in enumerate(readings) if r.verdict is None and r.prepared is not None}
    calls = {i: work for i, work in todo.items() if work[0].problem.kind == "function"}
    verdicts.update(zip(calls, function.judge_all(list(calls.values()), sandbox)))
    for i, (prepared, text) in todo.items():
        if i not in verdicts:
            judge_one = partial(_ONE_BY_ONE[prepared.problem.kind], prepared, text, sandbox)
            verdicts[i] = guarded(judge_one, prepared.total, sandbox.level)
    return [verdicts[i] for i in range(len(readings))]

"""Runs a folder's programs one after another and collects their traces.

After each program the same worker judges an honest one: a wrong verdict there is a trace too (`poison`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from problems.problem import Problem, Status, Verdict
from verify.attacks.arena import Arena, Processes
from verify.attacks.folder import HONEST, Program, coin_change_problem
from verify.pool import ProcessInfo

HANG_SECONDS = 10.0
FLOOD_BYTES = 150_000_000
_STOLEN = "PWNED:"


@dataclass(frozen=True, slots=True)
class Trial:
    """The result of one program."""

    program: Program
    verdict: Verdict
    seconds: float
    traces: tuple[str, ...]
    """All traces that it left, whether or not they count as a win."""

    @property
    def won(self) -> bool:
        """True if an attack left a trace by which it wins."""
        return self.program.kind == "attack" and any(trace in self.program.win for trace in self.traces)

    @property
    def refused(self) -> bool:
        """True if an honest program did not pass."""
        return self.program.kind == "compat" and not self.verdict.passed

    @property
    def fails(self) -> bool:
        """True if the sandbox failed."""
        return self.won or self.refused


class Target(Protocol):
    """A judge in this process or in an actor."""

    def judge_code(self, problem: Problem, code: str) -> Verdict:
        """Judges a bare program."""
        ...

    def process_info(self) -> ProcessInfo:
        """Its current processes."""
        ...


def trials(programs: Iterable[Program], target: Target) -> Iterator[Trial]:
    """Runs the programs. Yields a trial for each, as it finishes, except for setup programs."""
    problem = coin_change_problem()
    target.judge_code(problem, "import numpy\n" + HONEST)
    with Arena(target.process_info().uid) as arena:
        for index, program in enumerate(programs):
            code = arena.fill_in(program.code)
            if program.kind == "setup":
                target.judge_code(problem, code)
                continue
            yield _trial(program, code, index, problem, target, arena)


def _trial(program: Program, code: str, index: int, problem: Problem, target: Target, arena: Arena) -> Trial:
    before = target.process_info()
    processes = Processes(before.pids, before.uid, before.own_user)
    began = time.monotonic()
    verdict = target.judge_code(problem, code)
    seconds = time.monotonic() - began
    survivors = processes.survivors()
    traces = arena.traces(program.name)
    honest = target.judge_code(problem, f"{HONEST}\n# {index}")
    after = target.process_info()
    seen = {
        "reward": verdict.passed,
        "leak": _STOLEN in verdict.detail or "file" in traces,
        "hang": seconds > HANG_SECONDS,
        "flood": after.bytes_read - before.bytes_read > FLOOD_BYTES,
        "survivor": bool(survivors),
        "parent": after.zygotes != before.zygotes or verdict.status is Status.INFRASTRUCTURE,
        "poison": not honest.passed,
    }
    traces |= {trace for trace, found in seen.items() if found}
    return Trial(program, verdict, seconds, tuple(sorted(traces)))

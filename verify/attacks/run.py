"""Runs a folder's programs one after another and collects their traces.

After each program an honest one is judged by the same worker: a wrong verdict there is a trace too
(`poison`).
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
    """What became of one program."""

    program: Program
    verdict: Verdict
    seconds: float
    traces: tuple[str, ...]
    """Every trace that it left, whether or not it counts as a win."""

    @property
    def won(self) -> bool:
        """True where an attack left a trace that it wins by."""
        return self.program.kind == "attack" and any(trace in self.program.win for trace in self.traces)

    @property
    def refused(self) -> bool:
        """True where an honest program was not passed."""
        return self.program.kind == "compat" and not self.verdict.passed

    @property
    def fails(self) -> bool:
        """True where the sandbox did not do what it should."""
        return self.won or self.refused


class Target(Protocol):
    """A judge here or in an actor."""

    def judge_code(self, problem: Problem, code: str) -> Verdict:
        """Judges a bare program."""

    def whereabouts(self) -> ProcessInfo:
        """Where it runs, now."""


def trials(programs: Iterable[Program], target: Target) -> Iterator[Trial]:
    """Runs the programs. Yields a trial for each but setup programs, as it is known."""
    problem = coin_change_problem()
    target.judge_code(problem, "import numpy\n" + HONEST)
    where = target.whereabouts()
    with Arena(where.uid) as arena:
        for number, program in enumerate(programs):
            code = arena.fill_in(program.code)
            if program.kind == "setup":
                target.judge_code(problem, code)
                continue
            yield _trial(program, code, number, problem, target, arena)


def _trial(program: Program, code: str, number: int, problem: Problem, target: Target, arena: Arena) -> Trial:
    before = target.whereabouts()
    processes = Processes(before.pids, before.uid, before.own_user)
    began = time.monotonic()
    verdict = target.judge_code(problem, code)
    seconds = time.monotonic() - began
    survivors = processes.survivors()
    traces = arena.traces(program.name)
    honest = target.judge_code(problem, f"{HONEST}\n# {number}")
    after = target.whereabouts()
    seen = {
        "reward": verdict.passed,
        "leak": _STOLEN in verdict.detail or "file" in traces,
        "hang": seconds > HANG_SECONDS,
        "flood": after.bytes_taken - before.bytes_taken > FLOOD_BYTES,
        "survivor": bool(survivors),
        "parent": after.zygotes != before.zygotes or verdict.status is Status.INFRASTRUCTURE,
        "poison": not honest.passed,
    }
    traces |= {trace for trace, found in seen.items() if found}
    return Trial(program, verdict, seconds, tuple(sorted(traces)))

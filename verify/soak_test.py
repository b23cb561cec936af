"""Endurance of the sandbox: many jobs in a row with flat memory, and SIGKILL of any of its processes.

The functions of `crucible verify soak` and `crucible verify chaos`; the tests run small versions.
"""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from problems.problem import Problem, Status, Verdict
from verify.attacks.folder import HONEST, coin_change_problem
from verify.chaos import ProcessKiller, descendants, wait_until_gone
from verify.config import VerifyConfig
from verify.pool import Judge, VerifyPool
from verify.verdict import Item

PARENT_KIB, ZYGOTE_KIB = 3000, 500
"""Growth, in KiB, from which memory does not count as flat."""
_BATCH = 20
_EVERY = 0.03
"""Mean seconds between two attempts to kill a process."""
_KINDS = (
    (HONEST, Status.PASSED),
    ("def coin_change(c, a): return -1", Status.WRONG_ANSWER),
    ("def coin_change(c, a): raise ValueError", Status.EXCEPTION),
    (HONEST.replace("table =", "sum(range(30_000)); table =", 1), Status.PASSED),
)
_ACTOR = b"VerifyActor"


@dataclass(frozen=True, slots=True)
class Sample:
    """Resident memory, in KiB, and open descriptors after a number of jobs."""

    jobs: int
    parent: int
    zygote: int
    descriptors: int


def soak(jobs: int, samples: int = 12, config: VerifyConfig | None = None) -> Iterator[Sample]:
    """Judges `jobs` programs with one zygote that is never replaced; yields `samples` samples at equal intervals.

    Raises AssertionError for a wrong verdict or a zygote that had to be replaced.
    """
    config = (config or VerifyConfig()).model_copy(update={"cache": False, "recycle_after": 10**9})
    problem, done = coin_change_problem(), 0
    with Judge(config) as judge:
        zygote = judge.sandbox.zygote()
        for sample in range(1, samples + 1):
            while done < jobs * sample // samples:
                items, expected = _work(problem, done, _BATCH)
                found = [verdict.status for verdict in judge.judge_batch(items)]
                if found != expected:
                    raise AssertionError(
                        f"verdicts of jobs {done} to {done + _BATCH} are {found} instead of {expected}"
                    )
                done += _BATCH
            gc.collect()
            yield Sample(done, _resident("self"), _resident(zygote.pids[-1]), len(os.listdir("/proc/self/fd")))
        if judge.sandbox.started != 1:
            raise AssertionError(f"{judge.sandbox.started - 1} zygotes were replaced")


def is_flat(samples: list[Sample]) -> bool:
    """Whether nothing grew between the second sample, when caches are warm, and the last one."""
    first, last = samples[1], samples[-1]
    return (
        last.parent - first.parent < PARENT_KIB
        and last.zygote - first.zygote < ZYGOTE_KIB
        and last.descriptors <= first.descriptors
    )


def _resident(pid: int | str) -> int:
    with open(f"/proc/{pid}/status") as f:
        return next(int(line.split()[1]) for line in f if line.startswith("VmRSS"))


def _work(problem: Problem, start: int, count: int) -> tuple[list[Item], list[Status]]:
    """`count` completions that differ from all others, and their expected statuses."""
    chosen = [(*_KINDS[i % len(_KINDS)], i) for i in range(start, start + count)]
    return [(problem, f"```python\n{code}\n# {i}\n```", "stop") for code, _, i in chosen], [s for _, s, _ in chosen]


@dataclass(frozen=True, slots=True)
class ChaosResult:
    """The outcome of jobs that ran while processes were killed."""

    jobs: int
    kills: int
    """Processes that were killed."""
    wrong: int
    """Jobs that got a wrong verdict."""
    unjudged: int
    """Jobs without a verdict after all retries: excluded, never scored."""
    left: tuple[int, ...]
    """Processes that were still alive at the end."""

    @property
    def ok(self) -> bool:
        """True if every job got the right verdict and no process survives."""
        return not (self.wrong or self.unjudged or self.left)


def chaos(jobs: int, kills: int, *, actors: int = 0, seed: int = 0) -> ChaosResult:
    """Judges `jobs` programs while up to `kills` processes are killed at random moments, spread over the jobs.

    With `actors` = 0, a judge in this process loses zygotes, stubs and children; otherwise a pool on the running Ray
    loses actors as well. Kills keep pace with the jobs, so that the work also progresses on a busy machine.
    """
    config = VerifyConfig(cache=False, retries=100, batch_size=_BATCH, actors=max(1, actors))
    others, seen, counts = frozenset(descendants(os.getpid())), set(), Counter()

    def targets() -> list[int]:
        found = _of_actors() if actors else descendants(os.getpid(), excluding=others)
        seen.update(found)
        return found if killer.kills < kills * (counts["done"] + _BATCH) // jobs else []

    target = VerifyPool(config) if actors else Judge(config)
    try:
        with ProcessKiller(targets, _EVERY, seed) as killer:
            _judge_all(target.judge_batch, jobs, counts)
        targets()
    finally:
        target.close()
    left = wait_until_gone(seen, 10.0)
    return ChaosResult(jobs, killer.kills, counts["wrong"], counts["unjudged"], tuple(sorted(left)))


def _judge_all(judge_batch: Callable[[list[Item]], list[Verdict]], jobs: int, counts: Counter) -> None:
    """Judges all jobs, batch by batch; counts those `done`, `wrong` and `unjudged`."""
    problem = coin_change_problem()
    for start in range(0, jobs, 2 * _BATCH):
        items, expected = _work(problem, start, min(2 * _BATCH, jobs - start))
        for verdict, right in zip(judge_batch(items), expected, strict=True):
            counts["unjudged"] += verdict.status is Status.INFRASTRUCTURE
            counts["wrong"] += verdict.status not in (right, Status.INFRASTRUCTURE)
        counts["done"] += len(items)


def _of_actors() -> list[int]:
    """Verify actors among the descendants of this process, with their zygotes and children."""
    found: list[int] = []
    for pid in descendants(os.getpid()):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if _ACTOR in f.read(100):
                    found += [pid, *descendants(pid)]
        except OSError:
            continue
    return found

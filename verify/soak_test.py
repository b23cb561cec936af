"""What the sandbox must stand for long: many jobs in a row with flat memory, and kill -9 of any of its processes.

Behind `crucible verify soak` and `crucible verify storm`; the tests run small versions.
"""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from problems.problem import Problem, Status, Verdict
from verify.attacks.folder import HONEST, coin_change_problem
from verify.chaos import Storm, descendants, wait_until_gone
from verify.config import VerifyConfig
from verify.pool import Judge, VerifyPool
from verify.verdict import Item

PARENT_KIB, ZYGOTE_KIB = 3000, 500
"""Growth beyond which memory is not flat."""
_BATCH = 20
_EVERY = 0.03
"""Seconds between two thoughts of killing something, on average."""
_KINDS = (
    (HONEST, Status.PASSED),
    ("def coin_change(c, a): return -1", Status.WRONG_ANSWER),
    ("def coin_change(c, a): raise ValueError", Status.EXCEPTION),
    (HONEST.replace("table =", "sum(range(30_000)); table =", 1), Status.PASSED),
)
_ACTOR = b"VerifyActor"


@dataclass(frozen=True, slots=True)
class Sample:
    """Resident memory after some jobs, in KiB, and descriptors that are open."""

    jobs: int
    parent: int
    zygote: int
    descriptors: int


def soak(jobs: int, samples: int = 12, config: VerifyConfig | None = None) -> Iterator[Sample]:
    """Judges `jobs` programs with one zygote that is never replaced; yields `samples` samples, the first after a share
    of the jobs."""
    config = (config or VerifyConfig()).model_copy(update={"cache": False, "recycle_after": 10**9})
    problem, done = coin_change_problem(), 0
    with Judge(config) as judge:
        zygote = judge.sandbox.zygote()
        for sample in range(1, samples + 1):
            while done < jobs * sample // samples:
                items, expected = _work(problem, done, _BATCH)
                found = [verdict.status for verdict in judge.judge_batch(items)]
                if found != expected:
                    raise AssertionError(f"jobs {done} to {done + _BATCH} were judged {found} instead of {expected}")
                done += _BATCH
            gc.collect()
            yield Sample(done, _resident("self"), _resident(zygote.pids[-1]), len(os.listdir("/proc/self/fd")))
        if judge.sandbox.started != 1:
            raise AssertionError(f"{judge.sandbox.started - 1} zygotes were replaced")


def is_flat(samples: list[Sample]) -> bool:
    """Whether nothing grew between the second sample (caches are warm) and the last."""
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
    """`count` completions that differ from all others, and their right verdicts."""
    chosen = [(*_KINDS[i % len(_KINDS)], i) for i in range(start, start + count)]
    return [(problem, f"```python\n{code}\n# {i}\n```", "stop") for code, _, i in chosen], [s for _, s, _ in chosen]


@dataclass(frozen=True, slots=True)
class Survived:
    """What became of jobs under a storm."""

    jobs: int
    kills: int
    wrong: int
    """Jobs that were judged, and wrongly."""
    unjudged: int
    """Jobs that ended without a verdict after all retries: excluded, never scored."""
    left: tuple[int, ...]
    """Processes that were still there in the end."""

    @property
    def well(self) -> bool:
        """True where every job got its right verdict and nothing is left behind."""
        return not (self.wrong or self.unjudged or self.left)


def storm(jobs: int, kills: int, *, actors: int = 0, seed: int = 0) -> Survived:
    """Judges `jobs` programs while processes are killed at random moments, `kills` of them spread over the jobs.

    With `actors` 0: a judge here, of which zygotes, stubs and children are killed; otherwise a pool on the running Ray,
    of which actors are killed as well. Kills keep pace with the jobs, so that a busy machine does not starve the work.
    """
    config = VerifyConfig(cache=False, retries=100, batch_size=_BATCH, actors=max(1, actors))
    others, seen, counts = frozenset(descendants(os.getpid())), set(), Counter()

    def targets() -> list[int]:
        found = _of_actors() if actors else descendants(os.getpid(), besides=others)
        seen.update(found)
        return found if raging.kills < kills * (counts["done"] + _BATCH) // jobs else []

    target = VerifyPool(config) if actors else Judge(config)
    try:
        with Storm(targets, _EVERY, seed) as raging:
            _judge_all(target.judge_batch, jobs, counts)
        targets()
    finally:
        target.close()
    left = wait_until_gone(seen, 10.0)
    return Survived(jobs, raging.kills, counts["wrong"], counts["unjudged"], tuple(sorted(left)))


def _judge_all(judge_batch: Callable[[list[Item]], list[Verdict]], jobs: int, counts: Counter) -> None:
    """Judges all jobs, batch by batch, and counts those done, judged wrongly, and not judged."""
    problem = coin_change_problem()
    for start in range(0, jobs, 2 * _BATCH):
        items, expected = _work(problem, start, min(2 * _BATCH, jobs - start))
        for verdict, right in zip(judge_batch(items), expected, strict=True):
            counts["unjudged"] += verdict.status is Status.INFRASTRUCTURE
            counts["wrong"] += verdict.status not in (right, Status.INFRASTRUCTURE)
        counts["done"] += len(items)


def _of_actors() -> list[int]:
    """The verify actors below this process, their zygotes and children."""
    found: list[int] = []
    for pid in descendants(os.getpid()):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as f:
                if _ACTOR in f.read(100):
                    found += [pid, *descendants(pid)]
        except OSError:
            continue
    return found

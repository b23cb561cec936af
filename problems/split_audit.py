"""Checks that the splits of a stream share no question, and that another interpreter generates the same stream.

A plain contract asks for one program whatever the split, so of its problems the inputs are compared too.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

from problems import families
from problems.classic.contract import Contract
from problems.config import ProblemsConfig
from problems.problem import Problem, Split
from problems.splits import SPLITS, split_of
from problems.stream import ProblemStream

CHUNK = 2_000
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class SplitReport:
    """Counts of the first problems of one split."""

    split: Split
    problems: int
    questions: int
    """Number of different questions."""
    contents: int
    """Number of different contents (question, wording and tests)."""
    digest: str
    """SHA-256 over all contents in order: equal streams have equal digests."""


@dataclass(frozen=True)
class DisjointReport:
    """Counts of all splits, and of what any two of them share."""

    splits: tuple[SplitReport, ...]
    shared_questions: int
    shared_contents: int
    misplaced: int
    """Number of problems whose question belongs to another split."""
    inputs: int = 0
    """Number of different ordinary inputs of plain contracts."""
    shared_inputs: int = 0
    """Number of those that occur in more than one split."""
    undivided: tuple[str, ...] = ()
    """Plain contracts in the stream with difficulties whose inputs are too few to divide: all splits ask those."""

    @property
    def disjoint(self) -> bool:
        """Whether the splits share nothing, the inputs of `undivided` contracts aside."""
        return not (self.shared_questions or self.shared_contents or self.misplaced or self.shared_inputs)


class Hashes(NamedTuple):
    """What of a problem is compared."""

    question: str
    content: str
    inputs: tuple[str, ...] = ()
    """Ordinary inputs of a plain contract that has enough of them to divide."""
    undivided: str = ""
    """Name of a plain contract that has not."""


def hashes(config: ProblemsConfig, split: Split, start: int, stop: int) -> list[Hashes]:
    """Hashes of the problems of a split from index `start` up to `stop`."""
    return [_hashes(problem) for problem in ProblemStream(config, split).range(start, stop)]


def _hashes(problem: Problem) -> Hashes:
    family = families.get(problem.family)
    if not isinstance(family, Contract):
        return Hashes(problem.question_hash, problem.content_hash)
    few = problem.family if family.ordinary(problem.difficulty) else ""
    base = problem.family.partition("@")[0]
    inputs = tuple(_short(f"{base} {key}") for key in family.divided_inputs(problem))
    return Hashes(problem.question_hash, problem.content_hash, inputs, few)


def _short(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def digest(config: ProblemsConfig, split: Split, count: int) -> str:
    """SHA-256 over the content hashes of the first `count` problems."""
    return _digest([found.content for found in hashes(config, split, 0, count)])


def compare_splits(config: ProblemsConfig, count: int, workers: int = 0) -> Iterator[int | DisjointReport]:
    """Compares the first `count` problems of each split; yields the number done so far, and finally the report."""
    found: dict[Split, list[Hashes]] = {split: [] for split in SPLITS}
    done = 0
    with ProcessPoolExecutor(workers or os.cpu_count() or 1) as pool:
        for split in SPLITS:
            starts = range(0, count, CHUNK)
            parts = pool.map(hashes, *zip(*[(config, split, i, min(i + CHUNK, count)) for i in starts]))
            for part in parts:
                found[split] += part
                done += len(part)
                yield done
    yield _report(found)


def _report(found: dict[Split, list[Hashes]]) -> DisjointReport:
    questions: dict[Split, set[str]] = {split: {row.question for row in rows} for split, rows in found.items()}
    contents: dict[Split, set[str]] = {split: {row.content for row in rows} for split, rows in found.items()}
    inputs: dict[Split, set[str]] = {
        split: {key for row in rows for key in row.inputs} for split, rows in found.items()
    }
    return DisjointReport(
        splits=tuple(
            SplitReport(
                split, len(rows), len(questions[split]), len(contents[split]), _digest([r.content for r in rows])
            )
            for split, rows in found.items()
        ),
        shared_questions=_shared(questions),
        shared_contents=_shared(contents),
        misplaced=sum(split_of(q) != split for split in found for q in questions[split]),
        inputs=sum(map(len, inputs.values())),
        shared_inputs=_shared(inputs),
        undivided=tuple(sorted({row.undivided for rows in found.values() for row in rows} - {""})),
    )


def _shared(found: dict[Split, set[str]]) -> int:
    return sum(len(found[a] & found[b]) for a, b in combinations(found, 2))


def digests_elsewhere(config: ProblemsConfig, count: int, python: str = sys.executable) -> dict[str, str]:
    """Digests of the first `count` problems of each split, generated by an interpreter with another hash seed.

    Raises RuntimeError if that interpreter cannot generate the stream.
    """
    program = (
        "import json, sys; from problems.config import ProblemsConfig; from problems.split_audit import digest; "
        "config = ProblemsConfig.model_validate_json(sys.argv[1]); "
        f"print(json.dumps({{s: digest(config, s, {count}) for s in {list(SPLITS)!r}}}))"
    )
    command = [python, "-c", program, config.model_dump_json()]
    environment = {**os.environ, "PYTHONHASHSEED": "4242", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd=ROOT)
    if done.returncode:
        raise RuntimeError(f"{python} cannot generate the problems: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout)


def _digest(contents: Sequence[str]) -> str:
    return hashlib.sha256("".join(contents).encode()).hexdigest()

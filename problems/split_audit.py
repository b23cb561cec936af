"""Shows that the splits of a stream share no question, and that the stream is the same in another interpreter."""

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

from problems.config import ProblemsConfig
from problems.problem import Split
from problems.splits import SPLITS, split_of
from problems.stream import ProblemStream

CHUNK = 2_000
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class SplitReport:
    """What the first problems of one split are."""

    split: Split
    problems: int
    questions: int
    """Different questions among them."""
    contents: int
    """Different contents (question, wording and tests)."""
    digest: str
    """SHA-256 over all contents in order: equal streams have equal digests."""


@dataclass(frozen=True)
class DisjointReport:
    """What all splits are, and what two of them share."""

    splits: tuple[SplitReport, ...]
    shared_questions: int
    shared_contents: int
    misplaced: int
    """Problems whose question's hash belongs to another split."""

    @property
    def disjoint(self) -> bool:
        """Whether no two splits share anything."""
        return not (self.shared_questions or self.shared_contents or self.misplaced)


def hashes(config: ProblemsConfig, split: Split, start: int, stop: int) -> list[tuple[str, str]]:
    """Question hash and content hash of the problems of a split from index `start` up to `stop`."""
    return [(p.question_hash, p.content_hash) for p in ProblemStream(config, split).range(start, stop)]


def digest(config: ProblemsConfig, split: Split, count: int) -> str:
    """SHA-256 over the content hashes of the first `count` problems."""
    return _digest([content for _, content in hashes(config, split, 0, count)])


def compare_splits(config: ProblemsConfig, count: int, workers: int = 0) -> Iterator[int | DisjointReport]:
    """Compares the first `count` problems of each split; yields problems done so far, and last the report."""
    found: dict[Split, list[tuple[str, str]]] = {split: [] for split in SPLITS}
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


def _report(found: dict[Split, list[tuple[str, str]]]) -> DisjointReport:
    questions = {split: {q for q, _ in rows} for split, rows in found.items()}
    contents = {split: {c for _, c in rows} for split, rows in found.items()}
    return DisjointReport(
        splits=tuple(
            SplitReport(split, len(rows), len(questions[split]), len(contents[split]), _digest([c for _, c in rows]))
            for split, rows in found.items()
        ),
        shared_questions=sum(len(questions[a] & questions[b]) for a, b in combinations(found, 2)),
        shared_contents=sum(len(contents[a] & contents[b]) for a, b in combinations(found, 2)),
        misplaced=sum(split_of(q) != split for split in found for q in questions[split]),
    )


def digests_elsewhere(config: ProblemsConfig, count: int, python: str = sys.executable) -> dict[str, str]:
    """Digests of the first `count` problems of each split as another interpreter, with another hash seed, sees them.

    Raises RuntimeError where that interpreter cannot run the stream.
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
        raise RuntimeError(f"{python} cannot make the problems: {done.stderr.strip().splitlines()[-1]}")
    return json.loads(done.stdout)


def _digest(contents: Sequence[str]) -> str:
    return hashlib.sha256("".join(contents).encode()).hexdigest()

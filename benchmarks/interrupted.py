"""What a kill costs an evaluation on a full grid: the same evaluation whole, and killed in the middle and resumed.

    python -m benchmarks.interrupted [--per-cell N] [--samples N] [--model MODEL] [--at SHARE] [evaluate's options ...]

The grid is that of the suite `sft_baseline` with drawn contracts: eleven families at five difficulties. The kill is
SIGKILL to the command and to all that it has started, once SHARE of the problems have their verdicts on disk. The
samples of both runs are compared one by one. Exit status 1 where any is missing, is there twice, or differs.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[1]
REQUIRED = ("overall >= 10", "easy >= 20", "hard >= 90")
ENDED = (0, 3)
"""Exit statuses of an evaluation that is done: 3 where a condition is not met."""


def command(*words: str) -> list[str]:
    """`crucible evaluate` with these options."""
    return [sys.executable, "-m", "pipelines.cli", "evaluate", *words]


def start(words: list[str], log: Path) -> subprocess.Popen[bytes]:
    """The command in a process group of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "COLUMNS": "160"}
    with open(log, "ab") as file:
        return subprocess.Popen(words, cwd=ROOT, env=environment, stdout=file, stderr=file, start_new_session=True)


def run(words: list[str], log: Path) -> float:
    """Seconds of the command. Raises RuntimeError where it fails."""
    began = time.monotonic()
    status = start(words, log).wait()
    if status not in ENDED:
        raise RuntimeError(f"{' '.join(words)} ended with status {status}:\n{log.read_text()[-3000:]}")
    return time.monotonic() - began


def rows(files: list[Path]) -> list[tuple[tuple[str, int], str]]:
    """((problem, index), completion) of each sample."""
    columns = ["problem_id", "index", "completion"]
    found = [row for file in files for row in pq.read_table(file, columns=columns).to_pylist()]
    return [((row["problem_id"], row["index"]), row["completion"]) for row in found]


def kill_at(words: list[str], folder: Path, problems: int, share: float, log: Path) -> tuple[float, list[Any]]:
    """Runs the command until that share of the problems is on disk, and kills it. Returns seconds and what is there."""
    began, process = time.monotonic(), start(words, log)
    parts = folder / "samples" / "evaluation-model.parts"
    while len({problem for (problem, _), _ in rows(sorted(parts.glob("[0-9]*.parquet")))}) < share * problems:
        if process.poll() is not None:
            raise RuntimeError(
                f"it ended before {share:.0%} of the problems were there: raise --samples, or --per-cell"
            )
        time.sleep(0.1)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return time.monotonic() - began, rows(sorted(parts.glob("[0-9]*.parquet")))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--per-cell", type=int, default=5)
    parser.add_argument("--samples", type=int, default=8)
    parser.add_argument("--model", default="student")
    parser.add_argument("--at", type=float, default=0.5, help="share of the problems at the kill")
    known, more = parser.parse_known_args()
    problems = 11 * 5 * known.per_cell
    with tempfile.TemporaryDirectory() as place:
        runs, log = Path(place), Path(place) / "log.txt"
        sizes = ["--evaluation.per-cell", str(known.per_cell), "--evaluation.samples", str(known.samples)]
        asked = ["--suite", "sft_baseline", "--problems.contract", "drawn"]
        words = [*asked, "--model", known.model, "--runs", place, *sizes, *more]
        required = ["--require", *REQUIRED]
        whole = run(command(*words, *required, "--name", "whole"), log)
        killed, there = kill_at(
            command(*words, *required, "--name", "killed"), runs / "killed", problems, known.at, log
        )
        resumed = run(command("--resume", str(runs / "killed")), log)
        print(log.read_text().rpartition("run folder: ")[2].partition("\n")[2])
        both = [rows([runs / name / "samples" / "evaluation-model.parquet"]) for name in ("whole", "killed")]
        figures = [
            json.loads((runs / n / "evaluation.json").read_text())["evaluations"]["model"] for n in ("whole", "killed")
        ]
    kept = len(there) // known.samples
    once = set(Counter(key for key, _ in both[1]).values()) == {1} and len(both[1]) == problems * known.samples
    same = dict(both[0]) == dict(both[1]) and figures[0] == figures[1] and set(there) <= set(both[1])
    print(f"whole: {problems} problems x {known.samples} samples in {whole:.1f} s")
    print(
        f"killed after {killed:.1f} s with {kept} problems on disk; resumed in {resumed:.1f} s, asking the other "
        f"{problems - kept}"
    )
    print(f"every sample once: {once}; samples and figures as of the whole run: {same}")
    return 0 if once and same else 1


if __name__ == "__main__":
    sys.exit(main())

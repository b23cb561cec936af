"""What it costs to make problems: problems per CPU-second by family, and the memory of a long stream.

    python -m benchmarks.problems [--seconds 0.5] [--stream 1000000] [--write]

CPU-seconds of this one process, so that other load on the machine does not count. `--write` puts the tables into
benchmarks/results_problems.md, before what other commands have shown.
"""

from __future__ import annotations

import argparse
import os
import platform
import statistics
import time
from pathlib import Path

from problems import families
from problems.config import ProblemsConfig
from problems.problem import Split
from problems.split_audit import hashes
from problems.stream import ProblemStream

RESULTS = Path(__file__).with_name("results_problems.md")
OTHERS = "## What other commands show"
"""Heading of the part of the file that is not written here."""
WANTED = 5_000
"""Problems per CPU-second that the median family must reach."""


def family_rate(name: str, split: Split, seconds: float) -> float:
    """Problems per CPU-second of one family over all difficulties, after a short warm-up."""
    stream = ProblemStream(ProblemsConfig(families=(name,)), split)
    for problem in stream.range(0, 50):
        assert problem.family == name
    count, start = 0, time.process_time()
    while (spent := time.process_time() - start) < seconds:
        for _ in stream.range(1_000 + count, 1_050 + count):
            count += 1
    return count / spent


def stream_memory(count: int) -> list[tuple[int, float, float]]:
    """(problems made, CPU-seconds, resident MiB) at several points of a stream of all families."""
    stream, points = ProblemStream(ProblemsConfig(families=families.names()), "train"), []
    marks = {count // 100, count // 10, count // 4, count // 2, count}
    start = time.process_time()
    for done, _ in enumerate(stream, start=1):
        if done in marks:
            points.append((done, time.process_time() - start, _resident_mib()))
        if done == count:
            return points
    raise AssertionError("the stream ended")


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def _table(seconds: float) -> list[str]:
    rates = {}
    for name in families.names():
        rates[name] = (family_rate(name, "train", seconds), family_rate(name, "test", seconds / 2))
        print(f"{name:22s} {rates[name][0]:8.0f} {rates[name][1]:8.0f}", flush=True)
    lines = ["| family | train, problems per CPU-s | test, problems per CPU-s |", "|---|---|---|"]
    lines += [f"| {n} | {a:,.0f} | {b:,.0f} |" for n, (a, b) in sorted(rates.items(), key=lambda r: -r[1][0])]
    train, test = zip(*rates.values())
    median = statistics.median(train)
    verdict = "reached" if median >= WANTED else "MISSED"
    lines.append("")
    lines.append(
        f"The median family makes {median:,.0f} in train (the goal of {WANTED:,} is {verdict}) and "
        f"{statistics.median(test):,.0f} in test, where nine of ten sampled questions belong to another split."
    )
    return lines


def _memory(count: int) -> list[str]:
    lines = ["| problems made | CPU-s | resident MiB |", "|---|---|---|"]
    for done, spent, mib in stream_memory(count):
        lines.append(f"| {done:,} | {spent:,.1f} | {mib:,.1f} |")
        print(lines[-1], flush=True)
    return lines


def _hashing() -> str:
    config = ProblemsConfig(families=families.names())
    start = time.process_time()
    hashes(config, "train", 0, 2_000)
    rate = 2_000 / (time.process_time() - start)
    return f"Making problems and hashing their contents (as `disjoint` does): {rate:,.0f} per CPU-s."


def main() -> None:
    """Prints the tables, and writes them where asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=0.5, help="CPU-seconds a family")
    parser.add_argument("--stream", type=int, default=100_000, help="length of the stream whose memory is measured")
    parser.add_argument("--write", action="store_true", help=f"write {RESULTS.name}")
    options = parser.parse_args()
    machine = f"{platform.machine()}, Python {platform.python_version()}, {os.cpu_count()} cores, one process"
    lines = ["# Problems", "", f"`python -m benchmarks.problems` on {machine}.", "", "## Generation", ""]
    lines += [*_table(options.seconds), "", _hashing(), "", "## A long stream of all families", ""]
    lines += _memory(options.stream)
    if options.write:
        before = RESULTS.read_text() if RESULTS.exists() else ""
        others = before[before.index(OTHERS) :] if OTHERS in before else ""
        RESULTS.write_text("\n".join([*lines, "", others]).rstrip() + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()

"""What a small job costs to start: CPU seconds of every process below it, on one source tree or on several.

    python -m benchmarks.startup [--tree FOLDER ...] [--job NAME ...] [--model FOLDER] [--repeat N]

The jobs are `crucible evaluate` of 8 problems x 2 samples, `crucible grpo` of one step, and `crucible sweep` of two
trials of one step. CPU seconds are read from the outside, four times a second, from each process that descends from the
command: what a process uses after the last reading is not in the table.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parents[1]
INTERVAL = 0.25
"""Seconds between two readings."""
EVALUATION = ["--evaluation.problems=8", "--evaluation.samples=2"]
TRAINING = ["--rollout.groups-per-step=4", "--rollout.group-size=4"]
JOBS = {
    "evaluate": ["evaluate", *EVALUATION],
    "grpo": ["grpo", "--steps=1", *EVALUATION, *TRAINING],
    "sweep": [
        "sweep",
        "--space=beta=0,0.05",
        "--scheduler=none",
        "--grpo.steps=1",
        *(f"--grpo.{option[2:]}" for option in EVALUATION + TRAINING),
    ],
}  # fmt: skip
SCRIPTS = ("gcs_server", "raylet", "dashboard.py", "runtime_env/agent/main.py", "dashboard/agent.py", "log_monitor.py")
"""Ray's own processes, by a part of their command lines."""


@dataclass(slots=True)
class Usage:
    """CPU seconds of the processes of one run, by name."""

    wall: float = 0.0
    seconds: Counter[str] = field(default_factory=Counter)
    processes: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> float:
        """CPU seconds of all processes."""
        return sum(self.seconds.values())


def process_name(command: list[str]) -> str:
    """What a process is called in the table; "" while a worker of Ray has nothing to do yet."""
    line = " ".join(command)
    if line.startswith("ray::"):
        title = line.removeprefix("ray::").strip()
        stage = re.match(r"MapWorker\(MapBatches\((\w+)\)\)", title)
        # An actor's title is its class and, while it works, `.method`, after its name if it has one; a task's is its
        # function.
        called = re.split(r"[.(\[]", title.rpartition(":")[2])[0]
        return stage[1] if stage else "" if called == "IDLE" else called
    if "sandbox" in line and "zygote" in line:
        return "sandbox"
    for script in SCRIPTS:
        if script in line:
            return f"ray {script}"
    return Path(command[0]).name if command else ""  # one that has ended


def measure(command: list[str], tree: Path) -> Usage:
    """Runs `command` on the source tree to its end. Raises RuntimeError where it fails."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}
    environment.pop("RAY_ADDRESS", None)
    began, names, seconds = time.monotonic(), {}, {}
    with tempfile.TemporaryFile("w+") as output:
        job = subprocess.Popen(command, cwd=tree, env=environment, stdout=output, stderr=subprocess.STDOUT)
        root = psutil.Process(job.pid)
        while job.poll() is None:
            with contextlib.suppress(psutil.Error):
                for process in [root, *root.children(recursive=True)]:
                    with contextlib.suppress(psutil.Error):
                        spent = process.cpu_times()
                        seconds[process.pid] = spent.user + spent.system
                        name = "driver" if process is root else process_name(process.cmdline())
                        names[process.pid] = name or names.get(process.pid, "idle worker")
            time.sleep(INTERVAL)
        output.seek(0)
        if job.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with status {job.returncode}:\n{output.read()[-2000:]}")
    usage = Usage(time.monotonic() - began)
    for pid, name in names.items():
        usage.seconds[name] += seconds[pid]
        usage.processes[name] += 1
    return usage


def table(title: str, columns: dict[str, Usage]) -> str:
    """A Markdown table: one row a kind of process, the most expensive first, one column a tree."""
    runs = list(columns.values())
    names = {name for run in runs for name in run.seconds}
    rows = [(title, list(columns)), ("---", ["---:"] * len(columns))]
    for name in sorted(names, key=lambda name: -max(run.seconds[name] for run in runs)):
        rows.append((name, [f"{r.seconds[name]:.1f} ({r.processes[name]})" if r.processes[name] else "" for r in runs]))
    rows.append(("all, CPU s (processes)", [f"{r.total:.1f} ({r.processes.total()})" for r in runs]))
    rows.append(("wall, s", [f"{r.wall:.1f}" for r in runs]))
    return "\n".join(f"| {' | '.join([name, *cells])} |" for name, cells in rows)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tree", type=Path, action="append", help="a checkout to run from; may be given again")
    parser.add_argument("--job", choices=sorted(JOBS), action="append", help="evaluate and grpo if not given")
    parser.add_argument("--model", default="student", help="as in `crucible evaluate --model`; must exist already")
    parser.add_argument("--repeat", type=int, default=1, help="runs of each job on each tree; the cheapest is shown")
    given = parser.parse_args()
    trees = [tree.resolve() for tree in given.tree or [ROOT]]
    for job in given.job or ["evaluate", "grpo"]:
        columns = {}
        for tree in trees:
            runs = []
            for _ in range(given.repeat):
                with tempfile.TemporaryDirectory() as folder:
                    model = "--grpo.model" if job == "sweep" else "--model"
                    words = [*JOBS[job], model, given.model, "--runs", folder, "--name", "startup"]
                    runs.append(measure([sys.executable, "-m", "pipelines.cli", *words], tree))
            columns[tree.name] = min(runs, key=lambda usage: usage.total)
        print(table(f"crucible {job}", columns), end="\n\n", flush=True)


if __name__ == "__main__":
    main()

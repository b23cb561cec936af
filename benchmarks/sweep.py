"""Four trials on one shared fleet beside the same four with engines of their own, one after the other.

    python benchmarks/sweep.py [--steps 10] [--groups 8] [--model student]

Both are `crucible sweep` with the same settings, problems, steps and evaluations. Engine memory is the sum over all
engine processes that the sweep started of the largest proportional set size each had: what four trials' engines take,
whether or not they live at the same time. Overhead is the share of the trials' time that they spend in reports to Tune.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil
import pyarrow.parquet as pq

ROOT = Path(__file__).resolve().parents[1]
SPACE = ("beta=0,0.05", "lora_r=4,16")


def main() -> None:
    """Runs both sweeps and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=10, help="steps of each trial")
    parser.add_argument("--groups", type=int, default=8, help="groups a step, of 8 completions")
    parser.add_argument("--model", default="student")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        shared = sweep(Path(folder), "shared", options, ["--concurrency", "4"])
        apart = sweep(Path(folder), "apart", options, ["--concurrency", "1", "--dedicated", "True"])
    print(f"\nfour trials of {options.steps} steps, {options.groups} groups of 8 a step")
    print(f"{'':<28}{'seconds':>9}{'engines':>9}{'engine MiB':>12}{'Tune':>8}")
    for name, result in (("one fleet, all at once", shared), ("own engines, in turn", apart)):
        memory = result["memory"] / 2**20
        print(f"{name:<28}{result['seconds']:>9.0f}{result['engines']:>9}{memory:>12.0f}{result['overhead']:>8.1%}")
    print(f"wall time {apart['seconds'] / shared['seconds']:.2f} times less, engine memory "
          f"{apart['memory'] / shared['memory']:.2f} times less")  # fmt: skip
    print(json.dumps({"shared": shared, "apart": apart}))


def sweep(folder: Path, name: str, options: argparse.Namespace, more: list[str]) -> dict:
    """Wall seconds of a sweep, and of its engines the number and the sum of their largest sizes in bytes."""
    command = [
        *(sys.executable, "-m", "pipelines.cli", "sweep", "--name", name, "--runs", str(folder)),
        *("--config", str(ROOT / "pipelines" / "configs" / "sweep.yaml")),
        *("--space", *SPACE, "--scheduler", "none", "--seeds", "0"),
        *("--grpo.evaluation.problems", "24", "--grpo.evaluation.samples", "4"),
        *("--grpo.model", options.model, "--grpo.steps", str(options.steps)),
        *("--grpo.rollout.groups-per-step", str(options.groups), *more),
    ]
    print(f"{name} ...", file=sys.stderr, flush=True)
    began = time.monotonic()
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    sizes: dict[int, int] = {}
    while process.poll() is None:
        for child in psutil.Process(process.pid).children(recursive=True):
            try:
                if "EngineActor" in " ".join(child.cmdline()):
                    sizes[child.pid] = max(sizes.get(child.pid, 0), child.memory_full_info().pss)
            except psutil.Error:
                continue
        time.sleep(1.0)
    if process.returncode:
        raise SystemExit(f"the sweep {name} failed: {process.stderr.read()[-2000:]}")
    table = pq.read_table(folder / name / "results.parquet").to_pylist()
    assert {row["status"] for row in table} == {"finished"} and {row["steps"] for row in table} == {options.steps}
    overhead = sum(row["tune_seconds"] for row in table) / sum(row["seconds"] for row in table)
    return {
        "seconds": time.monotonic() - began,
        "engines": len(sizes),
        "memory": sum(sizes.values()),
        "overhead": overhead,
    }


if __name__ == "__main__":
    main()

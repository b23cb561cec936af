"""What expert iteration on two families costs the others, without replay and with it: `crucible expert-iteration`.

    python -m benchmarks.forgetting [--seeds 0 1 2] [--runs FOLDER] [-- any option of the command, for all arms]

Three arms a seed: `no replay` learns the focus alone and goes on whatever it loses, `replay` has half of its training
set replayed, `rollback` learns the focus alone and goes back where skill falls. A seed draws the problems, the sampling
and the training. Validation is that of the last iteration, test that of the best; changes are against the start, paired
by problem, with 95 % bootstrap intervals over problems, of each seed and of all seeds' problems together. Runs that are
in the folder already are not done again.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pipelines.artifacts.run_folder import RunFolder
from pipelines.jobs.evaluate import load_evaluation
from pipelines.measure.evaluation import Evaluation
from pipelines.measure.statistics import Difference, paired_difference

ROOT = Path(__file__).resolve().parents[1]
SIDES = ("focus", "general")
TAUGHT = ["--sft.learning-rate", "1e-2", "--sft.epochs", "10"]
"""Long and fast: at the command's own rate the default student forgets nothing within three iterations."""
ARMS = {
    "no replay": ["--replay", "0", "--rollback", "False"],
    "replay": ["--replay", "0.5", "--rollback", "False"],
    "rollback": ["--replay", "0"],
}


def main() -> None:
    """Runs all arms and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--arms", nargs="+", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--runs", type=Path, help="where the run folders stay; a temporary folder unless given")
    parser.add_argument("more", nargs="*", help="after --: options of crucible expert-iteration")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = options.runs or Path(folder)
        print(f"{'arm':<10} {'seed':<5} {'seconds':>7}  {'val focus':<24} {'val general':<24} "
              f"{'test focus':<24} {'test general':<24} best")  # fmt: skip
        for arm in options.arms:
            done = [run(runs, arm, seed, options.more) for seed in options.seeds]
            for seed, (where, seconds) in zip(options.seeds, done, strict=True):
                results = json.loads((where / "results.json").read_text())
                last = results["iterations"][-1]["change"]
                changes = [last[side] for side in SIDES] + [results["change"].get(side) for side in SIDES]
                cells = " ".join(f"{points(change):<24}" for change in changes)
                print(f"{arm:<10} {seed:<5} {seconds:>7.0f}  {cells} {results['best']}", flush=True)
            pooled = " ".join(f"{all_seeds([where for where, _ in done], side):<24}" for side in SIDES)
            print(f"{arm:<10} {'all':<5} {'':>7}  {pooled}", flush=True)


def run(runs: Path, arm: str, seed: int, more: list[str]) -> tuple[Path, float]:
    """The run folder of an arm, and how long it took."""
    where = runs / f"{arm.replace(' ', '-')}-{seed}"
    took = where / "seconds.txt"
    if not (where / "results.json").is_file():
        command = [sys.executable, "-m", "pipelines.cli", "expert-iteration", "--name", where.name, "--runs", str(runs)]
        began = time.monotonic()
        log = runs / f"{where.name}.log"
        runs.mkdir(parents=True, exist_ok=True)
        with open(log, "w") as out:
            done = subprocess.run([*command, "--seed", str(seed), *TAUGHT, *ARMS[arm], *more], cwd=ROOT, stderr=out)
        if done.returncode:
            raise SystemExit(f"{where.name} failed: {log.read_text()[-2000:]}")
        took.write_text(f"{time.monotonic() - began:.1f}")
    return where, float(took.read_text())


def points(change: dict | None) -> str:
    """A change with its interval; the start itself has none."""
    return str(Difference(**change)).replace(" points", "") if change else "start kept"


def all_seeds(folders: list[Path], side: str) -> str:
    """The change of validation in the last iteration over all seeds' problems together; each seed has its own."""
    before, after = {}, {}
    for where in folders:
        folder = RunFolder.open(where)
        last = json.loads((where / "results.json").read_text())["iterations"][-1]["name"]
        families = folder.config[side]["families"]
        for outcomes, name in ((before, "start"), (after, last)):
            found = outcomes_of(load_evaluation(folder, f"{name}-val"), families)
            outcomes |= {f"{where.name} {problem}": passed for problem, passed in found.items()}
    both = [problem for problem in before if problem in after]
    pooled = paired_difference({i: before[i] for i in both}, {i: after[i] for i in both})
    return str(pooled).replace(" points", "")


def outcomes_of(evaluation: Evaluation, families: list[str]) -> dict[str, list[bool]]:
    """Problem -> whether each scored sample passed, of these families."""
    wanted = {group.problem.id for group in evaluation.groups if group.problem.family in families}
    return {problem: passed for problem, passed in evaluation.outcomes.items() if problem in wanted}


if __name__ == "__main__":
    main()

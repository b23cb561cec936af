"""What the maths checker takes: milliseconds a pair of gold and answer, before and after a change.

    python -m benchmarks.maths [--before COMMIT_OR_FOLDER] [--pairs 500]

The pairs are those of the tests (`tests/verify/boxed_answers.txt`) and pairs made from them by rule: the same set in
every run. Each arm is a fresh interpreter on its own source; both run at once, so that a busy machine slows both alike.
Without `--before` only this checkout is measured.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
_GENERATED = (
    ("{n}", "{n}", True),
    ("{n}", "{n}.0", True),
    ("{n}", "{m}", False),
    (r"\frac{{{n}}}{{7}}", r"\dfrac{{{n}}}{{7}}", True),
    (r"\frac{{{n}}}{{7}}", r"\frac{{{m}}}{{7}}", False),
    ("{n},{m}", "{m}, {n}", True),
    (r"{n}\sqrt{{2}}", r"\sqrt{{2}}\cdot {n}", True),
    ("x+{n}", "{n}+x", True),
    ("x+{n}", "x+{m}", False),
    ("x = {n}", "{n}", True),
)
"""Gold, answer, whether they are one, for whole numbers n and m = n + 1."""


def pairs(count: int) -> list[tuple[str, str, bool]]:
    """`count` pairs of gold and answer, and whether they are equal."""
    text = (HERE / "tests" / "verify" / "boxed_answers.txt").read_text()
    found = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            how = " == " if " == " in line else " != "
            gold, answer = line.split(how, 1)
            found.append((gold, answer, how == " == "))
    for n in range(11, 11 + count):
        for gold, answer, same in _GENERATED:
            found.append((gold.format(n=n, m=n + 1), answer.format(n=n, m=n + 1), same))
    return found[:count]


def measure(count: int) -> dict:
    """Judges all pairs with the source that is imported; seconds of each, and how many came out as they should."""
    from problems.problem import Problem, Test
    from verify.config import VerifyConfig
    from verify.pool import Judge

    taken, right = [], 0
    with Judge(VerifyConfig(cache=False)) as judge:
        for i, (gold, answer, same) in enumerate([pairs(1)[0], *pairs(count)]):
            fields = {"family": "benchmark", "family_version": 1, "difficulty": 1, "split": "test", "statement": "s"}
            tests = {"public_examples": (), "hidden_tests": (Test((), gold),), "entry_point": "", "signature": ""}
            problem = Problem(id=str(i), kind="answer", checker="math", **fields, **tests)
            started = time.perf_counter()
            verdict = judge.judge(problem, f"\\boxed{{{answer}}}")
            if i:
                # The first one starts the zygote.
                taken.append(time.perf_counter() - started)
                right += verdict.passed is same
    return {"seconds": taken, "right": right}


def _start(folder: Path, count: int) -> subprocess.Popen:
    command = [sys.executable, "-P", str(Path(__file__).resolve()), "--measure", "--pairs", str(count)]
    environment = {**os.environ, "PYTHONPATH": str(folder)}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, cwd=folder, env=environment, **pipes)


def _report(name: str, process: subprocess.Popen, count: int) -> None:
    output, errors = process.communicate()
    if process.returncode:
        raise SystemExit(f"the checker of the arm {name} cannot be measured: {errors[-500:]}")
    found = json.loads(output.splitlines()[-1])
    taken = sorted(seconds * 1000 for seconds in found["seconds"])
    mean, median, slow = sum(taken) / len(taken), taken[len(taken) // 2], taken[len(taken) * 95 // 100]
    print(f"{name}: {mean:.1f} ms a pair (median {median:.1f}, 95th percentile {slow:.1f}); ", end="")
    print(f"{found['right']} of {count} as they should be")


def main() -> None:
    """Measures this checkout, and with `--before` another one beside it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--before", help="a commit of this repository, or the folder of another checkout")
    parser.add_argument("--pairs", type=int, default=500, help="pairs of gold and answer (default 500)")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.measure:
        print(json.dumps(measure(given.pairs)))
        return
    with tempfile.TemporaryDirectory() as scratch:
        arms = {"after": HERE}
        if given.before:
            folder = Path(given.before)
            if not folder.is_dir():
                folder = Path(scratch) / "before"
                subprocess.run(["git", "worktree", "add", "--detach", folder, given.before], cwd=HERE, check=True)
            arms = {"before": folder.resolve(), **arms}
        try:
            running = {name: _start(folder, given.pairs) for name, folder in arms.items()}
            for name, process in running.items():
                _report(name, process, given.pairs)
        finally:
            if "before" in arms and arms["before"].is_relative_to(scratch):
                subprocess.run(["git", "worktree", "remove", "--force", arms["before"]], cwd=HERE, check=True)


if __name__ == "__main__":
    main()

"""Jobs as people run them: the real command in a process of its own."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SMALL = [
    "--evaluation.problems=12",
    "--evaluation.samples=4",
    "--rollout.groups-per-step=4",
    "--rollout.group-size=4",
    "--rollout.sampling.max-tokens=64",
    "--train.checkpoint-every=2",
    "--verify.reward.outcome=fraction",
    "--verify.reward.format-weight=0.5",
    "--train.group-filter=reward",
    "--problems.families", "reverse_string", "is_palindrome",
    "--problems.difficulties", "1", "2", "3",
]  # fmt: skip


def start(*arguments, **more):
    command = [sys.executable, "-m", "pipelines.cli", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    environment.pop("RAY_ADDRESS", None)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=ROOT, env=environment, **{**pipes, **more})


def crucible(*arguments, status=0):
    process = start(*arguments)
    output, _ = process.communicate(timeout=400)
    assert process.returncode == status, output
    return output


def rows(folder):
    path = Path(folder) / "metrics.jsonl"
    whole = path.read_text().split("\n")[:-1] if path.exists() else []
    return [json.loads(line) for line in whole]


def steps(folder):
    return [row for row in rows(folder) if row["kind"] == "step"]


def grpo(student, runs, name, *more):
    return ["grpo", "--model", student, "--runs", runs, "--name", name, *SMALL, *more]


def wait_for_step(folder, step, process, seconds=240):
    """Until the run has booked that step."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        done = [row["step"] for row in steps(folder)]
        if done and max(done) >= step:
            return
        assert process.poll() is None, process.stdout.read()
        time.sleep(0.05)
    raise AssertionError(f"step {step} did not come within {seconds} s")

"""Jobs as people run them: the real command, in this process or in one of its own."""

import contextlib
import io
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

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


def crucible(*arguments, status=(0,)):
    """A command in this process, on the session's Ray where a test asked for one. Returns all that it printed."""
    from pipelines.cli import dispatch

    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output), pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "200")
        patch.delenv("RAY_ADDRESS", raising=False)
        try:
            found = dispatch([str(argument) for argument in arguments])
        except SystemExit as ended:
            found = ended.code
    assert found in status, output.getvalue()
    assert "Traceback" not in output.getvalue()
    return output.getvalue()


def crucible_apart(*arguments, status=(0,), **more):
    """A command in a process of its own, with a Ray of its own. Returns all that it printed."""
    process = start(*arguments, **more)
    output, _ = process.communicate(timeout=400)
    assert process.returncode in status, output
    assert "Traceback" not in output
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

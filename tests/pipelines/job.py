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
    environment = {**more.pop("env", os.environ), "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
    environment.pop("RAY_ADDRESS", None)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    return subprocess.Popen(command, cwd=ROOT, env=environment, **{**pipes, **more})


class Fleet:
    """The engines of the last job in this process: the next one that wants the same gets them, as trials of a sweep
    do, for to start them is a third of what a small job costs."""

    def __init__(self):
        self._wanted, self._engines, self._node = None, [], ""

    def start(self, spec, count, name, resources, kind="engine"):
        import ray

        from rollout.fleet import start_fleet

        wanted = repr((spec, count, resources, kind))
        if wanted != self._wanted or not self._is_up():
            self.end()
            self._wanted, self._engines = wanted, start_fleet(spec, count, name, resources, kind)
            self._node = ray.get_runtime_context().get_node_id()
        self._run = name.rpartition("-")[0]
        return list(self._engines)

    def keep(self, engines):
        """In place of their end. Versions of the run are no longer known: another test's may have its name."""
        import ray

        ray.get([engine.forget.remote(self._run) for engine in engines])

    def end(self):
        """At the end of the tests."""
        from rollout.fleet import end_fleet

        engines, self._wanted, self._engines = self._engines if self._is_up() else [], None, []
        end_fleet(engines)

    def _is_up(self):
        """Whether its Ray is: some tests replace the session's by their own, and the engines ended with it."""
        import ray

        return ray.is_initialized() and ray.get_runtime_context().get_node_id() == self._node


FLEET = Fleet()


def crucible(*arguments, status=(0,), **environment):
    """A command in this process, on the session's Ray where a test asked for one. Returns all that it printed."""
    import ray

    from pipelines.cli import dispatch

    output = io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output), pytest.MonkeyPatch.context() as patch:
        for name, value in {"COLUMNS": "200", **environment}.items():
            patch.setenv(name, value)
        patch.delenv("RAY_ADDRESS", raising=False)
        if ray.is_initialized():
            patch.setattr("pipelines.session.start_fleet", FLEET.start)
            patch.setattr("pipelines.session.end_fleet", FLEET.keep)
        try:
            found = dispatch([str(argument) for argument in arguments])
        except SystemExit as ended:
            found = ended.code
    assert found in status, output.getvalue()
    assert "Traceback" not in output.getvalue(), output.getvalue()
    return output.getvalue()


def crucible_apart(*arguments, status=(0,), **more):
    """A command in a process of its own, with a Ray of its own. Returns all that it printed."""
    process = start(*arguments, **more)
    output, _ = process.communicate(timeout=400)
    assert process.returncode in status, output
    assert "Traceback" not in output, output
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

"""A scripted student for the tests of `crucible expert-iteration`, and the job on it as a process to kill.

Its weights are its skill in percent, focus and general. Learning raises the focus by 15 points; without general
solutions in the training set it costs 40 points of the general skill.
"""

import hashlib
import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
from rich.console import Console

from pipelines.artifacts.run_folder import RunFolder
from pipelines.jobs.evaluate import Evaluation, load_evaluation, write_evaluation
from pipelines.jobs.expert.config import ExpertConfig
from pipelines.jobs.expert.job import iterate
from pipelines.jobs.expert.report import write_report
from problems import families
from problems.problem import Group, Sample, Status, Verdict
from rollout.policy import PolicyVersion
from rollout.prompts import completion_text

START = (50, 80)


def config(runs, **more):
    settings = {
        "focus": {"families": ("reverse_string",), "difficulties": (1, 2, 3)},
        "general": {"families": ("is_palindrome", "max_subarray"), "difficulties": (1, 2, 3)},
        "focus_problems": 12, "general_problems": 12, "samples": 4, "val_problems": 40, "test_problems": 40,
        "measured": 2, "iterations": 3, "name": "run", "runs": runs,
    }  # fmt: skip
    return ExpertConfig.model_validate(settings | more)


class ScriptedStudent:
    """Asked nothing twice over kills, as the real one; `kill_at` counts the times that it is used."""

    def __init__(self, folder, kill_at=None):
        self.folder, self.kill_at, self.used = folder, kill_at, 0
        self.asked, self.learnt, self.preferred = [], [], []

    def answer(self, problems, prompt, policy, name, sampling):
        self.asked.append((name, [p.id for p in problems], policy.weights))
        found = load_evaluation(self.folder, name)
        if found is None:
            groups = [self._group(n, p, policy, sampling) for n, p in enumerate(problems)]
            found = Evaluation(name, tuple(groups))
            self._maybe_die()
            write_evaluation(self.folder, found, policy.number)
        return found

    def learn_traces(self, where, traces, prompt, settings, number, initial):
        rows = [json.loads(line) for line in traces.read_text().splitlines()]
        self.learnt.append((number, rows, initial))
        general = sum(row["problem_type"] != "reverse_string" for row in rows)
        return self._grown(where / "adapter.txt", initial, number, 15, 0 if general else -40)

    def prefer(self, where, pairs, prompt, dpo, settings, number, initial):
        self.preferred.append((number, pairs, initial))
        return self._grown(where / "preferred.txt", initial, number, 5, 0)

    def _grown(self, path, initial, number, focus, general):
        before = skill(initial) if initial is not None else START
        if not path.is_file():
            self._maybe_die()
            path.parent.mkdir()
            path.write_text(f"{min(100, before[0] + focus)},{max(0, before[1] + general)}")
        return PolicyVersion("run", number, path.read_bytes(), {})

    def _group(self, number, problem, policy, sampling):
        focus, general = skill(policy)
        percent = focus if problem.family == "reverse_string" else general
        right = families.get(problem.family).solutions(problem).correct[0]
        none, samples, verdicts = np.zeros(0, np.int32), [], []
        for index in range(sampling.samples):
            # A question that is answered stays answered as skill grows, as a real student's mostly do.
            draw = int(hashlib.sha256(f"{problem.id} {index} {sampling.seed}".encode()).hexdigest(), 16) % 100
            code = (
                f"{right}\n# sample {index}" if draw < percent else f"def {problem.entry_point}(x):\n    return {draw}"
            )
            status = Status.PASSED if draw < percent else Status.WRONG_ANSWER
            if draw == 99:
                status = Status.INFRASTRUCTURE
            ids = np.asarray([index], np.int32)
            text = completion_text(code)
            samples.append(Sample(problem.id, f"{number}.0", index, none, ids, none, text, "stop", policy.number, ""))
            verdicts.append(Verdict(status, tests_total=1))
        rewards = tuple(None if v.status is Status.INFRASTRUCTURE else float(v.passed) for v in verdicts)
        return Group(number, 0, problem, tuple(samples), tuple(verdicts), rewards)

    def _maybe_die(self):
        self.used += 1
        if self.used == self.kill_at:
            os.kill(os.getpid(), signal.SIGKILL)


def skill(policy):
    return tuple(map(int, policy.weights.decode().split(","))) if policy.weights else START


def start(settings, resume=False, kill_at=None, before=()):
    """(results, the student) of a run or of what is left of one."""
    path = settings.runs / "run"
    with RunFolder.resume(path, settings) if resume else RunFolder.create(path, settings) as folder:
        student = ScriptedStudent(folder, kill_at)
        results = iterate(settings, folder, student, PolicyVersion("run", 0), Console(quiet=True), before)
        write_report(results, folder)
        return results, student


if __name__ == "__main__":
    start(config(Path(sys.argv[1])), kill_at=int(sys.argv[2]))

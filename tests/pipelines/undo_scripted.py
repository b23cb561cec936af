"""A scripted teacher and student for the tests of `crucible undo`, and the job on them as a process to kill."""

import json
import re
import sys
from pathlib import Path

import numpy as np
from rich.console import Console
from servers import message

from pipelines.artifacts.run_folder import RunFolder
from pipelines.jobs.evaluate import Evaluation
from pipelines.jobs.undo.config import UndoConfig
from pipelines.jobs.undo.job import distinct, teach
from pipelines.jobs.undo.prompts import gold
from pipelines.jobs.undo.report import write_report
from pipelines.jobs.undo.suites import Suites
from problems.problem import Group, Sample, Status, Verdict
from rollout.policy import PolicyVersion

VAL = (0.5, 0.75, 0.25, 1.0)
"""The student's validation by iteration: it falls in iteration 2."""


def config(url, runs, **more):
    teacher = {"model": "scripted", "base_url": url, "temperature": 0.0, "max_tokens": 256, "concurrency": 1,
               "backoff": 0.05, "sdk_retries": 0, "patience": 0.2, "cache": Path(runs) / "cache",
               "prices": {"scripted": {"input": 1000, "output": 5000}}}  # fmt: skip
    teacher |= more.pop("teacher", {})
    problems = {"families": ("word_problems", "reverse_string"), "difficulties": (1, 2)}
    sizes = {"train_problems": 12, "val_problems": 8, "test_problems": 8}
    return UndoConfig.model_validate(
        {"name": "run", "runs": runs, "problems": problems, **sizes, "teacher": teacher, **more}
    )


class ScriptedTeacher:
    """Solves two thirds of the training problems unaided; of the others some with the answer, some only with a
    program before its eyes, some never."""

    def __init__(self, settings):
        asked = distinct(settings, "train", settings.train_problems, Suites(settings))
        self.numbers = {p.statement: (n, p) for n, p in enumerate(asked)}

    def __call__(self, body):
        text = body["messages"][-1]["content"]
        if "grade the reasoning" in body["system"][0]["text"]:
            return message("\\boxed{2}" if "Half" in text else "no idea", model="scripted")
        first = text.split("\n\nYour earlier answer")[0]
        number, problem = next(found for statement, found in self.numbers.items() if first.startswith(statement))
        right = gold(problem)
        helped = "The final answer is" in text or "A right program" in text
        if number % 3 == 0 and not helped:
            right = "7777" if problem.kind == "answer" else "def f(): pass"
        if number == 3:
            right = "7777" if problem.kind == "answer" else "def f(): pass"
        if problem.kind == "answer":
            return message(f"So it is.\n\\boxed{{{right}}}", model="scripted")
        return message(f"```python\n{right}\n```", model="scripted")


class ScriptedStudent:
    """Knows of the training problems the first half, then all but one in each; its validation is `VAL`."""

    def __init__(self):
        self.asked, self.learnt, self.forgotten = [], [], []

    def answer(self, problems, prompt, policy, name):
        self.asked.append(name)
        share = 0.0 if not policy.weights else VAL[int(policy.weights)] if "-val" in name else 0.5
        groups = []
        for number, problem in enumerate(problems):
            passed = number < share * len(problems)
            none = np.zeros(0, np.int32)
            sample = Sample(problem.id, f"g{number}", 0, none, none, none, "Half of it", "stop", 0, "")
            status = Status.PASSED if passed else Status.WRONG_ANSWER
            verdict = Verdict(status, tests_total=1, detail="it is wrong")
            groups.append(Group(number, 0, problem, (sample,), (verdict,), (float(passed),)))
        return Evaluation(name, tuple(groups))

    def learn(self, pairs, prompt, settings, name, number, initial):
        self.learnt.append((name, list(pairs), initial))
        return PolicyVersion("run", number, str(number - 1).encode(), {})

    def forget(self, name):
        self.forgotten.append(name)


def start(settings, student, resume=False):
    path = settings.runs / "run"
    allowed = ("teacher.budget", "require")
    folder = RunFolder.resume(path, settings, allowed) if resume else RunFolder.create(path, settings)
    with folder:
        results = teach(settings, folder, student, Console(quiet=True))
        write_report(results, folder)
        return results


def shown(text):
    """The statements of problems that a rework shows as errors elsewhere."""
    return re.findall(r"not to be solved:\n(.*)\nIt says", text)


if __name__ == "__main__":
    start(config(sys.argv[1], Path(sys.argv[2]), **json.loads(sys.argv[3])), ScriptedStudent())

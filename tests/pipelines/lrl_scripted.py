"""A scripted teacher and student for the tests of `crucible lrl`, and the job on them as a process to kill."""

import re
import sys
from pathlib import Path

import numpy as np
from rich.console import Console
from servers import message

from pipelines.artifacts.run_folder import RunFolder
from pipelines.jobs.evaluate import Evaluation
from pipelines.jobs.lrl.balanced_problems import gold
from pipelines.jobs.lrl.config import LRLConfig
from pipelines.jobs.lrl.job import learn
from pipelines.jobs.lrl.report import write_report
from problems.families.scheduling import peak
from problems.problem import Group, Sample, Status, Verdict
from rollout.policy import PolicyVersion

STRATEGY = "1. Sweep over the times. 2. Compare the highest count with the rooms."


def truth(question):
    """The verdict of a question as it is worded: meetings that are on at once against rooms."""
    times = re.findall(r"(\d+):(\d\d) to (\d+):(\d\d)", question)
    meetings = [(60 * int(a) + int(b), 60 * int(c) + int(d)) for a, b, c, d in times]
    rooms = int(re.search(r"rooms(?: in an office)?: (\d+)", question)[1])
    return meetings, rooms, "YES" if peak(meetings) <= rooms else "NO"


def teach(body):
    """A teacher that says YES to everything until it has a strategy, and then judges rightly; some answers have no
    verdict."""
    system, question = body["system"][0]["text"], body["messages"][-1]["content"]
    if "keep a journal" in system:
        return message("I said YES too often." + f" ({len(question)})", model="scripted")
    if "into a strategy" in system:
        return message(STRATEGY, model="scripted")
    meetings, _, verdict = truth(question)
    if len(meetings) == 9:
        return message("These are many meetings.", model="scripted")
    return message(f"\\boxed{{{verdict if 'Sweep' in system else 'YES'}}}", model="scripted")


class ScriptedStudent:
    """Mumbles until it is trained; trained, it repeats the label most often learnt. Counts what it is asked for."""

    def __init__(self):
        self.asked, self.pairs, self.prompts = [], [], []

    def answer(self, problems, prompt, policy, name):
        self.asked.append(name)
        self.prompts.append(prompt)
        groups = []
        for number, problem in enumerate(problems):
            text = "\\boxed{YES}" if policy.weights else "hm"
            status = Status.UNPARSED
            if policy.weights:
                status = Status.PASSED if gold(problem) == "YES" else Status.WRONG_ANSWER
            none = np.zeros(0, np.int32)
            sample = Sample(problem.id, f"g{number}", 0, none, none, none, text, "stop", 0, policy.adapter_hash)
            groups.append(Group(number, 0, problem, (sample,), (Verdict(status),), (0.0,)))
        return Evaluation(name, tuple(groups[1:]), lost=("the engine died",))

    def learn(self, pairs, prompt, settings, name):
        self.pairs, self.trained_prompt = list(pairs), prompt
        return PolicyVersion("run", 1, b"weights", {})


def config(url, runs, **more):
    teacher = {"model": "scripted", "base_url": url, "temperature": 0.0, "max_tokens": 64, "concurrency": 1,
               "backoff": 0.05, "sdk_retries": 0, "patience": 0.2, "cache": Path(runs) / "cache",
               "prices": {"scripted": {"input": 1000, "output": 5000}}}  # fmt: skip
    teacher |= more.pop("teacher", {})
    sizes = {"train_problems": 12, "test_problems": 18, "synthesis_problems": 12, "batch": 4, "distil_every": 2}
    return LRLConfig.model_validate({"name": "run", "runs": runs, **sizes, "teacher": teacher, **more})


ALLOWED = ("teacher.budget", "require")
"""What a resumed run may have other values for."""


def start(settings, student, resume=False):
    path = settings.runs / "run"
    folder = RunFolder.resume(path, settings, ALLOWED) if resume else RunFolder.create(path, settings)
    with folder:
        results = learn(settings, folder, student, Console(quiet=True))
        write_report(results, folder)
        return results


if __name__ == "__main__":
    start(config(sys.argv[1], Path(sys.argv[2])), ScriptedStudent())

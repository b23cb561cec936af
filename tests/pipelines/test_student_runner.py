"""The student of the teaching jobs: adapters that are learnt once, also over a kill, and answers asked for once.

Its engine is tested where the commands are, in `test_students.py`.
"""

import contextlib
import json
import threading
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
from fresh_model import write_model
from processes import titled
from rich.console import Console

from cluster.hardware import Demand
from pipelines import session as sessions
from pipelines import student_runner as students
from pipelines.artifacts.run_folder import RunFolder
from pipelines.config import ConfigError, EvaluationConfig, JobConfig
from pipelines.job import Context, Job
from pipelines.jobs.evaluate import Evaluation
from pipelines.student_runner import StudentRunner
from problems.config import ProblemsConfig
from problems.problem import Group, Sample, Status, Verdict
from problems.stream import ProblemStream
from rollout.config import EngineConfig
from rollout.policy import PolicyVersion
from rollout.prompts import PromptConfig
from train.sft_config import SFTConfig

PROBLEMS = list(ProblemStream(ProblemsConfig(families=("scheduling",), difficulties=(2,)), "train").range(0, 6))
PAIRS = [(problem, f"\\boxed{{{problem.hidden_tests[0].expected}}}") for problem in PROBLEMS]
LEARNING = SFTConfig(
    lora_r=8, epochs=1, learning_rate=1e-2, batch_size=2, grad_accumulation=1, max_length=512, val_share=0
)

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Folder of a model with fresh weights."""
    return write_model(tmp_path_factory.mktemp("model"), PROBLEMS)


@pytest.fixture
def student(model, tmp_path, ray_local, monkeypatch):
    """A student whose engine is up in name only: what is tested is when it is used, and what is asked of it."""
    started = []

    @contextlib.contextmanager
    def open_session(config, spec, engines, workers, **more):
        started.append(spec)
        yield SimpleNamespace(learner=Demand("learner worker", workers, 0.5, 0, {}))

    monkeypatch.setattr(sessions, "open_session", open_session)
    monkeypatch.setattr(sessions, "wait_for_engines", lambda session, console: None)
    config = JobConfig(name="run", runs=tmp_path, evaluation=EvaluationConfig(temperature=0, samples=1))
    with Context(Job("teach", JobConfig, print), config, Console(quiet=True), False, None) as context:
        context.model = model
        student = StudentRunner(context, config, EngineConfig(), 8, 16)
        student.started = started
        yield student


def steps(folder):
    """Numbers of the updates that a training has recorded."""
    path = folder / "metrics.jsonl"
    lines = path.read_text().splitlines() if path.exists() else []
    return [row["step"] for row in map(json.loads, lines) if row["kind"] == "step"]


@pytest.mark.slow
def test_an_adapter_is_learnt_once_and_loads_in_peft(student, model, tmp_path):
    policy = student.learn(PAIRS, PromptConfig(), LEARNING, "first")
    again = student.learn([], PromptConfig(), LEARNING, "first", number=3)
    assert again.adapter_hash == policy.adapter_hash and again.number == 3
    onwards = student.learn(PAIRS, PromptConfig(), LEARNING, "second", 2, initial=policy)
    assert onwards.adapter_hash != policy.adapter_hash and len(student.started) == 1
    first, second = (row for row in RunFolder.open(tmp_path / "run").metrics() if row["kind"] == "sft")
    assert (first["name"], second["name"]) == ("first", "second") and first["rows"] == 6 and first["steps"] == 3
    assert second["first_loss"] < first["first_loss"], "the second goes on from the first"

    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    folder = tmp_path / "run" / "adapters" / "first" / "adapter"
    loaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model), folder)
    assert any(parameter.abs().sum() > 0 for name, parameter in loaded.named_parameters() if "lora_B" in name)


class Killer(threading.Thread):
    """Kills Ray Train's worker once a training has come to an update, and then watches how far back it is set."""

    def __init__(self, folder, at):
        super().__init__(daemon=True)
        self.folder, self.at, self.ended = folder, at, threading.Event()
        self.killed_at = self.lowest = None

    def run(self):
        while not self.ended.wait(0.005):
            done = max(steps(self.folder), default=0)
            if self.killed_at is None and done >= self.at:
                workers = titled("ray::RayTrainWorker")
                max(workers, key=psutil.Process.create_time).kill()  # that of a training before may still be ending
                self.killed_at = self.lowest = max(steps(self.folder))
            elif self.killed_at is not None:
                self.lowest = min(self.lowest, done)


@pytest.mark.slow
def test_a_killed_worker_goes_on_from_its_last_checkpoint(student, tmp_path):
    settings = LEARNING.model_copy(update={"epochs": 40, "learning_rate": 1e-3})
    whole = student.learn(PAIRS, PromptConfig(), settings, "whole")
    folder = tmp_path / "run" / "adapters"
    killer = Killer(folder / "cut", at=30)
    killer.start()
    policy = student.learn(PAIRS, PromptConfig(), settings, "cut")
    killer.ended.set()
    killer.join()
    assert 30 <= killer.killed_at < 120, "killed amid training"
    assert killer.killed_at - 6 <= killer.lowest, "a checkpoint is written every third update"
    assert policy.weights == whole.weights
    assert steps(folder / "cut") == list(range(1, 121))


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"max_length": 20}, "6 of 6 examples are longer than 20 tokens.*raise sft.max_length"),
        pytest.param({"target_modules": ("w",)}, "target module w", marks=pytest.mark.slow),
    ],
)
def test_what_cannot_be_learnt_is_one_clear_line(student, settings, says):
    with pytest.raises(ConfigError, match=says):
        student.learn(PAIRS, PromptConfig(), LEARNING.model_copy(update=settings), "bad")


def test_nothing_to_learn_from_is_refused_before_the_engine_starts(student):
    with pytest.raises(ConfigError, match="no example to learn from"):
        student.learn([], PromptConfig(), LEARNING, "empty")
    assert not student.started


def test_answers_are_asked_for_once_and_the_engine_starts_once(student, monkeypatch):
    asked = []

    def evaluate(session, config, problems, policy, name, max_tokens, console, folder):
        asked.append((name, config.prompt.system, max_tokens, config.evaluation.samples))
        none = np.zeros(0, np.int32)
        groups = [
            Group(n, 0, p, (Sample(p.id, f"g{n}", 0, none, none, none, "x", "stop", 0, ""),),
                  (Verdict(Status.UNPARSED),), (0.0,))
            for n, p in enumerate(problems)
        ]  # fmt: skip
        return Evaluation(name, tuple(groups))

    monkeypatch.setattr(students, "evaluate", evaluate)
    base = PolicyVersion("run", 0)
    first = student.answer(PROBLEMS, PromptConfig(system="Think."), base, "one")
    again = student.answer(PROBLEMS, PromptConfig(system="Think."), base, "one")
    student.answer(PROBLEMS, PromptConfig(), base, "two", EvaluationConfig(samples=3))
    assert asked == [("one", "Think.", 16, 1), ("two", "", 16, 3)] and len(student.started) == 1
    texts = [
        [(g.problem.id, g.samples[0].text, g.verdicts[0].status) for g in found.groups] for found in (first, again)
    ]
    assert texts[0] == texts[1] and len(texts[0]) == 6

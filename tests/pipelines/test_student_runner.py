"""The student of the teaching jobs: adapters that are learnt once, and answers that are asked for once.

Its engine is tested where the commands are, in `test_students.py`.
"""

import contextlib

import numpy as np
import pytest
from rich.console import Console

from pipelines import student_runner as pupils
from pipelines.artifacts.run_folder import RunFolder
from pipelines.config import ConfigError, EvaluationConfig, JobConfig
from pipelines.jobs.evaluate import Evaluation
from pipelines.student import train_tokenizer
from pipelines.student_runner import StudentRunner
from problems.config import ProblemsConfig
from problems.problem import Group, Sample, Status, Verdict
from problems.stream import ProblemStream
from rollout.config import EngineConfig
from rollout.policy import PolicyVersion
from rollout.prompts import PromptConfig
from train.pretrain import ArchitectureConfig, build_model
from train.transfer_config import TransferConfig

PROBLEMS = list(ProblemStream(ProblemsConfig(families=("scheduling",), difficulties=(2,)), "train").range(0, 6))
PAIRS = [(problem, f"\\boxed{{{problem.hidden_tests[0].expected}}}") for problem in PROBLEMS]
LEARNING = TransferConfig(epochs=1, learning_rate=1e-2)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Folder of a model with fresh weights."""
    folder = tmp_path_factory.mktemp("model")
    tokenizer = train_tokenizer((problem.statement for problem in PROBLEMS), 300)
    shape = ArchitectureConfig(hidden=32, layers=1, intermediate=64, heads=2, kv_heads=1, max_positions=512)
    ids = {"eos_id": tokenizer.eos_token_id, "pad_id": tokenizer.pad_token_id}
    build_model(shape, vocabulary=len(tokenizer), seed=0, **ids).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def pupil(model, tmp_path):
    config = JobConfig(name="run", evaluation=EvaluationConfig(temperature=0, samples=1))
    with (
        RunFolder.create(tmp_path / "run", config) as folder,
        StudentRunner(config, model, EngineConfig(), 8, 16, folder, Console(quiet=True)) as pupil,
    ):
        yield pupil


def test_an_adapter_is_learnt_once_and_loads_in_peft(pupil, model, tmp_path):
    policy = pupil.learn(PAIRS, PromptConfig(), LEARNING, "first")
    again = pupil.learn([], PromptConfig(), LEARNING, "first", number=3)
    assert again.adapter_hash == policy.adapter_hash and again.number == 3
    onwards = pupil.learn(PAIRS, PromptConfig(), LEARNING, "second", 2, initial=policy)
    assert onwards.adapter_hash != policy.adapter_hash
    rows = [row for row in RunFolder.open(tmp_path / "run").metrics() if row["kind"] == "transfer"]
    assert [row["name"] for row in rows] == ["first", "second"] and rows[0]["rows"] == 6

    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    folder = tmp_path / "run" / "adapters" / "first"
    assert [path.name for path in folder.iterdir()] == ["adapter"]
    loaded = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model), folder / "adapter")
    assert any(parameter.abs().sum() > 0 for name, parameter in loaded.named_parameters() if "lora_B" in name)


@pytest.mark.parametrize(
    ("settings", "says"),
    [({"max_length": 20}, "6 of 6 rows are longer than 20 tokens"), ({"target_modules": ("w",)}, "target module w")],
)
def test_what_cannot_be_learnt_is_one_clear_line(pupil, settings, says):
    with pytest.raises(ConfigError, match=says):
        pupil.learn(PAIRS, PromptConfig(), LEARNING.model_copy(update=settings), "bad")


def test_answers_are_asked_for_once_and_the_engine_starts_once(pupil, monkeypatch):
    """The engine is replaced: what is tested is when it is used, and what it is told."""
    started, asked = [], []

    @contextlib.contextmanager
    def open_session(config, spec, engines, workers):
        started.append(spec)
        yield "session"

    def evaluate(session, config, problems, policy, name, max_tokens, console):
        asked.append((name, config.prompt.system, max_tokens))
        none = np.zeros(0, np.int32)
        groups = [
            Group(n, 0, p, (Sample(p.id, f"g{n}", 0, none, none, none, "x", "stop", 0, ""),),
                  (Verdict(Status.UNPARSED),), (0.0,))
            for n, p in enumerate(problems)
        ]  # fmt: skip
        return Evaluation(name, tuple(groups))

    for name, fake in (("open_session", open_session), ("evaluate", evaluate), ("wait_for_engines", lambda _: None)):
        monkeypatch.setattr(pupils, name, fake)
    base = PolicyVersion("run", 0)
    first = pupil.answer(PROBLEMS, PromptConfig(system="Think."), base, "one")
    again = pupil.answer(PROBLEMS, PromptConfig(system="Think."), base, "one")
    pupil.answer(PROBLEMS, PromptConfig(), base, "two")
    assert asked == [("one", "Think.", 16), ("two", "", 16)] and len(started) == 1
    texts = [
        [(g.problem.id, g.samples[0].text, g.verdicts[0].status) for g in found.groups] for found in (first, again)
    ]
    assert texts[0] == texts[1] and len(texts[0]) == 6

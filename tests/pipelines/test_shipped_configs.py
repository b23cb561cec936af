"""The shipped configuration files: each is accepted by its command, and has the sizes of the system that it is of."""

from pathlib import Path

import pytest

from pipelines.config import GRPOConfig
from pipelines.jobs.expert.config import ExpertConfig
from pipelines.jobs.lrl.config import LRLConfig
from pipelines.jobs.sweep.config import SweepConfig
from pipelines.jobs.teacher_job_config import HardDistilConfig, SFTJobConfig
from pipelines.jobs.undo.config import UndoConfig
from pipelines.options import parse
from pipelines.student import StudentCommand

FOLDER = Path(__file__).parents[2] / "pipelines/configs"
COMMANDS = {
    "demo": GRPOConfig,
    "sweep": SweepConfig,
    "hard_distil": HardDistilConfig,
    "hard_student": StudentCommand,
    "sft_baseline": SFTJobConfig,
    "sft_focused": SFTJobConfig,
    "sft_student": SFTJobConfig,
    "sft_undo": SFTJobConfig,
    "original/hard_distil": HardDistilConfig,
    "original/sft_baseline": SFTJobConfig,
    "original/focused": ExpertConfig,
    "original/lrl": LRLConfig,
    "original/undo": UndoConfig,
}


def load(name):
    return parse(COMMANDS[name], ["--config", str(FOLDER / f"{name}.yaml")], prog="crucible")


@pytest.mark.parametrize("name", COMMANDS)
def test_its_command_takes_it(name):
    load(name)


def test_no_file_is_left_out():
    there = {str(file.relative_to(FOLDER).with_suffix("")) for file in FOLDER.rglob("*.yaml")}
    assert there == set(COMMANDS)


@pytest.mark.parametrize(
    ("name", "scale"),
    [
        ("original/hard_distil", {"count": 3, "sft.lora_r": 16, "sft.lora_alpha": 32, "train.beta": 0.04}),
        ("original/sft_baseline", {"sft.epochs": 3, "sft.learning_rate": 2e-4, "evaluation.seed": 999}),
        ("original/focused", {"focus_problems": 50, "iterations": 3, "samples": 8, "sft.lora_dropout": 0.1}),
        ("original/lrl", {"train_problems": 100, "test_problems": 150, "synthesis_problems": 100, "sft.lora_r": 8}),
        ("original/undo", {"iterations": 3, "sft.epochs": 1, "sft.learning_rate": 2e-5, "sft.grad_accumulation": 8}),
    ],
)
def test_the_sizes_are_those_of_its_system(name, scale):
    config = load(name)
    for path, value in scale.items():
        found = config
        for part in path.split("."):
            found = getattr(found, part)
        assert found == value, path


def test_the_classic_contract_is_asked_where_figures_are_compared():
    for name in ("hard_distil", "sft_baseline", "lrl"):
        assert load(f"original/{name}").problems.contract == "classic"
    assert load("original/focused").focus.contract == "classic"

"""Names from outside: what would leave its folder or cannot be a file is refused; names that people give are not."""

import os
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.names import BadName, check_name, check_path, check_run_name
from cluster.storage import StorageError, url_of
from pipelines.config import EvaluateConfig, GRPOConfig, JobConfig
from pipelines.jobs.expert.config import ExpertConfig
from pipelines.jobs.lrl.config import LRLConfig
from pipelines.jobs.sweep.config import SweepConfig
from pipelines.jobs.teacher_job_config import DistilConfig, HardDistilConfig, SFTJobConfig
from pipelines.jobs.undo.config import UndoConfig
from pipelines.session import default_name

BAD = [
    "", ".", "..", "...", "/etc", "a/../b", "a//b", "a/", "a\\b", "..\\..",
    "a\0b", "x\ny", "x\r", "\x1b[31mred", "\x7f", "\u202egnp.exe", "zero\u200bwidth", "a\u2028b", "a\u00a0b",
    "\ufeffbom", "\ud800", "\uff0e\uff0e", "\u2025", "\u2024\u2024", "a\u2215b", "a\u2044b", "a\uff0fb", "a\uff3cb",
    " a", "a ", "a.", "nul", "CON.txt", "Lpt1", "com¹",
    "x" * 201, "é" * 101, "/".join("a" * 33), "x/" * 600 + "x", "a" * 10_000_000,
]  # fmt: skip
GOOD = ["mine", "a b", "run-1_2.v3", "größe", "模型", "grpo-gemma-3-270m-20261128-042", "exp/one", "a..b", "🙂", "con1"]
HIDDEN = ["-rf", "--resume", ".git", "~", "~root", "a/.ssh", "a/-x"]


@pytest.mark.parametrize("name", BAD)
def test_a_name_that_leads_elsewhere_is_refused_in_one_short_line_of_ascii(name):
    with pytest.raises(BadName) as error:
        check_path(name, "the member")
    message = str(error.value)
    assert message.isascii() and message.isprintable() and len(message) < 400


@pytest.mark.parametrize("name", GOOD)
def test_names_that_people_give_are_taken(name):
    assert check_run_name(name) == check_path(name, "the member") == name


@pytest.mark.parametrize("name", HIDDEN)
def test_a_run_is_neither_hidden_nor_an_option(name):
    assert check_path(name, "the member") == name
    with pytest.raises(BadName, match="begin it with a letter"):
        check_run_name(name)


@settings(deadline=None)
@given(st.text(max_size=30) | st.text(alphabet="./\\~-\0a\u2024\uff0f ", max_size=12))
def test_what_is_taken_stays_in_its_folder_also_after_normalisation(tmp_path_factory, name):
    base = tmp_path_factory.getbasetemp()
    try:
        check_path(name, "the member")
    except BadName:
        return
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        path = os.path.normpath(base / unicodedata.normalize(form, name))
        assert path.startswith(f"{base}{os.sep}")
    assert not any(character in name for character in "\0\n\r\x1b\\")


@pytest.mark.parametrize(
    "name", ["../../elsewhere", "/tmp/elsewhere", "a/../b", "..", "x\ny", "\x1b[31mred", "-x", "nul"]
)
@pytest.mark.parametrize(
    "model",
    [
        JobConfig, GRPOConfig, EvaluateConfig, SweepConfig, ExpertConfig, LRLConfig, DistilConfig, HardDistilConfig,
        SFTJobConfig, UndoConfig,
    ],
)  # fmt: skip
def test_every_job_refuses_such_a_name_for_its_run(model, name):
    with pytest.raises(ValueError, match="the run's name"):
        model(name=name)


def test_a_name_made_of_a_models_folder_is_always_one():
    for model in ("", "..", "/models/a\nb", "x" * 300, "/m/\x1b[31m", "org/gemma-3", "/models/größe "):
        assert check_name(default_name("grpo", model), "the name")


@pytest.mark.parametrize(
    "url", ["gs://b/../c", "s3://b/runs/../../other", "s3://b/a\nb", "s3://b//a", "gs:///", "s3://b/./a"]
)
def test_a_url_that_leaves_its_folder_is_refused(url):
    with pytest.raises(StorageError, match="the folder of the store"):
        url_of(url)

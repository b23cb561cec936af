"""What `distil` asks a teacher: each question in the terms of the answer that it wants."""

import pytest

from pipelines.config import ConfigError
from pipelines.jobs.distil import Requests, check
from pipelines.jobs.teacher_job_config import DistilConfig
from problems.config import ProblemsConfig
from problems.stream import ProblemStream
from rollout.teacher.config import TeacherConfig


@pytest.mark.parametrize(
    ("family", "wanted", "other"),
    [
        ("max_subarray", "one fenced Python block", "\\boxed"),
        ("word_problems", "the final answer as \\boxed{answer}", "```"),
        ("scheduling", "\\boxed{YES} or \\boxed{NO}", "```"),
    ],
)
def test_the_teacher_is_asked_for_what_the_question_wants(family, wanted, other):
    problem = ProblemStream(ProblemsConfig(families=(family,)), "train").problem(0)
    requests = Requests(DistilConfig())
    first = requests.first(problem)
    again = requests.correction(problem, first, {"raw_response": "no", "detail": "it was 7", "status": "wrong_answer"})
    assert wanted in first.system and other not in first.system and other not in first.texts[1]
    assert again.system == first.system and again.texts[:2] == first.texts and again.texts[2] == "no"
    assert "it was 7" in again.texts[3] and other not in again.texts[3]


def test_a_folder_of_prompts_that_cannot_be_used_is_refused_before_anything_starts(tmp_path):
    config = DistilConfig(teacher=TeacherConfig(model="tiny", base_url="http://127.0.0.1:9", prompts=tmp_path))
    with pytest.raises(ConfigError, match=r"has none of code\.jinja"):
        check(config)
    (tmp_path / "code.jinja").write_text("Write {{ kind }}.")
    check(config)
    problem = ProblemStream(ProblemsConfig(families=("max_subarray",)), "train").problem(0)
    assert Requests(config).first(problem).system == "Write function."

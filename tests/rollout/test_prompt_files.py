"""The instructions of a teacher: each kind of problem gets its own, and the exemplars are right."""

import io
import re
import sys
from dataclasses import replace

import pytest

from problems import families
from problems.boxes import last_box
from problems.config import ProblemsConfig
from problems.stream import ProblemStream
from rollout.teacher.config import TeacherConfig
from rollout.teacher.prompt_files import NAMES, SHIPPED, TeacherPrompts, template_of
from verify.extract import extract_code

STYLES = ("direct", "think")


def problem_of(family):
    return ProblemStream(ProblemsConfig(families=(family,)), "train").problem(0)


@pytest.fixture(scope="module")
def function():
    return problem_of("max_subarray")


@pytest.fixture(scope="module")
def boxed():
    return problem_of("word_problems")


def exemplars(text):
    """(question, answer) of each exemplar."""
    parts = re.split(r"^Question:\n", text, flags=re.MULTILINE)[1:]
    return [tuple(part.split("\nAnswer:\n")) for part in parts]


def test_each_kind_of_problem_gets_its_own_instructions(function, boxed):
    named = {template_of(problem_of(family)) for family in families.names()}
    assert named == {"code", "boxed", "yes_no"}
    assert template_of(function) == "code" and template_of(replace(boxed, checker="choice")) == "boxed"
    yes_no = replace(boxed, checker="yes_no")
    for style in STYLES:
        code, box, verdict = (TeacherPrompts().system(one, style) for one in (function, boxed, yes_no))
        assert "Python block" in code and "\\boxed" not in code
        assert "\\boxed{answer}" in box and "```" not in box and "YES" not in box
        assert "\\boxed{YES} or \\boxed{NO}" in verdict and "```" not in verdict
        assert all(("<think>" in text) == (style == "think") for text in (code, box, verdict))


@pytest.mark.parametrize("style", STYLES)
def test_the_exemplars_of_boxed_answers_are_right(style, boxed):
    gold = ["69", "11", "\\frac{3}{28}", "12", "B"]
    found = exemplars(TeacherPrompts().system(boxed, style))
    assert len(found) == len(gold)
    assert [last_box(answer.rpartition("</think>")[2]).replace("tfrac", "frac") for _, answer in found] == gold
    verdicts = exemplars(TeacherPrompts().system(replace(boxed, checker="yes_no"), style))
    assert [last_box(answer) for _, answer in verdicts] == ["YES", "NO", "YES", "NO"], "as many of one as of the other"


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("kind", ["function", "assert", "stdin"])
def test_the_exemplars_of_code_run(style, kind, function, monkeypatch):
    text = TeacherPrompts().system(replace(function, kind=kind), style)
    ((_, answer),) = exemplars(text)
    code = extract_code(answer, "" if kind == "stdin" else "longest_run").code
    for values, longest in (([], 0), ([4], 1), ([1, 2, 2], 2), ([3, 3, 1, 3], 2), ([0, 0, 0], 3)):
        if kind == "stdin":
            given, printed = io.StringIO(f"{len(values)}\n{' '.join(map(str, values))}\n"), io.StringIO()
            monkeypatch.setattr(sys, "stdin", given)
            monkeypatch.setattr(sys, "stdout", printed)
            exec(code, {})
            monkeypatch.undo()
            assert int(printed.getvalue()) == longest
        else:
            scope = {}
            exec(code, scope)
            assert scope["longest_run"](values) == longest


def test_a_failed_answer_is_sent_back_in_its_own_terms(function, boxed):
    prompts = TeacherPrompts()
    assert "f([1]) gave 2" in prompts.correction(function, "think", "f([1]) gave 2")
    assert "Python" in prompts.correction(function, "think", "x") and "box" in prompts.correction(boxed, "direct", "x")
    assert "{{ 7 * 7 }}" in prompts.correction(boxed, "direct", "{{ 7 * 7 }}"), "what failed is no template"


def test_own_files_replace_the_shipped_ones(tmp_path, function, boxed):
    (tmp_path / "boxed.jinja").write_text("Box it, {{ style }}.\n")
    prompts = TeacherPrompts(tmp_path)
    prompts.check()
    assert prompts.system(boxed, "think") == "Box it, think."
    assert prompts.system(function, "think") == TeacherPrompts().system(function, "think")


@pytest.mark.parametrize(
    ("name", "text", "says"),
    [
        ("essay.jinja", "x", r"essay\.jinja, which is none of code\.jinja"),
        ("notes.txt", "x", "has none of"),
        ("boxed.jinja", "{% if %}", r"boxed\.jinja: line 1"),
        ("boxed.jinja", "{{ problem }}", "it may use kind, style"),
        ("code.jinja", "{% if kind == 'function' %}x{% endif %}", "makes no text for stdin"),
        ("correction.jinja", "{{ 'x' * 10**9 }}", "characters"),
        ("yes_no.jinja", "\xff", "utf-8"),
    ],
)
def test_a_folder_that_cannot_be_used_is_refused_in_one_line(name, text, says, tmp_path):
    (tmp_path / name).write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=says) as refused:
        TeacherPrompts(tmp_path).check()
    assert "\n" not in str(refused.value) and "teacher.prompts" in str(refused.value)


def test_a_folder_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no folder"):
        TeacherPrompts(tmp_path / "none").check()
    with pytest.raises(ValueError, match="no effect on the offline"):
        TeacherConfig(prompts=tmp_path)


def test_all_shipped_files_are_known():
    assert sorted(path.stem for path in SHIPPED.iterdir()) == sorted(NAMES)

"""Models that only continue text: where their answers end, and functions that they are asked to continue."""

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from problems import families
from problems.config import ProblemsConfig
from problems.problem import Problem, Test
from problems.stream import ProblemStream
from rollout.base_models import closing, ends, until, whole
from rollout.config import RolloutConfig, Sampling
from rollout.prompts import PromptBuilder, PromptConfig, completion_text, shot
from tests.rollout.test_prompts import _tokenizer
from verify.config import VerifyConfig
from verify.extract import extract_code
from verify.pool import Judge

CODE = ["def f(n):\n    return n", "def g(xs):\n\n    return xs[0]", "import math\n\ndef h():\n    return {1: [2]}"]
ANSWERS = [r"\boxed{12}", r"\boxed{\frac{1}{2}}", r"\boxed{YES}"]


@pytest.fixture
def double() -> Problem:
    return Problem(
        id="d-1", family="double", family_version=1, difficulty=1, split="train",
        statement='Return "twice" of n,\nwhere """n""" is\\any number.', entry_point="double",
        signature="def double(n: int) -> int:", public_examples=(Test((1,), 2),), hidden_tests=(Test((4,), 8),),
    )  # fmt: skip


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("shown", [[completion_text(code) for code in CODE], ANSWERS])
def test_what_ends_every_example_ends_an_answer(shown, count):
    stops = ends(shown[:count])
    for answer in shown:
        for more in ("\n\nWhat is next?\n\nAnswer:\nno", "\n", ""):
            assert until(f"{answer}{more}", stops).strip() == answer


def test_an_end_that_is_also_within_an_example_is_none():
    thoughtful = ["$$x^{2}\n$$ so \\boxed{3}", "\\boxed{4}"]
    assert "}\n" not in ends(thoughtful) and "}\n\n" in ends(thoughtful)
    assert ends(["a}\n\nb}", "c}"]) == ("\n\nAnswer:",)
    assert ends([]) == ends(["", " \n"]) == ("\n\nAnswer:",)
    assert ends(["yes", "no"]) == ("\n\n", "\n\nAnswer:")


@given(st.lists(st.text(max_size=40), max_size=4), st.text(max_size=200))
def test_no_example_is_cut_and_nothing_is_added(shown, text):
    stops = ends(shown)
    assert text.startswith(until(text, stops)) and all(0 < len(stop) <= 64 for stop in stops)
    for answer in shown:
        if f"\n\n{'Answer:'}" not in answer:
            assert until(f"{answer.strip()}\n\n", stops).strip() == answer.strip()


def test_a_chat_model_ends_by_itself(double):
    assert PromptBuilder(_tokenizer()).stops(double) == ()
    assert PromptBuilder(_tokenizer(chat=False)).stops(double) == ("\n\nAnswer:",)


def test_shots_are_written_as_the_question_that_is_asked(double):
    other = dataclasses.replace(double, id="d-2", statement="Return n.")
    config = PromptConfig(shots=(shot(other, "def double(n):\n    return n", PromptConfig()),))
    text = PromptBuilder(_tokenizer(chat=False), config).build(double).text
    _, _, after = text.partition("Answer:\n")
    assert after.startswith("```python\n") and text.endswith("\n\nAnswer:\n")
    assert "\n```\n" in PromptBuilder(_tokenizer(chat=False), config).stops(double)


class TestComplete:
    """Style `complete`."""

    config = PromptConfig(style="complete")

    def test_the_prompt_is_a_function_without_its_body(self, double):
        text = PromptBuilder(_tokenizer(), self.config).build(double).text
        assert text.startswith('```python\ndef double(n: int) -> int:\n    """Return')
        code = text.removeprefix("```python\n") + "    return 2 * n\n"
        names: dict = {}
        exec(code, names)
        assert names["double"](4) == 8 and names["double"].__doc__.startswith('Return "twice" of n,')
        assert "double(1) -> 2" in names["double"].__doc__ and '"""n""" is\\any' in names["double"].__doc__

    def test_what_comes_behind_the_body_is_no_part_of_the_answer(self, double):
        builder = PromptBuilder(_tokenizer(), self.config)
        stops = builder.stops(double)
        body = "    m = 2 * n\n\n    return m"
        for more in (
            "\n\ndef other():\n    return 1",
            "\nprint(double(3))",
            "\n```\n\n```python\ndef x",
            "\nprose here",
            "\n\n",
        ):
            answer = builder.answer(double, body + more, stops, True)
            assert answer == f"```python\n{double.signature}\n{body}\n```", more
            assert extract_code(answer, "double").code == f"{double.signature}\n{body}\n"
        cut = builder.answer(double, "    m = 2 *", stops, False)
        assert not extract_code(cut, "double").complete
        assert builder.answer(double, "    return 1\n#", stops, False).endswith("\n```"), "the body had ended before"

    def test_other_questions_are_asked_as_ever(self, double):
        asked = dataclasses.replace(double, kind="answer", signature="", checker="exact")
        plain = PromptBuilder(_tokenizer(chat=False), PromptConfig()).build(asked).text
        builder = PromptBuilder(_tokenizer(chat=False), self.config)
        assert builder.build(asked).text == plain and builder.stops(asked) == ("\n\nAnswer:",)
        assert builder.answer(asked, r"\boxed{3}", (), True) == r"\boxed{3}"

    @pytest.mark.parametrize(
        ("source", "body"),
        [
            ("def double(n):\n    return 2 * n\n", "    return 2 * n\n```"),
            ("def double(n): return 2 * n", "    return 2 * n\n```"),
            ("import math\n\n\ndef double(n):\n  x = n\n  if x:\n    x += n\n  return x", None),
        ],
    )
    def test_a_worked_program_is_shown_as_a_body(self, double, source, body):
        text = closing(source, "double")
        assert body in (None, text)
        names: dict = {}
        exec(f"def double(n):\n{text.removesuffix('```')}", names)
        assert names["double"](4) == 8

    @pytest.mark.parametrize(
        "source", ["x = 1\ndef double(n):\n    return n", "def f(n):\n    return n", "def double(", "(" * 5000]
    )
    def test_a_program_that_is_more_than_its_function_is_no_shot(self, double, source):
        with pytest.raises(ValueError, match="the program"):
            shot(double, source, self.config)

    def test_it_asks_and_does_not_teach(self):
        with pytest.raises(ValueError, match=r"prompt\.style to direct or think"):
            completion_text("def f():\n    pass", "complete")
        with pytest.raises(ValidationError, match="chat true begins an answer of its own"):
            PromptConfig(style="complete", chat=True)

    def test_the_families_own_solutions_pass_as_continuations(self):
        config = ProblemsConfig(difficulties=(1, 3))
        problems = {p.family: p for p in ProblemStream(config, "train").range(0, 60)}
        builder, items = PromptBuilder(_tokenizer(), self.config), []
        for problem in problems.values():
            try:
                body = closing(families.get(problem.family).solutions(problem).correct[0], problem.entry_point)
            except ValueError:
                continue
            items.append(
                (problem, builder.answer(problem, f"{body}\n\nprint(1)", builder.stops(problem), True), "stop")
            )
        assert len(items) >= 8
        with Judge(VerifyConfig()) as judge:
            assert [v.passed for v in judge.judge_batch(items)] == [True] * len(items)


@given(st.text(max_size=300), st.booleans())
def test_any_continuation_gives_an_answer(text, ended):
    problem = Problem("i", "f", 1, 1, "train", "s", "f", "def f(n: int) -> int:", (), ())
    answer = whole(problem, text, ended)
    assert answer.startswith("```python\ndef f(n: int) -> int:\n")
    extract_code(answer, "f")


@pytest.mark.parametrize("option", [{"top_p": 0.9}, {"top_k": 5}, {"min_p": 0.1}, {"repetition_penalty": 1.1}])
def test_training_refuses_what_bends_the_distribution(option):
    with pytest.raises(ValidationError, match=rf"sampling\.{next(iter(option))} must be"):
        RolloutConfig(sampling=Sampling(**option))


@pytest.mark.parametrize("stop", [[""], ["x" * 65], ["x"] * 17])
def test_texts_that_end_an_answer_are_few_and_short(stop):
    with pytest.raises(ValidationError, match="stop"):
        Sampling(stop=stop)

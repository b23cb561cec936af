"""Mathematical answers: equal ones, ones that only look equal, and comparisons that never end."""

from pathlib import Path

import pytest
from conftest import problem

from problems.problem import Status

OWN = [
    line for line in (Path(__file__).parent / "boxed_answers.txt").read_text().splitlines() if line[:1] not in ("#", "")
]
"""Our own pairs. Those that another system was found to judge wrongly are below."""

EQUAL = [
    ("5", "5.0"),
    ("-3", "\u22123"),
    (r"\frac{1}{2}", "0.5"),
    (r"\frac{1}{2}", r"\dfrac{1}{2}"),
    (r"\tfrac12", "1/2"),
    (r"-\frac{3}{4}", "-0.75"),
    (r"-\frac{3}{4}", r"\frac{-3}{4}"),
    ("1,000", "1000"),
    ("1{,}000", "1000"),
    (r"50\%", "50%"),
    (r"50\%", "50"),
    ("0.5", r"50\%"),
    (r"\$5", "5"),
    (r"90^\circ", "90"),
    (r"90^{\circ}", "90 degrees"),
    ("120", "5!"),
    ("3", "\u2462"),
    ("1,2,3", "1, 2, 3"),
    (r"\{1, 2\}", r"\{2,1\}"),
    ("5 cm", r"5\text{ cm}"),
    (r"5\text{ cm}", "5"),
    ("12 apples", "12"),
    (r"\pm 3", "3, -3"),
    (r"\pm 3", "-3 or 3"),
    ("(1, 2)", "(1,2)"),
    ("x = 3", "3"),
    ("(A) 5", "(A)"),
    ("(A) 5", "5"),
    ("A", "(A)"),
    (r"\sqrt{2}", "2^{1/2}"),
    ("x^2 + 2x + 1", "(x+1)^2"),
    (r"2\pi", r"2 \cdot \pi"),
    (r"\frac{\sqrt{3}}{3}", r"\frac{1}{\sqrt{3}}"),
    ("[0, 1)", "[0,1)"),
    ("0.333333333333", r"\frac{1}{3}"),
]
UNEQUAL = [
    ("5 cm", "5 m"),
    ("3 or 7", "3"),
    ("3", "3 or 7"),
    ("5", "5+x"),
    ("5", "5 + x"),
    ("5", "5 x"),
    ("(A) 5", "(B) 5"),
    ("A", "B"),
    (r"\pm 3", "3"),
    ("3", r"\pm 3"),
    ("3.7", "3.2"),
    ("0.333", r"\frac{1}{3}"),
    ("(1, 2)", "(2, 1)"),
    ("(0, 1)", "[0, 1]"),
    ("1,000", "1"),
    ("1, 2", "1, 2, 3"),
    ("5", ""),
    ("5", "50%"),
    (r"\frac{1}{0}", "0"),
    ("x", "y"),
    (r"\{1,2\}", r"\{1,1\}"),
]


def judged(judge, gold: str, answer: str):
    exercise = problem("answer", [((), gold)], checker="math")
    return judge.judge(exercise, f"So the answer is \\boxed{{{answer}}}.")


@pytest.mark.parametrize("gold, answer", EQUAL)
def test_equal(gold, answer, judge):
    verdict = judged(judge, gold, answer)
    assert verdict.status is Status.PASSED, verdict


@pytest.mark.parametrize("gold, answer", UNEQUAL)
def test_unequal(gold, answer, judge):
    assert judged(judge, gold, answer).status is Status.WRONG_ANSWER


@pytest.mark.parametrize("line", OWN)
def test_own_pairs(line, judge):
    how = "==" if " == " in line else "!="
    gold, answer = line.split(f" {how} ", 1)
    verdict = judged(judge, gold, answer)
    assert verdict.status is (Status.PASSED if how == "==" else Status.WRONG_ANSWER), verdict


def test_an_endless_comparison_is_stopped(judge):
    hard = "9^{9^{9^{9}}} - 9^{9^{9^{9}}} + 1"
    assert judged(judge, "1", hard).status in (Status.TIMEOUT, Status.OUT_OF_MEMORY, Status.WRONG_ANSWER)
    assert judged(judge, "2", "2").passed


def test_code_in_an_answer_does_not_run_outside_the_sandbox(judge, tmp_path):
    trap = tmp_path / "trap"
    judged(judge, "1", f"__import__('os').system('touch {trap}')")
    judged(judge, "1", f"eval(open('{trap}', 'w'))")
    assert not trap.exists()


def test_unparsed_and_truncated(judge):
    exercise = problem("answer", [((), "5")], checker="math")
    assert judge.judge(exercise, "").status is Status.UNPARSED
    assert judge.judge(exercise, "Let me think about the", "length").status is Status.TRUNCATED
    assert judge.judge(exercise, r"\boxed{5} and further", "length").passed

"""Cases from practice: answers that must pass, counterfeits that must not, texts that must be read quickly."""

import time

import pytest
from conftest import problem
from shared_folder import cases

from problems.problem import Test
from verify.checkers import answers, checker_for


def is_about_answers(case) -> bool:
    return case.get("kind", "answer") == "answer" and "completion" in case


def is_about_output(case) -> bool:
    return "printed" in case


def passes(judge, case) -> bool:
    exercise = problem("answer", [((), case["gold"])], checker=case["checker"])
    return judge.judge(exercise, case["completion"], case.get("finish_reason", "stop")).passed


@pytest.mark.parametrize("case", cases("maths"))
def test_answers_from_practice(case, judge):
    assert passes(judge, case) is (case["expected"] == "passed"), case["kind_of_fault"]


@pytest.mark.parametrize("case", cases("counterfeits", is_about_answers))
def test_counterfeit_answers(case, judge):
    assert not passes(judge, case), case["kind_of_fault"]


@pytest.mark.parametrize("case", cases("counterfeits", is_about_output))
def test_counterfeit_output(case):
    compare = checker_for(case["checker"], "stdin").compare
    gold = case["gold"]
    assert not compare(Test(("",), gold), gold, case["printed"]), case["kind_of_fault"]
    assert compare(Test(("",), gold), gold, gold)


@pytest.mark.parametrize("case", cases("programs", lambda case: case["problem"]["checker"].startswith("float")))
def test_printed_numbers_from_practice(case, judge):
    given = case["problem"]
    tests = [(test["args"], test["expected"]) for test in given["tests"] for _ in range(test.get("times", 1))]
    exercise = problem(given["kind"], tests, checker=given["checker"], entry_point=given["entry_point"])
    assert judge.judge(exercise, case["completion"], case["finish_reason"]).passed is (case["expected"] == "passed")


@pytest.mark.parametrize("case", cases("lengths", lambda case: "checker" in case))
def test_long_answers_are_read_in_time(case):
    if "repeat" in case:
        piece, times = case["repeat"]
        text = piece * times
    else:
        first, piece, times, last = case["repeat_between"]
        text = first + piece * times + last
    started = time.process_time()
    answers.readable(case["checker"], text, cut_off=False)
    answers.given_text(text)
    assert time.process_time() - started < case["bound_cpu_seconds"]

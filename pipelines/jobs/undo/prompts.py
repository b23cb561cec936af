"""The teacher's prompts, and the completions that the student learns from its answers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pipelines.jobs.undo.config import Hint
from problems.boxes import last_box
from problems.problem import Problem
from problems.questions import worked_answer
from rollout.example_text import example_text
from rollout.prompts import THINK_CLOSE, Style, completion_text
from verify.extract import extract_code
from verify.pool import Judge

REWORK_SYSTEM = """\
Where you are shown what the model made of an earlier answer, find out what misled it, and write so that it cannot \
happen again. Never speak of the model, of earlier answers or of hints."""

GRADE_SYSTEM = """\
You grade the reasoning of a student's answer, whatever its result: 1 none or nonsense, 2 mostly wrong, 3 half right, \
4 right with gaps, 5 right throughout. End with the grade as \\boxed{grade}."""

_GRADE = re.compile(r"[1-5]")
_STEP = re.compile(r"[A-Za-z]{3,}|\d+")
_STEPS = 3
"""Words and numbers that a solution has at least beside its final answer."""
HINTED_TESTS = 2


@dataclass(frozen=True, slots=True)
class Mistake:
    """A problem with the student's wrong output."""

    problem: Problem
    output: str
    detail: str
    """Why it is wrong, in one line."""


def ask(question: str, problem: Problem, hint: Hint, worked: str = "") -> str:
    """The question, with as much help as `hint` says."""
    given = hint_text(problem, hint, worked)
    return f"{question}\n\n{given}" if given else question


def rework(question: str, before: str, mistake: Mistake, elsewhere: Sequence[Mistake]) -> str:
    """The question with the teacher's earlier answer, the student's, and the student's errors on other problems."""
    parts = [
        question,
        f"Your earlier answer:\n{before or '(none was right)'}",
        f"What the model now answers:\n{mistake.output.strip() or '(nothing)'}",
    ]
    if mistake.detail:
        parts.append(f"What is wrong with that: {mistake.detail}")
    for other in elsewhere:
        output = other.output.strip() or "(nothing)"
        parts.append(f"It also errs here, and this is not to be solved:\n{other.problem.statement}\nIt says:\n{output}")
    return "\n\n".join([*parts, "Answer the first question anew."])


def hint_text(problem: Problem, hint: Hint, worked: str = "") -> str:
    """The text of a hint: nothing; the final answer, or what a program gives; a whole solution, `worked` where the data
    set has one."""
    if hint == "none":
        return ""
    if problem.kind == "answer":
        answer = problem.hidden_tests[0].expected
        if hint == "answer":
            return f"(The final answer is {answer}. Show how it comes about.)"
        return f"(A right solution, whose final answer is {answer}, to be put in your own way:\n{worked})"
    if hint == "answer":
        shown = "\n".join(example_text(problem, test) for test in problem.hidden_tests[:HINTED_TESTS])
        return f"(A right program gives, among others:\n{shown}\nDo not write these values into it.)"
    return f"(A right program, to be explained in your own way:\n{worked or gold(problem)})"


def has_hint(problem: Problem, hint: Hint, worked: str = "") -> bool:
    """Whether a hint gives more than the one before: of a data set's problem no program or worked solution may be
    known, nor values to show."""
    if hint == "solution":
        return bool(worked or (problem.kind != "answer" and gold(problem)))
    return hint == "none" or problem.kind != "assert"


def worked_hints(judge: Judge, problems: Sequence[Problem], worked: Mapping[str, str]) -> dict[str, str]:
    """Of the worked solutions, by problem id, those that help: one that repeats the final answer alone does not, and
    one whose answer is wrong, or a program that fails, misleads."""
    found = {}
    for problem in problems:
        text = worked.get(problem.id, "")
        if problem.kind == "answer":
            boxed = last_box(text)
            rest = text.replace("\\boxed", "").replace(boxed or "", "").replace(gold(problem), "")
            if len(_STEP.findall(rest)) < _STEPS or (boxed is not None and not judge.judge(problem, text).passed):
                continue
        elif not text or not judge.judge(problem, completion_text(text, kind=problem.kind)).passed:
            continue
        found[problem.id] = text
    return found


def gold(problem: Problem) -> str:
    """The true final answer, or a right program; "" where none is known."""
    return worked_answer(problem)


def grade_question(problem: Problem, output: str) -> str:
    """Asks for a grade."""
    return f"The question:\n{problem.statement}\n\nThe student's answer:\n{output.strip() or '(nothing)'}"


def read_grade(text: str) -> float | None:
    """-1, -.5, 0, .5 or 1; None where there is no grade."""
    boxed = last_box(text)
    return (int(boxed) - 3) / 2 if boxed is not None and _GRADE.fullmatch(boxed) else None


def training_completion(problem: Problem, text: str, style: Style) -> str:
    """The completion to learn from a verified answer: the program alone in style direct, and no thinking in it."""
    if style == "think":
        return text.strip()
    if problem.kind == "answer":
        return text.rpartition(THINK_CLOSE)[2].strip()
    entry_point = problem.entry_point if problem.kind != "stdin" else ""
    return completion_text(extract_code(text, entry_point).code or "")

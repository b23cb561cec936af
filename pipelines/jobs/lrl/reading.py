"""What an answer of teacher or student says, and its status."""

from __future__ import annotations

from pipelines.jobs.lrl.balanced_problems import gold, is_yes_no
from pipelines.jobs.lrl.scores import ANSWERED
from problems.boxes import last_box
from problems.plain_text import one_line
from problems.problem import Problem, Status
from verify.checkers.answers import read_yes_no

LONGEST_ANSWER = 80
"""Characters of a wrong answer that are kept beside the true one."""


def read_verdict(status: Status, text: str) -> tuple[str | None, str]:
    """The verdict given (YES, NO or None) and its status, by how the judging ended."""
    if status in (Status.PASSED, Status.WRONG_ANSWER):
        return (read_yes_no(text) or "").upper() or None, ANSWERED
    return None, str(status)


def read_answer(problem: Problem, status: Status, text: str) -> tuple[str | None, str]:
    """The answer given and its status. A right answer in a box is the true one, however it is written; a wrong one is
    what is in the box."""
    if is_yes_no(problem):
        return read_verdict(status, text)
    if status is Status.PASSED:
        return gold(problem), ANSWERED
    if status is Status.WRONG_ANSWER:
        given = one_line(last_box(text) or text.strip().rpartition("\n")[2], LONGEST_ANSWER)
        return given if given != gold(problem) else f"not {given}", ANSWERED
    return None, str(status)

"""What the commands print with, and how a problem looks."""

from __future__ import annotations

import sys

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.syntax import Syntax

from problems.plain_text import plain_text, shown
from problems.problem import Problem, Test

out = Console(highlight=False, width=None if sys.stdout.isatty() else 140)
"""Tables keep their columns when the output goes to a file."""


def progress() -> Progress:
    """A bar on stderr that is gone at the end."""
    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(*columns, console=Console(stderr=True), transient=True)


def print_problem(problem: Problem, tests: bool = False) -> None:
    """Prints a problem, and its hidden tests too if asked."""
    out.rule(shown(f"{problem.id}  variant {problem.variant or '-'}  difficulty {problem.difficulty}"))
    out.print(shown(problem.statement))
    if problem.signature:
        out.print(Syntax(plain_text(problem.signature), "python", background_color="default"))
    for test in problem.public_examples:
        out.print(shown(f"  example: {_test_text(problem, test)}"))
    out.print(
        shown(
            f"  {len(problem.hidden_tests)} hidden tests, checker {problem.checker}, question {problem.question_hash}"
        )
    )
    if tests:
        for test in problem.hidden_tests:
            out.print(shown(f"  hidden: {_test_text(problem, test)}"))


def _test_text(problem: Problem, test: Test) -> str:
    if problem.kind == "function":
        return f"{problem.entry_point}({', '.join(map(repr, test.args))}) -> {test.expected!r}"
    return " -> ".join(map(repr, (*test.args, test.expected)))

"""Programs that do nothing: a problem that one of them solves has worthless tests, and is rejected when loaded."""

from __future__ import annotations

from dataclasses import replace

from problems.problem import Problem
from verify.pool import Judge
from verify.sandbox.testcode import names_needed

_OBJECT = """
class _Anything:
    def __getattr__(self, name):
        if name[:2] == "__":
            raise AttributeError(name)
        return self

    def __call__(self, *args, **kwargs):
        return self

    __getitem__ = __add__ = __sub__ = __mul__ = __enter__ = __call__
    __setitem__ = __delitem__ = lambda *args: None
    __iter__ = None
    __eq__ = lambda self, other: True
    __hash__ = None


"""


def null_programs(problem: Problem) -> dict[str, str]:
    """The null programs for a problem that asks for a program, by a description of what they do."""
    if problem.kind == "stdin":
        return {"prints nothing": "pass"}
    names = sorted({problem.entry_point, *_names(problem)} - {""})
    nothing = "".join(f"def {name}(*args, **kwargs):\n    pass\n\n\n" for name in names)
    if problem.kind == "function":
        return {"returns None": nothing}
    return {
        "defines nothing": "pass",
        "returns None": nothing,
        "raises StopIteration": nothing.replace("pass", "raise StopIteration"),
        "returns one object for everything": _OBJECT + "".join(f"{name} = _Anything()\n" for name in names),
    }


def passing_null_program(problem: Problem, judge: Judge) -> str:
    """The description of a null program that passes the problem's tests; "" if none does."""
    if problem.kind == "answer":
        return ""
    first = replace(problem, hidden_tests=problem.hidden_tests[:1])
    for description, code in null_programs(problem).items():
        # Few pass the first test, and only those are run on all of them.
        if judge.judge_code(first, code).passed and judge.judge_code(problem, code).passed:
            return description
    return ""


def _names(problem: Problem) -> set[str]:
    """Names that the tests expect a solution to define."""
    found: set[str] = set()
    if problem.kind == "assert":
        for test in problem.hidden_tests:
            try:
                found |= names_needed(f"{problem.preamble}\n{test.args[0]}")
            except (SyntaxError, ValueError):
                continue
    return found

"""The offline teacher: worked traces written from the problem's own reference solution, free and without network.

It reasons in the steps that `pipelines.jobs.distil` asks of a model, and everything it says is read off the problem
and the program: what is asked, the values that matter, a public example, the program's course line by line, its loops.
"""

from __future__ import annotations

import ast
import re
import time
from collections.abc import Callable

from problems.problem import Problem
from rollout.example_text import example_text
from rollout.prompts import completion_text
from rollout.teacher.config import REFERENCE, TeacherConfig, Thought
from rollout.teacher.cost_ledger import Account, Usage
from rollout.teacher.request_cache import Reply, TeacherRequest

VALUES = re.compile(r"-?\d+|'[^']*'")
"""Numbers and quoted words of a statement: what a program must take over exactly."""


class ReferenceTeacher:
    """Answers every problem that has a reference solution."""

    def __init__(self, config: TeacherConfig, solve: Callable[[Problem], str]) -> None:
        self._thought: Thought = config.thought or "worked"
        self._config = config
        self._solve = solve

    async def answer(self, request: TeacherRequest) -> Reply:
        """The trace of the request's problem. Raises ValueError where it carries none."""
        if request.problem is None:
            raise ValueError("the reference teacher answers problems: the request carries none")
        code = self._solve(request.problem)
        thought = reasoning(request.problem, code, self._thought)
        text = completion_text(code, "think", thought, request.problem.kind)
        return Reply(request.key(self._config), text, "end_turn", REFERENCE, created=round(time.time(), 3))

    def account(self) -> Account:
        """Nothing."""
        return Account(0, Usage(), 0.0, 0.0)

    async def close(self) -> None:
        """There is nothing to let go."""


def reasoning(problem: Problem, code: str, thought: Thought) -> str:
    """The thoughts that lead to `code`. Raises SyntaxError where it is no Python."""
    family = problem.family.partition("@")[0]  # which contract it is does not help to solve it
    kind = f"{family.replace('_', ' ')}, {problem.variant.replace('_', ' ')}".rstrip(", ")
    values = ", ".join(dict.fromkeys(VALUES.findall(problem.statement)))
    if thought == "brief" or problem.kind != "function":
        named = _named_values(problem) or values
        return f"{kind}: {named}" if named else kind
    function = _function(code, problem.entry_point)
    steps = [
        f"Understand: this is {kind}. {problem.statement}"
        + (f" The values to keep exactly are {values}." if values else ""),
        f"Edge cases: {_edges(problem)}",
        "Plan:\n" + "\n".join(f"- {line}" for line in _narrate(function.body)),
        f"Complexity: {_complexity(function)}",
        f"Implement: the function is {problem.entry_point}, its arguments are "
        f"{', '.join(a.arg for a in function.args.args) or 'none'}.",
    ]
    return "\n".join(f"{number}. {step}" for number, step in enumerate(steps, 1))


def _named_values(problem: Problem) -> str:
    """The question's parameters that its statement spells out, each after its name.

    Wordings give them in different orders: the name says which is which, so that the program can be written from the
    thought alone.
    """
    plain = {name: value for name, value in problem.params.items() if isinstance(value, int | str)}
    words = {name: value for name, value in plain.items() if len(str(value).split()) == 1}
    return ", ".join(f"{name} {value!r}" for name, value in words.items() if str(value) in problem.statement)


def _function(code: str, entry_point: str) -> ast.FunctionDef:
    tree = ast.parse(code)
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef)]
    return next((f for f in functions if f.name == entry_point), functions[-1])


def _edges(problem: Problem) -> str:
    if not problem.public_examples:
        return "empty and smallest inputs must give a value of the right kind."
    smallest = min(problem.public_examples, key=lambda test: len(repr(test.args)))
    return f"empty and smallest inputs must hold too; for example {example_text(problem, smallest)}."


def _narrate(body: list[ast.stmt], depth: int = 0) -> list[str]:
    """A program's statements in words, two levels deep; what is deeper is shown as it is written."""
    lines: list[str] = []
    for node in body:
        match node:
            case ast.For():
                lines.append(f"for each {_source(node.target)} in {_source(node.iter)}:")
            case ast.While():
                lines.append(f"as long as {_source(node.test)}:")
            case ast.If():
                lines.append(f"if {_source(node.test)}:")
            case ast.FunctionDef():
                lines.append(f"define a helper {node.name}({', '.join(a.arg for a in node.args.args)}):")
            case ast.Return():
                lines.append(f"return {_source(node.value) if node.value else 'nothing'}")
            case ast.Assign():
                lines.append(f"set {_source(node.targets[0])} to {_source(node.value)}")
            case _:
                lines.append(_source(node).replace("\n", "; "))
        inner = getattr(node, "body", None)
        if isinstance(inner, list) and depth < 3:
            lines += [f"  {line}" for line in _narrate(inner, depth + 1)]
        if otherwise := getattr(node, "orelse", None):
            lines += ["otherwise:", *(f"  {line}" for line in _narrate(otherwise, depth + 1))]
    return lines


def _source(node: ast.AST) -> str:
    return ast.unparse(node)


def _complexity(function: ast.FunctionDef) -> str:
    loops = (ast.For, ast.While, ast.comprehension)

    def depth(node: ast.AST) -> int:
        return isinstance(node, loops) + max((depth(child) for child in ast.iter_child_nodes(node)), default=0)

    found = depth(function)
    inner = {node.name for node in ast.walk(function) if isinstance(node, ast.FunctionDef)} - {function.name}
    called = {
        node.func.id for node in ast.walk(function) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    parts = [f"{found} nested loop{'s' if found != 1 else ''} at most" if found else "no loop"]
    if inner & called:
        parts.append(f"and recursion in {', '.join(sorted(inner & called))}")
    return " ".join(parts) + "."

"""Asking models that were never taught to answer: where an answer ends, and functions to be continued. Pure text.

A model that only continues text does not stop behind its answer: it goes on with the next question of its own. What
ends an answer is read off the examples that the prompt shows; and a function may be asked for by its beginning, whose
continuation is the answer.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterable, Sequence

from problems.problem import Problem

ANSWER_MARK = "Answer:"
"""Comes between a question and its answer where there is no chat template."""
OPEN_BLOCK = "```python\n"
BLOCK_END = "\n```"
AFTER_FUNCTION = (
    "\ndef ", "\nclass ", "\nif ", "\nfor ", "\nprint(", "\nassert ", "\nimport ", "\nfrom ", "\n#", "\n@", BLOCK_END,
)  # fmt: skip
"""What begins the line behind the body of a function."""
QUOTES = '"""'
_LONGEST_END = 8
"""Characters, at most, of a last line by which answers are known to end."""


def ends(answers: Iterable[str]) -> tuple[str, ...]:
    """Texts that end an answer in a prompt without chat template, by the answers that it shows as examples.

    A text ends an answer if it ends each of the examples, with the line break behind it, and is nowhere else in one.
    """
    shown = [f"{answer.strip()}\n\n" for answer in answers if answer.strip()]
    own: list[str] = []
    if shown:
        shared = _common_end([text.rstrip("\n") for text in shown])
        for candidate in (f"{shared}\n", f"{shared}\n\n"):
            if candidate.strip(" ") != "\n" and all(
                text.find(candidate) >= len(text.rstrip("\n")) - len(shared) for text in shown
            ):
                own = [candidate]
                break
    return (*own, f"\n\n{ANSWER_MARK}")


def until(text: str, stops: Sequence[str]) -> str:
    """The text up to the first of the texts that end an answer, of which what comes before its last line break stays:
    it belongs to the answer, as a closing brace does."""
    found = [(position, stop) for stop in stops if (position := text.find(stop)) >= 0]
    if not found:
        return text
    position, stop = min(found)
    return text[: position + max(0, stop.rstrip(" ").rfind("\n"))]


def is_function(problem: Problem) -> bool:
    """Whether a problem can be asked by the beginning of a function."""
    return problem.kind == "function" and problem.signature.startswith("def ") and "\n" not in problem.signature


def opening(problem: Problem, examples: Sequence[str]) -> str:
    """A function up to its body: signature, and a docstring that holds the question and its examples."""
    text = "\n\n".join([problem.statement.strip(), *(["\n".join(examples)] if examples else [])])
    inner = text.replace("\\", "\\\\").replace(QUOTES, '\\"\\"\\"')
    docstring = _indented(f"{QUOTES}{inner}\n{QUOTES}")
    return f"{OPEN_BLOCK}{_head(problem)}\n{docstring}\n"


def closing(source: str, name: str) -> str:
    """The body of the function `name` of a program, as the continuation of `opening`, with the end of its block.

    Raises ValueError for a program that is more than that function and imports.
    """
    try:
        statements = ast.parse(source).body
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise ValueError(f"the program cannot be read: {type(error).__name__}") from None
    functions = [node for node in statements if isinstance(node, ast.FunctionDef) and node.name == name]
    imports = [node for node in statements if isinstance(node, ast.Import | ast.ImportFrom)]
    if len(functions) != 1 or len(functions) + len(imports) < len(statements):
        raise ValueError(f"the program is more than the function {name}")
    lines, (function,) = source.split("\n"), functions
    body = "\n".join(lines[function.body[0].lineno - 1 : function.end_lineno])
    if function.body[0].lineno == function.lineno:  # def f(x): return x
        body = "\n".join(ast.unparse(node) for node in function.body)
    parts = [ast.unparse(node) for node in imports] + [textwrap.dedent(body)]
    return _indented("\n".join(parts)) + BLOCK_END


def whole(problem: Problem, continuation: str, ended: bool) -> str:
    """The function that a model has continued, as a block of code; `ended` is false where the token limit cut it off.

    What begins a line of its own behind the body is no longer part of it.
    """
    body = continuation.split("```", 1)[0].split("\n")
    count = next((n for n, line in enumerate(body) if line.strip() and not line[0].isspace()), len(body))
    code = f"{OPEN_BLOCK}{_head(problem)}\n" + "\n".join(body[:count]).rstrip()
    closed = ended or count < len(body) or "```" in continuation
    return code + BLOCK_END if closed else code


def _indented(text: str) -> str:
    return textwrap.indent(text, "    ", lambda line: bool(line.strip()))


def _head(problem: Problem) -> str:
    return problem.signature if problem.signature.rstrip().endswith(":") else f"{problem.signature}:"


def _common_end(texts: Sequence[str]) -> str:
    """What all texts end with: a last line without letters and digits, as of a block of code, else a last sign."""
    lines = {text[text.rfind("\n") :] for text in texts}
    (line, *others) = lines
    if not others and len(line) <= _LONGEST_END and line.startswith("\n") and not any(map(str.isalnum, line)):
        return line
    signs = {text[-1] for text in texts}
    return signs.pop() if len(signs) == 1 and not any(map(str.isalnum, signs)) else ""

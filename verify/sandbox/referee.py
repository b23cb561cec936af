"""Runs trusted test code in a child of its own, with the candidate in another.

The test code may loop, draw at random, compare with a tolerance: whatever it computes with the candidate's
answers it computes here, where no line of the candidate ever runs. An answer arrives as plain data, so no
`__eq__` of the candidate's can speak for it. Every global name that the test code needs and does not define
itself is such a candidate.
"""

from __future__ import annotations

import ast
import builtins

import codec


def names_needed(code: str) -> set[str]:
    """Global names that test code reads but neither defines, imports, nor finds among the builtins."""
    read, bound = set(), set()
    for node in ast.walk(ast.parse(code)):
        match node:
            case ast.Name(ctx=ast.Load()):
                read.add(node.id)
            case ast.Name():
                bound.add(node.id)
            case ast.FunctionDef() | ast.ClassDef() | ast.AsyncFunctionDef():
                bound.add(node.name)
            case ast.alias():
                bound.add((node.asname or node.name).split(".")[0])
            case ast.arg():
                bound.add(node.arg)
            case ast.ExceptHandler(name=str()):
                bound.add(node.name)
    return read - bound - set(dir(builtins))


class CandidateError(Exception):
    """The candidate raised something that is no builtin exception."""


def install(namespace: dict, code: str, candidate: str, ask) -> None:
    """Puts a stand-in for the candidate, and for each further name that the test code needs, into its
    namespace."""
    for name in names_needed(code) | ({candidate} if candidate else set()):
        namespace[name] = _stand_in(name, ask)


def _stand_in(name: str, ask):
    def candidate(*args, **kwargs):
        answered, text = ask(name, args, kwargs)
        if answered == b"=":
            return codec.decode(text.decode())
        kind, _, message = text.decode("utf-8", "replace").partition(": ")
        error = getattr(builtins, kind, None)
        if isinstance(error, type) and issubclass(error, Exception):
            raise error(message)
        raise CandidateError(f"{kind}: {message}")

    candidate.__name__ = candidate.__qualname__ = name
    return candidate

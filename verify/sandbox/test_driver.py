"""Runs trusted test code in a child of its own, with the candidate in another.

The test code may loop, draw random numbers, or compare with a tolerance: whatever it computes with the candidate's
answers it computes here, where no line of the candidate ever runs. Global names that the test code needs, and that
neither it nor the problem's preamble defines, are the candidate's.

An exception of the candidate must be handled by the test code itself (`except`, `assertRaises`, `suppress`). If
something else swallows it, such as a loop that a StopIteration ends, the test has failed. It has also failed if it
never calls the candidate.

Standard library only: the zygote imports it before it locks itself down.
"""

from __future__ import annotations

import builtins
import contextlib
import sys
import types

import testcode
from candidate_link import MAX_TEXT, MEMORY, RAISED, Link
from remote import Remote, remote

DONE, FAILED, UNUSED, FORGED = b".", b"?", b"~", b"x"
"""How the test code ended: it passed; an assertion failed; it made no call; the candidate wrote something that no
harness writes. Besides these: RAISED, an exception, and MEMORY."""


def run(code: str, candidate: str, preamble: str, arrays: bool, exchange) -> tuple[bytes, str]:
    """Runs test code to its end. Returns the kind of ending and the reason."""
    try:
        source = testcode.Source(code)
    except (SyntaxError, ValueError) as error:
        return UNUSED, f"the test code is not Python: {error}"
    link = Link(exchange, source, arrays)
    how, why = _execute(link, code, candidate, preamble)
    if link.failure:
        return FORGED if link.forged else FAILED, link.failure
    if how == DONE and link.pending:
        return RAISED, _text(link.pending[0])
    if how == DONE and not link.calls:
        return UNUSED, "the test code never calls the solution"
    return how, why


def _execute(link: Link, code: str, candidate: str, preamble: str) -> tuple[bytes, str]:
    try:
        namespace = _namespace(link, code, candidate, preamble)
        with contextlib.suppress(_Finished):
            exec(link.source.code, namespace)
        import discovery

        discovery.run_tests(namespace, link.source.loaded, candidate)
    except AssertionError as error:
        return FAILED, _text(error)
    except MemoryError as error:
        return MEMORY, _text(error)
    except BaseException as error:
        return RAISED, _text(error)
    return DONE, ""


class _Finished(BaseException):
    """The test code exited with success."""


def _exit(code=None) -> None:
    if code in (None, 0, False):
        raise _Finished
    raise AssertionError(f"the test code exited with {code!r}")


def _namespace(link: Link, code: str, candidate: str, preamble: str) -> dict:
    """The namespace that the test code runs in: names of the preamble and the candidate, and the exception hooks."""
    module = types.ModuleType("__main__")
    namespace = module.__dict__
    namespace["__builtins__"] = builtins
    sys.modules["__main__"] = module
    sys.argv = ["tests"]
    sys.exit = builtins.exit = builtins.quit = _exit
    exec(compile(preamble, "<preamble>", "exec", 0, True), namespace)
    namespace[testcode.HANDLED] = link.handled
    _report_handled(contextlib.suppress, link)
    if "unittest" in code:
        import unittest.case

        unittest.main = lambda *args, **kwargs: None
        _report_handled(unittest.case._AssertRaisesContext, link)
    if "pytest" in code:
        import pytest_like

        sys.modules["pytest"] = pytest_like.module(link.accept)
    if "asyncio" in code:
        import asyncio

        original = asyncio.run
        asyncio.run = lambda main, **options: original(_awaited(main), **options)
    wanted = (testcode.names_needed(code) | {candidate}) - namespace.keys() - {"", testcode.HANDLED}
    plain = link.source.plain_names() - {candidate}
    for name in sorted(wanted):
        namespace[name] = stand_in = remote(link, {"g": name}, "c")
        if name in link.source.exceptions:
            namespace[name] = link.exception_class(*link.ask("bases", stand_in))
        elif name in plain:
            namespace[name] = _fetched(link, stand_in)
    return namespace


async def _awaited(main):
    return await main


def _fetched(link: Link, stand_in: Remote):
    """The value of one of the candidate's names: plain data by value. The stand-in if the name is not defined yet."""
    try:
        return link.ask("the", stand_in)
    except NameError:
        link.pending.clear()
        return stand_in


def _report_handled(kind: type, link: Link) -> None:
    """Makes a context manager tell the link which exceptions it handles."""
    original = kind.__exit__

    def leave(self, *raised):
        handled = original(self, *raised)
        if handled:
            link.accept(raised[1])
        return handled

    kind.__exit__ = leave


def _text(error: BaseException) -> str:
    try:
        text = f"{type(error).__name__}: {error}"
    except BaseException:
        text = type(error).__name__
    return text[:MAX_TEXT]

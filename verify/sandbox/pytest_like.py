"""A substitute for pytest, which the sandbox does not have: `raises`, `approx`, `mark.parametrize`.

Standard library only: the zygote imports it before it locks itself down.
"""

from __future__ import annotations

import contextlib
import math
import re
import types


def module(accept) -> types.ModuleType:
    """A module `pytest`. `accept(error)` is called with each exception that the test code expected."""

    @contextlib.contextmanager
    def expecting(kind, match):
        info = types.SimpleNamespace(value=None, type=None)
        try:
            yield info
        except kind as error:
            accept(error)
            if match is not None and not re.search(match, str(error)):
                raise AssertionError(f"{error} does not match {match}") from None
            info.value, info.type = error, type(error)
        else:
            raise AssertionError(f"no {kind} was raised")

    def raises(kind, *call, match=None, **options):
        context = expecting(kind, match)
        if not call:
            return context
        with context as info:
            call[0](*call[1:], **options)
        return info

    found = types.ModuleType("pytest")
    found.__dict__.update(raises=raises, approx=Approx, mark=_Mark())
    return found


class Approx:
    """Equal to close numbers, on their own or in lists, tuples and dicts."""

    __hash__ = None  # pyright: ignore[reportAssignmentType]  # how Python marks a class as unhashable

    def __init__(self, expected, rel: float | None = None, abs: float | None = None):
        self.expected = expected
        self.rel, self.abs = 1e-6 if rel is None else rel, 1e-12 if abs is None else abs

    def __eq__(self, actual) -> bool:
        return self._close(actual, self.expected)

    def _close(self, actual, expected) -> bool:
        if isinstance(expected, dict):
            return (
                isinstance(actual, dict)
                and actual.keys() == expected.keys()
                and all(self._close(actual[key], expected[key]) for key in expected)
            )
        if isinstance(expected, list | tuple):
            alike = isinstance(actual, list | tuple) and len(actual) == len(expected)
            return alike and all(map(self._close, actual, expected))
        if isinstance(expected, int | float) and isinstance(actual, int | float):
            return math.isclose(actual, expected, rel_tol=0, abs_tol=max(self.rel * abs(expected), self.abs))
        return actual == expected


class _Mark:
    """`mark.parametrize` gives a test its cases; any other mark leaves the test unchanged."""

    def __getattr__(self, name: str):
        return lambda *args, **options: args[0] if len(args) == 1 and callable(args[0]) else lambda test: test

    @staticmethod
    def parametrize(names, values, **options):
        """A decorator: the test is called once with each of the values."""
        names = names.replace(" ", "").split(",") if isinstance(names, str) else list(names)
        cases = [dict(zip(names, value if len(names) > 1 else (value,), strict=True)) for value in values]

        def decorate(test):
            before = getattr(test, "cases", [{}])
            test.cases = [{**case, **other} for case in cases for other in before]
            return test

        return decorate

"""Finds and runs tests that the test code defines but does not call: functions, classes, unittest cases, `check`.

Standard library only: the zygote imports it before it locks itself down.
"""

from __future__ import annotations

import inspect
import sys
import types

_CHECK = "check"
"""A function of this name takes the candidate."""


def run_tests(namespace: dict, loaded: set[str], candidate: str) -> None:
    """Calls everything that is named like a test and that the code does not call itself. Re-raises what a test raises.

    `loaded` are the names that the code reads; it is assumed to call those itself.
    """
    for name, value in list(namespace.items()):
        if getattr(value, "__module__", "") != "__main__":
            continue
        if isinstance(value, types.FunctionType) and name not in loaded and (name[:4] == "test" or name == _CHECK):
            _call(value, namespace.get(candidate))
        elif isinstance(value, type) and _is_case(value):
            _run_case(value)
        elif isinstance(value, type) and name[:4] == "Test" and name not in loaded:
            _run_class(value, namespace.get(candidate))


def _is_case(kind: type) -> bool:
    unittest = sys.modules.get("unittest")
    return unittest is not None and issubclass(kind, unittest.TestCase)


def _call(function, candidate) -> None:
    """Calls a test without arguments, with the candidate alone, or once for each of its parametrized cases."""
    if hasattr(function, "cases"):
        for case in function.cases:
            _finish(function(**case))
        return
    needed = [p for p in inspect.signature(function).parameters.values() if p.default is p.empty and p.kind < 2]
    if len(needed) > 1:
        raise TypeError(f"{function.__name__} needs unknown arguments; a test takes none, or only the candidate")
    _finish(function(*[candidate] * len(needed)))


def _finish(value) -> None:
    if inspect.iscoroutine(value):
        import asyncio

        asyncio.run(value)


def _run_class(kind: type, candidate) -> None:
    for name in dir(kind):
        if name[:4] == "test" and callable(getattr(kind, name)):
            test = kind()
            for before in ("setup_method", "setUp"):
                if hasattr(test, before):
                    getattr(test, before)()
            _call(getattr(test, name), candidate)


def _run_case(kind: type) -> None:
    import unittest

    names = unittest.TestLoader().getTestCaseNames(kind)
    if not names:
        return
    kind.setUpClass()
    for name in names:
        try:
            kind(name).debug()
        except unittest.SkipTest:
            continue
    kind.tearDownClass()
    kind.doClassCleanups()

"""Runs trusted test code in a child of its own, with the candidate in another.

The test code may loop, draw at random, compare with a tolerance: whatever it computes with the candidate's answers it
computes here, where no line of the candidate ever runs. Answers arrive as plain data or as proxies (`remote.py`), so no
`__eq__` of the candidate's can speak for it. Every global name that the test code needs, and neither it nor the
problem's own preamble defines, is the candidate's.

An exception of the candidate's must be handled by the test code itself (`except`, `assertRaises`, `suppress`): whatever
else swallows it, such as a loop that a StopIteration ends, the test has failed. So has one that never calls the
candidate.

Standard library only: the zygote imports it before it locks itself down.
"""

from __future__ import annotations

import builtins
import contextlib
import operator
import sys
import types
import weakref

import testcode
import wire
from remote import Remote, remote

DONE, FAILED, RAISED, UNUSED, FORGED = b".", b"?", b"!", b"~", b"x"
"""How the test code ended: it passed; an assertion failed; an exception; it made no call; the candidate wrote what no
harness writes."""
_SIMPLE, _VALUE, _OVER, _MEMORY, _CALLBACK = b":", b"=", b".", b"%", b"<"
_END = object()
_MOST_TEXT = 300
"""Characters of a failure that are reported."""


class CandidateError(Exception):
    """The candidate raised something that is no builtin exception."""

    _remote = None

    def __getattr__(self, name: str):
        if self._remote is None or name[:2] == "__":
            raise AttributeError(name)
        return getattr(self._remote, name)


class Stopped(BaseException):
    """The test has failed, whatever its code makes of it."""


class Link:
    """The way to the candidate: asks, answers its callbacks, remembers what may not be forgotten.

    `exchange(request)` sends a request and gives back the kind and the text of the next line.
    """

    def __init__(self, exchange, source: testcode.Source, arrays: bool):
        self._exchange, self.source, self.arrays = exchange, source, arrays
        self.calls = 0
        self.failure = ""
        """Why the test has failed for good."""
        self.pending: list[BaseException] = []
        """Exceptions of the candidate's that no handler has seen."""
        self.exceptions: dict[str, type] = {}
        self._remotes: weakref.WeakValueDictionary[int, Remote] = weakref.WeakValueDictionary()
        self._objects: list = []
        self._numbers: dict[int, int] = {}
        self._places: dict[tuple, tuple] = {}

    def fail(self, why: str):
        """Fails the test for good. Raises Stopped."""
        self.failure = self.failure or why
        raise Stopped(why)

    def ask(self, action: str, *operands):
        """The result of an action on the candidate's objects. Raises what the candidate raised."""
        packer = wire.Packer(self._named, self.arrays)
        return self._result([action, False, packer.contents(list(operands))], packer)[0]

    def call(self, target: Remote, args: tuple, kwargs: dict):
        """Calls the candidate. What it changed in its arguments is changed here where its value is not used, or is
        None: a test that compares the value with what it computes of the arguments must see them as they were."""
        self.calls += 1
        if not kwargs and all(map(wire.is_simple, args)):
            return self._owned(target, *self._result((self._tag(target), args), None))
        packer = wire.Packer(self._named, self.arrays)
        # The list and the dict of arguments are no containers of the test's, and get no numbers.
        raw = [self._tag(target), packer.contents(list(args)), packer.contents(kwargs)]
        dropped = bool(packer.containers) and self._stands_in(self.source.dropped)
        return self._owned(target, *self._result(["call", dropped, raw], packer))

    def _owned(self, target: Remote, made):
        """What a call gave; an object of a class that the test code calls by its name is the test code's own."""
        if isinstance(made, Remote) and self._tag(target)[0] == "g" and target._tag["g"][:1].isupper():
            object.__setattr__(made, "_own", True)
        return made

    def step(self, iterator: Remote):
        """The next item. Raises StopIteration at the end, which is no exception of the candidate's."""
        packer = wire.Packer(self._named, self.arrays)
        found = self._result(["next", False, packer.contents([iterator])], packer)
        if not found:
            raise StopIteration
        return found[0]

    def _result(self, request, packer: wire.Packer | None) -> tuple:
        """A tuple of the value, or an empty one at the end of an iteration."""
        if self.failure:
            raise Stopped(self.failure)
        kind, text = self._exchange(request)
        while kind == _CALLBACK:
            kind, text = self._exchange(self._answer(text))
        if kind in (_SIMPLE, _VALUE):
            try:
                value = wire.loads(text)
                return (value if kind == _SIMPLE and wire.is_simple(value) else self._value(*value, request, packer),)
            except (wire.Forged, TypeError, IndexError) as error:
                self._forged(error)
        if kind == _OVER:
            return ()
        if kind == _MEMORY:
            self._raise(MemoryError(), request[0])
        if kind != RAISED:
            self.fail(f"an answer of {text.decode('utf-8', 'replace')} bytes")
        self._raise(self._exception(text), request[0])

    def _forged(self, error: Exception):
        self.failure = f"{FORGED.decode()}{error}"
        raise Stopped(self.failure) from None

    def _value(self, raw, changes: list, request, packer: wire.Packer | None):
        """The value of an answer, its changes of arguments made where such were asked for."""
        if changes and not (raw is None or request[1] is True):
            raise wire.Forged("changes that were not asked for")
        containers = packer.containers if packer and changes else ()
        unpacker = wire.Unpacker(self._found, containers)
        new = [(containers[number], unpacker.unpack(contents, numbered=False)) for number, contents in changes]
        for container, contents in new:
            wire.replace(container, contents)
        return unpacker.unpack(raw)

    def _raise(self, error: BaseException, action: str):
        if not (action == "get" and isinstance(error, AttributeError)):
            self.pending.append(error)
        raise error

    def _exception(self, text: bytes) -> BaseException:
        """An exception like the candidate's: of a builtin class, or of a class made for its name."""
        said, _, details = text.partition(b"\t")
        name, _, message = said.decode("utf-8", "replace").partition(": ")
        try:
            names, args, number = wire.loads(details)
            args = [message] if args is None else wire.Unpacker(self._found).unpack(args)
            error = self.exception_class(*names)(*args)
        except Exception:
            return CandidateError(f"{name}: {message}")
        if isinstance(error, CandidateError) and type(number) is int:
            error._remote = self._remote(number, "")
        return error

    def exception_class(self, name: str, *bases: str) -> type:
        """The class that stands for the candidate's exception of this name and these bases."""
        base = next((found for n in (name, *bases) if (found := _builtin_exception(n))), Exception)
        if base.__name__ == name:
            return base
        if name not in self.exceptions:
            parents = (CandidateError,) if base is Exception else (CandidateError, base)
            self.exceptions[name] = type(name, parents, {})
        return self.exceptions[name]

    def handled(self) -> None:
        """The test code handles the exception that is being handled now, and those that led to it."""
        self.accept(sys.exc_info()[1])

    def accept(self, error: BaseException | None) -> None:
        """Forgets an exception and those that led to it: the test code expected them."""
        seen = set()
        while error is not None and id(error) not in seen:
            seen.add(id(error))
            error = error.__cause__ or error.__context__
        self.pending = [each for each in self.pending if id(each) not in seen]

    def alike(self, a: Remote, b: Remote) -> bool:
        """Whether two objects are of one class that compares, and their attributes are equal as data."""
        first, second = self.ask("state", a), self.ask("state", b)
        return first[0] is True and first == second

    def walks(self) -> bool:
        """Whether the test code asks for a truth only to walk along, as in `while node:`."""
        return self._stands_in(self.source.walked)

    def _stands_in(self, places: set[tuple]) -> bool:
        """Whether the statement of the test code that is being run stands at one of these places."""
        frame = sys._getframe(2)
        while frame is not None and frame.f_globals.get("__name__") in ("remote", "referee"):
            frame = frame.f_back
        if frame is None or frame.f_code.co_filename != "<tests>":
            return False
        code = frame.f_code
        if code not in self._places:
            self._places[code] = tuple(code.co_positions())
        line, end_line, column, end_column = self._places[code][frame.f_lasti // 2]
        return (line, end_line, column, end_column) in places

    def _tag(self, target: Remote) -> list:
        ((tag, inner),) = target._tag.items()
        return [tag, inner]

    def _named(self, value, kind: type):
        """A handle of the candidate's or of ours, the name of a builtin, or None for plain data."""
        if isinstance(value, Remote):
            return value._tag
        if isinstance(value, type) and self.exceptions.get(value.__name__) is value:
            return {"g": value.__name__}
        name = getattr(value, "__name__", None)
        if type(name) is str and getattr(builtins, name, None) is value:
            return {"B": name}
        if callable(value) and not _of_tests(kind):
            return {"c": self._number(value)}
        if (_of_tests(kind) and not _is_plain(kind)) or hasattr(kind, "__next__"):
            return {"o": self._number(value)}
        return None

    def _number(self, value) -> int:
        number = self._numbers.setdefault(id(value), len(self._objects))
        if number == len(self._objects):
            self._objects.append(value)
        return number

    def _found(self, tag: str, inner):
        if tag == "h":
            number, able = inner
            return self._remote(number, able)
        if tag == "o":
            return self._objects[inner] if inner >= 0 else None
        if tag == "B" and isinstance(getattr(builtins, inner, None), type):
            return getattr(builtins, inner)
        raise wire.Forged("no such tag")

    def _remote(self, number: int, able: str) -> Remote:
        found = self._remotes.get(number)
        if found is None:
            if type(number) is not int or type(able) is not str:
                raise wire.Forged("no such handle")
            found = self._remotes[number] = remote(self, {"h": number}, able)
        return found

    def _answer(self, text: bytes) -> list:
        """Does what the candidate asks of an object of the test code's that it was handed."""
        try:
            action, number, raw = wire.loads(text)
            value = self._objects[number]
            operands = wire.Unpacker(self._found).unpack(raw)
        except (wire.Forged, ValueError, TypeError, IndexError) as error:
            self._forged(error)
        try:
            packer = wire.Packer(self._named, self.arrays)
            return ["reply", packer.pack(_act(action, value, operands)), 0]
        except AssertionError as error:
            # The candidate may swallow it, and the test has failed all the same.
            self.fail(f"AssertionError: {error}")
        except Exception as error:
            self.accept(error)
            return ["error", type(error).__name__, str(error)[:_MOST_TEXT]]


def _act(action: str, value, operands: list):
    if action == "call":
        args, kwargs = operands
        return value(*args, **kwargs)
    if action == "next" and hasattr(type(value), "__next__"):
        item = next(value, _END)
        return [] if item is _END else [item]
    if not _of_tests(type(value)) and action != "iter":
        raise TypeError(f"a {type(value).__name__} of the tests may not be asked for {action}")
    if action in ("get", "set") and operands[0][:1] == "_":
        raise AttributeError(operands[0])
    return _ACTIONS[action](value, *operands)


_ACTIONS = {
    "get": getattr,
    "set": setattr,
    "in": lambda value, item: item in value,
    **{f.__name__: f for f in (iter, len, bool, str)},
    **{name: getattr(operator, name) for name in ("getitem", "setitem", "lt", "gt")},
}
"""What a candidate may do to an object of a class of the test code's."""


def _of_tests(kind: type) -> bool:
    return getattr(kind, "__module__", "") == "__main__"


def _is_plain(kind: type) -> bool:
    return any(base in kind.__mro__ for base in (int, float, str, bytes, list, tuple, dict, set, frozenset))


def _builtin_exception(name: str) -> type | None:
    found = getattr(builtins, name, None)
    return found if isinstance(found, type) and issubclass(found, BaseException) else None


def run(code: str, candidate: str, preamble: str, arrays: bool, exchange) -> tuple[bytes, str]:
    """Runs test code to its end: how it ended, and why."""
    try:
        source = testcode.Source(code)
    except (SyntaxError, ValueError) as error:
        return UNUSED, f"the test code is not Python: {error}"
    link = Link(exchange, source, arrays)
    how, why = _ended(link, code, candidate, preamble)
    if link.failure[:1] == FORGED.decode():
        return FORGED, link.failure[1:]
    if link.failure:
        return FAILED, link.failure
    if how == DONE and link.pending:
        return RAISED, _text(link.pending[0])
    if how == DONE and not link.calls:
        return UNUSED, "the test code makes no call of the solution"
    return how, why


def _ended(link: Link, code: str, candidate: str, preamble: str) -> tuple[bytes, str]:
    try:
        namespace = _namespace(link, code, candidate, preamble)
        with contextlib.suppress(_Finished):
            exec(link.source.code, namespace)
        import discovery

        discovery.run_tests(namespace, link.source.loaded, candidate)
    except AssertionError as error:
        return FAILED, _text(error)
    except MemoryError as error:
        return _MEMORY, _text(error)
    except BaseException as error:
        return RAISED, _text(error)
    return DONE, ""


class _Finished(BaseException):
    """The test code ended itself, content."""


def _exit(code=None) -> None:
    if code in (None, 0, False):
        raise _Finished
    raise AssertionError(f"the test code ended itself with {code!r}")


def _namespace(link: Link, code: str, candidate: str, preamble: str) -> dict:
    """The module that the test code runs as: the preamble's names, the candidate's, and what watches handlers."""
    module = types.ModuleType("__main__")
    namespace = module.__dict__
    namespace["__builtins__"] = builtins
    sys.modules["__main__"] = module
    sys.argv = ["tests"]
    sys.exit = builtins.exit = builtins.quit = _exit
    exec(compile(preamble, "<preamble>", "exec", 0, True), namespace)
    namespace[testcode.HANDLED] = link.handled
    _watch(contextlib.suppress, link)
    if "unittest" in code:
        import unittest.case

        unittest.main = lambda *args, **kwargs: None
        _watch(unittest.case._AssertRaisesContext, link)
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
    """What a name of the candidate's stands for: plain data by value. The stand-in where there is none yet."""
    try:
        return link.ask("the", stand_in)
    except NameError:
        link.pending.clear()
        return stand_in


def _watch(kind: type, link: Link) -> None:
    """Has a context manager that handles exceptions say so."""
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
    return text[:_MOST_TEXT]

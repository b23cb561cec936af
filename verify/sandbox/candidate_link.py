"""The test driver's connection to the candidate: sends its calls, answers its callbacks, and tracks its exceptions.

Answers arrive as plain data or as proxies (`remote.py`), so no `__eq__` of the candidate can speak for it. What the
candidate may do to objects of the test code is listed in `_ACTIONS`.

Standard library only: the zygote imports it before it locks itself down.
"""

from __future__ import annotations

import builtins
import operator
import sys
import types
import weakref
from typing import NoReturn

import testcode
import wire
from remote import Remote, remote

RAISED, MEMORY = b"!", b"%"
_SIMPLE, _VALUE, _OVER, _CALLBACK = b":", b"=", b".", b"<"
_END = object()
MAX_TEXT = 300
"""Characters of a failure that are reported."""


class CandidateError(Exception):
    """The candidate raised an exception that is not a builtin one."""

    _remote: Remote | None = None

    def __getattr__(self, name: str):
        if self._remote is None or name[:2] == "__":
            raise AttributeError(name)
        return getattr(self._remote, name)


class Stopped(BaseException):
    """The test has failed, whatever the test code does about it."""


class Link:
    """The connection to the candidate: sends requests, answers callbacks, and records exceptions nobody handled.

    `exchange(request)` sends a request and returns the kind and the text of the next line.
    """

    def __init__(self, exchange, source: testcode.Source, arrays: bool):
        self._exchange, self.source, self.arrays = exchange, source, arrays
        self.calls = 0
        self.failure = ""
        """Why the test has failed irrevocably."""
        self.forged = False
        """Whether it failed because the candidate wrote something that no harness writes."""
        self.pending: list[BaseException] = []
        """The candidate's exceptions that no handler has seen."""
        self.exceptions: dict[str, type] = {}
        self._remotes: weakref.WeakValueDictionary[int, Remote] = weakref.WeakValueDictionary()
        self._objects: list = []
        self._numbers: dict[int, int] = {}
        self._positions: dict[types.CodeType, tuple] = {}

    def fail(self, why: str) -> NoReturn:
        """Fails the test irrevocably. Raises Stopped."""
        self.failure = self.failure or why
        raise Stopped(why)

    def ask(self, action: str, *operands):
        """The result of an action on the candidate's objects. Re-raises what the candidate raised."""
        packer = wire.Packer(self._named, self.arrays)
        return self._result([action, False, packer.contents(list(operands))], packer)[0]

    def call(self, target: Remote, args: tuple, kwargs: dict):
        """Calls the candidate.

        Changes that it made to its arguments are applied here only if its return value is unused or None: a test that
        compares the value with something computed from the arguments must see them unchanged.
        """
        self.calls += 1
        if not kwargs and all(map(wire.is_simple, args)):
            return self._owned(target, *self._result((self._tag(target), args), None))
        packer = wire.Packer(self._named, self.arrays)
        # The list and the dict of arguments are not containers of the test, so they are not numbered.
        raw = [self._tag(target), packer.contents(list(args)), packer.contents(kwargs)]
        dropped = bool(packer.containers) and self._runs_at(self.source.dropped)
        return self._owned(target, *self._result(["call", dropped, raw], packer))

    def _owned(self, target: Remote, made):
        """The result of a call. An object made by calling a class of the candidate by name belongs to the test code."""
        if isinstance(made, Remote) and self._tag(target)[0] == "g" and target._tag["g"][:1].isupper():
            object.__setattr__(made, "_own", True)
        return made

    def step(self, iterator: Remote):
        """The next item. Raises StopIteration at the end, which does not count as an exception of the candidate."""
        packer = wire.Packer(self._named, self.arrays)
        found = self._result(["next", False, packer.contents([iterator])], packer)
        if not found:
            raise StopIteration
        return found[0]

    def _result(self, request, packer: wire.Packer | None) -> tuple:
        """A tuple with the value, or an empty tuple at the end of an iteration."""
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
        if kind == MEMORY:
            self._raise(MemoryError(), request[0])
        if kind != RAISED:
            self.fail(f"an answer of {text.decode('utf-8', 'replace')} bytes")
        self._raise(self._exception(text), request[0])

    def _forged(self, error: Exception) -> NoReturn:
        self.failure, self.forged = str(error), True
        raise Stopped(self.failure) from None

    def _value(self, raw, changes: list, request, packer: wire.Packer | None):
        """The value of an answer; applies the changes of arguments, if they were requested."""
        if changes and not (raw is None or request[1] is True):
            raise wire.Forged("changes that were not requested")
        containers = packer.containers if packer and changes else ()
        unpacker = wire.Unpacker(self._found, containers)
        new = [(containers[number], unpacker.unpack(contents, numbered=False)) for number, contents in changes]
        for container, contents in new:
            wire.replace(container, contents)
        return unpacker.unpack(raw)

    def _raise(self, error: BaseException, action: str) -> NoReturn:
        if not (action == "get" and isinstance(error, AttributeError)):
            self.pending.append(error)
        raise error

    def _exception(self, text: bytes) -> BaseException:
        """An exception like the candidate's: of the same builtin class, or of a class made to match its name."""
        summary, _, details = text.partition(b"\t")
        name, _, message = summary.decode("utf-8", "replace").partition(": ")
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
        """The local class for the candidate's exception class of this name and these bases."""
        base = next((found for n in (name, *bases) if (found := _builtin_exception(n))), Exception)
        if base.__name__ == name:
            return base
        if name not in self.exceptions:
            parents = (CandidateError,) if base is Exception else (CandidateError, base)
            self.exceptions[name] = type(name, parents, {})
        return self.exceptions[name]

    def handled(self) -> None:
        """Accepts the exception that is being handled right now, and its causes."""
        self.accept(sys.exc_info()[1])

    def accept(self, error: BaseException | None) -> None:
        """Removes an exception and its causes from `pending`: the test code expected them."""
        seen = set()
        while error is not None and id(error) not in seen:
            seen.add(id(error))
            error = error.__cause__ or error.__context__
        self.pending = [each for each in self.pending if id(each) not in seen]

    def alike(self, a: Remote, b: Remote) -> bool:
        """Whether two objects are of the same class, that class defines equality, and their attributes are equal."""
        first, second = self.ask("state", a), self.ask("state", b)
        return first[0] is True and first == second

    def walks(self) -> bool:
        """Whether the test code needs a truth value only to traverse a structure, as in `while node:`."""
        return self._runs_at(self.source.walked)

    def _runs_at(self, positions: set[tuple]) -> bool:
        """Whether the expression of the test code that is being evaluated is at one of these positions."""
        frame = sys._getframe(2)
        while frame is not None and frame.f_globals.get("__name__") in ("remote", __name__):
            frame = frame.f_back
        if frame is None or frame.f_code.co_filename != "<tests>":
            return False
        code = frame.f_code
        if code not in self._positions:
            self._positions[code] = tuple(code.co_positions())
        return self._positions[code][frame.f_lasti // 2] in positions

    def _tag(self, target: Remote) -> list:
        ((tag, inner),) = target._tag.items()
        return [tag, inner]

    def _named(self, value, kind: type):
        """A handle of either side, the name of a builtin, or None for plain data."""
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
        """Performs the action that the candidate requests on an object of the test code."""
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
            # The candidate may swallow it, but the test has failed all the same.
            self.fail(f"AssertionError: {error}")
        except Exception as error:
            self.accept(error)
            return ["error", type(error).__name__, str(error)[:MAX_TEXT]]


def _act(action: str, value, operands: list):
    if action == "call":
        args, kwargs = operands
        return value(*args, **kwargs)
    if action == "next" and hasattr(type(value), "__next__"):
        item = next(value, _END)
        return [] if item is _END else [item]
    if not _of_tests(type(value)) and action != "iter":
        raise TypeError(f"{action} is not allowed on a {type(value).__name__} of the tests")
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
"""What a candidate may do to an object whose class the test code defines."""


def _of_tests(kind: type) -> bool:
    return getattr(kind, "__module__", "") == "__main__"


def _is_plain(kind: type) -> bool:
    return any(base in kind.__mro__ for base in (int, float, str, bytes, list, tuple, dict, set, frozenset))


def _builtin_exception(name: str) -> type | None:
    found = getattr(builtins, name, None)
    return found if isinstance(found, type) and issubclass(found, BaseException) else None

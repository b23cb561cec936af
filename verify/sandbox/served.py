"""The candidate's side of assert-style tests: performs the test driver's requests on the candidate's objects.

Objects that are not plain data stay in this child; the other child refers to them by number. Objects of the test code
(functions that it passes in, instances of its classes) are represented by `_Foreign` and by functions that call back.

Nothing that happens here is trusted: a program may change this module at will, but all it can change is its answers.

Standard library only: the zygote imports it before it locks itself down.
"""

from __future__ import annotations

import builtins
import operator
import types
from typing import Any

import codec
import wire

CALLBACK, OVER, SIMPLE, VALUE = b"<", b".", b":", b"="
"""Kinds of line besides the harness's own: a callback, the end of an iteration, a value that packs to itself, any other
value with the changes of arguments."""
_PROTOCOLS = {
    "c": "__call__",
    "i": "__iter__",
    "n": "__next__",
    "l": "__len__",
    "g": "__getitem__",
    "k": "__contains__",
    "w": "__enter__",
}
"""Protocols that an object may support, by the letter that is sent with its number."""
_END = object()


def bases(value) -> list[str]:
    """Names of an exception's class and its base classes, in method resolution order."""
    kind = value if isinstance(value, type) else type(value)
    return [base.__name__ for base in type.mro(kind)][:32]


def _state(value) -> list:
    """The state by which two objects are compared: class and attributes, if the class defines equality."""
    kind = type(value)
    if kind.__eq__ is object.__eq__:
        return [False]
    slots = [name for base in kind.__mro__ for name in getattr(base, "__slots__", ())]
    return [True, kind, {**getattr(value, "__dict__", {}), **{s: getattr(value, s, None) for s in slots}}]


def _is_record(kind: type) -> bool:
    """True for a type that can travel by value: a builtin, or a namedtuple without methods of its own."""
    if not hasattr(kind, "_fields") or tuple not in kind.__mro__:
        return kind.__module__ == "builtins"
    return not any(callable(value) and name[0] != "_" for name, value in vars(kind).items())


def _await(value):
    import asyncio

    async def wait():
        return await value

    return asyncio.run(wait())


_ACTIONS = {
    "get": getattr,
    "set": setattr,
    "del": delattr,
    "is": lambda value, kind: isinstance(kind, type) and kind in type(value).__mro__,
    "the": lambda value: value,
    "bases": bases,
    "state": _state,
    "await": _await,
    "in": lambda value, item: bool(item in value),
    "enter": lambda value: type(value).__enter__(value),
    "exit": lambda value: bool(type(value).__exit__(value, None, None, None)),
    **{f.__name__: f for f in (iter, len, str, repr, format, int, float, complex, round, abs)},
    **{name: getattr(operator, name) for name in ("getitem", "setitem", "delitem", "index", "neg", "pos", "invert")},
    **{name: getattr(operator, name) for name in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul")},
    **{name: getattr(operator, name) for name in ("and_", "or_", "xor", "lshift", "rshift")},
}


class Server:
    """Answers requests until the channel is closed.

    `receive`, `send` and `describe` (an exception as text) are the harness's.
    """

    def __init__(self, namespace: dict, receive, send, describe, limit: int, arrays: bool):
        self.namespace, self.arrays, self.limit = namespace, arrays, limit
        self._receive, self._send, self._describe = receive, send, describe
        self._objects: list = []
        self._numbers: dict[int, int] = {}
        self._functions: dict[int, object] = {}

    def serve(self, calls: int) -> None:
        """Answers `calls` requests."""
        for _ in range(calls):
            self._answer(self._receive())

    def _answer(self, request) -> None:
        """Performs a request: a call with simple arguments (a tuple), or any other action (a list)."""
        kind, text = self._perform(request)
        if len(text) > self.limit:
            kind, text = b"#", b"%d" % len(text)
        self._send(kind, text)

    def _perform(self, request) -> tuple[bytes, bytes]:
        try:
            if type(request) is tuple:
                target, args = request
                target = self._found(*target)
                return self._reply(target(*args), (), (), False, target)
            return self._do(*request)
        except MemoryError as error:
            return b"%", self._describe(error)
        except wire.Forged as error:
            return b"!", self._describe(error)
        except BaseException as error:
            return b"!", self._exception(error)

    def _exception(self, error: BaseException) -> bytes:
        """An exception as text, a tab, and its details for the test code that catches it."""
        packer = wire.Packer(self._named, self.arrays)
        try:
            args = packer.pack(list(error.args))
        except BaseException:
            args = None
        try:
            details = wire.dumps([bases(error), args, self._number(error)])
        except BaseException:
            details = b"[]"
        return self._describe(error).replace(b"\t", b" ") + b"\t" + details

    def _do(self, action: str, dropped: bool, raw: list) -> tuple[bytes, bytes]:
        unpacker = wire.Unpacker(self._found)
        if action == "call":
            target, args, kwargs = self._found(*raw[0]), unpacker.unpack(raw[1], False), unpacker.unpack(raw[2], False)
            before = wire.snapshot(unpacker.containers) if unpacker.containers else ()
            value = target(*args, **kwargs)
            return self._reply(value, unpacker.containers, before, dropped, target)
        operands = unpacker.unpack(raw, False)
        if action == "next":
            value = next(operands[0], _END)
            if value is _END:
                return OVER, b""
        else:
            value = _ACTIONS[action](*operands)
        return self._reply(value, (), (), dropped, None)

    def _reply(self, value, containers, before, dropped: bool, target) -> tuple[bytes, bytes]:
        """The result of an action, with the changes of its arguments if the result itself is unused or None."""
        changes = wire.changed(containers, before) if before and (dropped or value is None) else ()
        if not changes:
            if wire.is_simple(value):
                return SIMPLE, wire.dumps(value)
            if type(value) is target and not _is_record(target):
                return VALUE, wire.dumps([{"h": self._handle(value)}, ()])
            return VALUE, wire.dumps([wire.Packer(self._named, self.arrays).pack(value), ()])
        packer = wire.Packer(self._named, self.arrays, containers)
        contents = [[number, packer.contents(containers[number])] for number in changes]
        return VALUE, wire.dumps([packer.pack(value), contents])

    def _number(self, value) -> int:
        number = self._numbers.setdefault(id(value), len(self._objects))
        if number == len(self._objects):
            self._objects.append(value)
        return number

    def _handle(self, value) -> list:
        kind = type(value)
        able = [letter for letter, method in _PROTOCOLS.items() if getattr(kind, method, None) is not None]
        if kind is types.CoroutineType:
            able.append("a")
        return [self._number(value), "".join(able)]

    def _named(self, value, kind: type):
        """A handle, the name of a builtin, or None for a value that travels as plain data."""
        if kind is _Foreign:
            return {"o": object.__getattribute__(value, "_foreign_number")}
        if id(value) in self._numbers:
            return {"h": self._handle(value)}
        if kind.__module__ == "numpy" and not callable(value):
            return None
        if any(base in kind.__mro__ for base in codec.AS_BASE):
            return None
        number = getattr(value, "_foreign_function", None) if kind is type(_foreign_function) else None
        if type(number) is int:
            return {"o": number}
        name = getattr(value, "__name__", None)
        if type(name) is str and getattr(builtins, name, None) is value:
            return {"B": name}
        return {"h": self._handle(value)}

    def _found(self, tag: str, inner) -> Any:
        if tag == "h":
            return self._objects[inner]
        if tag == "g":
            if inner not in self.namespace and not hasattr(builtins, inner):
                raise NameError(f"the program does not define {inner}")
            return self.namespace.get(inner, getattr(builtins, inner, None))
        if tag == "B":
            return getattr(builtins, inner)
        if tag == "c":
            if inner not in self._functions:
                self._functions[inner] = _foreign_function(self, inner)
            return self._functions[inner]
        if tag == "o":
            if inner not in self._functions:
                self._functions[inner] = _Foreign(self, inner)
            return self._functions[inner]
        raise wire.Forged("no such tag")

    def ask(self, action: str, number: int, *operands):
        """Requests an action on an object of the test code; serves the other side's requests in the meantime."""
        packed = wire.Packer(self._named, self.arrays).pack(list(operands))
        self._send(CALLBACK, wire.dumps([action, number, packed]))
        while True:
            request = self._receive()
            if request[0] == "reply":
                return wire.Unpacker(self._found).unpack(request[1])
            if request[0] == "error":
                kind = getattr(builtins, request[1], RuntimeError)
                raise (kind if issubclass(kind, Exception) else RuntimeError)(request[2])
            self._answer(request)


def _foreign_function(server: Server, number: int):
    def function(*args, **kwargs):
        return server.ask("call", number, args, kwargs)

    function.__dict__["_foreign_function"] = number
    return function


class _Foreign:
    """A proxy of an object of the test code."""

    __slots__ = ("_foreign_number", "_foreign_server")

    def __init__(self, server: Server, number: int):
        object.__setattr__(self, "_foreign_server", server)
        object.__setattr__(self, "_foreign_number", number)

    def __getattr__(self, name):
        return _ask(self, "get", name)

    def __setattr__(self, name, value):
        _ask(self, "set", name, value)

    def __iter__(self):
        return _ask(self, "iter")

    def __next__(self):
        found = _ask(self, "next")
        if not found:
            raise StopIteration
        return found[0]

    def __call__(self, *args, **kwargs):
        return _ask(self, "call", args, kwargs)

    def __len__(self):
        return _ask(self, "len")

    def __bool__(self):
        return _ask(self, "bool")

    def __getitem__(self, key):
        return _ask(self, "getitem", key)

    def __setitem__(self, key, value):
        _ask(self, "setitem", key, value)

    def __contains__(self, item):
        return _ask(self, "in", item)

    def __str__(self):
        return _ask(self, "str")

    __repr__ = __str__

    def __lt__(self, other):
        return _ask(self, "lt", other)

    def __gt__(self, other):
        return _ask(self, "gt", other)


def _ask(foreign: _Foreign, action: str, *operands):
    server = object.__getattribute__(foreign, "_foreign_server")
    return server.ask(action, object.__getattribute__(foreign, "_foreign_number"), *operands)

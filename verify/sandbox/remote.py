"""Proxies of the candidate's objects in the test driver: operations on them are forwarded to the candidate.

The candidate's code never decides an assertion. Equality, truth and hash of a proxy are decided here: a proxy equals no
plain data, has no truth value, and never receives a plain operand, which may be the expected value. Two proxies are
equal if they are the same object, or objects of the same class whose attributes, read as data, are equal.

Standard library only: the zygote imports it before it locks itself down.
"""

from __future__ import annotations

_NAMES = frozenset({"__name__", "__doc__", "__qualname__", "__module__"})
"""Dunder attributes that may be read."""
_VERDICTS = frozenset(
    name
    for kind in (str, bytes, set, float)
    for name in dir(kind)
    if name.startswith("is") or name in ("startswith", "endswith")
)
"""Predicates of plain data: an object in place of plain data may not answer them."""


class Remote:
    """An object of the candidate. `_own` is True if the test code created it by calling a class of the candidate."""

    __slots__ = ("__weakref__", "_link", "_own", "_tag")

    def __init__(self, link, tag: dict, own: bool = False):
        for name, value in (("_link", link), ("_tag", tag), ("_own", own)):
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str):
        if name in _VERDICTS and not self._own:
            self._link.fail(f"{name} was called on an object of the solution")
        if name[:2] == "__" and name not in _NAMES:
            raise AttributeError(name)
        return self._link.ask("get", self, name)

    def __setattr__(self, name: str, value) -> None:
        self._link.ask("set", self, name, value)

    def __delattr__(self, name: str) -> None:
        self._link.ask("del", self, name)

    def __eq__(self, other) -> bool:
        return self is other or (isinstance(other, Remote) and self._link.alike(self, other))

    def __ne__(self, other) -> bool:
        return not self == other

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        if self._link.walks():
            return True
        return self._link.fail("an object of the solution was used as a truth value")

    def __instancecheck__(self, value) -> bool:
        return isinstance(value, Remote) and self._link.ask("is", value, self) is True

    def __str__(self) -> str:
        return self._text("str")

    def __repr__(self) -> str:
        return self._text("repr")

    def __format__(self, spec: str) -> str:
        return self._text("format", spec)

    def _text(self, action: str, *operands) -> str:
        text = self._link.ask(action, self, *operands)
        if type(text) is not str:
            self._link.fail(f"{action} of an object gave a {type(text).__name__}")
        return text

    def _number(self, action: str, kind: type, *operands):
        value = self._link.ask(action, self, *operands)
        if type(value) is not kind:
            self._link.fail(f"{action} of an object gave a {type(value).__name__}")
        return value

    def __int__(self) -> int:
        return self._number("int", int)

    def __float__(self) -> float:
        return self._number("float", float)

    def __complex__(self) -> complex:
        return self._number("complex", complex)

    def __reduce_ex__(self, protocol):
        raise TypeError("an object of the solution cannot be copied")


def _unary(action: str):
    def method(self, *operands):
        return self._link.ask(action, self, *operands)

    return method


def _binary(action: str, reflected: bool):
    def method(self, other):
        if not isinstance(other, Remote):
            # It may be the expected value: an object that computes `x - expected` itself could always be right.
            self._link.fail(f"{action} of an object of the solution and a {type(other).__name__}")
        return self._link.ask(action, *((other, self) if reflected else (self, other)))

    return method


def _refused(action: str):
    def method(self, other):
        self._link.fail(f"{action} of an object of the solution")

    return method


_ARITHMETIC = ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul")
for _name in (*_ARITHMETIC, "and", "or", "xor", "lshift", "rshift"):
    _action = f"{_name}_" if _name in ("and", "or") else _name
    setattr(Remote, f"__{_name}__", _binary(_action, reflected=False))
    setattr(Remote, f"__r{_name}__", _binary(_action, reflected=True))
for _name in ("lt", "le", "gt", "ge"):
    setattr(Remote, f"__{_name}__", _refused(_name))
for _name in ("neg", "pos", "invert", "abs", "round"):
    setattr(Remote, f"__{_name}__", _unary(_name))


def _call(self, *args, **kwargs):
    return self._link.call(self, args, kwargs)


def _next(self):
    return self._link.step(self)


def _len(self) -> int:
    return self._number("len", int)


def _contains(self, item) -> bool:
    if self._own:
        return self._link.ask("in", self, item) is True
    return any(item is each or item == each for each in self._link.ask("iter", self))


def _enter(self):
    return self._link.ask("enter", self)


def _exit(self, *raised) -> None:
    """Does not pass the exception on: it may be a failed assertion, which the candidate must not swallow."""
    self._link.ask("exit", self)


def _await(self):
    return self._link.ask("await", self)
    yield


_METHODS = {
    "c": {"__call__": _call},
    "i": {"__iter__": _unary("iter")},
    "n": {"__next__": _next, "__iter__": lambda self: self},
    "l": {"__len__": _len},
    "g": {
        "__getitem__": _unary("getitem"),
        "__setitem__": _unary("setitem"),
        "__delitem__": _unary("delitem"),
        "__iter__": _unary("iter"),
    },
    "k": {"__contains__": _contains},
    "w": {"__enter__": _enter, "__exit__": _exit},
    "a": {"__await__": _await},
}
_classes: dict[str, type] = {}


def remote(link, tag: dict, able: str, own: bool = False) -> Remote:
    """A proxy with the methods of exactly those protocols that the letters of `able` name."""
    able = "".join(sorted(set(able) & set(_METHODS)))
    if able not in _classes:
        methods = {name: method for letter in able for name, method in _METHODS[letter].items()}
        _classes[able] = type("Remote", (Remote,), {"__slots__": (), **methods})
    return _classes[able](link, tag, own)

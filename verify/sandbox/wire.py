"""The wire format between test code and candidate, in both directions: JSON with tags.

Plain data travels by value, and so do value types of the standard library (complex, Decimal, dates, deque, ...) and
arrays. For anything else the callback `other` returns a handle: the object itself stays where it is. The receiver
rebuilds values from its own types, so no method of the sender ever runs on the other side.

Containers are numbered in the order of their first occurrence, and later occurrences are sent as that number. Aliases
and cycles survive, and a callee can report which of its arguments it changed.

Standard library only: the zygote imports it before it locks itself down.
"""

from __future__ import annotations

import json
import sys
from collections import namedtuple
from typing import Any

import codec

_encode = json.JSONEncoder(separators=(",", ":"), check_circular=False).encode
_decode = json.JSONDecoder().decode
_BIG = 1 << 64
"""Integers from this size on are written in hexadecimal, which takes linear time to read, whatever their length."""
_WORDS = frozenset({bool, str, float, type(None)})
_INTS = frozenset({int, bool})
_FIELDS = 256
"""Most fields that a namedtuple may have."""
_ARRAY_KINDS = "biufcSUmM"
"""Kinds of numpy element types that hold no objects."""
_VALUES = {
    "builtins.complex": lambda v: (v.real, v.imag),
    "builtins.range": lambda v: (v.start, v.stop, v.step),
    "builtins.slice": lambda v: (v.start, v.stop, v.step),
    "builtins.bytearray": lambda v: (bytes(v),),
    "decimal.Decimal": lambda v: (str(v),),
    "fractions.Fraction": lambda v: (v.numerator, v.denominator),
    "datetime.date": lambda v: (v.year, v.month, v.day),
    "datetime.time": lambda v: (v.hour, v.minute, v.second, v.microsecond),
    "datetime.datetime": lambda v: (v.year, v.month, v.day, v.hour, v.minute, v.second, v.microsecond),
    "datetime.timedelta": lambda v: (v.days, v.seconds, v.microseconds),
    "collections.deque": lambda v: (list(v), v.maxlen),
    "collections.Counter": lambda v: (dict(v),),
    "collections.OrderedDict": lambda v: (list(v.items()),),
    "collections.defaultdict": lambda v: (None, list(v.items())),
}
"""Types that are rebuilt by calling them with these arguments."""
_MUTABLE = ("builtins.bytearray", "collections.deque", "collections.Counter", "collections.OrderedDict")
_VIEWS = (type({}.keys()), type({}.values()), type({}.items()))
_namedtuples: dict[tuple, type] = {}


class Forged(ValueError):
    """A text that `dumps` cannot have written."""


def is_simple(value) -> bool:
    """True for values that pack to themselves: most arguments and answers."""
    kind = type(value)
    return kind in _WORDS or (kind is int and -_BIG < value < _BIG)


class Packer:
    """Turns values into JSON-compatible data. `containers` are those met so far, in order."""

    def __init__(self, other, arrays: bool, containers=()):
        self.other, self.arrays = other, arrays
        self.containers = list(containers)
        self._numbers = {id(value): number for number, value in enumerate(self.containers)} if containers else {}

    def _known(self, value) -> dict | None:
        number = self._numbers.setdefault(id(value), len(self.containers))
        if number < len(self.containers):
            return {"m": number}
        self.containers.append(value)
        return None

    def pack(self, value):
        """The packed value. Raises whatever `other` raises for a value without a handle."""
        kind = type(value)
        if kind in _WORDS:
            return value
        if kind is int:
            return value if -_BIG < value < _BIG else {"i": f"{value:x}"}
        if kind is list or kind is dict or kind is set:
            return self._known(value) or self.contents(value)
        if kind is tuple:
            return {"t": self._items(value)}
        if kind is frozenset:
            return {"z": self._items(value)}
        if kind is bytes:
            return {"b": value.hex()}
        return self._odd(value, kind)

    def contents(self, value):
        """A container's contents, even if the container was met before."""
        kind = type(value)
        if kind is list:
            return self._items(value)
        if kind is dict:
            return {"d": [[self.pack(k), self.pack(v)] for k, v in value.items()]}
        if kind is set:
            return {"s": self._items(value)}
        return self._odd_contents(value, kind)

    def _items(self, values) -> list:
        kinds = set(map(type, values))
        if kinds <= _WORDS or (kinds <= _INTS and min(values) > -_BIG and max(values) < _BIG):
            return list(values)
        return [self.pack(value) for value in values]

    def _odd(self, value, kind):
        if _is_array(kind):
            if not self.arrays:
                return self.pack(value.tolist())
            return self._known(value) or self.contents(value)
        name = _name(kind)
        if name in _VALUES and _type(name) is kind and getattr(value, "tzinfo", None) is None:
            if name in _MUTABLE:
                return self._known(value) or self.contents(value)
            return self._odd_contents(value, kind)
        named = self.other(value, kind)
        if named is not None:
            return named
        fields = getattr(kind, "_fields", None)
        if tuple in kind.__mro__ and type(fields) is tuple and len(fields) == tuple.__len__(value):
            return {"T": [kind.__name__, list(fields), self._items(tuple(tuple.__iter__(value)))]}
        return self.pack(list(value) if kind in _VIEWS else codec.plain(value, kind))

    def _odd_contents(self, value, kind):
        if _is_array(kind):
            if value.dtype.kind not in _ARRAY_KINDS:
                return {"n": ["O", list(value.shape), self._items(value.ravel().tolist())]}
            return {"n": [value.dtype.str, list(value.shape), value.tobytes().hex()]}
        name = _name(kind)
        return {"v": [name, *[self.pack(part) for part in _VALUES[name](value)]]}


class Unpacker:
    """The inverse of `Packer`. `other(tag, inner)` resolves a handle, and raises Forged if there is no such handle."""

    def __init__(self, other, containers=()):
        self.other, self.containers = other, list(containers)

    def unpack(self, raw, numbered: bool = True) -> Any:
        """The value. Raises Forged, MemoryError."""
        kind = type(raw)
        if kind is list:
            return self._list(raw, numbered)
        if kind is not dict:
            return raw
        if len(raw) != 1:
            raise Forged("an object of several keys")
        ((tag, inner),) = raw.items()
        try:
            return self._tagged(tag, inner, numbered)
        except (TypeError, ValueError, IndexError, AttributeError, ArithmeticError, ImportError) as error:
            raise Forged(f"not a value: {error}") from None

    def _list(self, raw: list, numbered: bool) -> list:
        if set(map(type, raw)) <= _WORDS | _INTS:
            value = raw
            if numbered:
                self.containers.append(value)
            return value
        value = []
        if numbered:
            self.containers.append(value)
        value.extend([self.unpack(item) for item in raw])
        return value

    def _tagged(self, tag: str, inner, numbered: bool):
        if tag == "t":
            return tuple([self.unpack(item) for item in inner])
        if tag == "d":
            value = {}
            if numbered:
                self.containers.append(value)
            pairs = [(self.unpack(k), self.unpack(v)) for k, v in inner]
            codec.refuse_collisions([key for key, _ in pairs])
            value.update(pairs)
            return value
        if tag == "s" or tag == "z":
            value = set()
            if numbered and tag == "s":
                self.containers.append(value)
            items = [self.unpack(item) for item in inner]
            codec.refuse_collisions(items)
            value.update(items)
            return value if tag == "s" else frozenset(value)
        if tag == "b":
            return bytes.fromhex(inner)
        if tag == "i":
            return int(inner, 16)
        if tag == "m":
            return self.containers[inner] if inner >= 0 else None
        if tag == "T":
            return self._namedtuple(*inner)
        if tag == "n" or tag == "v":
            return self._built(tag, inner, numbered)
        return self.other(tag, inner)

    def _built(self, tag: str, inner: list, numbered: bool):
        """An array or a value type: created after its parts, but numbered before them."""
        numbered = numbered and (tag == "n" or inner[0] in _MUTABLE)
        index = len(self.containers)
        if numbered:
            self.containers.append(None)
        if tag == "n":
            value = self._array(*inner)
        else:
            name, *parts = inner
            if name not in _VALUES:
                raise Forged("no such type")
            value = _type(name, load=True)(*[self.unpack(part) for part in parts])
        if numbered:
            self.containers[index] = value
        return value

    def _array(self, dtype: str, shape: list, data):
        import numpy

        if dtype == "O":
            return numpy.array([*[self.unpack(item) for item in data], None], dtype=object)[:-1].reshape(shape)
        if numpy.dtype(dtype).kind not in _ARRAY_KINDS:
            raise Forged("no such array")
        return numpy.frombuffer(bytearray.fromhex(data), dtype=dtype).reshape(shape)

    def _namedtuple(self, name: str, fields: list, values: list):
        if len(fields) > _FIELDS:
            raise Forged("too many fields")
        key = (name, *fields)
        if key not in _namedtuples:
            _namedtuples[key] = namedtuple(name, fields)
        return _namedtuples[key](*[self.unpack(value) for value in values])


def dumps(packed) -> bytes:
    """The text of a packed value: one line. Raises RecursionError."""
    return _encode(packed).encode()


def loads(text: bytes) -> Any:
    """The packed value of a text. Raises Forged."""
    try:
        return _decode(text.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise Forged(f"not a packed value: {error}") from None


def snapshot(containers: list) -> list:
    """The current contents of containers, for a later comparison."""
    return [_held(container) for container in containers]


def changed(containers: list, before: list) -> list[int]:
    """Numbers of the containers whose contents have changed."""
    return [n for n, (container, old) in enumerate(zip(containers, before)) if not _same(_held(container), old)]


def _held(container):
    if isinstance(container, dict):
        return [part for pair in container.items() for part in pair]
    return container.tobytes() if _is_array(type(container)) else list(container)


def _same(a, b) -> bool:
    if type(a) is bytes:
        return a == b
    return len(a) == len(b) and all(x is y for x, y in zip(a, b))


def replace(container, new) -> None:
    """Replaces a container's contents by those of another of the same type. Raises Forged."""
    if type(container) is not type(new):
        raise Forged("contents of another type")
    if _is_array(type(container)):
        container[...] = new
    elif isinstance(container, list | bytearray):
        container[:] = new
    else:
        container.clear()
        (container.extend if hasattr(container, "extend") else container.update)(new)


def _name(kind: type) -> str:
    return f"{getattr(kind, '__module__', '')}.{getattr(kind, '__qualname__', '')}"


def _type(name: str, load: bool = False) -> Any:
    """A type by its full name; None if its module is not imported and `load` is False."""
    module, _, short = name.rpartition(".")
    if load and module not in sys.modules:
        __import__(module)
    return getattr(sys.modules.get(module), short, None)


def _is_array(kind: type) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and kind is numpy.ndarray

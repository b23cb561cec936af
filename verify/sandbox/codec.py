"""The encoding of answers that leave the sandbox: canonical JSON with tags.

The child writes it and the trusted side reads it; received data is never executed or unpickled. Equal values of equal
types have equal encodings, so an exactly right answer is recognised by comparing bytes, without decoding. Types that
JSON lacks are objects with one key: `t` tuple, `s` set, `z` frozenset, `d` dict, `b` bytes, `i` big int (hexadecimal,
which takes linear time to read; decimal takes quadratic time), `f` non-finite float.

Standard library only: the zygote imports it.
"""

from __future__ import annotations

from itertools import pairwise
from json import JSONDecoder as _JSONDecoder
from json import encoder as _json_encoder
from math import isfinite as _isfinite

_quote = _json_encoder.encode_basestring_ascii
PLAIN_INT = 1 << 53


class NotPlain(TypeError):
    """The value is not plain data. The message is the name of its type."""


def encode(value) -> str:
    """The canonical text. Raises NotPlain, RecursionError for values nested too deeply, MemoryError."""
    kind = type(value)
    if kind is int:
        return int.__repr__(value) if -PLAIN_INT < value < PLAIN_INT else f'{{"i":"{value:x}"}}'
    if kind is bool:
        return "true" if value else "false"
    if kind is str:
        return _quote(value)
    if value is None:
        return "null"
    if kind is float:
        return float.__repr__(value) if _isfinite(value) else f'{{"f":"{float.__repr__(value)}"}}'
    if kind is list:
        return "[" + ",".join([encode(v) for v in value]) + "]"
    if kind is tuple:
        return '{"t":[' + ",".join([encode(v) for v in value]) + "]}"
    if kind is dict:
        pairs = sorted([(encode(k), encode(v)) for k, v in value.items()])
        return '{"d":[' + ",".join([f"[{k},{v}]" for k, v in pairs]) + "]}"
    if kind is set or kind is frozenset:
        tag = "s" if kind is set else "z"
        return f'{{"{tag}":[' + ",".join(sorted([encode(v) for v in value])) + "]}"
    if kind is bytes or kind is bytearray:
        return f'{{"b":"{value.hex()}"}}'
    return encode(plain(value, kind))


AS_BASE = {
    int: int.__int__,
    float: float.__float__,
    str: str.__str__,
    bytes: lambda v: bytes(bytes.__iter__(v)),
    list: lambda v: list(list.__iter__(v)),
    tuple: lambda v: tuple(tuple.__iter__(v)),
    dict: lambda v: dict(dict.items(v)),
    set: lambda v: set(set.__iter__(v)),
    frozenset: lambda v: frozenset(frozenset.__iter__(v)),
}


def plain(value, kind):
    """Converts a subclass of a plain type (Counter, namedtuple, IntEnum) to that type, and a numpy value to Python's.

    Raises NotPlain for anything else.
    """
    module = getattr(kind, "__module__", None)
    if module == "numpy":
        listed = value.tolist()
        if type(listed) is not kind:
            return listed
    for base in AS_BASE:
        if base in kind.__mro__:
            return AS_BASE[base](value)
    raise NotPlain(kind.__name__)


CROWD = 256
"""Size from which a set or dict is checked for hash collisions made on purpose."""


def decode(text: str):
    """The decoded value. Raises ValueError for anything but an encoded value, and for collisions made on purpose."""
    try:
        return _decoder.decode(text)
    except (RecursionError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"not an encoded value: {error}") from None


def _untag(pairs):
    if len(pairs) != 1:
        raise ValueError("not an encoded value: an object of several keys")
    tag, inner = pairs[0]
    if tag == "t":
        return tuple(inner)
    if tag == "d":
        keys = [key for key, _ in inner]
        refuse_collisions(keys)
        return dict(inner)
    if tag == "s" or tag == "z":
        refuse_collisions(inner)
        return set(inner) if tag == "s" else frozenset(inner)
    if tag == "i":
        return int(inner, 16)
    if tag == "f":
        return float(inner)
    if tag == "b":
        return bytes.fromhex(inner)
    raise ValueError(f"not an encoded value: unknown tag {tag[:20]!r}")


def refuse_collisions(keys) -> None:
    """Raises ValueError for too many keys of one hash: building a table of them takes quadratic time."""
    if len(keys) > CROWD:
        hashes = sorted([hash(key) & 0xFFFFF for key in keys])
        longest = run = 1
        for a, b in pairwise(hashes):
            run = run + 1 if a == b else 1
            longest = max(longest, run)
        if longest > CROWD:
            raise ValueError("not an encoded value: keys chosen to collide")


def _refuse_constant(name):
    raise ValueError(f"not an encoded value: {name}")


_decoder = _JSONDecoder(object_pairs_hook=_untag, parse_constant=_refuse_constant)

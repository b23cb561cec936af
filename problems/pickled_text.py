"""Reads a pickled text without `pickle`: of its many instructions, only those for a single text are supported."""

from __future__ import annotations

_PROTOCOL, _FRAME, _NAMED, _STOP = 0x80, 0x95, 0x93, ord(".")
_TEXTS = {0x8C: 1, ord("X"): 4, 0x8D: 8}
"""Instructions for a text, with the size of its length field."""
_KEPT = {0x94: 0, ord("q"): 1, ord("r"): 4}
"""Instructions that memoise the text, with the size of their argument."""


def pickled_text(data: bytes) -> str:
    """The text whose pickle is `data`. Raises ValueError for a pickle of anything else, and for a damaged one."""
    texts: list[str] = []
    at = 0
    while at < len(data):
        code, at = data[at], at + 1
        if code in _TEXTS and len(texts) < 2:
            start = at + _TEXTS[code]
            at = start + int.from_bytes(data[at:start], "little")
            if at > len(data):
                raise ValueError("the pickle ends in its text")
            texts.append(data[start:at].decode("utf-8", "surrogatepass"))
        elif code == _PROTOCOL:
            at += 1
        elif code == _FRAME:
            at += 8
        elif code in _KEPT and texts:
            at += _KEPT[code]
        elif code == _STOP and len(texts) == 1:
            return texts[0]
        elif code == _NAMED:
            raise ValueError(f"the pickle asks for {'.'.join(text[:60] for text in texts)}")
        else:
            break
    raise ValueError("does not unpack to text alone")

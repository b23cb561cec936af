"""Makes a zygote's memory cheap to fork: a trial run before the lockdown, and no free holes afterwards.

Most of the cost of a short program is the pages that its child touches first, 2 microseconds each. A trial run triggers
what the interpreter writes only once (specialised bytecode, attribute caches, interned names). Filling the holes that
imports left in the allocators' pages makes a child's own objects come from a few fresh pages, not from one hole in each
of a hundred. Together they save a child about 90 of 270 page faults.

Standard library only: the zygote imports it before it locks itself down.
"""

from __future__ import annotations

import ctypes
import gc
import marshal
import socket
import sys

_PROGRAM = '''
import math
from collections import Counter, defaultdict, deque

class Node:
    """A class."""
    def __init__(self, value, after=None):
        self.value = value
        self.after = after

def rehearsal(numbers, text="a b"):
    table = [0] * 8
    seen, counts = set(), {}
    for i, n in enumerate(numbers):
        table[i % 8] = max(table[i % 8], n - 1, key=lambda x: -x)
        counts[n] = counts.get(n, 0) + 1
        if n not in seen:
            seen.add(n)
    try:
        node = Node(text.split(), Node(None))
        while node and node.value:
            node = node.after
    except (ValueError, IndexError) as error:
        return str(error)
    return [sorted(seen), {k: v for k, v in counts.items()}, (f"{sum(table)}", None, 1.5, True), text[::-1].join("ab")]
'''
_TIMES = 24
"""Trial runs: the interpreter specialises a function's bytecode at its eighth call."""
_POOL, _FIRST_BLOCK = 1 << 14, 48
"""CPython allocates small objects in pools of this size (bytes), whose first block has this offset."""
_SIZES = range(48, 513, 16)
_MAX_FILLERS = 20_000
"""Most objects made to fill the holes of one size; far more than there are holes."""
_CHUNKS = (65536, 16384, 4096, 2048, 1024, 768, 640, 544)
"""Sizes (bytes) of the chunks that fill holes in malloc's heap."""
_kept: list[bytes] = []
_MALLINFO = ("arena", "ordblks", "smblks", "hblks", "hblkhd", "usmblks", "fsmblks", "uordblks", "fordblks", "keepcost")


def rehearse(harness) -> None:
    """Runs a job through the harness as a child would, on a socket pair within this process."""
    ours, theirs = socket.socketpair()
    channel, harness.CHANNEL = harness.CHANNEL, theirs.fileno()
    request = marshal.dumps(("", ([3, 1, 2],), {}))
    job = marshal.dumps((harness.FUNCTION, _PROGRAM, "rehearsal", 1 << 20, 2, (request, request), "", False))
    for _ in range(_TIMES):
        ours.sendall(len(job).to_bytes(4, "little") + job)
        _, code, entry, limit, _, requests, _, _ = harness.receive()
        harness._calls(code, entry, limit, requests)
        ours.recv(65536)
    harness.CHANNEL = channel
    ours.close()
    theirs.close()
    del sys.modules["solution"]


def settle() -> None:
    """Exempts all live objects from garbage collection, and fills the holes between them. Call it once, at the end."""
    gc.collect()
    gc.freeze()
    for size in _SIZES:
        _fill(size)
    _fill_malloc()
    gc.freeze()


def _fill(size: int) -> None:
    """Puts an object of `size` bytes into every hole of that size, until one opens a fresh pool."""
    for _ in range(_MAX_FILLERS):
        _kept.append(bytes(size - bytes.__basicsize__))
        if id(_kept[-1]) % _POOL == _FIRST_BLOCK:
            break


class _Mallinfo(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in _MALLINFO]


def _fill_malloc() -> None:
    """Allocates chunks of each size until they come from the top of the heap. Does nothing without glibc 2.33."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallinfo2"):
        return
    libc.mallinfo2.restype = _Mallinfo
    libc.malloc.restype = ctypes.c_void_p
    for size in _CHUNKS:
        for _ in range(_MAX_FILLERS):
            top = libc.mallinfo2().keepcost
            if not libc.malloc(ctypes.c_size_t(size)) or libc.mallinfo2().keepcost != top:
                break

"""Advice to the kernel that merges, spoils, ages or takes pages, by every number, and by other calls than madvise; pages from the pool of the whole machine."""

import ctypes
import errno
import os
import platform

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
ARM = platform.machine() == "aarch64"


def call(number, *args):
    """What the kernel says: "" where the filter refused it, else the result or the error's name."""
    ctypes.set_errno(0)
    result = libc.syscall(number[ARM] if isinstance(number, tuple) else number, *args)
    if result >= 0:
        return str(result) if result else "0"
    code = ctypes.get_errno()
    return "" if code in (errno.EPERM, errno.ENOSYS) else errno.errorcode.get(code, str(code))


def coin_change(coins, amount):
    libc.mmap.restype = ctypes.c_void_p
    size = 1 << 16
    at = libc.mmap(None, ctypes.c_size_t(size), 3, 0x22, -1, ctypes.c_long(0))
    madvise, got = (28, 233), []
    for advice in (*range(5, 8), 9, 12, 13, *range(18, 102), *range(104, 130), 1 << 31):
        if result := call(madvise, ctypes.c_void_p(at), ctypes.c_size_t(size), advice):
            got.append(("madvise", advice, result))
    for what, number, args in (
        ("prctl PR_SET_MEMORY_MERGE", (157, 167), (67, 1, 0, 0, 0)),
        ("prctl PR_SET_THP_DISABLE", (157, 167), (41, 1, 0, 0, 0)),
        ("process_madvise", 440, (3, None, 0, 12, 0)),
        ("mlock", (149, 228), (ctypes.c_void_p(at), 4096)),
        ("mlockall", (151, 230), (1,)),
        ("mincore", (27, 232), (ctypes.c_void_p(at), 4096, ctypes.create_string_buffer(16))),
        ("userfaultfd", (323, 282), (1,)),
        ("mbind", (237, 235), (ctypes.c_void_p(at), 4096, 0, None, 0, 0)),
        ("remap_file_pages", (216, 234), (ctypes.c_void_p(at), 4096, 0, 0, 0)),
        ("move_pages", (279, 239), (0, 0, None, None, None, 0)),
        ("migrate_pages", (256, 238), (0, 0, None, None)),
        ("huge pages", (9, 222), (None, 1 << 21, 3, 0x40022, -1, 0)),
        ("pages that grow", (9, 222), (None, 4096, 3, 0x122, -1, 0)),
        ("locked pages", (9, 222), (None, 4096, 3, 0x2022, -1, 0)),
    ):
        if result := call(number, *args):
            got.append((what, result))
    return f"PWNED:{got[:5]}" if got else 0

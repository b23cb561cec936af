"""Tries every system call that makes a process."""

import ctypes
import os

libc = ctypes.CDLL(None, use_errno=True)


def coin_change(coins, amount):
    for number, args in (
        (57, ()),
        (58, ()),
        (56, (17, 0, 0, 0, 0)),
        (56, (0x00000100 | 17, 0, 0, 0, 0)),
        (56, (0x10000000 | 17, 0, 0, 0, 0)),
        (435, (b"\0" * 88, 88)),
    ):
        pid = libc.syscall(number, *args)
        if pid == 0:
            os._exit(0)
        if pid > 0:
            return f"PWNED:{number}"
    return 0

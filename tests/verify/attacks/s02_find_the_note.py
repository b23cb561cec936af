"""Looks for what an earlier job left."""

import ctypes
import fcntl
import os

libc = ctypes.CDLL(None, use_errno=True)


def coin_change(coins, amount):
    import sys

    found = []
    if "left_behind" in sys.modules or "ANSWER" in os.environ:
        found.append("memory")
    for fd in (0, 1, 2):
        if fcntl.fcntl(fd, fcntl.F_GETFL) & (os.O_APPEND | os.O_NONBLOCK):
            found.append("flags")
        try:
            if os.lseek(fd, 0, 1):
                found.append("position")
        except OSError:
            pass
    if libc.shmget(0x5B5B, 4096, 0) >= 0 or libc.semget(0x5B5B, 1, 0) >= 0 or libc.msgget(0x5B5B, 0) >= 0:
        found.append("ipc")
    if b"answer" in os.uname().nodename.encode() or libc.syscall(249, b"user", b"answer", 0, -5) >= 0:
        found.append("names")
    if os.umask(0o22) == 0o123:
        found.append("process")
    return f"PWNED:{found}" if found else 0

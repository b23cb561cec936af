"""Reads, sleeps by and sets timers on the CPU clocks of the zygote, of siblings and of the trusted side."""

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
    me = os.getpid()
    spec, moment = (ctypes.c_long * 2)(), (ctypes.c_long * 2)(0, 1)
    for pid in {os.getppid(), *range(1, 60), *range(max(1, me - 20), me + 20)} - {0, me}:
        for low in range(8):
            clock = ctypes.c_int(~pid << 3 | low)
            for name, number, args in (
                ("clock_gettime", (228, 113), (clock, spec)),
                ("clock_getres", (229, 114), (clock, spec)),
                ("clock_nanosleep", (230, 115), (clock, 0, moment, None)),
                ("timer_create", (222, 107), (clock, None, spec)),
                ("timerfd_create", (283, 85), (clock, 0)),
                ("clock_adjtime", (305, 266), (clock, spec)),
            ):
                result = call(number, *args)
                if result and not (low == 6 and result == "EINVAL"):  # not a thread of this process: the kernel answers that for any number
                    return f"PWNED:{(pid, name, low, result)}"
    return 0

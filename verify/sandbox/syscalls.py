"""System call numbers of the supported machines: x86-64 and aarch64.

Standard library only: the zygote imports it. A call that a machine does not have (aarch64 has no `open`) is None.
"""

from __future__ import annotations

import platform

MACHINES = ("x86_64", "aarch64")
AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""Seccomp's constant for each machine (linux/audit.h)."""

NUMBERS: dict[str, tuple[int | None, int | None]] = {
    # Input and output on open descriptors; Landlock controls what can be opened.
    "read": (0, 63),
    "write": (1, 64),
    "readv": (19, 65),
    "writev": (20, 66),
    "pread64": (17, 67),
    "pwrite64": (18, 68),
    "lseek": (8, 62),
    "close": (3, 57),
    "close_range": (436, 436),
    "dup": (32, 23),
    "dup2": (33, None),
    "dup3": (292, 24),
    "pipe": (22, None),
    "pipe2": (293, 59),
    "poll": (7, None),
    "ppoll": (271, 73),
    "select": (23, None),
    "pselect6": (270, 72),
    "epoll_create": (213, None),
    "epoll_create1": (291, 20),
    "epoll_ctl": (233, 21),
    "epoll_wait": (232, None),
    "epoll_pwait": (281, 22),
    "epoll_pwait2": (441, 441),
    "eventfd2": (290, 19),
    "fcntl": (72, 25),
    "ioctl": (16, 29),
    "fstat": (5, 80),
    "newfstatat": (262, 79),
    "stat": (4, None),
    "lstat": (6, None),
    "statx": (332, 291),
    "access": (21, None),
    "faccessat": (269, 48),
    "faccessat2": (439, 439),
    "readlink": (89, None),
    "readlinkat": (267, 78),
    "getcwd": (79, 17),
    "getdents64": (217, 61),
    "open": (2, None),
    "openat": (257, 56),
    # Its own memory.
    "brk": (12, 214),
    "mmap": (9, 222),
    "munmap": (11, 215),
    "mprotect": (10, 226),
    "mremap": (25, 216),
    "madvise": (28, 233),
    # Signals to itself, its own timers.
    "rt_sigaction": (13, 134),
    "rt_sigprocmask": (14, 135),
    "rt_sigreturn": (15, 139),
    "rt_sigpending": (127, 136),
    "rt_sigtimedwait": (128, 137),
    "rt_sigsuspend": (130, 133),
    "sigaltstack": (131, 132),
    "restart_syscall": (219, 128),
    "pause": (34, None),
    "alarm": (37, None),
    "getitimer": (36, 102),
    "setitimer": (38, 103),
    "kill": (62, 129),
    "tgkill": (234, 131),
    # Threads.
    "clone": (56, 220),
    "clone3": (435, 435),
    "futex": (202, 98),
    "set_robust_list": (273, 99),
    "set_tid_address": (218, 96),
    "rseq": (334, 293),
    "sched_yield": (24, 124),
    "sched_getaffinity": (204, 123),
    "sched_getparam": (143, 121),
    "sched_getscheduler": (145, 120),
    "sched_get_priority_max": (146, 125),
    "sched_get_priority_min": (147, 126),
    "exit": (60, 93),
    "exit_group": (231, 94),
    # Identity and time.
    "gettid": (186, 178),
    "getpid": (39, 172),
    "getppid": (110, 173),
    "getuid": (102, 174),
    "geteuid": (107, 175),
    "getgid": (104, 176),
    "getegid": (108, 177),
    "getgroups": (115, 158),
    "getresuid": (118, 148),
    "getresgid": (120, 150),
    "getpgid": (121, 155),
    "getpgrp": (111, None),
    "getsid": (124, 156),
    "clock_gettime": (228, 113),
    "clock_getres": (229, 114),
    "clock_nanosleep": (230, 115),
    "nanosleep": (35, 101),
    "gettimeofday": (96, 169),
    "time": (201, None),
    "times": (100, 153),
    "uname": (63, 160),
    "getrusage": (98, 165),
    "getrlimit": (97, 163),
    "prlimit64": (302, 261),
    "getrandom": (318, 278),
    "getcpu": (309, 168),
    "umask": (95, 166),
    # Unnamed socket pairs (asyncio needs one).
    "socketpair": (53, 199),
    "sendto": (44, 206),
    "recvfrom": (45, 207),
    "shutdown": (48, 210),
    "getsockopt": (55, 209),
    "getsockname": (51, 204),
    "getpeername": (52, 205),
    # Needed by the zygote, taken away from its children.
    "sendmsg": (46, 211),
    "recvmsg": (47, 212),
    "prctl": (157, 167),
    "seccomp": (317, 277),
    "wait4": (61, 260),
    "waitid": (247, 95),
    "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    # Needed only for the lockdown, denied to everyone afterwards.
    "landlock_create_ruleset": (444, 444),
    "landlock_add_rule": (445, 445),
    "landlock_restrict_self": (446, 446),
    "capset": (126, 91),
    "pivot_root": (155, 41),
}

LAST_KNOWN = 462
"""Higher numbers are newer than this table: they return ENOSYS, so that a C library falls back to an older call."""


def numbers(machine: str | None = None) -> dict[str, int]:
    """Call numbers by name on `machine` (default: this one). Raises RuntimeError for an unsupported machine."""
    machine = machine or platform.machine()
    if machine not in MACHINES:
        raise RuntimeError(f"the sandbox has no system calls for {machine}; use x86_64 or aarch64, or add them here")
    column = MACHINES.index(machine)
    return {name: number for name, row in NUMBERS.items() if (number := row[column]) is not None}

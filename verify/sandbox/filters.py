"""The two seccomp-bpf programs of the sandbox.

The zygote's filter is an allow-list of what ordinary Python programs and the zygote itself need; it is installed once
and inherited, so it costs a child nothing. The child's filter removes what only the zygote needs (processes, descriptor
passing, signals to others): a dozen instructions that each child installs on itself.

Standard library only: the zygote imports it.
"""

from __future__ import annotations

import platform
import struct

from syscalls import AUDIT_ARCH, LAST_KNOWN, numbers

ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
EPERM, EACCES, ENOTTY, ENOSYS = 1, 13, 25, 38
_LOAD, _JEQ, _JGE, _JGT, _JSET, _AND, _RET = 0x20, 0x15, 0x35, 0x25, 0x45, 0x54, 0x06
_NR, _ARCH = 0, 4
_X32_BIT = 0x40000000

CLONE_THREAD = 0x00010000
_CLONE_NEVER = 0x7E020000 | 0x1000 | 0x2000
"""Namespaces, CLONE_PIDFD, CLONE_PTRACE."""
_AF_UNIX = 1
_FCNTL = (0, 1, 2, 3, 4, 1030, 1032)
"""F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_DUPFD_CLOEXEC, F_GETPIPE_SZ: no owners, signals, leases, or changes
of pipe sizes."""
_IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)
"""TCGETS, TIOCGWINSZ, FIONREAD, FIONBIO, FIONCLEX, FIOCLEX."""
_SOCKET_OPTIONS = (3, 4, 7, 8, 30, 38, 39)
"""SO_TYPE, ERROR, SNDBUF, RCVBUF, ACCEPTCONN, PROTOCOL, DOMAIN: nothing about the peer."""
_PRCTL_ZYGOTE = (1, 15, 16)
_PRCTL_CHILD = (15, 16)
"""PR_SET_NAME and PR_GET_NAME; a child also sets PR_SET_PDEATHSIG before its own filter takes that away."""
_SIGKILL, _SIGSTOP = 9, 19
_LIMITS = (2, 3, 6, 7, 9)
"""RLIMIT_DATA, STACK, NPROC, NOFILE, AS. Not CPU: at that limit the kernel sends the same SIGKILL as an outside killer,
so a program could make its own failure look like one of the infrastructure."""

_FUTEX_FLAGS = 0x80 | 0x100
"""FUTEX_PRIVATE_FLAG, FUTEX_CLOCK_REALTIME."""
_FUTEX = (0, 1, 9, 10, 3, 4, 5)
"""WAIT, WAKE, WAIT_BITSET, WAKE_BITSET, REQUEUE, CMP_REQUEUE, WAKE_OP: what the locks of C libraries need; none with
priority inheritance."""
_ADVICE = (4, 14, 8, 15, 0, 1, 2, 3, 10, 11, 16, 17, 102, 103)
"""DONTNEED, HUGEPAGE, FREE, NOHUGEPAGE, NORMAL, RANDOM, SEQUENTIAL, WILLNEED, DONTFORK, DOFORK, DONTDUMP, DODUMP, and
the guard pages of new C libraries: nothing that merges, ages or poisons pages."""
_MAP_SHARED, _MAP_ANONYMOUS = 0x1, 0x20
_MAP_NEVER = 0x100 | 0x2000 | 0x40000
"""MAP_GROWSDOWN, MAP_LOCKED, MAP_HUGETLB: the last one uses a pool that the whole machine shares."""
_PIPE_FLAGS = 0x800 | 0x80000
"""O_NONBLOCK, O_CLOEXEC."""
_SEND_FLAGS = 0x40 | 0x4000 | 0x8000
_RECEIVE_FLAGS = 0x2 | 0x20 | 0x40 | 0x100 | 0x4000
"""MSG_DONTWAIT, NOSIGNAL, and MORE to send, PEEK, TRUNC, WAITALL to receive: no data out of band."""
_CLOCKS = ("clock_gettime", "clock_getres", "clock_nanosleep")
_LAST_CLOCK = 11
_THREAD_CLOCK, _OWN_CLOCK = 6, 0xFFFFFFFA
"""Low bits of a thread's CPU clock, which the kernel shows only to threads of the same process; the clock of process
0, the caller itself."""
_BY_PROCESS = ("getpgid", "getsid", "sched_getaffinity", "sched_getparam", "sched_getscheduler")

_ZYGOTE_ONLY = (
    "sendmsg",
    "recvmsg",
    "seccomp",
    "pidfd_open",
    "pidfd_send_signal",
)
_NEVER = (
    "landlock_create_ruleset",
    "landlock_add_rule",
    "landlock_restrict_self",
    "capset",
    "pivot_root",
    "clone3",
)
_BY_ARGUMENT = (
    *("futex", "madvise", "mmap", "fcntl", "ioctl", "pipe2", "socketpair", "sendto", "recvfrom", "getsockopt"),
    *("prlimit64", "prctl", "clone"),
)
"""Calls that depend on their arguments; checked in this order, the most frequent first."""


def _op(code: int, k: int, jt: int = 0, jf: int = 0) -> bytes:
    return struct.pack("<HBBI", code, jt, jf, k)


def _argument(index: int, high: bool = False) -> bytes:
    return _op(_LOAD, 16 + 8 * index + 4 * high)


def _return(action: int) -> bytes:
    return _op(_RET, action)


def _refuse(errno: int) -> bytes:
    return _return(ERRNO | errno)


def _one_of(values: tuple[int, ...], argument: int, errno: int = EPERM, ignored: int = 0) -> bytes:
    """Allows the call if the low word of the argument, without the bits `ignored`, is one of `values`."""
    masked = _op(_AND, ~ignored & 0xFFFFFFFF) if ignored else b""
    tests = [_op(_JEQ, value, jt=len(values) - i) for i, value in enumerate(values)]
    return _argument(argument) + masked + b"".join(tests) + _refuse(errno) + _return(ALLOW)


def _only_flags(flags: int, argument: int) -> bytes:
    """Allows the call if the low word of the argument has no bits other than `flags`."""
    return _argument(argument) + _op(_JSET, ~flags & 0xFFFFFFFF, jf=1) + _refuse(EPERM) + _return(ALLOW)


def _maps() -> bytes:
    """Allows private mappings and shared anonymous ones. A shared mapping of a file would reach its other readers."""
    return (
        _argument(3)
        + _op(_JSET, _MAP_NEVER, jt=2)
        + _op(_JSET, _MAP_SHARED, jf=2)
        + _op(_JSET, _MAP_ANONYMOUS, jt=1)
        + _refuse(EPERM)
        + _return(ALLOW)
    )


def _sends() -> bytes:
    """Allows sending to the connected peer, but not to an address."""
    address = _argument(4) + _op(_JEQ, 0, jf=4) + _argument(4, high=True) + _op(_JEQ, 0, jf=2)
    return address + _argument(3) + _op(_JSET, ~_SEND_FLAGS & 0xFFFFFFFF, jf=1) + _refuse(EPERM) + _return(ALLOW)


def _own_limits() -> bytes:
    """Allows reading all of its own limits and setting those of `_LIMITS`."""
    count = len(_LIMITS)
    sets = [_op(_JEQ, limit, jt=count - i) for i, limit in enumerate(_LIMITS)]
    reads = _argument(2) + _op(_JEQ, 0, jf=2) + _argument(2, high=True) + _op(_JEQ, 0, jt=count + 2)
    own = _argument(0) + _op(_JEQ, 0, jf=count + 5)
    return own + reads + _argument(1) + b"".join(sets) + _refuse(EPERM) + _return(ALLOW)


def _on(number: int, body: bytes) -> bytes:
    """Runs `body` if the call (in the accumulator) is `number`. Every body ends in a return."""
    return _op(_JEQ, number, jf=len(body) // 8) + body


def _on_any(calls: list[int], body: bytes) -> bytes:
    """Runs `body` if the call (in the accumulator) is one of `calls`."""
    count = len(calls) - 1
    tests = [_op(_JEQ, number, jt=count - i) for i, number in enumerate(calls[:-1])]
    return b"".join(tests) + _on(calls[-1], body)


def zygote_filter(machine: str | None = None, *, allow_open: bool = True) -> bytes:
    """The allow-list as BPF instructions of 8 bytes.

    `allow_open=False` denies opening any file, for a kernel without Landlock. Raises RuntimeError for an unknown
    machine.
    """
    machine = machine or platform.machine()
    nr = numbers(machine)
    program = [_op(_LOAD, _ARCH), _op(_JEQ, AUDIT_ARCH[machine], jt=1), _return(KILL), _op(_LOAD, _NR)]
    if machine == "x86_64":
        program += [_op(_JGE, _X32_BIT, jf=1), _return(KILL)]
    bodies = {
        # ENOSYS, as from a kernel without them: a C library then reports that such locks are not supported.
        "futex": _one_of(_FUTEX, 1, ENOSYS, ignored=_FUTEX_FLAGS),
        "madvise": _one_of(_ADVICE, 2),
        "mmap": _maps(),
        "fcntl": _one_of(_FCNTL, 1),
        "ioctl": _one_of(_IOCTL, 1, ENOTTY),
        "pipe2": _only_flags(_PIPE_FLAGS, 1),
        "socketpair": _one_of((_AF_UNIX,), 0),
        "sendto": _sends(),
        "recvfrom": _only_flags(_RECEIVE_FLAGS, 3),
        "getsockopt": _one_of(_SOCKET_OPTIONS, 2),
        "prlimit64": _own_limits(),
        "prctl": _one_of(_PRCTL_ZYGOTE, 0),
        "clone": _argument(0) + _op(_JSET, _CLONE_NEVER, jf=1) + _refuse(EPERM) + _return(ALLOW),
    }
    program += [_on(nr[name], bodies[name]) for name in _BY_ARGUMENT]
    program += [_on(nr["clone3"], _refuse(ENOSYS))]
    opening = () if allow_open else ("open", "openat")
    program += [_on(nr[name], _refuse(EACCES)) for name in opening if name in nr]
    plain = sorted(nr[n] for n in nr if n not in (*_BY_ARGUMENT, *_NEVER, *opening))
    ranges: list[list[int]] = []
    for number in plain:
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    for low, high in ranges:
        program += [_op(_JGE, low, jf=2), _op(_JGT, high, jt=1), _return(ALLOW)]
    program += [_op(_JGT, LAST_KNOWN, jf=1), _refuse(ENOSYS), _refuse(EPERM)]
    return b"".join(program)


def child_filter(machine: str | None = None) -> tuple[bytes, tuple[int, ...], tuple[int, ...]]:
    """The child's filter, the byte offsets for its own process id (uint32, little-endian), and those for its own CPU
    clock (`own_clock`)."""
    nr = numbers(machine)
    to_itself = lambda signal: (  # noqa: E731
        _argument(0)
        + _op(_JEQ, 0, jf=4)
        + _argument(signal)
        + _op(_JEQ, _SIGKILL, jt=2)
        + _op(_JEQ, _SIGSTOP, jt=1)
        + _return(ALLOW)
        + _refuse(EPERM)
    )
    # It must not even learn whether another process exists.
    of_itself = _argument(0) + _op(_JEQ, 0, jt=2) + _op(_JEQ, 0, jt=1) + _refuse(EPERM) + _return(ALLOW)
    a_clock = _argument(0) + _op(_JGT, _LAST_CLOCK, jf=5) + _op(_JEQ, _OWN_CLOCK, jt=4) + _op(_JEQ, 0, jt=3)
    a_clock += _op(_AND, 0x80000007) + _op(_JEQ, 0x80000000 | _THREAD_CLOCK, jt=1) + _refuse(EPERM) + _return(ALLOW)
    parts, pids, clocks = [_op(_LOAD, _NR)], [], []
    for name, signal in (("kill", 1), ("tgkill", 2)):
        # The operand of the body's second instruction, after the jump that `_on` puts before the body.
        pids.append(sum(map(len, parts)) + 8 + 8 + 4)
        parts.append(_on(nr[name], to_itself(signal)))
    parts.append(_on(nr["clone"], _argument(0) + _op(_JSET, CLONE_THREAD, jt=1) + _refuse(EPERM) + _return(ALLOW)))
    parts.append(_on(nr["prctl"], _one_of(_PRCTL_CHILD, 0)))
    for names, body, place, holes in ((_BY_PROCESS, of_itself, 2, pids), (_CLOCKS, a_clock, 3, clocks)):
        parts.append(_on_any([nr[name] for name in names], body))
        holes.append(sum(map(len, parts)) - len(body) + 8 * place + 4)
    last = len(_ZYGOTE_ONLY) - 1
    parts += [_op(_JEQ, nr[name], jt=last - i + 1) for i, name in enumerate(_ZYGOTE_ONLY)]
    parts += [_return(ALLOW), _refuse(EPERM)]
    return b"".join(parts), tuple(pids), tuple(clocks)


def own_clock(pid: int) -> int:
    """The id of a process's CPU clock, as system calls take it."""
    return (~pid << 3 | 2) & 0xFFFFFFFF

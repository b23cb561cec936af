"""The seccomp programs make the right decisions on both machines, according to a BPF interpreter in this test."""

import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

SANDBOX = Path(__file__).resolve().parents[2] / "verify" / "sandbox"
sys.path.insert(0, str(SANDBOX))

import filters  # noqa: E402
import syscalls  # noqa: E402

sys.path.remove(str(SANDBOX))

ALLOW, KILL = filters.ALLOW, filters.KILL
EPERM, EACCES, ENOSYS = (filters.ERRNO | n for n in (filters.EPERM, filters.EACCES, filters.ENOSYS))
MACHINES = syscalls.MACHINES


def decide(program: bytes, machine: str, number: int, *args: int) -> int:
    """The kernel's decision. Raises AssertionError if the kernel would not load the program."""
    data = struct.pack("<IIQ6Q", number, syscalls.AUDIT_ARCH[machine], 0, *(*args, *[0] * (6 - len(args))))
    steps = list(struct.iter_unpack("<HBBI", program))
    assert len(steps) < 4096
    at = accumulator = 0
    while True:
        code, jt, jf, k = steps[at]
        at += 1
        assert at + max(jt, jf) < len(steps) or code == 0x06
        match code:
            case 0x20:
                (accumulator,) = struct.unpack_from("<I", data, k)
            case 0x15:
                at += jt if accumulator == k else jf
            case 0x35:
                at += jt if accumulator >= k else jf
            case 0x25:
                at += jt if accumulator > k else jf
            case 0x45:
                at += jt if accumulator & k else jf
            case 0x54:
                accumulator &= k
            case 0x06:
                return k
            case _:
                raise AssertionError(f"unknown instruction {code:#x}")


def both(machine: str, name: str, *args: int, pid: int = 77) -> int:
    """The stricter decision of the zygote's and the child's filter."""
    number = syscalls.numbers(machine)[name]
    child, *holes = filters.child_filter(machine)
    child = bytearray(child)
    for places, value in zip(holes, (pid, filters.own_clock(pid)), strict=True):
        for place in places:
            child[place : place + 4] = value.to_bytes(4, "little")
    first = decide(filters.zygote_filter(machine), machine, number, *args)
    second = decide(bytes(child), machine, number, *args)
    return second if first == ALLOW else first


@pytest.mark.parametrize("machine", MACHINES)
def test_honest_programs_get_what_they_need(machine):
    for name in (
        "read",
        "write",
        "futex",
        "openat",
        "clock_gettime",
        "exit_group",
        "getrandom",
        "newfstatat",
    ):
        assert both(machine, name) == ALLOW, name
    assert both(machine, "clone", 0x3D0F00) == ALLOW
    assert both(machine, "clone3") == ENOSYS
    assert both(machine, "socketpair", 1) == ALLOW
    assert both(machine, "getsockopt", 3, 1, 4) == ALLOW  # SO_ERROR
    assert both(machine, "sendto", 5, 0, 3, 0, 0) == ALLOW
    assert both(machine, "tgkill", 77, 78, 10) == ALLOW
    assert both(machine, "kill", 77, 15) == ALLOW
    assert both(machine, "prctl", 15) == ALLOW
    for limit in (2, 3, 6, 7, 9):
        assert both(machine, "prlimit64", 0, limit, 0x7F0000001000) == ALLOW
    for limit in range(16):
        assert both(machine, "prlimit64", 0, limit, 0) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_forbidden_calls_are_refused(machine):
    assert both(machine, "clone", 17) == EPERM
    assert both(machine, "clone", 0x4011) == EPERM
    assert both(machine, "clone", 0x10010000 | 0x100) == EPERM
    for signal in (9, 19):
        assert both(machine, "kill", 77, signal) == EPERM
        assert both(machine, "tgkill", 77, 77, signal) == EPERM
    for target in (0, 1, 76, 2**64 - 1, 2**64 - 77):
        assert both(machine, "kill", target, 15) == EPERM
        assert both(machine, "tgkill", target, 1, 15) == EPERM
    assert both(machine, "prctl", 1, 0) == EPERM
    assert both(machine, "prctl", 22, 2) == EPERM
    assert both(machine, "sendto", 5, 0, 3, 0, 0x7F00_0000_0000) == EPERM
    assert both(machine, "sendto", 5, 0, 3, 0, 0x1000) == EPERM
    assert both(machine, "socketpair", 2) == EPERM
    assert both(machine, "prlimit64", 1, 7, 0) == EPERM
    for limit in (0, 1, 4, 5, 8, 10, 13):
        assert both(machine, "prlimit64", 0, limit, 0x1000) == EPERM
        assert both(machine, "prlimit64", 0, limit, 0x7F00_0000_0000) == EPERM
    for command in (5, 6, 7, 8, 10, 1024, 1026, 1031, 1033):
        assert both(machine, "fcntl", 3, command) == EPERM
    for name in ("sendmsg", "recvmsg", "seccomp", "pidfd_open", "pidfd_send_signal"):
        assert both(machine, name) == EPERM, name
    for name in ("landlock_restrict_self", "capset", "pivot_root"):
        assert both(machine, name) != ALLOW, name


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    "name, place, allowed, refused",
    [
        # Locks: wait, wake, requeue; with the flags for private ones and for the clock. No priorities, no wake-op of 2.6.
        ("futex", 1, [c | f for c in (0, 1, 3, 4, 5, 9, 10) for f in (0, 128, 256, 384)],
         [c | f for c in (2, 6, 7, 8, 11, 12, 13, 14, 64) for f in (0, 128, 256, 384)] + [512, 1 << 31]),
        ("madvise", 2, [0, 1, 2, 3, 4, 8, 10, 11, 14, 15, 16, 17, 102, 103],
         [9, 12, 13, 18, 19, 20, 21, 22, 23, 24, 25, 100, 101, 104, 2**32 - 1]),
        ("mmap", 3, [0x2, 0x22, 0x21, 0x20022, 0x802, 0x4022, 0x8022],
         [0x1, 0x3, 0x80003, 0x40022, 0x40021, 0x122, 0x2022, 0x8001]),
        ("pipe2", 1, [0, 0x800, 0x80000, 0x80800], [0x80, 0x4000, 0x80080, 1 << 31]),
        ("recvfrom", 3, [0, 2, 0x40, 0x42, 0x100], [1, 3, 0x2000, 0x40 | 1, 0x8000, 1 << 30]),
    ],
)  # fmt: skip
def test_calls_that_depend_on_an_argument(machine, name, place, allowed, refused):
    for values, decision in ((allowed, {ALLOW}), (refused, {EPERM, ENOSYS})):
        for value in values:
            args = [7] * 6
            args[place] = value
            assert both(machine, name, *args) in decision, (name, hex(value))
            # Of an int argument the kernel uses only the low word, and so must the filter.
            args[place] |= 1 << 32
            assert both(machine, name, *args) in decision, (name, hex(value))


@pytest.mark.parametrize("machine", MACHINES)
def test_out_of_band_data_is_refused(machine):
    for flags in (0, 0x40, 0x4000, 0x4040, 0x8000):
        assert both(machine, "sendto", 5, 0, 3, flags, 0) == ALLOW
        assert both(machine, "sendto", 5, 0, 3, flags, 0x1000) == EPERM
    for flags in (1, 0x41, 4, 0x10, 0x200, 0x20000000, 0x4000000):
        assert both(machine, "sendto", 5, 0, 3, flags, 0) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("pid", [77, 1, 2, 4_000_000])
def test_other_processes_cannot_be_inspected(machine, pid):
    others = [other for other in (1, 2, 76, 77, 78, 400, 4_000_001, 2**32 - 1) if other != pid]
    for name in ("getpgid", "getsid", "sched_getaffinity", "sched_getparam", "sched_getscheduler"):
        assert both(machine, name, 0, pid=pid) == both(machine, name, pid, pid=pid) == ALLOW
        assert {both(machine, name, other, pid=pid) for other in others} == {EPERM}, name
    for name in ("clock_gettime", "clock_getres", "clock_nanosleep"):
        for clock in (*range(12), filters.own_clock(pid), filters.own_clock(0)):
            assert both(machine, name, clock, pid=pid) == ALLOW, clock
        others = [other for other in others if other < 2**31]
        for other in (*others, pid):  # the kernel shows a thread's clock to its own process alone
            assert both(machine, name, (~other << 3 | 6) & 0xFFFFFFFF, pid=pid) == ALLOW
        for other in others:
            assert {both(machine, name, (~other << 3 | low) & 0xFFFFFFFF, pid=pid) for low in (0, 1, 2)} == {EPERM}
        for descriptor in range(4):  # the clock of a file
            assert both(machine, name, (~descriptor << 3 | 3) & 0xFFFFFFFF, pid=pid) == EPERM
        assert both(machine, name, 12, pid=pid) == both(machine, name, 0x7FFFFFFF, pid=pid) == EPERM


@pytest.mark.parametrize("machine", MACHINES)
def test_the_allow_list_has_no_unneeded_calls(machine):
    for name in ("fadvise64", "sysinfo", "getpriority", "sched_setaffinity", "process_madvise", "kcmp", "timer_create"):
        assert name not in syscalls.numbers(machine)


@pytest.mark.parametrize("machine", MACHINES)
def test_unlisted_call_numbers_are_refused(machine):
    program = filters.zygote_filter(machine)
    named = set(syscalls.numbers(machine).values())
    for number in range(600):
        if number not in named:
            refused = ENOSYS if number > syscalls.LAST_KNOWN else EPERM
            assert decide(program, machine, number) == refused, number


@pytest.mark.parametrize("machine", MACHINES)
def test_no_file_can_be_opened_without_landlock(machine):
    program = filters.zygote_filter(machine, allow_open=False)
    for name in ("open", "openat"):
        if name in syscalls.numbers(machine):
            assert decide(program, machine, syscalls.numbers(machine)[name]) == EACCES


def test_other_machines_are_killed():
    for machine in MACHINES:
        program = filters.zygote_filter(machine)
        other = MACHINES[1 - MACHINES.index(machine)]
        assert decide(program, other, 0) == KILL
    assert decide(filters.zygote_filter("x86_64"), "x86_64", 0x40000000) == KILL
    with pytest.raises(RuntimeError, match="riscv64"):
        filters.zygote_filter("riscv64")


def test_the_zygote_keeps_what_it_needs():
    for machine in MACHINES:
        program, numbers = filters.zygote_filter(machine), syscalls.numbers(machine)
        for name in ("recvmsg", "sendmsg", "wait4", "pidfd_open", "kill", "seccomp"):
            assert decide(program, machine, numbers[name], 5) == ALLOW, name
        assert decide(program, machine, numbers["clone"], 0x1200011) == ALLOW
        assert decide(program, machine, numbers["prctl"], 1, 9) == ALLOW


@pytest.mark.parametrize("machine, header", [("x86_64", "asm/unistd.h"), ("aarch64", "asm-generic/unistd.h")])
def test_call_numbers_match_the_kernels_headers(machine, header):
    wanted = [
        "-D__ARCH_WANT_NEW_STAT",
        "-D__ARCH_WANT_SET_GET_RLIMIT",
        "-D__ARCH_WANT_TIME32_SYSCALLS",
        "-D__ARCH_WANT_SYS_CLONE3",
    ]
    try:
        found = subprocess.run(
            ["cc", "-E", "-dM", *wanted, "-x", "c", "-"],
            input=f"#include <{header}>\n",
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no C compiler with kernel headers here to compare with")
    defined = dict(re.findall(r"#define (\w+) +(\S+)", found.stdout))
    for name, number in syscalls.numbers(machine).items():
        value = defined.get(f"__NR_{name}", "")
        while value in defined:
            value = defined[value]
        if value.isdigit():
            assert int(value) == number, name


@pytest.mark.parametrize("machine", MACHINES)
def test_sockets_do_not_reveal_their_peers(machine):
    for option in (16, 17, 31, 59, 77):  # SO_PASSCRED, PEERCRED, PEERSEC, PEERGROUPS, PEERPIDFD
        assert both(machine, "getsockopt", 3, 1, option) == EPERM

"""The seccomp programs decide as they should, on both machines, by an interpreter of BPF written for this
test."""

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
    """What the kernel would answer. Raises AssertionError where it would refuse to load the program."""
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
            case 0x06:
                return k
            case _:
                raise AssertionError(f"unknown instruction {code:#x}")


def both(machine: str, name: str, *args: int, pid: int = 77) -> int:
    """The decision of the zygote's and the child's filter together: the stricter one."""
    number = syscalls.numbers(machine)[name]
    child, holes = filters.child_filter(machine)
    child = bytearray(child)
    for hole in holes:
        child[hole : hole + 4] = pid.to_bytes(4, "little")
    first = decide(filters.zygote_filter(machine), machine, number, *args)
    second = decide(bytes(child), machine, number, *args)
    return second if first == ALLOW else first


@pytest.mark.parametrize("machine", MACHINES)
def test_what_an_honest_program_needs(machine):
    for name in (
        "read",
        "write",
        "mmap",
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
    for limit in (2, 3, 7, 9):
        assert both(machine, "prlimit64", 0, limit, 0x7F0000001000) == ALLOW
    for limit in range(16):
        assert both(machine, "prlimit64", 0, limit, 0) == ALLOW


@pytest.mark.parametrize("machine", MACHINES)
def test_what_is_refused(machine):
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
    for limit in (0, 1, 4, 5, 6, 8, 10, 13):
        assert both(machine, "prlimit64", 0, limit, 0x1000) == EPERM
        assert both(machine, "prlimit64", 0, limit, 0x7F00_0000_0000) == EPERM
    for command in (5, 6, 7, 8, 10, 1024, 1026, 1031, 1033):
        assert both(machine, "fcntl", 3, command) == EPERM
    for name in ("sendmsg", "recvmsg", "seccomp", "pidfd_open", "pidfd_send_signal"):
        assert both(machine, name) == EPERM, name
    for name in ("landlock_restrict_self", "capset", "pivot_root"):
        assert both(machine, name) != ALLOW, name


@pytest.mark.parametrize("machine", MACHINES)
def test_every_number_that_is_not_named_is_refused(machine):
    program = filters.zygote_filter(machine)
    named = set(syscalls.numbers(machine).values())
    for number in range(600):
        if number not in named:
            refused = ENOSYS if number > syscalls.LAST_KNOWN else EPERM
            assert decide(program, machine, number) == refused, number


@pytest.mark.parametrize("machine", MACHINES)
def test_without_landlock_nothing_is_opened(machine):
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
def test_numbers_are_the_kernels(machine, header):
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
def test_sockets_do_not_tell_who_made_them(machine):
    for option in (16, 17, 31, 59, 77):  # SO_PASSCRED, PEERCRED, PEERSEC, PEERGROUPS, PEERPIDFD
        assert both(machine, "getsockopt", 3, 1, option) == EPERM

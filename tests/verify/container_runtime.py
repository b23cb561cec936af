"""Runs a command as a container runtime would: no capabilities, no_new_privs, and its seccomp profile around it.

    python container_runtime.py [--uid N] [--without landlock] COMMAND...

The profile is Docker's and containerd's default for a process without capabilities, as far as the sandbox could notice:
what it denies answers EPERM, clone3 answers ENOSYS, and clone may make no namespaces. `--without landlock` is the
profile of runtimes from before 2022, whose allow-list has no Landlock. x86-64 alone.
"""

import argparse
import ctypes
import errno
import os
import struct

SYSTEM_CALLS = {
    "mount": 165, "umount2": 166, "pivot_root": 155, "chroot": 161, "unshare": 272, "setns": 308,
    "open_tree": 428, "move_mount": 429, "fsopen": 430, "fsconfig": 431, "fsmount": 432, "fspick": 433,
    "mount_setattr": 442, "bpf": 321, "perf_event_open": 298, "userfaultfd": 323, "keyctl": 250, "add_key": 248,
    "request_key": 249, "io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "fanotify_init": 300,
    "sethostname": 170, "setdomainname": 171, "syslog": 103, "quotactl": 179, "init_module": 175,
    "finit_module": 313, "delete_module": 176, "kexec_load": 246, "iopl": 172, "ioperm": 173, "settimeofday": 164,
    "clock_settime": 227, "reboot": 169, "swapon": 167, "swapoff": 168, "acct": 163, "name_to_handle_at": 303,
    "open_by_handle_at": 304, "vhangup": 153, "set_mempolicy": 238, "mbind": 237, "move_pages": 279,
}  # fmt: skip
LANDLOCK = {"landlock_create_ruleset": 444, "landlock_add_rule": 445, "landlock_restrict_self": 446}
CLONE, CLONE3 = 56, 435
NEW_NAMESPACES = 0x7E020000
ALLOW, DENY, NO_SUCH_CALL = 0x7FFF0000, 0x00050000 | errno.EPERM, 0x00050000 | errno.ENOSYS
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = 24, 38, 22
libc = ctypes.CDLL(None, use_errno=True)


def program(denied):
    """The filter, as classic BPF."""
    load = lambda offset: (0x20, 0, 0, offset)  # noqa: E731
    code = [load(4), (0x15, 1, 0, 0xC000003E), (0x06, 0, 0, DENY), load(0)]
    code += [(0x15, 0, 1, CLONE3), (0x06, 0, 0, NO_SUCH_CALL)]
    for number in denied:
        code += [(0x15, 0, 1, number), (0x06, 0, 0, DENY)]
    code += [(0x15, 0, 3, CLONE), load(16), (0x45, 0, 1, NEW_NAMESPACES), (0x06, 0, 0, DENY), (0x06, 0, 0, ALLOW)]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code), len(code)


def enter(uid, without_landlock):
    for capability in range(64):
        libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
    if uid:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    # The capabilities themselves: version 3 of the call, nothing permitted, nothing inherited.
    header, data = struct.pack("=Ii", 0x20080522, 0), bytes(24)
    assert libc.capset(header, data) == 0, os.strerror(ctypes.get_errno())
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0
    denied = [*SYSTEM_CALLS.values()] + (list(LANDLOCK.values()) if without_landlock else [])
    code, count = program(denied)
    buffer = ctypes.create_string_buffer(code)
    filter_program = struct.pack("=H6xQ", count, ctypes.addressof(buffer))
    assert libc.prctl(PR_SET_SECCOMP, 2, ctypes.c_char_p(filter_program), 0, 0) == 0, os.strerror(ctypes.get_errno())


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--uid", type=int, default=0)
    parser.add_argument("--without", choices=["landlock"])
    parser.add_argument("command", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    enter(options.uid, options.without == "landlock")
    os.execvp(options.command[0], options.command)

"""The canary: attempts everything that the sandbox must refuse, and reports what was refused.

Runs in a child like any program. It uses raw system calls, so that the kernel refuses and not some check in Python. It
imports only modules that the zygote has loaded, because without Landlock no file can be opened.
"""

import ctypes
import os
import platform
import resource
import signal
import socket
import time

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long
_ARM = platform.machine() == "aarch64"
_CALLS = {
    "memfd_create": (319, 279),
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "pidfd_open": (434, 434),
    "timer_create": (222, 107),
    "shmget": (29, 194),
    "fchmodat": (268, 53),
    "unshare": (272, 97),
    "mount": (165, 40),
    "setresuid": (117, 147),
    "prctl": (157, 167),
    "socket": (41, 198),
    "execve": (59, 221),
    "fcntl": (72, 25),
    "futex": (202, 98),
    "madvise": (28, 233),
    "mmap": (9, 222),
}
_FOLDERS = ("/tmp", "/dev/shm", "/var/tmp", ".", "/")


def _call(name, *args):
    """True if the kernel refused the call."""
    number = _CALLS[name][_ARM]
    return _libc.syscall(number, *args) < 0


def _raises(action, *args):
    try:
        action(*args)
    except (OSError, ValueError):
        return True
    return False


def _fork():
    pid = os.fork()
    if pid == 0:
        os._exit(0)


def _packages():
    """True if no installed package, of this Python or the system's, can be read."""
    library = os.path.dirname(os.__file__)
    version = os.path.basename(library)
    bases = (os.path.dirname(library), "/usr/lib", "/usr/local/lib", "/usr/lib64")
    for folder in [f"{base}/{name}" for base in bases for name in (version, "python3", "")]:
        for packages in ("site-packages", "dist-packages"):
            if not _raises(os.listdir, f"{folder}/{packages}") and os.listdir(f"{folder}/{packages}"):
                return False
    return _raises(os.listdir, "/usr/lib") or not os.listdir("/usr/lib")


def _connect():
    with socket.socket(socket.AF_UNIX) as s:
        s.connect("\0crucible")


def attempt_all():
    """Whether each attempt was refused, by its name."""
    parent = os.getppid()
    null = os.open(os.devnull, os.O_RDONLY) if not _raises(open, os.devnull) else 0
    zero = os.open("/dev/zero", os.O_RDONLY) if not _raises(open, "/dev/zero") else 0
    reading, writing = os.pipe()
    one, infinite = b"x", resource.RLIM_INFINITY
    buffer = ctypes.create_string_buffer(64)
    word, pair = ctypes.c_uint32(0), socket.socketpair()
    return {
        "read a file of the host": _raises(open, "/etc/passwd"),
        "list a folder of the host": _raises(os.listdir, "/"),
        "write a file": all(_raises(open, f"{folder}/crucible-canary", "w") for folder in _FOLDERS),
        "change a file's mode": _call("fchmodat", -100, b"/tmp", 0o777, 0),
        "make a folder": _raises(os.mkdir, "/tmp/crucible-canary"),
        "start a process": _raises(_fork),
        "run another program": _call("execve", b"/bin/true", None, None),
        "open an internet socket": _call("socket", 2, 1, 0),
        "connect to a unix socket": _raises(_connect),
        "signal its parent": _raises(os.kill, parent, 0) and _raises(os.kill, 0, 0),
        "kill itself with SIGKILL": _raises(os.kill, os.getpid(), signal.SIGKILL),
        "trace a process": _call("ptrace", 0, 0, 0, 0),
        "read its parent's memory": _call("process_vm_readv", parent, buffer, 1, buffer, 1, 0),
        "take a descriptor of its parent": _call("pidfd_open", parent or os.getpid(), 0),
        "limit its parent": _raises(resource.prlimit, parent or 1, resource.RLIMIT_NOFILE),
        "raise its own memory limit": _raises(resource.setrlimit, resource.RLIMIT_AS, (infinite, infinite)),
        "make shared memory": _call("shmget", 0, 4096, 0o1600),
        "make a memory file": _call("memfd_create", one, 0),
        "create a POSIX timer": _call("timer_create", 1, None, None),
        "cancel its parent-death signal": _call("prctl", 1, 0, 0, 0, 0),
        "become another user": _call("setresuid", 12345, 12345, 12345),
        "make namespaces": _call("unshare", 0x10000000),
        "mount": _call("mount", b"none", b"/", b"tmpfs", 0, 0),
        "grow a pipe": _call("fcntl", writing, 1031, 1 << 20),
        "read packages of the host": _packages(),
        "see another process's clock": _raises(time.clock_gettime, ~(parent or 1) << 3 | 2),
        "look up another process": _raises(os.getsid, parent or 1) and _raises(os.sched_getaffinity, parent or 1),
        "take a priority-inheritance lock": _call("futex", ctypes.byref(word), 6, 0, None, None, 0),
        "merge pages": _call("madvise", None, 0, 12),
        "map a file as shared memory": not zero or _call("mmap", None, 4096, 1, 1, zero, 0),
        "make a notification pipe": _raises(os.pipe2, os.O_EXCL),
        "send out-of-band data": _raises(pair[0].send, one, socket.MSG_OOB),
        "descriptors": [null, reading],
    }

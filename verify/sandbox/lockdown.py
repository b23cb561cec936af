"""The privileges that the zygote, and then each child, gives up before untrusted code runs.

Standard library only, and no file is opened after `landlock`: the zygote imports this module and applies it to itself.
Every step raises OSError if the kernel refuses it; the zygote reports the steps that failed.
"""

from __future__ import annotations

import ctypes
import os
import platform
import resource
import struct

from syscalls import numbers

_NR = numbers()
_libc = ctypes.CDLL(None, use_errno=True)
_syscall = _libc.syscall
_syscall.restype = ctypes.c_long
_prctl = _libc.prctl

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET = (
    0x00020000,
    0x04000000,
    0x08000000,
    0x10000000,
    0x20000000,
    0x40000000,
)
_PR_SET_PDEATHSIG, _PR_SET_DUMPABLE, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS, _PR_SET_SUBREAPER = (
    1,
    4,
    24,
    38,
    36,
)
_SECCOMP_SET_MODE_FILTER = 1
_SIGKILL = 9
MIB = 1 << 20


def _check(result: int, what: str) -> int:
    if result < 0:
        errno = ctypes.get_errno()
        raise OSError(errno, f"{what}: {os.strerror(errno)}")
    return result


def unshare_namespaces() -> str:
    """Moves this process (and, for process ids, its children) into new namespaces; returns their names.

    An ordinary user needs a user namespace for this, which the machine may not permit. Raises OSError.
    """
    spaces = CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS
    if os.geteuid() == 0:
        _check(_libc.unshare(spaces), "unshare")
        return "pid,net,ipc,uts,mnt"
    uid, gid = os.geteuid(), os.getegid()
    _check(_libc.unshare(spaces | CLONE_NEWUSER), "unshare")
    for name, text in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w") as f:
            f.write(text)
    return "user,pid,net,ipc,uts,mnt"


_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_NOEXEC, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = (
    1,
    2,
    4,
    8,
    32,
    4096,
    16384,
    1 << 18,
)
_MNT_DETACH = 2
_LOCKED_FLAGS = _MS_NOSUID | _MS_NODEV | _MS_NOEXEC | 1024 | 2048
"""Mount flags (with noatime and nodiratime) that a user namespace must not change."""
_MOUNT_POINTS = ("/mnt", "/media", "/srv", "/opt", "/sys", "/var", "/tmp")


def _mount(source: str, target: str, kind: str | None, flags: int, data: str | None = None) -> None:
    words = [w.encode() if w is not None else None for w in (source, target, kind)]
    result = _libc.mount(*words, ctypes.c_ulong(flags), data.encode() if data else None)
    _check(result, f"mount {source} on {target}")


def own_root(readable: set[str], covered: list[str], writable: list[str]) -> bool:
    """Replaces the file system, in this mount namespace, by one with only these paths, read-only, and an empty folder
    over each of `covered`.

    After that, not even `stat` reveals other files of the host. Raises OSError if the machine does not allow mounts.
    """
    outermost = _outermost(readable)
    points = [p for p in _MOUNT_POINTS if os.path.isdir(p) and not any(r.startswith(p) for r in outermost)]
    if not points:
        raise OSError(f"none of {', '.join(_MOUNT_POINTS)} is free to mount a root folder on")
    point = points[0]
    _mount("none", "/", None, _MS_REC | _MS_PRIVATE)
    _mount("tmpfs", point, "tmpfs", _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, "size=256k,nr_inodes=512,mode=755")
    for path in [*outermost, *writable]:
        _show(path, point)
    for path in covered:
        if os.path.isdir(point + path):
            _mount("none", point + path, "tmpfs", _MS_RDONLY | _MS_NOSUID | _MS_NODEV | _MS_NOEXEC, "size=4k,mode=555")
    _mount("none", point, None, _MS_REMOUNT | _MS_BIND | _MS_RDONLY | _MS_NOSUID | _MS_NODEV | _MS_NOEXEC)
    os.chdir(point)
    _check(_syscall(_NR["pivot_root"], b".", b"."), "pivot_root")
    _check(_libc.umount2(b".", _MNT_DETACH), "umount2")
    os.chdir("/")
    return True


def _outermost(paths: set[str]) -> list[str]:
    kept: list[str] = []
    for path in sorted(paths):
        if not any(path.startswith(k.rstrip("/") + "/") for k in kept):
            kept.append(path)
    return kept


def _show(path: str, root: str) -> None:
    """Mounts one file or folder of the host in the new root, under the same path."""
    target = root + path
    os.makedirs(os.path.dirname(target), exist_ok=True)
    if os.path.islink(path):
        os.symlink(os.readlink(path), target)
        return
    if os.path.isdir(path):
        os.mkdir(target)
    else:
        os.close(os.open(target, os.O_CREAT | os.O_WRONLY, 0o644))
    _mount(path, target, None, _MS_BIND | _MS_REC)
    device = path.startswith("/dev/")
    flags = os.statvfs(target).f_flag & _LOCKED_FLAGS
    flags |= _MS_NOSUID | (0 if device else _MS_NODEV) | (0 if device else _MS_RDONLY)
    _mount("none", target, None, _MS_REMOUNT | _MS_BIND | flags)


def hide_names() -> bool:
    """Replaces the host name in this UTS namespace. Raises OSError."""
    for name, call in (("sethostname", _libc.sethostname), ("setdomainname", _libc.setdomainname)):
        _check(call(b"sandbox", 7), name)
    return True


def die_with_parent() -> bool:
    """Requests SIGKILL for when the thread that created this process ends. A change of credentials resets it."""
    _check(_prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0), "prctl PR_SET_PDEATHSIG")
    return True


def own_uid(uid: int, must_read: list[str]) -> bool:
    """Becomes a user that owns nothing; False if not root, or if that user could not read all of `must_read`."""
    if os.geteuid() != 0:
        return False
    os.setgroups([])
    os.seteuid(uid)
    readable = all(os.access(path, os.R_OK, effective_ids=True) for path in must_read)
    os.seteuid(0)
    if not readable:
        return False
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)
    return True


def drop_capabilities() -> bool:
    """Empties the bounding, permitted, effective and inheritable sets, and sets no_new_privs."""
    for capability in range(64):
        if _prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0) < 0:
            break
    header = ctypes.create_string_buffer(struct.pack("<Ii", 0x20080522, 0))
    _check(_syscall(_NR["capset"], header, ctypes.create_string_buffer(24)), "capset")
    _check(_prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl PR_SET_NO_NEW_PRIVS")
    _check(_prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0), "prctl PR_SET_DUMPABLE")
    return True


def own_size() -> int:
    """Size of this process's address space, in bytes."""
    with open("/proc/self/statm") as f:
        return int(f.read().split()[0]) * resource.getpagesize()


def limit_resources(address_space: int) -> bool:
    """Hard limits that children inherit; `address_space` in bytes."""
    limits = {"AS": address_space, "FSIZE": 0, "NOFILE": 64}
    for name in ("CORE", "MEMLOCK", "MSGQUEUE", "NICE", "RTPRIO"):
        limits[name] = 0
    for name, value in limits.items():
        _limit(getattr(resource, f"RLIMIT_{name}"), value)
    return True


def _limit(which: int, value: int) -> None:
    hard = resource.getrlimit(which)[1]
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(which, (value, value))


def limit_threads(count: int, spare: int) -> bool:
    """Limits the processes and threads of this user, which must be the sandbox's own (or have its own namespace).

    A child lowers its limit to `count` by `share_threads`; the `spare` ones above it are reserved for new children, so
    that the threads of one child never prevent the next fork. Raises OSError if the kernel also counts other processes
    of the user, so that nothing could be forked.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NPROC)
    resource.setrlimit(resource.RLIMIT_NPROC, (count, hard))
    try:
        pid = os.fork()
    except OSError:
        resource.setrlimit(resource.RLIMIT_NPROC, (soft, hard))
        raise
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    _limit(resource.RLIMIT_NPROC, count + spare)
    return True


def share_threads(count: int):
    """A function with which a child lowers its limit to `count`. Prepared before the fork, to save the child work."""
    limits = ctypes.create_string_buffer(struct.pack("<QQ", count, count))
    call = tuple(map(ctypes.c_long, (_NR["prlimit64"], 0, resource.RLIMIT_NPROC, ctypes.addressof(limits), 0)))

    def share(_keep=limits) -> None:
        _syscall(*call)

    return share


_FS_BITS = {1: 13, 2: 14, 3: 15, 4: 15, 5: 16}
_FS_READ_FILE, _FS_READ_DIR = 1 << 2, 1 << 3
_FS_WRITE_FILE, _FS_TRUNCATE = 1 << 1, 1 << 14
_NET_TCP = 0b11
_SCOPES = 0b11


def landlock_abi() -> int:
    """The Landlock ABI version of this kernel; 0 if it has none."""
    return max(0, _syscall(_NR["landlock_create_ruleset"], None, 0, 1))


def landlock(readable: set[str], writable: list[str]) -> int:
    """Denies all file access except reading below `readable` and writing to `writable`. Returns the ABI version.

    Also denies TCP (ABI 4), and abstract unix sockets and signals outside the sandbox (ABI 6). Skips paths that do not
    exist. Requires no_new_privs and a single thread. Raises OSError if the kernel has no Landlock.
    """
    abi = landlock_abi()
    if abi < 1:
        raise OSError("this kernel has no Landlock")
    handled = (1 << _FS_BITS.get(abi, 16)) - 1
    attributes = struct.pack("<Q", handled)
    if abi >= 4:
        attributes += struct.pack("<Q", _NET_TCP)
    if abi >= 6:
        attributes += struct.pack("<Q", _SCOPES)
    ruleset = _check(
        _syscall(_NR["landlock_create_ruleset"], attributes, len(attributes), 0), "landlock_create_ruleset"
    )
    for paths, access in (
        (readable, _FS_READ_FILE | _FS_READ_DIR),
        (writable, _FS_READ_FILE | _FS_WRITE_FILE | _FS_TRUNCATE),
    ):
        for path in paths:
            if not os.path.exists(path):
                continue
            allowed = access & handled
            if not os.path.isdir(path):
                allowed &= ~_FS_READ_DIR
            fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
            rule = struct.pack("<Qi", allowed, fd)
            _check(_syscall(_NR["landlock_add_rule"], ruleset, 1, rule, 0), f"landlock_add_rule {path}")
            os.close(fd)
    _check(_syscall(_NR["landlock_restrict_self"], ruleset, 0), "landlock_restrict_self")
    os.close(ruleset)
    return abi


class Filter:
    """A seccomp program, ready to install, with placeholders that are filled in place.

    `holes` has, for each value passed to `install`, the byte offsets at which it is written.
    """

    def __init__(self, program: bytes, *holes: tuple[int, ...]):
        self._code = bytearray(program)
        self._slices = [[slice(at, at + 4) for at in offsets] for offsets in holes]
        self._pinned = (ctypes.c_char * len(program)).from_buffer(self._code)
        header = struct.pack("<HxxxxxxQ", len(program) // 8, ctypes.addressof(self._pinned))
        self._header = ctypes.create_string_buffer(header, 16)
        call = (_NR["seccomp"], _SECCOMP_SET_MODE_FILTER, 0, ctypes.addressof(self._header))
        # Converted in advance, so that a child touches fewer pages.
        self._call = tuple(map(ctypes.c_long, call))

    def install(self, *values: int) -> bool:
        """Writes the values into their placeholders and installs the filter on this thread."""
        for slices, value in zip(self._slices, values):
            for target in slices:
                self._code[target] = value.to_bytes(4, "little")
        if _syscall(*self._call) != 0:
            _check(-1, "seccomp")
        return True


def describe_machine() -> str:
    """Kernel and machine, for messages."""
    return f"{platform.system()} {platform.release()} {platform.machine()}"

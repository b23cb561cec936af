"""The zygote: a clean interpreter that locks itself down and forks one child for each solution.

`verify.sandbox.worker` runs it as a script and never imports it. It communicates on descriptor 3 (a SEQPACKET socket):
it receives a job's descriptors and limits, forks, kills the child when its time is up, and reports how it ended. It
never sees code, inputs or answers: those pass through the job's own socket, between the trusted side and the child. It
ends when its control socket is closed.

Landlock, the allow-list of system calls, limits, user, namespaces and root folder are applied once, here, and are
inherited; a child only installs a small second filter. Every page that the zygote writes to between two forks is copied
again, so its loop is kept simple.
"""

from __future__ import annotations

import json
import os
import select
import signal
import socket
import struct
import sys
import time

_FOLDER = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, _FOLDER)

CONTROL = 3
START, KILL = 1, 2
REQUEST = struct.Struct("<IIdd")
"""What, job, CPU seconds, wall seconds."""
REPORT = struct.Struct("<IiiidddI")
"""Job, wait status, why it was killed, errno of a failed fork (0: none), user, system, wall seconds, peak
memory in KiB."""
NOT_KILLED, OVER_CPU, OVER_WALL, KILL_REQUESTED = range(4)


def main() -> None:
    """Locks down as planned in `argv[1]` (JSON), reports which steps succeeded, and serves."""
    plan = json.loads(sys.argv[1])
    if plan["control"] != CONTROL:
        os.dup2(plan["control"], CONTROL, inheritable=False)
        os.close(plan["control"])
    control = socket.socket(fileno=CONTROL)
    report: dict = {"refused": {}}
    import filters
    import lockdown
    import readable

    files = readable.Readable(plan["readable"])
    if plan["namespaces"]:
        _enter_namespaces(lockdown, report)
    sys.path.extend(plan["path"])
    _preload(plan["preload"], report)
    # Imported while files can still be opened, but after the fork for the namespaces, which they would slow down.
    import discovery  # noqa: F401
    import harness
    import prewarm
    import pytest_like  # noqa: F401
    import served  # noqa: F401
    import test_driver  # noqa: F401

    exec(plan["warm_up"], {})
    _forget_folders(plan)
    prewarm.rehearse(harness)
    lock = _lock_down(lockdown, filters, plan, files, report)
    report["uid"] = os.getuid()
    os.dup2(1, 2)
    control.send(json.dumps(report).encode())
    del plan, report, files
    prewarm.settle()
    _serve(control, harness.run, lock)
    os._exit(0)


def _attempt(report: dict, name: str, step, *args):
    """Runs one step of the lockdown. A failure is reported to the trusted side, which decides what it means."""
    try:
        report[name] = step(*args)
    except (OSError, ValueError) as error:
        report[name] = None
        report["refused"][name] = str(error)
    return report[name]


def _enter_namespaces(lockdown, report: dict) -> None:
    """Enters new namespaces. A process id namespace only contains children, so this process stays outside as a stub
    and its child continues."""
    own = {name: os.stat(f"/proc/self/ns/{name}").st_ino for name in ("net", "ipc", "mnt")}
    if _attempt(report, "namespaces", lockdown.unshare_namespaces) is None:
        return
    report["namespaces_new"] = [n for n in own if os.stat(f"/proc/self/ns/{n}").st_ino != own[n]]
    pid = os.fork()
    if pid:
        os.close(CONTROL)
        _, status = os.waitpid(pid, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)
    report["pid_in_namespace"] = os.getpid()


def _preload(modules: list[str], report: dict) -> None:
    """Imports what programs commonly use, so that no child has to.

    Modules may not register fork handlers: the zygote has one thread and no locks to repair, and the handlers of
    `random` and `threading` alone would cost every child more than its program does.
    """
    register, os.register_at_fork = os.register_at_fork, lambda **_: None
    missing = []
    for name in modules:
        try:
            __import__(name)
        except ImportError:
            missing.append(name)
    os.register_at_fork = register
    report["missing"] = missing


def _forget_folders(plan: dict) -> None:
    """Removes from the import system everything that children may not read.

    Folders cannot be listed after the lockdown, so the cached listings of the standard library are kept. For other
    folders only the packages of the plan are kept.
    """
    sys.path.remove(_FOLDER)
    sys.path_importer_cache.pop(_FOLDER, None)
    known = {os.path.basename(path) for path in plan["readable"]}
    for path, finder in sys.path_importer_cache.items():
        if finder is not None:
            vars(finder)["invalidate_caches"] = _nothing
            if path in plan["path"]:
                vars(finder)["_path_cache"] &= known


def _nothing() -> None:
    pass


def _lock_down(lockdown, filters, plan: dict, files, report: dict):
    """Applies the plan to this process; returns the function with which a child locks itself down.

    The order matters: mounts come before the change of user, the change of user before the parent-death signal (which
    it resets), Landlock after the last file was opened, and the system call filter at the end.
    """
    writable = ["/dev/null"]
    space = lockdown.own_size() + plan["memory_mib"] * lockdown.MIB
    if report.get("namespaces"):
        _attempt(report, "root", lockdown.own_root, files.shown, files.covered, writable)
        _attempt(report, "names", lockdown.hide_names)
    if plan["uid"]:
        _attempt(report, "own_uid", lockdown.own_uid, plan["uid"], [os.path.dirname(os.__file__)])
    _attempt(report, "capabilities", lockdown.drop_capabilities)
    inside = "pid_in_namespace" in report
    if inside:
        # The stub ends when this process ends. If the stub is killed, this process must end too.
        _attempt(report, "die_with_parent", lockdown.die_with_parent)
    _attempt(report, "limits", lockdown.limit_resources, space)
    if report.get("own_uid") or "user" in (report.get("namespaces") or ""):
        _attempt(report, "threads", lockdown.limit_threads, plan["processes"], plan["spare_processes"])
    if plan["landlock"]:
        _attempt(report, "landlock", lockdown.landlock, files.allowed, writable)
    child = None
    if plan["seccomp"]:
        child = lockdown.Filter(*filters.child_filter())
        outer = lockdown.Filter(filters.zygote_filter(allow_open=bool(report.get("landlock"))))
        _attempt(report, "seccomp", outer.install)
    install, getpid, die_with_parent = child and child.install, os.getpid, lockdown.die_with_parent
    share_threads = lockdown.share_threads(plan["processes"]) if report.get("threads") else None

    def lock() -> None:
        if not inside:
            # In a process id namespace the kernel kills the children when the zygote dies.
            die_with_parent()
        if share_threads is not None:
            share_threads()
        if install is not None:
            pid = getpid()
            install(pid, (~pid << 3 | 2) & 0xFFFFFFFF)

    return lock


class _Child:
    __slots__ = ("check", "cpu_seconds", "deadline", "job", "pid", "pidfd", "started", "why")

    def __init__(self, job: int, pid: int, cpu_seconds: float, wall_seconds: float):
        self.job, self.pid, self.why = job, pid, NOT_KILLED
        self.pidfd = os.pidfd_open(pid)
        self.started = time.monotonic()
        self.cpu_seconds = cpu_seconds
        self.deadline = self.started + wall_seconds
        self.check = self.started + min(cpu_seconds, wall_seconds)

    def kill(self, why: int) -> None:
        self.why = self.why or why
        os.kill(self.pid, signal.SIGKILL)


def _serve(control: socket.socket, run, lock) -> None:
    """Forks, kills and reaps children until the control socket is closed."""
    poller = select.poll()
    poller.register(CONTROL, select.POLLIN)
    running: dict[int, _Child] = {}
    while True:
        for fd, _ in poller.poll(_patience(running) if running else None):
            if fd == CONTROL:
                data, ancillary, _, _ = control.recvmsg(REQUEST.size, 64)
                if not data:
                    return _kill_all(running)
                what, job, cpu_seconds, wall_seconds = REQUEST.unpack(data)
                if what == START:
                    pid = _fork(job, ancillary[0][2], control, run, lock)
                    if pid:
                        child = _Child(job, pid, cpu_seconds, wall_seconds)
                        running[child.pidfd] = child
                        poller.register(child.pidfd, select.POLLIN)
                else:
                    for child in running.values():
                        if child.job == job:
                            child.kill(KILL_REQUESTED)
            else:
                poller.unregister(fd)
                _reap(running.pop(fd), control)
        if running:
            _enforce(running)


def _patience(running: dict[int, _Child]) -> float:
    """Milliseconds until the next child must be checked."""
    return max(0.0, (min([child.check for child in running.values()]) - time.monotonic()) * 1000 + 1)


def _enforce(running: dict[int, _Child]) -> None:
    """Kills children that are out of time. Their own CPU clock counts; wall time is only the backstop."""
    now = time.monotonic()
    for child in running.values():
        if now < child.check:
            continue
        left = child.cpu_seconds - time.clock_gettime(~child.pid << 3 | 2)
        if left <= 0:
            child.kill(OVER_CPU)
        elif now >= child.deadline:
            child.kill(OVER_WALL)
        child.check = min(now + max(left, 0.001), child.deadline) if left > 0 and now < child.deadline else now + 1


def _fork(job: int, packed: bytes, control: socket.socket, run, lock) -> int:
    """Process id of a child with the descriptors; 0 if the fork failed, which is reported."""
    fds = [int.from_bytes(packed[i : i + 4], sys.byteorder) for i in range(0, len(packed), 4)]
    try:
        pid = os.fork()
    except OSError as error:
        control.send(REPORT.pack(job, 0, NOT_KILLED, error.errno, 0.0, 0.0, 0.0, 0))
        pid = -1
    if pid == 0:
        _become_child(fds, run, lock)
    for fd in fds:
        os.close(fd)
    return max(pid, 0)


def _become_child(fds: list[int], run, lock) -> None:
    """Runs the job in the child. Does not return.

    The job's socket replaces the control socket as descriptor 3. The second descriptor becomes 0, 1 and 2, unless a
    third and a fourth are given for 0 and 1.
    """
    try:
        os.dup2(fds[0], CONTROL, False)
        os.dup2(fds[-2] if len(fds) > 2 else fds[1], 0, False)
        os.dup2(fds[-1], 1, False)
        os.dup2(fds[1], 2, False)
        os.closerange(CONTROL + 1, 64)
        run(lock)
    finally:
        os._exit(1)


def _reap(child: _Child, control: socket.socket) -> None:
    _, status, usage = os.wait4(child.pid, 0)
    os.close(child.pidfd)
    wall = time.monotonic() - child.started
    control.send(REPORT.pack(child.job, status, child.why, 0, usage[0], usage[1], wall, usage[2]))


def _kill_all(running: dict[int, _Child]) -> None:
    for child in running.values():
        os.kill(child.pid, signal.SIGKILL)
        os.waitpid(child.pid, 0)


if __name__ == "__main__":
    main()

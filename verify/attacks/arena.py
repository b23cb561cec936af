"""The scratch folder that attacks target: it contains real canaries, and detects which of them were touched."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

PORT = 46379
"""Loopback port on which attacks look for a listener; if it is in use, another port is taken."""
ABSTRACT = ("\0sbx_abstract", "\0sbx_abstract_dgram")
"""Abstract names under which attacks look for a stream and a datagram socket; each exists once on a machine."""
WAIT_SECONDS = 900.0
"""Longest time, in seconds, that an attack run waits for another one on the same machine."""
SECRET_FILE, SECRET_KEY = "sk-canary-file", "sk-canary-env"
_ENVIRONMENT_KEY = "FAKE_API_KEY"
_LIMITS = (resource.RLIMIT_NOFILE, resource.RLIMIT_CPU, resource.RLIMIT_AS, resource.RLIMIT_NPROC)


class Arena:
    """Sets up the canaries. `uid` is the sandbox's user, who owns the secret file and runs the bystander process.

    A context manager that removes the bystander, the listeners, the key and the folder again. Entering waits for any
    other arena on this machine, and raises TimeoutError if that one does not end.
    """

    def __init__(self, uid: int):
        self.uid = uid
        self.root = Path(tempfile.mkdtemp(prefix="crucible-attack-"))
        self.canary = self.root / "canary"
        self._sockets: list[socket.socket] = []
        self._victim: subprocess.Popen | None = None
        self._limits = self._read_limits()

    def __enter__(self) -> Arena:
        try:
            for kind, name in zip((socket.SOCK_STREAM, socket.SOCK_DGRAM), ABSTRACT, strict=True):
                self._listen_alone(kind, name)
        except BaseException:
            self.__exit__()
            raise
        os.chmod(self.root, 0o755)
        self.canary.mkdir()
        os.chmod(self.canary, 0o777)
        secret = self.root / "canary_secret"
        secret.mkdir()
        for name, text in (("token", SECRET_FILE), ("deleteme", "delete me")):
            (secret / name).write_text(text)
            os.chmod(secret / name, 0o600)
        if os.geteuid() == 0:
            for path in (secret, *secret.iterdir()):
                os.chown(path, self.uid, self.uid)
        (self.root / "canary_port").write_text(str(self._listen_on_port()))
        self._listen(socket.AF_UNIX, socket.SOCK_STREAM, str(self.root / "canary_sock"))
        os.chmod(self.root / "canary_sock", 0o777)
        os.environ[_ENVIRONMENT_KEY] = SECRET_KEY
        self.revive_victim()
        return self

    def __exit__(self, *_: object) -> None:
        os.environ.pop(_ENVIRONMENT_KEY, None)
        for sock in self._sockets:
            sock.close()
        if self._victim is not None:
            self._victim.kill()
            self._victim.wait()
        # The secret folder belongs to the sandbox's user: only its own files are removed, by hand.
        for path in sorted(self.root.rglob("*"), reverse=True):
            with contextlib.suppress(OSError):
                path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
        with contextlib.suppress(OSError):
            self.root.rmdir()

    def fill_in(self, code: str) -> str:
        """A program with the scratch folder's name in it."""
        return code.replace("@ROOT@", str(self.root))

    def revive_victim(self) -> None:
        """A bystander process of the sandbox's user, in a session of its own, with a marker file."""
        user = {"user": self.uid, "group": self.uid, "extra_groups": []} if os.geteuid() == 0 else {}
        self._victim = subprocess.Popen(["sleep", "99999"], start_new_session=True, cwd="/", **user)
        (self.canary / f"victim_{self._victim.pid}").touch()

    def traces(self, name: str) -> set[str]:
        """Traces left by the program of that name: `file`, `net`, `victim`, `parent`. Restores what it can."""
        found = set()
        if (self.canary / name).exists() or not self._secrets_whole():
            found.add("file")
        if self._reached():
            found.add("net")
        if self._victim is None or self._victim.poll() is not None:
            found.add("victim")
            self.revive_victim()
        if self._read_limits() != self._limits or os.environ.get(_ENVIRONMENT_KEY) != SECRET_KEY:
            found.add("parent")
        return found

    def _secrets_whole(self) -> bool:
        token = self.root / "canary_secret" / "token"
        try:
            whole = token.stat().st_mode & 0o777 == 0o600 and token.read_text() == SECRET_FILE
            return whole and (token.parent / "deleteme").exists()
        except OSError:
            return False

    @staticmethod
    def _read_limits() -> list[tuple[int, int]]:
        return [resource.getrlimit(limit) for limit in _LIMITS]

    def _listen_on_port(self) -> int:
        for port in (PORT, 0):
            try:
                port = self._listen(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", port))[1]
                self._listen(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", port))
                return port
            except OSError:
                continue
        raise OSError(f"cannot listen on any loopback port, neither on {PORT} nor on another one")

    def _listen_alone(self, kind: int, name: str) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while True:
            try:
                self._listen(socket.AF_UNIX, kind, name)
                return
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                if time.monotonic() > deadline:
                    raise TimeoutError(
                        f"another attack run on this machine has held the socket @{name[1:]} for {WAIT_SECONDS:.0f} s; "
                        "stop it, or wait for it"
                    ) from None
            time.sleep(0.1)

    def _listen(self, family: int, kind: int, address: Any) -> Any:
        sock = socket.socket(family, kind)
        sock.setblocking(False)
        try:
            sock.bind(address)
            if kind == socket.SOCK_STREAM:
                sock.listen(16)
        except OSError:
            sock.close()
            raise
        self._sockets.append(sock)
        return sock.getsockname()

    def _reached(self) -> bool:
        reached = False
        for sock in self._sockets:
            with contextlib.suppress(BlockingIOError):
                while True:
                    if sock.type == socket.SOCK_STREAM:
                        sock.accept()[0].close()
                    else:
                        sock.recv(65536)
                    reached = True
        return reached


class Processes:
    """Detects processes of a user that were started after this object was created and are still alive.

    `trusted` are the processes of the judge that is watched.
    """

    def __init__(self, trusted: set[int], uid: int, own_user: bool):
        self.trusted = trusted
        self.uid = uid
        self.own_user = own_user
        self.before = set(_all())
        self.heirs = trusted | {pid for process in trusted for pid in _ancestors(process)}
        """Whose child a process of the judge can be, also after its parent has ended."""

    def survivors(self, grace: float = 0.3) -> list[int]:
        """New processes of the sandbox's user that are still alive after `grace` seconds.

        If others share that user, only those that run the sandbox's script, and not for another judge.
        """
        deadline = time.monotonic() + grace
        while found := [pid for pid in set(_all()) - self.before - self.trusted if self._suspect(pid)]:
            if time.monotonic() > deadline:
                return found
            time.sleep(0.02)
        return []

    def _suspect(self, pid: int) -> bool:
        try:
            # Not the folder's owner: that is root for processes that may not be inspected.
            fields = _status(pid)
            if fields["State"].split()[0] == "Z" or int(fields["Uid"].split()[0]) != self.uid:
                return False
            return self.own_user or (_is_sandboxed(pid) and self._is_of_this_judge(pid))
        except (OSError, KeyError):
            return False

    def _is_of_this_judge(self, pid: int) -> bool:
        try:
            return next((parent for parent in _ancestors(pid) if not _is_sandboxed(parent)), 0) in self.heirs | {0}
        except OSError:
            # A parent has just ended: the next look tells who took its children.
            return True


def _all() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _status(pid: int) -> dict[str, str]:
    return dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines())


def _is_sandboxed(pid: int) -> bool:
    """Whether the process runs the sandbox's script."""
    return b"zygote.py" in Path(f"/proc/{pid}/cmdline").read_bytes()


def _ancestors(pid: int) -> list[int]:
    """The process's parent, its parent, and so on; ends where one is gone."""
    found = []
    with contextlib.suppress(OSError, KeyError):
        while pid := int(_status(pid)["PPid"]):
            found.append(pid)
    return found

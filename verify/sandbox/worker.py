"""The trusted side of one zygote: starts it, hands it jobs, receives its reports of how children ended.

A `Zygote` is one process, or two where process ids have their own namespace (a stub and the zygote proper). It is not
thread-safe: one thread drives it. Nothing here decodes a child's output.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from verify.config import VerifyConfig

_SCRIPT = Path(__file__).with_name("zygote.py")
_REQUEST = struct.Struct("<IIdd")
_REPORT = struct.Struct("<IiiidddI")
_START, _KILL = 1, 2
NOT_KILLED, OVER_CPU, OVER_WALL, KILL_REQUESTED = range(4)
"""Why the zygote killed a child."""
_START_SECONDS = 30.0
FIRST_UID = 0x70000000
"""First user id for zygotes: no account has ids in this range, and every zygote on a node gets a different one."""

PRELOAD = (
    *(
        "abc",
        "bisect",
        "collections",
        "contextlib",
        "copy",
        "dataclasses",
        "enum",
        "functools",
        "heapq",
        "io",
    ),
    *("itertools", "json", "math", "operator", "random", "re", "string", "threading", "time", "typing"),
)
"""Modules that programs commonly import. Each costs every fork a few pages, and saves programs that import it some
milliseconds."""


class ZygoteDied(RuntimeError):
    """The zygote ended or did not answer in time: the jobs it was running were not judged."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to start a zygote. The switches exist to simulate kernels that lack a feature."""

    preload: tuple[str, ...] = PRELOAD
    path: tuple[str, ...] = ()
    """Folders added to the import path. Children can read only `readable` in them."""
    readable: tuple[str, ...] = ()
    warm_up: str = ""
    """Trusted source that runs once after the imports: children inherit the memory that it has initialised."""
    namespaces: bool = True
    landlock: bool = True
    seccomp: bool = True
    own_uid: bool = True


@dataclass(frozen=True, slots=True)
class Library:
    """A third-party library that gets its own zygote in which it is preloaded."""

    packages: tuple[str, ...]
    """Entries of site-packages that it consists of."""
    warm_up: str = ""
    """See `Plan.warm_up`."""


_MATHS = r"""
from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse
from sympy import Expr, cancel, expand, simplify
config = [LatexExtractionConfig(), ExprExtractionConfig()]
for text in (
    r"\frac{1}{2}+\sqrt{x^2-1}", r"2^{10}\cdot 3!-\binom{5}{2}", r"\sin\frac{\pi}{3}",
    r"e^{-2}", r"y=3x+1", r"(1,2)", "3/4",
):
    for value in parse(r"\boxed{" + text + "}", config, parsing_timeout=None):
        if isinstance(value, Expr):
            simplify(expand(value) - 1), cancel(value), value.evalf(60, maxn=120)
"""
"""The parser and sympy build their tables on first use, which takes half a second."""

LIBRARIES = {
    "numpy": Library(("numpy", "numpy.libs")),
    "math_verify": Library(("math_verify", "latex2sympy2_extended", "sympy", "mpmath", "antlr4"), warm_up=_MATHS),
}


def plan_with(plan: Plan, library: str) -> Plan | None:
    """The plan of a zygote with `library` preloaded; None if this interpreter does not have the library."""
    from importlib.util import find_spec

    spec = find_spec(library)
    if spec is None or not spec.origin:
        return None
    site, wanted = Path(spec.origin).parent.parent, LIBRARIES[library]
    found = tuple(str(site / name) for name in wanted.packages if (site / name).exists())
    preload = (*plan.preload, library)
    return replace(plan, preload=preload, path=(str(site),), readable=found, warm_up=wanted.warm_up)


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended, as reported by the zygote."""

    job: int
    status: int
    """Wait status."""
    why: int
    """Why the zygote killed it; `NOT_KILLED` if it did not."""
    fork_errno: int
    """Nonzero if the fork failed."""
    cpu_seconds: float
    wall_seconds: float
    memory_mib: float

    @property
    def signal(self) -> int:
        """The signal that ended it; 0 if it exited."""
        return os.WTERMSIG(self.status) if os.WIFSIGNALED(self.status) else 0


@dataclass(slots=True)
class Zygote:
    """A running zygote. The constructor raises ZygoteDied if it cannot be started."""

    plan: Plan
    config: VerifyConfig
    report: dict = field(init=False)
    """Which lockdown steps it says succeeded. It runs no foreign code, so this is trusted, and then probed."""
    jobs: int = field(init=False, default=0)
    control: socket.socket = field(init=False)
    poller: select.poll = field(init=False)
    """Polls `control` only."""
    _process: subprocess.Popen = field(init=False)
    _reports: dict[int, Ended] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        null = os.open(os.devnull, os.O_RDWR)
        try:
            self._process = subprocess.Popen(
                _command(self.plan, self.config, theirs.fileno()),
                stdin=null,
                stdout=null,
                stderr=subprocess.PIPE,
                env=_environment(),
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
                cwd="/",
            )
        finally:
            os.close(null)
            theirs.close()
        self.control = ours
        self.report = self._greeting()
        if self._process.stderr is not None:
            self._process.stderr.close()
        self.control.setblocking(False)
        self.poller = select.poll()
        self.poller.register(self.control, select.POLLIN)

    def _greeting(self) -> dict:
        self.control.settimeout(_START_SECONDS)
        try:
            data = self.control.recv(65536)
        except OSError:
            data = b""
        if not data:
            self._process.kill()
            _, error = self._process.communicate()
            last = error.decode(errors="replace").strip().splitlines()[-1:] or ["it gave no reason"]
            self.control.close()
            raise ZygoteDied(f"the sandbox zygote did not start: {last[0]}; run `crucible verify probe`")
        return json.loads(data)

    @property
    def pid(self) -> int:
        """Process id of the process that was started: the stub, or the zygote itself."""
        return self._process.pid

    @property
    def pids(self) -> list[int]:
        """The trusted processes: the zygote and its stub, if there is one; as far as /proc shows them."""
        found = [self._process.pid]
        if self.has_stub:
            with contextlib.suppress(OSError), open(f"/proc/{self.pid}/task/{self.pid}/children") as f:
                found += map(int, f.read().split())
        return found

    @property
    def has_stub(self) -> bool:
        """True if the process that was started only waits for the zygote, which has its own process id namespace."""
        return "pid_in_namespace" in self.report

    @property
    def closed(self) -> bool:
        """True once `close` was called."""
        return self.control.fileno() < 0

    def start(self, job: int, fds: Sequence[int], cpu_seconds: float, wall_seconds: float) -> None:
        """Requests a child with the channel `fds[0]`. `fds[1]` becomes its descriptors 0 to 2; if `fds[2:]` is given,
        that becomes 0 and 1, and `fds[1]` only 2. Raises ZygoteDied."""
        self.jobs += 1
        packed = struct.pack(f"{len(fds)}i", *fds)
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, packed)]
        try:
            self.control.sendmsg([_REQUEST.pack(_START, job, cpu_seconds, wall_seconds)], ancillary)
        except OSError as error:
            raise ZygoteDied(f"the zygote does not accept jobs: {error}") from error

    def kill(self, job: int) -> None:
        """Requests that the child be killed; its end is then reported as usual."""
        with contextlib.suppress(OSError):
            self.control.send(_REQUEST.pack(_KILL, job, 0.0, 0.0))

    def poll(self) -> None:
        """Reads the reports that have arrived, without blocking. Raises ZygoteDied."""
        while True:
            try:
                data = self.control.recv(_REPORT.size)
            except BlockingIOError:
                return
            except OSError as error:
                raise ZygoteDied(f"the zygote does not report: {error}") from error
            if len(data) != _REPORT.size:
                raise ZygoteDied("the zygote ended while a job ran")
            number, status, why, errno, user, system, wall, rss_kib = _REPORT.unpack(data)
            self._reports[number] = Ended(number, status, why, errno, user + system, wall, rss_kib / 1024)

    def ended(self, job: int) -> Ended | None:
        """The report on a job's child, or None if it has not arrived yet. Each report is returned once."""
        return self._reports.pop(job, None)

    def close(self, grace: float = 2.0) -> None:
        """Ends the zygote and every child. Safe to call twice."""
        self.control.close()
        deadline = time.monotonic() + grace
        while self._process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        if self._process.poll() is None:
            # The whole session: when the stub dies, its parent-death signal ends the zygote and its children.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


_started = itertools.count()


def _fresh_uid() -> int:
    """A user id that no other running zygote on this node has."""
    return FIRST_UID + os.getpid() * 16 + next(_started) % 16


def _command(plan: Plan, config: VerifyConfig, control: int) -> list[str]:
    settings = {
        "preload": list(plan.preload),
        "path": list(plan.path),
        "readable": list(plan.readable),
        "warm_up": plan.warm_up,
        "namespaces": plan.namespaces,
        "landlock": plan.landlock,
        "seccomp": plan.seccomp,
        "uid": _fresh_uid() if plan.own_uid else 0,
        "memory_mib": config.memory_mib,
        "processes": config.overlap * (config.threads + 1) + 2,
        "spare_processes": 2 * config.overlap + 4,
        "control": control,
    }
    # Isolated like `-I`, but with a fixed hash seed: a verdict must not depend on the order of a set.
    return [sys.executable, "-s", "-P", "-S", "-B", str(_SCRIPT), json.dumps(settings)]


def _environment() -> dict[str, str]:
    """The whole environment of the zygote.

    One malloc arena keeps threads within the address space limit; with huge pages a large list costs one page fault
    for every 2 MiB instead of 4 KiB.
    """
    return {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "PYTHONHASHSEED": "0",
        "PYTHONUTF8": "1",
        "MALLOC_ARENA_MAX": "1",
        "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
        "OPENBLAS_NUM_THREADS": "1",
    }

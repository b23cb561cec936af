"""The trusted side of one zygote: starts it, hands it jobs, hears how children ended.

A `Zygote` is one process pair (a stub and the zygote proper where process ids have a namespace of their own).
It is not thread-safe: one thread drives it. Nothing here decodes what a child says.
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
NOT_KILLED, OVER_CPU, OVER_WALL, TOLD = range(4)
"""Why the zygote killed a child."""
_START_SECONDS = 30.0
FIRST_UID = 0x70000000
"""Own user ids start here: no account has them, and every zygote of a node gets another."""

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
"""What programs commonly import. Each costs every fork a few pages, and saves those that import it
milliseconds."""


class ZygoteDied(RuntimeError):
    """The zygote ended, or did not answer in time: whatever it was running was not judged."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a zygote is started. The switches exist to simulate kernels that lack a feature."""

    preload: tuple[str, ...] = PRELOAD
    path: tuple[str, ...] = ()
    """Folders added to the import path, of which only `readable` can be read once children run."""
    readable: tuple[str, ...] = ()
    warm_up: str = ""
    """Trusted source that is run once, behind the imports: what it leaves in memory no child needs to make."""
    namespaces: bool = True
    landlock: bool = True
    seccomp: bool = True
    own_uid: bool = True


@dataclass(frozen=True, slots=True)
class Library:
    """What can be loaded in a zygote of its own beside the standard library."""

    packages: tuple[str, ...]
    """What it is made of."""
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
"""Parser and algebra build their tables as they are used: half a second for the first answer."""

LIBRARIES = {
    "numpy": Library(("numpy", "numpy.libs")),
    "math_verify": Library(("math_verify", "latex2sympy2_extended", "sympy", "mpmath", "antlr4"), warm_up=_MATHS),
}


def plan_with(plan: Plan, library: str) -> Plan | None:
    """The plan of a zygote that has `library` loaded; None where this interpreter has no such library."""
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
    """How a child ended, as the zygote saw it."""

    job: int
    status: int
    """Wait status."""
    why: int
    """Why the zygote killed it; `NOT_KILLED` where it did not."""
    fork_errno: int
    """Not 0 where no child could be made."""
    cpu_seconds: float
    wall_seconds: float
    memory_mib: float

    @property
    def signal(self) -> int:
        """The signal that ended it; 0 where it exited."""
        return os.WTERMSIG(self.status) if os.WIFSIGNALED(self.status) else 0


@dataclass(slots=True)
class Zygote:
    """A running zygote. Raises ZygoteDied from its constructor where it cannot be started."""

    plan: Plan
    config: VerifyConfig
    report: dict = field(init=False)
    """What it says it could do to itself; it runs no foreign code, so this is believed, and then probed."""
    jobs: int = field(init=False, default=0)
    control: socket.socket = field(init=False)
    poller: select.poll = field(init=False)
    """Waits for `control` alone."""
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
        """Process id of what was started: the stub, or the zygote itself."""
        return self._process.pid

    @property
    def pids(self) -> list[int]:
        """The trusted processes: the stub, where there is one, and the zygote; as far as /proc tells."""
        found = [self._process.pid]
        if self.has_stub:
            with contextlib.suppress(OSError), open(f"/proc/{self.pid}/task/{self.pid}/children") as f:
                found += map(int, f.read().split())
        return found

    @property
    def has_stub(self) -> bool:
        """True where the process that was started only waits for the zygote in a process id namespace."""
        return "pid_in_namespace" in self.report

    @property
    def closed(self) -> bool:
        """True once it was ended from here."""
        return self.control.fileno() < 0

    def start(self, job: int, fds: Sequence[int], cpu_seconds: float, wall_seconds: float) -> None:
        """Asks for a child whose channel is `fds[0]`; `fds[1]` are its descriptors 0 to 2, or 2 alone where
        `fds[2:]` are 0 and 1. Raises ZygoteDied."""
        self.jobs += 1
        packed = struct.pack(f"{len(fds)}i", *fds)
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, packed)]
        try:
            self.control.sendmsg([_REQUEST.pack(_START, job, cpu_seconds, wall_seconds)], ancillary)
        except OSError as error:
            raise ZygoteDied(f"the zygote does not take jobs: {error}") from error

    def kill(self, job: int) -> None:
        """Asks for the child's end; it is then reported."""
        with contextlib.suppress(OSError):
            self.control.send(_REQUEST.pack(_KILL, job, 0.0, 0.0))

    def hear(self) -> None:
        """Takes in the reports that have come. Raises ZygoteDied."""
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
        """The end of a job's child, None where it was not heard of yet; told once."""
        return self._reports.pop(job, None)

    def close(self, grace: float = 2.0) -> None:
        """Ends the zygote and with it every child. Safe to call twice."""
        self.control.close()
        deadline = time.monotonic() + grace
        while self._process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.005)
        if self._process.poll() is None:
            # The whole session: the stub dies, and by its parent-death signal the zygote and its children.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


_started = itertools.count()


def _fresh_uid() -> int:
    """A user id that no other living zygote of this node has."""
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
    # As `-I` isolates, but heeds the hash seed: a verdict must not depend on the order of a set.
    return [sys.executable, "-s", "-P", "-S", "-B", str(_SCRIPT), json.dumps(settings)]


def _environment() -> dict[str, str]:
    """All that the zygote inherits.

    One arena keeps threads inside the address space limit; huge pages make large lists cost a fault each 2
    MiB, not 4 KiB.
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

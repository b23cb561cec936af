"""What this machine can enforce, found out by trying: a canary child attempts what must be refused.

The isolation level is what was seen to hold, not what was asked for: 3 = level 2, and namespaces or a user of
the sandbox's own; 2 = seccomp and Landlock; 1 = seccomp alone (files are refused altogether, and with them
imports that were not preloaded); 0 = something got through, or there is no seccomp.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

from verify.sandbox.executor import Sandbox
from verify.sandbox.protocol import FUNCTION, VALUE, Job, Stop, kind, request, text
from verify.sandbox.worker import ZygoteDied

DENIALS = {
    "read a file of the host": "seccomp or Landlock",
    "list a folder of the host": "seccomp or Landlock",
    "write a file": "seccomp or Landlock",
    "change a file's mode": "seccomp",
    "make a folder": "seccomp or Landlock",
    "start a process": "seccomp",
    "run another program": "seccomp",
    "open an internet socket": "seccomp",
    "connect to a unix socket": "seccomp",
    "signal its parent": "seccomp",
    "end itself unseen by SIGKILL": "seccomp",
    "trace a process": "seccomp",
    "read its parent's memory": "seccomp",
    "take a descriptor of its parent": "seccomp",
    "limit its parent": "seccomp",
    "raise its own memory limit": "dropped capabilities",
    "make shared memory": "seccomp",
    "make a memory file": "seccomp",
    "stop its clocks": "seccomp",
    "disarm its parent-death signal": "seccomp",
    "become another user": "dropped capabilities",
    "make namespaces": "seccomp",
    "mount": "seccomp",
    "grow a pipe": "seccomp",
    "read packages of the host": "seccomp or Landlock",
    "see another process's clock": "seccomp",
    "look another process up": "seccomp",
    "take a lock that lends its priority": "seccomp",
    "merge pages": "seccomp",
    "share a file's pages": "seccomp",
    "make a pipe of notifications": "seccomp",
    "send out of band": "seccomp",
}
"""What the canary attempts, and what refuses it."""

MENDS = {
    "seccomp": "the kernel needs CONFIG_SECCOMP_FILTER, and the container a profile that allows seccomp(2)",
    "landlock": "use a kernel of 5.13 or later with landlock in its lsm= list, and a container allowing it",
    "namespaces": "allow unprivileged user namespaces (sysctl), or run as root in the container",
    "own_uid": "needs root, and a Python whose files every user may read",
}
"""What to do about a feature that is missing."""


@dataclass(frozen=True, slots=True)
class Probe:
    """What was found."""

    level: int
    refused: dict[str, bool] = field(default_factory=dict)
    """By attempt: whether it was refused."""
    features: dict[str, str] = field(default_factory=dict)
    """By feature: how it is there, or why it is not."""

    @property
    def breaches(self) -> list[str]:
        """Attempts that were not refused."""
        return [name for name, refused in self.refused.items() if not refused]


class IsolationTooLow(RuntimeError):
    """The machine cannot enforce the configured minimum."""


def probe(sandbox: Sandbox) -> Probe:
    """Runs the canary and sets the sandbox's level. Raises ZygoteDied where no zygote can be started."""
    report = sandbox.zygote().report
    features = _features(report)
    if not report.get("seccomp"):
        # Not even tried: among the attempts are some that succeed only once.
        sandbox.level = 0
        return Probe(0, {}, features)
    source = Path(__file__).with_name("canary.py").read_text()
    job = Job(FUNCTION, source, "attempt_all", (request(()),), 10.0, 60.0, 1 << 20)
    outcome = sandbox.run([job])[0]
    answer = outcome.answers[0] if outcome.answers else b""
    if outcome.stop is not Stop.NONE or kind(answer) != VALUE:
        raise ZygoteDied(f"the canary of the sandbox could not be run: {outcome.detail or text(answer)}")
    tried = dict(json.loads(answer[1:])["d"])
    refused = {name: tried.get(name) is True for name in DENIALS}
    sandbox.level = _level(report, all(refused.values()))
    return Probe(sandbox.level, refused, features)


def _level(report: dict, all_refused: bool) -> int:
    if not report.get("seccomp") or not all_refused:
        return 0
    if not report.get("landlock"):
        return 1
    return 3 if report.get("namespaces_new") or report.get("own_uid") else 2


def _features(report: dict) -> dict[str, str]:
    refused = report["refused"]
    said = {
        "seccomp": "installed",
        "landlock": f"ABI {report.get('landlock')}",
        "namespaces": str(report.get("namespaces")),
        "own_uid": f"uid {report.get('uid')}",
    }
    return {
        name: text if report.get(name) else f"missing: {refused.get(name, 'not asked for')}"
        for name, text in said.items()
    }


def require(sandbox: Sandbox) -> Probe:
    """Probes, and refuses a machine below `min_isolation`. Raises IsolationTooLow, ZygoteDied."""
    found = probe(sandbox)
    least = sandbox.config.min_isolation
    if found.level >= least:
        return found
    why = [f"{name} is missing ({MENDS[name]})" for name, said in found.features.items() if is_missing(said)]
    if found.breaches:
        why.insert(0, f"the canary could {', '.join(found.breaches)}")
    raise IsolationTooLow(f"isolation level {found.level} is below min_isolation {least}: {'; '.join(why)}")


def is_missing(said: str) -> bool:
    """Whether what was found of a feature is that it is not there."""
    return said.startswith("missing")

"""Finds out what this machine can enforce: a canary child attempts everything that must be refused.

The isolation level is what was observed, not what was configured: 3 = level 2, plus namespaces or a separate user;
2 = seccomp and Landlock; 1 = seccomp alone (no file can be opened, so only preloaded modules can be imported);
0 = an attempt succeeded, or there is no seccomp.
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
    "kill itself with SIGKILL": "seccomp",
    "trace a process": "seccomp",
    "read its parent's memory": "seccomp",
    "take a descriptor of its parent": "seccomp",
    "limit its parent": "seccomp",
    "raise its own memory limit": "dropped capabilities",
    "make shared memory": "seccomp",
    "make a memory file": "seccomp",
    "create a POSIX timer": "seccomp",
    "cancel its parent-death signal": "seccomp",
    "become another user": "dropped capabilities",
    "make namespaces": "seccomp",
    "mount": "seccomp",
    "grow a pipe": "seccomp",
    "read packages of the host": "seccomp or Landlock",
    "see another process's clock": "seccomp",
    "look up another process": "seccomp",
    "take a priority-inheritance lock": "seccomp",
    "merge pages": "seccomp",
    "map a file as shared memory": "seccomp",
    "make a notification pipe": "seccomp",
    "send out-of-band data": "seccomp",
}
"""The canary's attempts, and the mechanism that refuses each."""

FIXES = {
    "seccomp": "the kernel needs CONFIG_SECCOMP_FILTER, and the container a profile that allows seccomp(2)",
    "landlock": "use a kernel of 5.13 or later with landlock in its lsm= list, and a container that allows it",
    "namespaces": "allow unprivileged user namespaces (sysctl), or run as root in the container",
    "own_uid": "needs root, and a Python whose files every user may read",
}
"""How to get a missing feature."""


@dataclass(frozen=True, slots=True)
class Probe:
    """The findings."""

    level: int
    refused: dict[str, bool] = field(default_factory=dict)
    """Whether each attempt was refused, by its name."""
    features: dict[str, str] = field(default_factory=dict)
    """State of each feature, by its name; for a missing one, the reason."""

    @property
    def breaches(self) -> list[str]:
        """Attempts that were not refused."""
        return [name for name, refused in self.refused.items() if not refused]


class IsolationTooLow(RuntimeError):
    """The machine cannot enforce the configured minimum."""


def probe(sandbox: Sandbox) -> Probe:
    """Runs the canary and sets the sandbox's level. Raises ZygoteDied if no zygote can be started."""
    report = sandbox.zygote().report
    features = _features(report)
    if not report.get("seccomp"):
        # The canary does not run without seccomp: some attempts would do damage.
        sandbox.level = 0
        return Probe(0, {}, features)
    source = Path(__file__).with_name("canary.py").read_text()
    job = Job(FUNCTION, source, "attempt_all", (request(()),), 10.0, 60.0, 1 << 20)
    outcome = sandbox.run([job])[0]
    answer = outcome.answers[0] if outcome.answers else b""
    if outcome.stop is not Stop.NONE or kind(answer) != VALUE:
        raise ZygoteDied(f"the sandbox's canary could not be run: {outcome.detail or text(answer)}")
    attempts = dict(json.loads(answer[1:])["d"])
    refused = {name: attempts.get(name) is True for name in DENIALS}
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
    states = {
        "seccomp": "installed",
        "landlock": f"ABI {report.get('landlock')}",
        "namespaces": str(report.get("namespaces")),
        "own_uid": f"uid {report.get('uid')}",
    }
    return {
        name: state if report.get(name) else f"missing: {refused.get(name, 'not requested')}"
        for name, state in states.items()
    }


def require(sandbox: Sandbox) -> Probe:
    """Probes the machine. Raises IsolationTooLow below `min_isolation`, ZygoteDied."""
    found = probe(sandbox)
    least = sandbox.config.min_isolation
    if found.level >= least:
        return found
    why = [f"{name} is missing ({FIXES[name]})" for name, state in found.features.items() if is_missing(state)]
    if found.breaches:
        why.insert(0, f"the canary could {', '.join(found.breaches)}")
    raise IsolationTooLow(f"isolation level {found.level} is below min_isolation {least}: {'; '.join(why)}")


def is_missing(state: str) -> bool:
    """Whether a feature's state says that the machine does not have it."""
    return state.startswith("missing")

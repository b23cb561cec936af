"""`crucible doctor`: what of this machine, of a live cluster or of a manifest would break a run, and what to do."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import tyro
from pydantic import BaseModel, ConfigDict
from rich.console import Console
from rich.table import Table

from cluster.address import open_cluster
from cluster.auth import FIX
from cluster.connect import NoCluster, ray_session
from cluster.health import Finding, Grade, Machine, findings, look
from cluster.manifest import ManifestError, read_manifests
from cluster.manifest_security import manifest_findings
from cluster.storage import StorageError, try_storage, url_of
from pipelines.config import RUNS_VARIABLE
from pipelines.errors import ConfigError, fail
from problems.plain_text import shown
from verify.config import VerifyConfig

SELF_TEST = "--self-test"
ANSWER_WITHIN = 90.0
"""Seconds that a node has to answer."""
COLOURS = {Grade.GOOD: "green", Grade.SLOW: "yellow", Grade.UNSAFE: "red", Grade.BREAKS: "red"}


class DoctorConfig(BaseModel):
    """Looks at this machine, or at every node of a live cluster, for what would break a run. Exit status 1 where
    something would. From outside of a cluster: crucible submit -- doctor --address auto"""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    address: str = ""
    """A live Ray cluster to look at, as HOST:PORT or auto; "" looks at this machine alone."""
    runs: str = ""
    """Where runs will lie: s3://BUCKET/PREFIX or a folder; tried from every node."""
    model: str = ""
    """A folder or Hugging Face id: whether /dev/shm has room for its adapters is judged."""
    lora_r: int = 16
    """Rank of these adapters."""
    self_test: bool = False
    """Try the whole of it on this machine in at most ten minutes: engine, adapter, training step, memory and speed, of
    `--model`. Options of crucible grpo may follow. The result is a file to attach to a report."""
    manifest: Path | None = None
    """A cluster manifest to read strictly instead, and what it leaves open: RayCluster, RayJob, NetworkPolicy, or the
    cluster launcher's YAML."""


def examine(node: str, runs: str, store: int | None = None, ray_gpus: float | None = None, adapter: int = 0) -> Machine:
    """Looks at the machine that this runs on; tries its sandbox, and the storage. `adapter`: bytes of a version."""
    extra = [sandbox_finding(node)]
    if runs:
        extra.append(storage_finding(node, runs))
    return look(node, store, ray_gpus, extra, adapter)


def sandbox_finding(node: str) -> Finding:
    """The isolation that verify's sandbox reaches here."""
    from verify.sandbox.executor import Sandbox
    from verify.sandbox.probe import FIXES, is_missing, probe
    from verify.sandbox.worker import ZygoteDied

    config = VerifyConfig(cache=False)
    try:
        with Sandbox(config) as sandbox:
            found = probe(sandbox)
    except (ZygoteDied, OSError) as error:
        fix = "see: crucible verify probe"
        return Finding(node, "sandbox", f"cannot be started: {error}", Grade.BREAKS, fix)
    text = f"isolation level {found.level}, at least {config.min_isolation} is wanted"
    if found.level >= config.min_isolation:
        return Finding(node, "sandbox", text)
    fixes = [FIXES[name] for name in ("seccomp", "landlock") if is_missing(found.features[name])]
    breaches = f"; the canary could {', '.join(found.breaches)}" if found.breaches else ""
    return Finding(node, "sandbox", text + breaches, Grade.BREAKS, "; ".join(fixes) or "see: crucible verify probe")


def storage_finding(node: str, runs: str) -> Finding:
    """Whether run folders can lie there."""
    try:
        url = url_of(runs)
        reason = try_storage(url) if url else try_folder(Path(runs).expanduser())
    except StorageError as error:
        reason = str(error)
    fix = "see the reason; hand credentials over by crucible submit --env NAME, or give nodes a role"
    return Finding(node, "runs", reason, Grade.BREAKS, fix) if reason else Finding(node, "runs", f"{runs} is writable")


def try_folder(folder: Path) -> str:
    """Writes and removes a file there; "" or what went wrong."""
    probe = folder / f".probe-{platform.node()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.write_text("")
        probe.unlink()
    except OSError as error:
        return f"{folder} cannot be written to: {error.strerror}"
    return ""


def examine_cluster(address: str, runs: str, adapter: int = 0) -> tuple[list[Machine], list[Finding]]:
    """Looks at every node, from a task of its own on each. Nodes that do not answer are findings.

    Raises NoCluster, also for a cluster that answers without a token.
    """
    with ray_session(address) as ray:
        asked_at = address if address.startswith("ray:") else ray.get_runtime_context().gcs_address
        if open_cluster(asked_at):
            raise NoCluster(
                f"the Ray cluster at {asked_at} answers without a token, so that whoever reaches it runs code: {FIX}"
            )
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        requested: dict[Any, str] = {}
        for node in [node for node in ray.nodes() if node["Alive"]]:
            name, has = f"{node['NodeManagerHostname']}/{node['NodeID'][:6]}", node["Resources"]
            here = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            task = ray.remote(examine).options(num_cpus=0, scheduling_strategy=here, max_retries=0)
            store, gpus = int(has.get("object_store_memory", 0)), has.get("GPU", 0.0)
            requested[task.remote(name, runs, store, gpus, adapter)] = name
        ready, late = ray.wait(list(requested), num_returns=len(requested), timeout=ANSWER_WITHIN)
        machines, missing = [], []
        for answer in ready:
            try:
                machines.append(ray.get(answer))
            except ray.exceptions.RayError as error:
                missing.append(unanswered(requested[answer], _last_line(str(error))))
        missing += [unanswered(requested[answer], f"no answer within {ANSWER_WITHIN:.0f} s") for answer in late]
        return sorted(machines, key=lambda machine: machine.node), missing


def adapter_bytes(model: str, rank: int) -> int:
    """Size of one version of an adapter on all linear layers, in float32. Raises ConfigError."""
    from pipelines.defaults import read_shapes

    return 4 * read_shapes(model).lora_parameters(rank)


def unanswered(node: str, reason: str) -> Finding:
    """A node on which nothing of ours runs."""
    fix = "our code must be there: crucible submit -- doctor --address auto, or the same checkout on every node"
    return Finding(node, "answer", reason, Grade.BREAKS, fix)


def show(found: Sequence[Finding], console: Console) -> int:
    """Prints the table; returns 1 where something would break a run, or lets others in."""
    table = Table("node", "", "", "found", "what to do", box=None)
    for f in found:
        table.add_row(shown(f.node), shown(f.grade, COLOURS[f.grade]), *map(shown, (f.what, f.found, f.fix)))
    console.print(table)
    breaking, unsafe = (sum(f.grade is grade for f in found) for grade in (Grade.BREAKS, Grade.UNSAFE))
    if unsafe:
        console.print(shown(f"{unsafe} of {len(found)} findings let others in"))
    text = f"{breaking} of {len(found)} findings would break a run" if breaking else "nothing would break a run"
    console.print(shown(text))
    return int(breaking + unsafe > 0)


def main(argv: Sequence[str]) -> int:
    """`crucible doctor`."""
    if SELF_TEST in argv:
        from pipelines.remote import self_test

        return self_test.JOB.main([word for word in argv if word != SELF_TEST])
    config = tyro.cli(DoctorConfig, args=list(argv), prog="crucible doctor")
    console = Console(width=None if sys.stdout.isatty() else 180, highlight=False)
    runs = config.runs or os.environ.get(RUNS_VARIABLE, "")
    try:
        if config.manifest is not None:
            manifests = read_manifests(config.manifest)
            console.print(shown(f"{config.manifest}: every key is known, every value fits"))
            found = [finding for manifest in manifests for finding in manifest_findings(manifest)]
            return show(found, console) if found else 0
        adapter = adapter_bytes(config.model, config.lora_r) if config.model else 0
        if not config.address:
            return show(findings([examine(platform.node(), runs, adapter=adapter)]), console)
        machines, missing = examine_cluster(config.address, runs, adapter)
    except (ManifestError, NoCluster, ConfigError) as error:
        return fail(str(error))
    return show([*findings(machines), *missing], console)


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:200] if lines else "no reason given"

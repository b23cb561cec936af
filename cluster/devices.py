"""What the machines of a session have to compute with: GPUs by kind, memory and capability, or a CPU and its memory.

Ray reports how many GPUs a node has and, by a label, of which kind. Their memory comes from a table of known kinds;
where a kind is not in it, or comes in several sizes, the driver of the node is asked.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from cluster.connect import LOCAL_SLOTS, is_own
from cluster.nodes import GPU_LABEL, NODE_LABEL, Node, devices_of

GIB = 1 << 30
KNOWN = {
    "B300": (268, 10.3), "B200": (180, 10.0), "GB200": (184, 10.0), "H200": (139, 9.0), "H100": (80, 9.0),
    "A100": (80, 8.0), "A100-40G": (40, 8.0), "A100-80G": (80, 8.0), "A40": (45, 8.6), "A10": (22, 8.6),
    "A10G": (22, 8.6), "L40S": (45, 8.9), "L40": (45, 8.9), "L4": (22, 8.9), "T4": (15, 7.5), "V100": (16, 7.0),
    "RTX-A6000": (48, 8.6), "GeForce-RTX-3090": (24, 8.6), "GeForce-RTX-4090": (24, 8.9),
    "GeForce-RTX-5090": (32, 12.0), "RTX-PRO-6000": (95, 12.0),
}  # fmt: skip
"""Kind, as Ray labels it -> usable GiB and CUDA compute capability."""
SEVERAL_SIZES = {"A100", "V100", "H100"}
"""Kinds that are sold with different amounts of memory under one label."""
UNKNOWN = (16, 8.0)
"""Assumed of a GPU whose kind is not known and whose driver does not answer."""
ASK_SECONDS = 30.0

Answer = tuple[str, int, float]
"""Of one GPU: kind, bytes, compute capability."""


@dataclass(frozen=True, slots=True)
class Device:
    """One accelerator."""

    name: str
    """Its kind, as Ray labels it: H100, A100, L4."""
    bytes: int
    capability: float = 8.0
    """CUDA compute capability; bfloat16 wants 8.0."""
    node: str = ""

    @property
    def bfloat16(self) -> bool:
        """Whether it computes in bfloat16."""
        return self.capability >= 8.0

    def __str__(self) -> str:
        return f"{self.name or 'GPU'} ({self.bytes / GIB:.0f} GiB)"


@dataclass(frozen=True, slots=True)
class Hardware:
    """Everything there is. Without devices the CPUs do the work, in `memory` bytes."""

    devices: tuple[Device, ...] = ()
    """Those of one node follow one another, in the order of `cluster.nodes.devices_of`."""
    cpus: int = 2
    """Of one node."""
    memory: int = 8 * GIB
    """Bytes of one node."""
    cpu_bfloat16: bool = False
    """Whether the CPUs multiply bfloat16 matrices in hardware; of a cluster's nodes that is not known."""
    notes: tuple[str, ...] = ()
    """What was assumed, for people."""

    def __str__(self) -> str:
        if not self.devices:
            return f"{self.cpus} CPU cores with {self.memory / GIB:.1f} GiB"
        kinds = [str(device) for device in self.devices]
        return " + ".join(f"{kinds.count(kind)} x {kind}" for kind in dict.fromkeys(kinds))

    def nodes(self) -> list[Node]:
        """The nodes, as Ray would report them."""
        if not self.devices:
            return [_node("this", max(LOCAL_SLOTS, self.cpus), self.memory)]
        names = dict.fromkeys(device.node for device in self.devices)
        found = []
        for name in names:
            own = [device for device in self.devices if device.node == name]
            found.append(_node(name, max(LOCAL_SLOTS, self.cpus, 2 * len(own)), self.memory, len(own), own[0].name))
        return found


def _node(name: str, cpus: int, memory: int, gpus: int = 0, kind: str = "") -> Node:
    labels = {NODE_LABEL: name} | ({GPU_LABEL: kind} if kind else {})
    return Node(name, {"CPU": float(cpus), "memory": float(memory)} | ({"GPU": float(gpus)} if gpus else {}), labels)


def described(text: str, cpus: int = 0, memory: int = 0) -> Hardware:
    """The hardware of a description such as `H100:8,L4:2`, or `MyCard@24:2` for a kind of 24 GiB that is not known; ""
    has no GPU. Nodes hold up to eight GPUs of one kind. Raises ValueError, naming the part that is none."""
    devices: list[Device] = []
    for part in filter(None, (part.strip() for part in text.split(","))):
        match = re.fullmatch(r"([A-Za-z0-9-]{1,40})(?:@([0-9.]{1,8}))?(?::([0-9]{1,5}))?", part)
        if match is None or match[3] == "0":
            raise ValueError(f"{part!r} is no GPU; write KIND:COUNT, H100:8 say, or KIND@GIB:COUNT")
        kind, size, count = match[1], match[2], int(match[3] or 1)
        if kind not in KNOWN and size is None:
            raise ValueError(
                f"the memory of a {kind} is not known; write {kind}@GIB:{count}. Known are: {', '.join(KNOWN)}"
            )
        gigabytes, capability = KNOWN.get(kind, UNKNOWN)
        try:
            total = int(float(size) * GIB) if size else gigabytes * GIB
        except ValueError:
            raise ValueError(f"{part!r}: {size} is no number of GiB") from None
        place = len(devices)
        devices += [Device(kind, total, capability, f"node {place}.{n // 8}") for n in range(count)]
    here = memory_here()
    return Hardware(tuple(devices), cpus or max(16, os.cpu_count() or 1), memory or here)


def hardware_of(nodes: Sequence[Node], ask: Callable[[Node], Sequence[Answer]]) -> Hardware:
    """The hardware of a session's nodes. `ask` has a node's driver say what its GPUs are; [] where it cannot.

    Devices of one label count as the smallest of them: a label is all that Ray can choose them by.
    """
    answers: dict[str, Sequence[Answer]] = {}
    devices, notes = [], []
    for device in devices_of(nodes):
        node = next(node for node in nodes if node.name == device.node)
        if device.kind not in KNOWN or device.kind in SEVERAL_SIZES:
            if node.name not in answers:
                answers[node.name] = ask(node)
            found = answers[node.name]
            if device.index < len(found):
                _, size, capability = found[device.index]
                devices.append(Device(device.kind, size, capability, node.name))
                continue
        gigabytes, capability = KNOWN.get(device.kind, UNKNOWN)
        if device.kind not in KNOWN:
            notes.append(
                f"the memory of a GPU {device.kind or 'without a label'} is not known, and its driver does not answer: "
                f"{gigabytes} GiB are assumed"
            )
        devices.append(Device(device.kind, gigabytes * GIB, capability, node.name))
    least = {d.name: min(o.bytes for o in devices if o.name == d.name) for d in devices}
    alike = tuple(replace(device, bytes=least[device.name]) for device in devices)
    largest = max(nodes, key=lambda node: node.resources.get("memory", 0.0))
    memory = int(largest.resources.get("memory", 0.0)) or memory_here()
    cpus = int(largest.resources.get("CPU", 1.0)) or 1
    return Hardware(alike, cpus, memory, notes=tuple(dict.fromkeys(notes)))


def session_hardware(nodes: Sequence[Node]) -> Hardware:
    """The hardware of the connected cluster, whose nodes these are."""
    found = hardware_of(nodes, ask_node)
    if not is_own():
        return found
    # A Ray of one's own counts slots for cores, and the memory that was free when it started; what plans are made with
    # must not change from run to run.
    return replace(found, cpus=os.cpu_count() or 1, memory=memory_here(), cpu_bfloat16=bfloat16_here())


def hardware_here() -> Hardware:
    """This machine's, as a local Ray would see it; no Ray is started."""
    found = gpus_here()
    node = _node("this", os.cpu_count() or 1, memory_here(), len(found), found[0][0] if found else "")
    return replace(hardware_of([node], lambda _: found), cpu_bfloat16=bfloat16_here())


def bfloat16_here(cpuinfo: str = "/proc/cpuinfo") -> bool:
    """Whether this machine's CPUs have instructions for bfloat16 products, as the kernel lists them; torch, which knows
    it too, would have to be imported."""
    with contextlib.suppress(OSError):
        words = set(Path(cpuinfo).read_text(errors="replace").split())
        return bool(words & {"avx512_bf16", "amx_bf16", "bf16"})
    return False


def gpus_here() -> list[Answer]:
    """The GPUs of this machine that CUDA_VISIBLE_DEVICES shows, as their driver describes them."""
    found, shown = _of_driver(), os.environ.get("CUDA_VISIBLE_DEVICES")
    if shown is None:
        return [answer for _, answer in found]
    words = [word.strip() for word in shown.split(",") if word.strip()]
    return [
        answer for word in words for n, (uuid, answer) in enumerate(found) if str(n) == word or uuid.startswith(word)
    ]


def all_gpus_here() -> list[Answer]:
    """The same, whatever CUDA_VISIBLE_DEVICES shows: Ray hides all of them from a task without GPUs."""
    return [answer for _, answer in _of_driver()]


def _of_driver() -> list[tuple[str, Answer]]:
    """UUID and description of each GPU of this machine."""
    if not os.path.exists("/dev/nvidiactl"):
        return []
    import ray._private.thirdparty.pynvml as nvml
    from ray._private.accelerators.nvidia_gpu import NvidiaGPUAcceleratorManager

    found = []
    with contextlib.suppress(nvml.NVMLError):
        nvml.nvmlInit()
        for index in range(nvml.nvmlDeviceGetCount()):
            handle = nvml.nvmlDeviceGetHandleByIndex(index)
            name, uuid = _text(nvml.nvmlDeviceGetName(handle)), _text(nvml.nvmlDeviceGetUUID(handle))
            major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
            kind = NvidiaGPUAcceleratorManager._gpu_name_to_accelerator_type(name) or ""
            size = int(nvml.nvmlDeviceGetMemoryInfo(handle).total)
            found.append((uuid, (kind, size, float(f"{major}.{minor}"))))
        nvml.nvmlShutdown()
    return found


def ask_node(node: Node) -> Sequence[Answer]:
    """Has a node of the connected cluster say what its GPUs are; [] where it does not answer in time."""
    import ray
    from ray.exceptions import RayError

    if is_own():
        return gpus_here()
    task = ray.remote(all_gpus_here).options(num_cpus=0, label_selector={NODE_LABEL: node.labels[NODE_LABEL]})
    with contextlib.suppress(RayError):
        return ray.get(task.remote(), timeout=ASK_SECONDS)
    return []


def memory_here() -> int:
    """Bytes of memory that this machine, or the container that this process is in, has."""
    import psutil

    found = [psutil.virtual_memory().total]
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):
            found.append(int(Path(path).read_text()))
    return min(found)


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value

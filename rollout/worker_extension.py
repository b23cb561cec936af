"""What runs inside vLLM's worker processes: checksums of adapters as they are held, and an end with the engine's owner.

vLLM imports this module by name (`worker_extension_cls`) in every worker, before the model is loaded.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Sequence
from typing import Any

OWNER = "CRUCIBLE_ENGINE_OWNER"
"""Environment variable: process id of the engine whose workers these are."""
POLL_SECONDS = 1.0


class WorkerExtension:
    """Methods that vLLM's worker class gains, for `collective_rpc`."""

    def crucible_adapter_checksums(self: Any, lora_id: int, names: Sequence[str], placed: bool) -> dict[str, Any]:
        """Checksums (see `rollout.load_proof`) of the tensors in the adapter's slot, from which this worker computes.

        `names` are those of the adapter's file. Returns `held`, by those names; `others`, layers of the slot that are
        not empty and not among them; `unread`, layers that keep their tensors in another form. Raises LookupError where
        the adapter is not loaded.
        """
        from vllm.lora.utils import parse_fine_tuned_lora_name

        manager = self.model_runner.lora_manager._adapter_manager
        if lora_id not in manager.list_adapters():
            raise LookupError(f"adapter {lora_id} is not loaded")
        manager.activate_adapter(lora_id)
        layers, unread = _slot(manager, manager.lora_index_to_id.index(lora_id), placed)
        mapper = getattr(manager.model, "hf_to_vllm_mapper", None)
        mapper = mapper.get_rename_mapper() if mapper is not None else None
        held, known = {}, set()
        for name in names:
            layer, is_a = parse_fine_tuned_lora_name(name, mapper)
            known.add(layer)
            if layer not in unread:
                held[name] = layers.get(layer, (0, 0))[0 if is_a else 1]
        others = sorted(layer for layer, sums in layers.items() if any(sums) and layer not in known)
        return {"held": held, "others": others, "unread": sorted(unread & known)}


def _slot(manager: Any, slot: int, placed: bool) -> tuple[dict[str, tuple[int, int]], set[str]]:
    """(checksums of A and B by layer, layers that cannot be read) of one of the slots for adapters."""
    from vllm.lora.layers.base_linear import BaseLinearLayerWithLoRA

    from rollout.load_proof import tensor_checksums

    tensors: dict[tuple[str, str], Any] = {}
    unread: set[str] = set()
    for name, module in manager.modules.items():
        parts = manager.packed_modules.get(name, [name])
        if not isinstance(module, BaseLinearLayerWithLoRA) or len(parts) != len(module.lora_a_stacked):
            unread |= {name, *parts}
            continue
        for part, a, b in zip(parts, module.lora_a_stacked, module.lora_b_stacked, strict=True):
            a_R_I, b_O_R = a[slot, 0], b[slot, 0]
            tensors[part, "A"], tensors[part, "B"] = a_R_I.T, b_O_R
    sums = dict(zip(tensors, tensor_checksums(list(tensors.values()), placed), strict=True))
    return {part: (sums[part, "A"], sums[part, "B"]) for part, _ in tensors}, unread


def follow(owner: int) -> None:
    """Ends this process soon after `owner` has ended: vLLM's engine core watches nobody, and would keep its memory.

    A thread that looks, and not a parent death signal: that one comes when the parent's starting *thread* ends.
    """
    import psutil

    try:
        process: psutil.Process | None = psutil.Process(owner)
    except psutil.NoSuchProcess:
        process = None

    def watch() -> None:
        while _is_alive(process):
            time.sleep(POLL_SECONDS)
        os.kill(os.getpid(), signal.SIGKILL)

    threading.Thread(target=watch, name="crucible-owner-watch", daemon=True).start()


def _is_alive(process: Any) -> bool:
    import psutil

    try:
        return process is not None and process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


if int(os.environ.get(OWNER, os.getpid())) != os.getpid():
    follow(int(os.environ[OWNER]))

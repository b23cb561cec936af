"""The policy versions that an engine holds: loaded, in use by requests in flight, retired, freed."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rollout.adapter import check_adapter_config
from rollout.adapter_folders import AdapterFolders
from rollout.backends import Backend
from rollout.policy import PolicyVersion, ema_run


class PolicyMissing(LookupError):
    """An engine was asked for a policy version that it does not hold (it was restarted, say): load it, ask again."""


@dataclass(slots=True, eq=False)
class Loaded:
    """A version that vLLM has."""

    policy_number: int
    adapter_hash: str
    lora: Any = None
    """`vllm.lora.request.LoRARequest`, None for the base model."""
    folder: Path | None = None
    in_flight: int = 0
    """Groups that are being sampled from it."""
    forgotten: bool = False
    """Its run has ended."""


class HeldVersions:
    """Versions by run; the last of a run is its current policy."""

    def __init__(self, engine: str, backend: Backend):
        self._engine = engine
        self._backend = backend
        self._runs: dict[str, list[Loaded]] = {}
        self._lora_ids = itertools.count(1)
        self.folders = AdapterFolders()

    def holds(self, run: str, version: int) -> bool:
        """Whether a version of the run at least as young is loaded."""
        versions = self._runs.get(run)
        return bool(versions) and versions[-1].policy_number >= version

    def current(self, run: str, min_version: int) -> Loaded:
        """The youngest version of a run. Raises PolicyMissing where it is older than `min_version`."""
        versions = self._runs.get(run, [])
        if not self.holds(run, min_version):
            held = versions[-1].policy_number if versions else "none"
            raise PolicyMissing(f"{self._engine} holds version {held} of run {run}, and {min_version} was asked for")
        return versions[-1]

    async def install(self, policy: PolicyVersion) -> Loaded:
        """Has vLLM load a version, which `admit` makes the current one. Raises ValueError for what it refuses."""
        if not policy.weights:
            return Loaded(policy.number, "")
        from vllm.lora.request import LoRARequest

        lora_id, folder = next(self._lora_ids), None
        # Name and path are both keys of vLLM's prefix cache: neither is ever used for other weights, even when a run
        # that was rolled back publishes the same number again.
        try:
            check_adapter_config(policy.lora_config, policy.name)
            path = self.folders.write(policy, str(lora_id))
            folder = path.parent
            lora = LoRARequest(f"{policy.name}-{lora_id}", lora_id, str(path))
            await self._backend.add_lora(lora)
        except ValueError as error:
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
            raise ValueError(f"{self._engine} refuses the adapter {policy.name}: {error}") from error
        return Loaded(policy.number, policy.adapter_hash, lora, folder)

    async def admit(self, run: str, loaded: Loaded) -> None:
        """Makes a version the run's current one. One that rolls a run back, resumed from a checkpoint, replaces all
        later ones."""
        self._runs.setdefault(run, []).append(loaded)
        await self._retire(run)

    async def sweep(self, run: str, held: Sequence[Loaded]) -> None:
        """Frees what only the samples wanted that have ended."""
        for loaded in held:
            if loaded.forgotten and not loaded.in_flight:
                await self.free(loaded)
        for name in (run, ema_run(run)):
            await self._retire(name)

    async def forget(self, run: str) -> None:
        """Frees all versions of a run that has ended: those that requests in flight want, after the last of them."""
        for loaded in [*self._runs.pop(run, []), *self._runs.pop(ema_run(run), [])]:
            loaded.forgotten = True
            if not loaded.in_flight:
                await self.free(loaded)

    async def _retire(self, run: str) -> None:
        versions = self._runs.get(run, [])
        while old := next((version for version in versions[:-1] if not version.in_flight), None):
            versions.remove(old)
            await self.free(old)

    async def free(self, loaded: Loaded) -> None:
        """Frees a version that no request wants."""
        if loaded.lora is not None and loaded.folder is not None:
            folder, loaded.folder = loaded.folder, None
            await self._backend.remove_lora(loaded.lora.lora_int_id)
            shutil.rmtree(folder, ignore_errors=True)

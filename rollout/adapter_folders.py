"""Where an engine keeps its adapters as files for vLLM: in memory, and beside it where that is too small.

A container's /dev/shm has 64 MB unless it is told otherwise, and others live in it too: Ray's object store, and the
queues of torch and vLLM, which are killed by SIGBUS where it runs full.
"""

from __future__ import annotations

import errno
import shutil
import tempfile
from pathlib import Path

from rollout.adapter import adapter_folder
from rollout.policy import PolicyVersion

SHARE = 2
"""An adapter goes into memory where so many of its size would fit."""


class AdapterFolders:
    """Folders of one process for its adapters; nobody but its user may enter them."""

    def __init__(self, memory: Path | None = None, beside: Path | None = None):
        """`memory` is /dev/shm where there is one, `beside` the folder of temporary files."""
        self._beside_in = beside or Path(tempfile.gettempdir())
        self._made = [adapter_folder(memory)]

    def write(self, policy: PolicyVersion, key: str) -> Path:
        """Writes an adapter into a folder of its own named `key`, and returns the path for vLLM, two levels deep.

        Raises OSError, naming both folders, where neither has room for it.
        """
        if SHARE * len(policy.weights) <= shutil.disk_usage(self._made[0]).free:
            try:
                return self._write(policy, self._made[0] / key)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
        if len(self._made) == 1:
            self._made.append(adapter_folder(self._beside_in))
        try:
            return self._write(policy, self._made[1] / key)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            raise OSError(
                errno.ENOSPC,
                f"neither {self._made[0].parent} nor {self._made[1].parent} has room for the "
                f"{len(policy.weights) / 1e6:.0f} MB of adapter {policy.name}; set TMPDIR to a folder with room",
            ) from error

    def _write(self, policy: PolicyVersion, folder: Path) -> Path:
        try:
            return policy.write(folder)
        except OSError:
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def kept(self) -> set[Path]:
        """The folders of the adapters that there are."""
        return {path for folder in self._made if folder.is_dir() for path in folder.iterdir()}

    def remove(self) -> None:
        """Removes all, with the folders themselves."""
        for folder in self._made:
            shutil.rmtree(folder, ignore_errors=True)

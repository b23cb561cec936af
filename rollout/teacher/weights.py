"""Which weights an open model of this run's own engines has: stored answers are those of one model, and of no other."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

SAMPLED = 1 << 20
"""Bytes that are read of each end of a file."""
_FILES = ("*.safetensors", "*.bin", "*.json", "*.jinja", "*.model")


@functools.cache
def fingerprint(model: str) -> str:
    """A Hub id as it is; of a folder a digest of its files: names, sizes, and the first and last MiB of each.

    Training changes all layers, so that the ends of a file tell its versions apart.
    """
    folder = Path(model).expanduser()
    if not folder.is_dir():
        return model
    digest = hashlib.sha256()
    for path in sorted({path for pattern in _FILES for path in folder.glob(pattern)}):
        size = path.stat().st_size
        digest.update(f"{path.name} {size}\n".encode())
        with path.open("rb") as file:
            digest.update(file.read(SAMPLED))
            file.seek(max(0, size - SAMPLED))
            digest.update(file.read(SAMPLED))
    return digest.hexdigest()[:32]

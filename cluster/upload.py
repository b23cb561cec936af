"""What of a working directory goes to a cluster. Run folders, models, environments, caches and secrets stay here."""

from __future__ import annotations

import logging
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path

LIMIT = 100 * 2**20
"""Bytes that Ray's job server takes as one package."""

NEVER = (
    ".git/", ".hg/", ".venv/", "__pycache__/", ".ruff_cache/", ".pytest_cache/", ".mypy_cache/", ".hypothesis/",
    ".ipynb_checkpoints/", "node_modules/", "*.egg-info/", ".env", ".env.*", "*.safetensors", "*.gguf", "*.ckpt",
)  # fmt: skip
"""Patterns as in `.gitignore`; `.gitignore` and `.rayignore` add theirs."""


class UploadError(ValueError):
    """A working directory that cannot go up; the message says why and what to do."""


def pack_directory(folder: Path, target: Path) -> Path:
    """Zips what a job needs of `folder` into `target`. Raises UploadError where it is more than Ray takes."""
    from ray._private.runtime_env.packaging import create_package

    quiet = logging.getLogger("crucible.upload")
    quiet.setLevel(logging.ERROR)
    excludes = [*NEVER, *(f"/{path.relative_to(folder)}/" for path in left_out(folder))]
    create_package(str(folder), target, include_gitignore=True, excludes=excludes, logger=quiet)
    with zipfile.ZipFile(target) as packed:
        largest = sorted(packed.infolist(), key=lambda entry: -entry.compress_size)
    size = target.stat().st_size
    if not largest:
        raise UploadError(f"{folder} holds nothing to upload")
    if size > LIMIT:
        named = ", ".join(f"{entry.filename} ({entry.compress_size / 2**20:.0f} MiB)" for entry in largest[:3])
        raise UploadError(
            f"{folder} packs to {size / 2**20:.0f} MiB and Ray takes {LIMIT / 2**20:.0f}; the largest: {named}. Name "
            f"in .rayignore what the job does not need"
        )
    return target


def left_out(folder: Path) -> Iterator[Path]:
    """Folders below `folder` that are known by what they hold: virtual environments, run folders, models."""
    for path, names, files in os.walk(folder):
        here = Path(path)
        if here != folder and _stays_here(set(files), set(names)):
            names.clear()
            yield here
        names[:] = [name for name in names if name != ".git"]


def _stays_here(files: set[str], folders: set[str]) -> bool:
    environment = "pyvenv.cfg" in files
    run = "config.yaml" in files and {"samples", "checkpoints"} <= folders
    model = "config.json" in files and any(f.endswith((".safetensors", ".bin", ".pt", ".gguf")) for f in files)
    return environment or run or model

"""What of a working directory goes to a cluster. Run folders, models, environments, caches and secrets stay here."""

from __future__ import annotations

import logging
import os
import re
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

LIMIT = 100 * 2**20
"""Bytes that Ray's job server takes as one package."""

NEVER = (
    ".git/", ".hg/", ".venv/", "__pycache__/", ".ruff_cache/", ".pytest_cache/", ".mypy_cache/", ".hypothesis/",
    ".ipynb_checkpoints/", "node_modules/", "*.egg-info/", ".env", ".env.*", "*.safetensors", "*.gguf", "*.ckpt",
)  # fmt: skip
"""Patterns as in `.gitignore`; `.gitignore` and `.rayignore` add theirs."""


OF_A_RUN = {"samples", "checkpoints"}
WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf")
CODE = (
    ".py", ".pyi", ".pyx", ".ipynb", ".sh", ".toml", ".cfg", ".ini", ".jinja", ".j2", ".c", ".cc", ".cpp", ".cu", ".h",
    ".hpp", ".rs", ".go", ".js", ".ts",
)  # fmt: skip
"""Endings of files that people write."""
NO_CODE = (".git", "__pycache__", "node_modules")
SHOWN = 3
"""Left out folders that are named to the user; the others are counted."""


class UploadError(ValueError):
    """A working directory that cannot go up; the message says why and what to do."""


def pack_directory(folder: Path, target: Path) -> Path:
    """Zips what a job needs of `folder` into `target`. Raises UploadError where it is more than Ray takes."""
    from ray._private.runtime_env.packaging import create_package

    quiet = logging.getLogger("crucible.upload")
    quiet.setLevel(logging.ERROR)
    excludes = [*NEVER, *(_pattern(path, folder) for path in left_out(folder))]
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
    """What below `folder` is known by what it holds: virtual environments, run folders, models.

    A run folder or model that also holds code goes up without its samples, checkpoints and weights.
    """
    for path, names, files in os.walk(folder):
        here = Path(path)
        names[:] = [name for name in names if name != ".git"]
        if here == folder:
            continue
        heavy = _heavy(set(files), set(names))
        if heavy is None:
            continue
        if heavy and _holds_code(here, heavy):
            names[:] = [name for name in names if name not in heavy]
            yield from (here / name for name in sorted(heavy))
        else:
            names.clear()
            yield here


def told(paths: Sequence[Path], folder: Path) -> str:
    """What of a folder stays here, in one line; "" where nothing does."""
    named = ", ".join(str(path.relative_to(folder)) for path in paths[:SHOWN])
    more = f" and {len(paths) - SHOWN} more" if len(paths) > SHOWN else ""
    return f"not uploaded, as run folders, models or environments: {named}{more}" if paths else ""


def _heavy(files: set[str], folders: set[str]) -> set[str] | None:
    """What a run folder or model has for itself; nothing for an environment, which is whole; None for other folders."""
    if "pyvenv.cfg" in files:
        return set()
    run = OF_A_RUN if "config.yaml" in files and folders >= OF_A_RUN else set()
    weights = {f for f in files if f.endswith(WEIGHTS)} if "config.json" in files else set()
    return run | weights or None


def _holds_code(folder: Path, heavy: set[str]) -> bool:
    for path, names, files in os.walk(folder):
        names[:] = [name for name in names if name not in NO_CODE and not (Path(path) == folder and name in heavy)]
        if any(name.endswith(CODE) for name in files):
            return True
    return False


def _pattern(path: Path, folder: Path) -> str:
    """A path as a pattern of `.gitignore`, its special characters taken as they are."""
    escaped = re.sub(r"([\\*?\[\]!# ])", r"\\\1", path.relative_to(folder).as_posix())
    return f"/{escaped}/" if path.is_dir() else f"/{escaped}"

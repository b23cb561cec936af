"""Which files of a working directory are uploaded to a cluster: those that git tracks, and those included by name.

Without git, these are all files that are neither hidden nor in `.gitignore`. Run folders, models, environments, caches,
secrets and links that lead out are never uploaded.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import subprocess
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cluster.secret_files import CODE, is_secret_file, is_secret_name

LIMIT = 100 * 2**20
"""Maximum bytes of one package on Ray's job server."""

NEVER = (
    ".git/", ".hg/", ".venv/", "__pycache__/", ".ruff_cache/", ".pytest_cache/", ".mypy_cache/", ".hypothesis/",
    ".ipynb_checkpoints/", "node_modules/", "*.egg-info/", "*.safetensors", "*.gguf", "*.ckpt",
)  # fmt: skip
"""Patterns as in `.gitignore`; `.rayignore` adds its own."""
IGNORE_FILES = (".gitignore", ".rayignore")

OF_A_RUN = {"samples", "checkpoints"}
WEIGHTS = (".safetensors", ".bin", ".pt", ".pth", ".gguf")
NO_CODE = (".git", "__pycache__", "node_modules")
SHOWN = 3
"""Files of one kind that are shown to the user; the others are counted."""
NO_CHECKOUT = "not a git repository"
"""Part of git's message if `.git` is not one of its folders."""
GIT_SECONDS = 60.0
"""Time limit for git to list the files of a checkout."""
FIX = "--include PATH brings one along"


class UploadError(ValueError):
    """A working directory that cannot be uploaded; the message says why and what to do."""


@dataclass(slots=True)
class Selection:
    """The files of a folder to upload, and those left out."""

    files: dict[str, Path] = field(default_factory=dict)
    """The file to read for each name in the package."""
    heavy: list[str] = field(default_factory=list)
    """Run folders, models and environments, recognised by their content."""
    secrets: list[str] = field(default_factory=list)
    links: list[str] = field(default_factory=list)
    """Links to files that are not uploaded themselves."""
    untracked: list[str] = field(default_factory=list)

    def summary(self) -> str:
        """One line that says what is not uploaded; "" if everything is."""
        kinds = {
            "secrets": self.secrets,
            "links that lead out": self.links,
            "run folders, models or environments": self.heavy,
            "not tracked by git": self.untracked,
        }
        parts = [f"{kind}: {_named(sorted(names))}" for kind, names in kinds.items() if names]
        return f"not uploaded: {'; '.join(parts)} ({FIX})" if parts else ""


def pack_directory(folder: Path, target: Path, selection: Selection | None = None) -> Path:
    """Zips the selected files of `folder` into `target`. Raises UploadError above Ray's limit."""
    selection = selection or select(folder)
    if not selection.files:
        raise UploadError(f"{folder} holds nothing to upload")
    with zipfile.ZipFile(target, "w") as packed:
        for name, path in sorted(selection.files.items()):
            try:
                with open(path, "rb", opener=_opener) as file:
                    entry = zipfile.ZipInfo.from_file(path, name, strict_timestamps=False)
                    entry.compress_type = zipfile.ZIP_DEFLATED
                    with packed.open(entry, "w") as out:
                        shutil.copyfileobj(file, out)
            except OSError as error:
                reason = f"{_clean(name)} cannot be read ({error.strerror})"
                raise UploadError(f"{reason}: name it in .rayignore, or make it readable") from None
        largest = sorted(packed.infolist(), key=lambda entry: -entry.compress_size)[:SHOWN]
    size = target.stat().st_size
    if size > LIMIT:
        named = ", ".join(f"{_clean(entry.filename)} ({entry.compress_size / 2**20:.0f} MiB)" for entry in largest)
        raise UploadError(
            f"{folder} packs to {size / 2**20:.0f} MiB and Ray takes {LIMIT / 2**20:.0f}; the largest: {named}. Name "
            f"in .rayignore what the job does not need"
        )
    return target


def select(folder: Path, include: Sequence[str] = ()) -> Selection:
    """Selects the files of `folder` to upload; `include` names further files or folders in it.

    A file included by its own name is uploaded even if it looks like a secret; secrets in an included folder are not.
    Raises UploadError.
    """
    folder = folder.resolve()
    found = Selection()
    tracked = _tracked(folder)
    heavy = list(left_out(folder))
    patterns = [*NEVER, *_lines(folder, IGNORE_FILES if tracked is None else IGNORE_FILES[1:])]
    ignored = _spec([*patterns, *(_pattern(path, folder) for path in heavy)])
    found.heavy = [path.relative_to(folder).as_posix() for path in heavy]
    links = []
    for name in _walk(folder) if tracked is None else tracked:
        if ignored.match_file(name):
            continue
        if os.path.realpath(folder / name) == str(folder / name):
            _take(found, folder, name)
        else:
            links.append(name)
    if tracked is not None:
        others = _git(folder, "--others", "--exclude-standard")
        _note_untracked(found, [name for name in others if not ignored.match_file(name)])
    for name in include:
        links += _include(found, folder, name)
    _follow(found, folder, links)
    return found


def _take(found: Selection, folder: Path, name: str) -> None:
    """Adds a regular file unless it holds a secret. Anything but a regular file is left out."""
    path = folder / name
    try:
        mode = path.lstat().st_mode
    except OSError:  # deleted, but still in git's index
        return
    regular = stat.S_ISREG(mode)
    if stat.S_ISLNK(mode):  # to itself
        found.links.append(name)
    elif regular and (is_secret_name(name) or is_secret_file(path)):
        found.secrets.append(name)
    elif regular:
        found.files[name] = path


def _note_untracked(found: Selection, names: Sequence[str]) -> None:
    for name in names:
        (found.secrets if is_secret_name(name) else found.untracked).append(name)


def _include(found: Selection, folder: Path, name: str) -> list[str]:
    """Adds what --include names; returns the links in it."""
    path = Path(os.path.normpath(folder / name))
    real = Path(os.path.realpath(path))
    if path == folder or not (path.is_relative_to(folder) and real.is_relative_to(folder)):
        raise UploadError(f"--include {_clean(name)} is not in {folder}: copy it there, or give another --working-dir")
    if not real.exists():
        raise UploadError(f"--include {_clean(name)}: there is no such file or folder in {folder}")
    key, links = path.relative_to(folder).as_posix(), []
    if real.is_file():
        found.files[key] = real
    for here, inner in _files(path):
        one = (here / inner).relative_to(folder).as_posix()
        if os.path.realpath(here / inner) != str(here / inner):
            links.append(one)
        elif one not in found.files:
            _take(found, folder, one)
    found.secrets = [one for one in dict.fromkeys(found.secrets) if one not in found.files]
    found.untracked = [one for one in found.untracked if one not in found.files]
    return links


def _follow(found: Selection, folder: Path, links: Sequence[str]) -> None:
    """Adds links under their own names if their targets are uploaded too."""
    real = {str(path): name for name, path in found.files.items()}
    for link in dict.fromkeys(links):
        target = os.path.realpath(folder / link)
        below = [path for path in real if path.startswith(target + os.sep)]
        if target in real:
            found.files[link] = Path(target)
        elif below and not (folder / link).is_relative_to(target):
            found.files |= {link + path.removeprefix(target): Path(path) for path in below}
        elif os.path.lexists(folder / link):
            found.links.append(link)


def _tracked(folder: Path) -> list[str] | None:
    """The files that git tracks below `folder`; None if there are none, or it is no checkout.

    Raises UploadError for a checkout that git cannot read.
    """
    if not any((parent / ".git").exists() for parent in (folder, *folder.parents)):
        return None
    try:
        return _git(folder, "--cached", "--recurse-submodules") or None
    except UploadError as error:
        if NO_CHECKOUT in str(error):
            return None
        raise


def _git(folder: Path, *what: str) -> list[str]:
    """File names from `git ls-files`. Runs no program that the checkout's own configuration names."""
    command = ["git", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "ls-files", "-z", *what]
    # Inside a git hook, its variables name another index.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    environment["LC_ALL"] = "C"
    try:
        done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, timeout=GIT_SECONDS)
        if not done.returncode:
            return [os.fsdecode(name) for name in done.stdout.split(b"\0") if name]
        reason = done.stderr.decode("utf-8", "replace").strip().partition("\n")[0]
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = str(error)
    raise UploadError(
        f"git cannot list the files of {folder} ({_clean(reason)}), and only what it tracks is uploaded; make `git "
        f"ls-files` work there, or give a --working-dir that is no checkout"
    )


def _walk(folder: Path) -> Iterator[str]:
    """All files that are not hidden, and hidden secrets; links to folders are not followed."""
    for here, name in _files(folder):
        hidden = name.startswith(".") and name not in IGNORE_FILES
        if not hidden or is_secret_name(name):
            yield (here / name).relative_to(folder).as_posix()


def _files(folder: Path) -> Iterator[tuple[Path, str]]:
    """(folder, name) of the files, and links to folders, in `folder` and its subfolders that are not hidden."""
    for path, names, files in os.walk(folder):
        here = Path(path)
        linked = [name for name in names if (here / name).is_symlink()]
        names[:] = sorted(name for name in names if not name.startswith(".") and name not in (*linked, *NO_CODE))
        yield from ((here, name) for name in sorted((*files, *linked)))


def _spec(patterns: Sequence[str]) -> Any:
    from ray._private.thirdparty.pathspec.pathspec import PathSpec

    return PathSpec.from_lines("gitwildmatch", patterns)


def _lines(folder: Path, names: Sequence[str]) -> list[str]:
    there = [folder / name for name in names if (folder / name).is_file()]
    return [line for path in there for line in path.read_text(errors="replace").splitlines()]


def left_out(folder: Path) -> Iterator[Path]:
    """Virtual environments, run folders and models below `folder`, recognised by their content.

    Of a run folder or model that also holds code, only its samples, checkpoints and weights.
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


def _heavy(files: set[str], folders: set[str]) -> set[str] | None:
    """The heavy entries of a run folder or model; empty for a whole environment; None for others."""
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
    """A path as a `.gitignore` pattern, with its special characters escaped."""
    escaped = re.sub(r"([\\*?\[\]!# ])", r"\\\1", path.relative_to(folder).as_posix())
    return f"/{escaped}/" if path.is_dir() else f"/{escaped}"


def _named(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(map(_clean, names[:SHOWN])) + more


def _clean(name: str) -> str:
    return name if name.isprintable() else ascii(name)


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)

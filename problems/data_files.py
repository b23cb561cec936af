"""Finds the files of a folder with a data set's rows, and their splits, in the layouts of libraries and hubs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from problems.rows import SUFFIXES, SourceError, suffix_of

BESIDE = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "croissant.json")
"""Files without rows that libraries write next to the data."""
SPLIT_WORDS = {
    "train": ("train", "training"),
    "val": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
"""Our name of a split to the words for it in names of files and folders."""


def find_files(path: str | Path, glob: str = "") -> list[Path]:
    """The data files at a path: itself, or those below a folder, in order. Raises SourceError if there are none."""
    path = Path(path)
    if path.is_file():
        return [path]
    if not path.exists():
        raise SourceError(f"there is no file or folder {path}; download the data set there, or correct `path`")
    files = sorted(p for p in path.rglob(glob or "*") if p.is_file() and _holds_rows(p.relative_to(path)))
    if not files:
        kinds = ", ".join(SUFFIXES)
        raise SourceError(f"folder {path} holds no {glob or 'data'} files ({kinds}); correct `path` or `glob`")
    return files


def _holds_rows(inside: Path) -> bool:
    hidden = any(part.startswith(".") for part in inside.parts)
    beside = inside.name in BESIDE or (inside.suffix == ".arrow" and inside.name.startswith("cache-"))
    return suffix_of(inside) in SUFFIXES and not hidden and not beside


def of_subset(files: Sequence[Path], root: Path, subset: str) -> list[Path]:
    """The files of one configuration of a data set, if a folder or file has its name; otherwise all."""
    if not subset:
        return list(files)
    named = [f for f in files if subset in f.relative_to(root).parts[:-1] or f.name.partition(".")[0] == subset]
    return named or list(files)


def of_split(files: Sequence[Path], root: Path, split: str) -> list[Path]:
    """The files of a split (our name, or by_hash for all of them) where names tell splits apart; otherwise all.

    Raises SourceError if file names have splits, but not this one.
    """
    named = {file: split_named(file.relative_to(root)) for file in files}
    if split == "by_hash" or len(set(filter(None, named.values()))) < 2:
        return list(files)
    if chosen := [file for file in files if named[file] == split]:
        return chosen
    there = ", ".join(sorted(set(filter(None, named.values()))))
    raise SourceError(
        f"folder {root} holds no files of split {split}: by their names there are {there}; choose files by `glob`, or "
        "set `split` to one of these or to by_hash"
    )


def split_named(inside: Path) -> str:
    """Our name of the split in the name of a file, or else of its folders; "" if there is none."""
    for part in (inside.name, *reversed(inside.parts[:-1])):
        for word in re.split(r"[^a-z]+", part.lower()):
            for split, words in SPLIT_WORDS.items():
                if word in words:
                    return split
    return ""

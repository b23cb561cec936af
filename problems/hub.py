"""Data sets of the Hugging Face hub, loaded by name or file by file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from problems.arrow_files import ArrowFileError, check_schema
from problems.mapping import Mapping
from problems.rows import Row, SourceError, read_rows


def hub_rows(mapping: Mapping, split: str) -> Iterator[Row]:
    """The rows of a mapping's hub data set. Raises SourceError, in one line, for any failure."""
    if not mapping.hub:
        raise SourceError(f"mapping {mapping.name} names no hub data set; give `path`")
    if mapping.hub_files:
        for name in mapping.hub_files:
            yield from read_rows(_hub_file(mapping, name))
        return
    import datasets

    try:
        if Path(mapping.hub).is_dir():
            _check_files(Path(mapping.hub))
        rows = datasets.load_dataset(
            mapping.hub, mapping.subset or None, split=split, streaming=True, revision=mapping.revision or None
        )
        if getattr(rows, "features", None):
            rows = cast(Any, rows).decode(False)  # an image or a sound may name a local file, or a URL
        for number, values in enumerate(rows, start=1):
            yield Row(values, f"{mapping.hub}[{split}]", number)
    except ArrowFileError as error:
        raise SourceError(error) from None
    except Exception as error:  # a library may raise anything for bad files
        raise SourceError(_of_the_hub(mapping, error)) from None


def _check_files(folder: Path) -> None:
    """Raises ArrowFileError for a file below a folder whose columns `datasets` must not load."""
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in (".parquet", ".arrow", ".feather") and path.is_file():
            check_schema(path)


def _hub_file(mapping: Mapping, name: str) -> Path:
    """A file of a hub data set, downloaded if it is not cached; if `hub` is a folder, a file of it."""
    if Path(mapping.hub).is_dir():
        return Path(mapping.hub) / name
    from huggingface_hub import hf_hub_download

    try:
        found = hf_hub_download(mapping.hub, name, repo_type="dataset", revision=mapping.revision or None)
    except Exception as error:  # of the hub, its client, or the connection
        raise SourceError(_of_the_hub(mapping, error)) from None
    return Path(found)


def _of_the_hub(mapping: Mapping, error: Exception) -> str:
    """A library's error about a hub data set, as one line with the fix."""
    text = " ".join(str(error).split())[:200]
    if "script" in text and ("no longer supported" in text or "trust_remote_code" in text):
        return (
            f"{mapping.hub} has a loading script, which `datasets` does not run ({text}); name its data files in the "
            "mapping's `hub_files`, or another `revision` (refs/convert/parquet has most), or download the files and "
            "give their folder as `path`"
        )
    return (
        f"cannot read {mapping.hub} from the hub ({type(error).__name__}: {text}); download it and give its folder as "
        "`path`"
    )

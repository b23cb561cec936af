"""What of a run folder is worth publishing: tables of data, adapters, and a model all of whose weights were trained.

The names of the files are those of the jobs.

A new job that calls its files as others do (`adapter/`, `checkpoints/`, `traces.parquet`) is published without a word
here.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cluster.storage import Storage
from pipelines.artifacts.plain_files import read_object, read_rows
from pipelines.artifacts.run_folder import RunFolder
from pipelines.artifacts.traces import TRACE_SCHEMA
from pipelines.whole_model import MODEL_FOLDER
from problems.plain_text import one_line
from rollout.model_files import MODEL_CONFIG
from rollout.policy import ADAPTER_BASE, ADAPTER_CONFIG, ADAPTER_FILES, ADAPTER_WEIGHTS
from train.checkpoint import HEAD, latest_name

DATA = {
    "traces.parquet": "traces",
    "distil/traces.parquet": "traces",
    "synthesis.jsonl": "synthesis",
    "iterations/*/solutions.parquet": "iteration-*",
    "dataset/iteration-*/train.parquet": "iteration-*",
}
"""Files of rows -> the name of the data set's configuration; `*` stands for the same in both."""
UNFINISHED = {"traces.parquet": "attempts.jsonl", "distil/traces.parquet": "distil/attempts.jsonl"}
"""A file that is written at the end -> where its rows are until then: those that are `verified`."""
MAIN = ("grpo/checkpoints/*/adapter", "sft/adapter", "adapter", "adapters/{best}/adapter", "adapters/student/adapter",
        "checkpoints/*/adapter")  # fmt: skip
"""Where a run's own adapter is, the first that there is; of several the last. {best} is what results.json says."""
STEPS = {"adapters/iteration-*/adapter": "iteration-*", "iterations/*/dpo/adapter": "iteration-*",
         "iterations/*/sft/adapter": "iteration-*"}  # fmt: skip
"""Adapters on the way there -> their names."""
MODELS = (f"adapters/{{best}}/{MODEL_FOLDER}", MODEL_FOLDER)
"""Where the model is of a run that trained all weights. {best} as in MAIN."""
_ATTEMPTS = 3


@dataclass(frozen=True, slots=True)
class DataSet:
    """One configuration of a data set."""

    name: str
    rows: int
    columns: tuple[str, ...]
    path: Path
    """Its Parquet file, in the snapshot."""


@dataclass(frozen=True, slots=True)
class AdapterFolder:
    """One adapter."""

    name: str
    """"" for the run's own."""
    path: Path
    """Its folder, in the snapshot."""
    base: str
    """The model that it says it was trained on, as others know it."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a run had to publish at one moment, in files that nobody changes any more."""

    data: tuple[DataSet, ...] = ()
    adapters: tuple[AdapterFolder, ...] = ()
    model: Path | None = None
    """The folder of the whole model that the run trained. It is no copy: a model is large, and the one that a run kept
    changes no more."""
    notes: tuple[str, ...] = field(default=())
    """What could not be taken, a line each."""


def take_snapshot(folder: RunFolder, target: Path, data: bool = True, adapters: bool = True) -> Snapshot:
    """Copies what there is to publish into `target`, an empty folder. A checkpoint that is dropped while it is copied
    has a newer one in its place: then what there is now is taken. Raises OSError, StorageError, RunFolderError."""
    for attempt in range(_ATTEMPTS - 1):
        with contextlib.suppress(FileNotFoundError):
            return _take(folder, target / str(attempt), data, adapters)
    return _take(folder, target / "last", data, adapters)


def _take(folder: RunFolder, target: Path, data: bool, adapters: bool) -> Snapshot:
    notes: list[str] = []
    tables = tuple(_tables(folder.path, target / "data", notes)) if data else ()
    found = tuple(_adapters(folder, target / "adapters", notes)) if adapters else ()
    return Snapshot(tables, found, whole_model(folder.path) if adapters else None, tuple(notes))


def signature(folder: RunFolder) -> frozenset[tuple[str, int, int]]:
    """Changes whenever something that is published does: name, time and size of each file."""
    path, found = folder.path, set()
    patterns = [*DATA, *UNFINISHED.values(), *MAIN, *STEPS, *(f"{pattern}/{MODEL_CONFIG}" for pattern in MODELS)]
    for pattern in patterns:
        for file in path.glob(pattern.replace("{best}", "*")):
            for one in [file / ADAPTER_WEIGHTS, file / ADAPTER_CONFIG] if file.is_dir() else [file]:
                with contextlib.suppress(FileNotFoundError, NotADirectoryError):  # dropped meanwhile
                    stat = one.stat()
                    found.add((str(one), stat.st_mtime_ns, stat.st_size))
    if folder.checkpoint_store is not None:
        found |= {(name, 0, size) for name, size in Storage(folder.checkpoint_store.url).names().items()
                  if name.endswith(HEAD)}  # fmt: skip
    return frozenset(found)


# --- data


def _tables(path: Path, target: Path, notes: list[str]) -> Iterator[DataSet]:
    taken: set[str] = set()
    for pattern, called in DATA.items():
        for file in _sorted(path, pattern):
            name = called.replace("*", _starred(pattern, file.relative_to(path).as_posix()))
            if name not in taken and (found := _data_set(file, name, target, notes)) is not None:
                taken.add(name)
                yield found
    for pattern, unfinished in UNFINISHED.items():
        if DATA[pattern] not in taken and (path / unfinished).is_file():
            rows = [row for row in read_rows(path / unfinished) if row.get("verified") is True]
            if rows:
                taken.add(DATA[pattern])
                columns = {name: [row.get(name) for row in rows] for name in TRACE_SCHEMA.names}
                yield _write_table(pa.table(columns, schema=TRACE_SCHEMA), DATA[pattern], target)


def _data_set(file: Path, name: str, target: Path, notes: list[str]) -> DataSet | None:
    """A file as one configuration; None where it has no rows, or cannot be read, which is noted."""
    try:
        if file.suffix == ".parquet":
            copy = target / name / "train.parquet"
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
            found = pq.read_metadata(copy)
            columns = tuple(pq.read_schema(copy).names)
            return DataSet(name, found.num_rows, columns, copy) if found.num_rows else None
        rows = read_rows(file)
        names = dict.fromkeys(key for row in rows for key in row)
        table = pa.table({key: _column([row.get(key) for row in rows]) for key in names})
        return _write_table(table, name, target) if rows else None
    except (OSError, ValueError, RuntimeError, pa.ArrowException) as error:
        notes.append(f"{file.name} is not published: {one_line(error, 200)}")
        return None


def _column(values: Sequence[Any]) -> pa.Array:
    """Values of several types, and those with an inner structure, are written as JSON: a column has one type."""
    try:
        column = pa.array(values)
    except (pa.ArrowException, OverflowError):
        column = None
    if column is None or pa.types.is_nested(column.type):
        return pa.array([None if value is None else json.dumps(value) for value in values], pa.string())
    return column.cast(pa.string()) if pa.types.is_null(column.type) else column


def _write_table(table: pa.Table, name: str, target: Path) -> DataSet:
    file = target / name / "train.parquet"
    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, file, compression="zstd")
    return DataSet(name, table.num_rows, tuple(table.column_names), file)


# --- adapters


def _adapters(folder: RunFolder, target: Path, notes: list[str]) -> Iterator[AdapterFolder]:
    main = _main_adapter(folder, target / ".stored")
    if main is not None:
        yield _copy_adapter(main, "", target / "main")
    for pattern, called in STEPS.items():
        for place in _sorted(folder.path, pattern):
            if (place / ADAPTER_WEIGHTS).is_file():
                name = called.replace("*", _starred(pattern, place.relative_to(folder.path).as_posix()))
                if not (target / name).exists():
                    try:
                        yield _copy_adapter(place, name, target / name)
                    except (OSError, ValueError) as error:
                        notes.append(f"adapter {name} is not published: {one_line(error, 200)}")


def _main_adapter(folder: RunFolder, scratch: Path) -> Path | None:
    path = folder.path
    for pattern in _with_best(path, MAIN):
        if pattern == "checkpoints/*/adapter" and folder.checkpoint_store is not None:
            return _stored_adapter(folder.checkpoint_store.url, scratch)
        found = [place for place in _sorted(path, pattern) if (place / ADAPTER_WEIGHTS).is_file()]
        if found:
            return found[-1]
    return None


def whole_model(path: Path) -> Path | None:
    """The folder of the model that a run trained all weights of and kept; None where there is none, or none yet."""
    places = [path / pattern for pattern in _with_best(path, MODELS)]
    return next((place for place in places if (place / MODEL_CONFIG).is_file()), None)


def _with_best(path: Path, patterns: Sequence[str]) -> Iterator[str]:
    """The patterns, with what results.json says for {best}; those that need it are left out where it says nothing."""
    results = read_object(path / "results.json") if (path / "results.json").is_file() else {}
    best = results.get("best")
    is_name = isinstance(best, str) and re.fullmatch(r"[\w.-]+", best) is not None and ".." not in best
    for pattern in patterns:
        if is_name or "{best}" not in pattern:
            yield pattern.replace("{best}", str(best))


def _stored_adapter(url: str, scratch: Path) -> Path | None:
    """The adapter of the newest whole checkpoint on an object store, copied; None where there is none yet."""
    storage = Storage(url)
    names = storage.names()
    place = latest_name(names)
    if place is None:
        return None
    wanted = {f"{place}adapter/{name}" for name in ADAPTER_FILES}
    storage.download({name: size for name, size in names.items() if name in wanted}, scratch)
    return scratch / place / "adapter"


def _copy_adapter(place: Path, name: str, target: Path) -> AdapterFolder:
    """Copies an adapter, with the base model called as others know it: a path of this machine says nothing there."""
    target.mkdir(parents=True)
    base = ""
    shutil.copyfile(place / ADAPTER_WEIGHTS, target / ADAPTER_WEIGHTS)
    for file, key in ((ADAPTER_CONFIG, "base_model_name_or_path"), (ADAPTER_BASE, "model")):
        if (place / file).is_file():
            content = read_object(place / file)
            if isinstance(content.get(key), str):
                base = content[key] = public_name(content[key])
            (target / file).write_text(json.dumps(content, indent=1))
    return AdapterFolder(name, target, base)


def public_name(model: str) -> str:
    """A model's Hub id, or the name alone of a folder of this machine."""
    from pipelines.publish.config import REPOSITORY

    return model if REPOSITORY.fullmatch(model) and not Path(model).exists() else Path(model).name


def _sorted(path: Path, pattern: str) -> list[Path]:
    """Places that match a pattern, in the order of their numbers; links are never followed out of the folder."""
    found = [place for place in path.glob(pattern) if not any(part.startswith(".") for part in place.parts[-2:])]

    def by_number(place: Path) -> list[tuple[int, str]]:
        parts = re.split(r"(\d+)", place.relative_to(path).as_posix())
        return [(int(part), "") if part.isdecimal() else (-1, part) for part in parts]

    return sorted(found, key=by_number)


def _starred(pattern: str, name: str) -> str:
    """What `*` stands for; "" in a pattern without one."""
    matched = re.fullmatch(re.escape(pattern).replace(r"\*", "([^/]+)"), name)
    return matched[1] if matched is not None and matched.groups() else ""


def trains_all(config: Mapping[str, Any]) -> bool:
    """Whether a run of this configuration makes a whole model in place of adapters."""
    sft = config.get("sft")
    return isinstance(sft, Mapping) and sft.get("full") is True


def makes(config: Mapping[str, Any]) -> tuple[bool, bool]:
    """(data, adapters): which of them a run of this configuration makes; a whole model is in the adapters' place."""
    is_trained = any(name in config for name in ("sft", "train"))
    teaches = any(name in config for name in ("teacher", "focus"))
    return teaches, is_trained

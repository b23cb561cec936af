"""The layout of `runs/<name>/`, known here and nowhere else.

    config.yaml           the resolved configuration
    metrics.jsonl         one row a step, and one an evaluation
    samples/*.parquet     every sample with its verdict and reward: step-000012.parquet, evaluation-before.parquet
    samples/*.parts/      those of an evaluation that is going on
    checkpoints/<step>/   complete as soon as they are there
    start/adapter/        the adapter that a run of GRPO goes on from, where there is one
    ledger.json           which problems were consumed
    evaluation.json       all figures of `crucible evaluate`
    report.html, log.txt
    what a job writes besides is listed where the job is (pipelines.jobs)

Whole files are written aside and renamed, so that a reader (or a resumed run) meets the old one or the new
one and never a half; `metrics.jsonl` is appended to and synced, and a torn last line is cut off on resume.

A run folder may lie on an object store (`s3://bucket/runs/<name>`): it is worked on in a folder of this machine, which
is mirrored as it changes and removed at the end. Checkpoints are copied by whoever writes them, from its own node.
"""

from __future__ import annotations

import fnmatch
import functools
import json
import math
import os
import re
import shutil
import uuid
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from pydantic import BaseModel

from cluster.checkpoint_store import CheckpointStore
from pipelines.artifacts.location import CHECKPOINTS, RunFolderError, RunLocation
from pipelines.artifacts.log_file import LogFile
from pipelines.artifacts.plain_files import Unreadable, json_lines, read_object, read_yaml, refuse_links
from pipelines.artifacts.samples import SAMPLE_SCHEMA, read_samples
from problems.files import PARTIAL, append_rows, replace_file, replacing
from problems.plain_text import one_line
from rollout.policy import ADAPTER_CONFIG, ADAPTER_WEIGHTS, PolicyVersion
from train.checkpoint import HEAD

RUN_FOLDER_LINE = "run folder: "
"""Begins the line by which a job says where its run folder lies; `crucible jobs fetch` reads it."""
LARGEST_STEP = 1 << 53
"""Of a training step: larger ones no file of JSON carries whole."""
_STEP_FILE = re.compile(r"step-([0-9]{6,16})\.parquet")
_PART_FILE = re.compile(r"[0-9]{6,16}\.parquet")
PARTS = ".parts"
"""Ends the name of the folder in `samples` of a table that is not whole yet."""
_FROM_THE_START = (".lock", "config.yaml", "log.txt", "ray", "costs.jsonl", "batches.jsonl")
"""What a run may leave that failed on its way up: its own records, and those of what a teacher is to be paid."""


class RunFolder:
    """One run's folder. `create` and `resume` hold it against other processes until `close`; `open` only
    reads."""

    def __init__(self, place: RunLocation, config: Mapping[str, Any]) -> None:
        self.path = place.path
        """On this machine; of a run on an object store the folder that it is worked on in."""
        self.config = dict(config)
        self._place = place

    @classmethod
    def create(cls, path: Path | str, config: BaseModel | Mapping[str, Any]) -> RunFolder:
        """A folder for a new run. Raises RunFolderError where `path` holds anything that would be lost.

        A folder with this very configuration and nothing done in it yet is taken over: the run failed on its
        way up.
        """
        wanted = plain_config(config)
        with RunLocation.find(path) as place:
            if (place.path / "config.yaml").is_file():
                refuse_links(place.path)
                _refuse_other_config(place, wanted, may_change=(), fix="choose another name for the run")
                if _has_progress(place.path):
                    fix = "go on with it by --resume, or choose another name"
                    raise RunFolderError(f"{place} already holds this run; {fix}")
            elif not _is_empty(place.path):
                raise RunFolderError(f"{place} exists but is no run folder (no config.yaml); choose another name")
            return cls._begin(place, wanted)

    @classmethod
    def resume(
        cls, path: Path | str, config: BaseModel | Mapping[str, Any], may_change: Collection[str] = ()
    ) -> RunFolder:
        """The folder of an interrupted run, cleared of whatever was half written when it ended.

        `may_change` names the dotted keys that may differ from the recorded configuration (the new value is
        recorded). Raises RunFolderError where there is no such run, or it has another configuration.
        """
        wanted = plain_config(config)
        with RunLocation.find(path) as place:
            if not (place.path / "config.yaml").is_file():
                raise RunFolderError(f"{place} holds no run to resume; leave out --resume to start it")
            refuse_links(place.path)
            _refuse_other_config(place, wanted, may_change, fix="resume with those values, or start another run")
            run = cls._begin(place, wanted)
        for leftover in run.path.rglob(f"*{PARTIAL}"):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        for leftover in run.checkpoints.glob(".*"):
            shutil.rmtree(leftover)
        run._rewrite_metrics(run.metrics())
        return run

    @classmethod
    def open(cls, path: Path | str) -> RunFolder:
        """A run folder to read. Raises RunFolderError where `path` is none."""
        with RunLocation.find(path, alone=False) as place:
            config = place.path / "config.yaml"
            if not config.is_file():
                raise RunFolderError(f"{place} is not a run folder: it has no config.yaml")
            refuse_links(place.path)
            return cls(place, _recorded(config))

    @classmethod
    def _begin(cls, place: RunLocation, config: Mapping[str, Any]) -> RunFolder:
        for folder in (place.path, place.path / "samples", place.path / CHECKPOINTS):
            folder.mkdir(parents=True, exist_ok=True)
        place.hold()
        run = cls(place, config)
        run._write_config()
        return run

    def changed(self) -> None:
        """Has files that a job wrote by itself uploaded soon, where the run lies on an object store."""
        self._place.changed()

    def close(self) -> None:
        """Lets go of the folder; reading and writing still work, but of a run on an object store, whose last changes
        go up now. Raises RunFolderError where the store does not take them."""
        self._place.leave()

    def __enter__(self) -> RunFolder:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __str__(self) -> str:
        """What to call it: its URL, or its path as it was given."""
        return str(self._place)

    @property
    def location(self) -> str:
        """Its URL, or its whole path."""
        return self._place.url or str(self.path.resolve())

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def report_path(self) -> Path:
        return self.path / "report.html"

    @property
    def log_file(self) -> LogFile:
        """`log`, also for another process of this node."""
        return LogFile(self.path / "log.txt")

    # --- metrics

    def append_metrics(self, row: Mapping[str, Any]) -> None:
        """Appends one row to `metrics.jsonl` and syncs it to disk. A value that is not finite is written as
        null."""
        append_rows(self._metrics_path, [_plain(row)], private=False)
        self._place.changed()

    def metrics(self) -> list[dict[str, Any]]:
        """All rows in order, without a torn last line. Raises RunFolderError, with the line's number, for a
        bad one."""
        if not self._metrics_path.exists():
            return []
        rows = []
        for number, row in json_lines(self._metrics_path):
            step = row.get("step")
            if step is not None and (type(step) is not int or abs(step) > LARGEST_STEP):
                raise Unreadable(f"{self._metrics_path}, line {number} has a step that is none; repair or remove it")
            rows.append(row)
        return rows

    def steps(self) -> list[dict[str, Any]]:
        """The rows of training steps alone."""
        return [row for row in self.metrics() if row.get("kind", "step") == "step" and row.get("step") is not None]

    def roll_back(self, step: int) -> None:
        """Forgets every step after `step`: metrics and samples of a future that is about to be redone."""
        self._rewrite_metrics([row for row in self.metrics() if row.get("step") is None or row["step"] <= step])
        for file in (self.path / "samples").iterdir():
            named = _STEP_FILE.fullmatch(file.name)
            if named is not None and int(named[1]) > step:
                file.unlink()

    # --- samples

    def write_samples(self, name: str, rows: Sequence[Mapping[str, Any]]) -> Path:
        """Writes `samples/<name>.parquet`; rows as `samples.sample_rows` makes them. Steps are named by
        `step_name`."""
        path = self.path / "samples" / f"{name}.parquet"
        columns = {field.name: [row.get(field.name) for row in rows] for field in SAMPLE_SCHEMA}
        table = pa.table(columns, schema=SAMPLE_SCHEMA)
        with replacing(path) as file:
            pq.write_table(table, file, compression="zstd")
        return path

    def samples(self, name: str = "step-*", columns: Sequence[str] | None = None) -> pa.Table:
        """The samples of all files whose name matches, in the order of the names; `columns` None for all.

        Raises RunFolderError for a file that is damaged, lacks a column, or is of other types.
        """
        folder, pattern = self.path / "samples", f"{name}.parquet"  # of names alone: `name` may be of a row of others
        files = sorted(f for f in folder.iterdir() if fnmatch.fnmatchcase(f.name, pattern)) if folder.is_dir() else []
        return read_samples(files, columns)

    def write_part(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Writes rows of `samples/<name>.parquet` that is not whole yet: `samples/<name>.parts/<number>.parquet`."""
        there = self._parts(name)
        number = 1 + max((int(file.stem) for file in there), default=0)
        self._part_folder(name).mkdir(parents=True, exist_ok=True)
        self.write_samples(f"{name}{PARTS}/{number:06d}", rows)
        self._place.changed()

    def parts(self, name: str) -> pa.Table:
        """The rows of all parts of a table of samples, in the order in which they were written. Raises
        RunFolderError."""
        return read_samples(self._parts(name), None)

    def remove_parts(self, name: str) -> None:
        """Removes them: the whole table is written."""
        shutil.rmtree(self._part_folder(name), ignore_errors=True)

    def _parts(self, name: str) -> list[Path]:
        files = self._part_folder(name).glob("*.parquet")
        return sorted(file for file in files if _PART_FILE.fullmatch(file.name))

    def _part_folder(self, name: str) -> Path:
        return self.path / "samples" / f"{name}{PARTS}"

    @property
    def checkpoints(self) -> Path:
        """Folder of `train.checkpoint`: a numbered folder in it is a whole checkpoint."""
        return self.path / CHECKPOINTS

    @property
    def checkpoint_store(self) -> CheckpointStore | None:
        """Where a learner on any node puts checkpoints and takes them from; None: in `checkpoints` alone."""
        return CheckpointStore(f"{self._place.url}/{CHECKPOINTS}", HEAD) if self._place.url else None

    def pull_checkpoints(self) -> None:
        """Brings the newest checkpoint to this machine, where the learner may have been on another one."""
        if self.checkpoint_store is not None:
            self.checkpoint_store.pull(self.checkpoints)

    @property
    def ray_storage(self) -> str:
        """Ray Train's `storage_path`, reached from every node."""
        return f"{self.location}/ray"

    # --- the start

    def record_start(self, policy: PolicyVersion) -> None:
        """Keeps the adapter that training begins with, unless that is done: where it came from may be gone when the run
        is resumed, and the KL may be to it."""
        if policy.weights and self.start is None:
            (self.path / "start").mkdir(exist_ok=True)
            write_adapter(self.path / "start", policy)
            self._place.push()

    @property
    def start(self) -> Path | None:
        """Folder of the adapter that training began with; None before it has, and for a fresh one."""
        adapter = self.path / "start" / "adapter"
        return adapter if all((adapter / name).is_file() for name in (ADAPTER_WEIGHTS, ADAPTER_CONFIG)) else None

    # --- the rest

    def write_ledger(self, ledger: Mapping[str, Any]) -> None:
        """Replaces the ledger of consumed problems."""
        replace_file(self.path / "ledger.json", json.dumps(_plain(ledger), indent=1))

    def read_ledger(self) -> dict[str, Any]:
        """The ledger, {} where none was written yet."""
        path = self.path / "ledger.json"
        return read_object(path) if path.exists() else {}

    def write_evaluation(self, figures: Mapping[str, Any]) -> Path:
        """Replaces the figures of an evaluation. A value that is not finite is written as null."""
        return replace_file(self.path / "evaluation.json", json.dumps(_plain(figures), indent=1, allow_nan=False))

    def write_report(self, html: str) -> Path:
        """Replaces the report."""
        written = replace_file(self.report_path, html)
        self._place.changed()
        return written

    def log(self, line: str) -> None:
        """Appends one line to `log.txt`, with the time before it."""
        self.log_file(line)

    @property
    def _metrics_path(self) -> Path:
        return self.path / "metrics.jsonl"

    def _write_config(self) -> None:
        text = yaml.safe_dump(self.config, sort_keys=False, allow_unicode=True)
        replace_file(self.path / "config.yaml", text)
        self._place.push()

    def _rewrite_metrics(self, rows: Iterable[Mapping[str, Any]]) -> None:
        replace_file(self._metrics_path, "".join(json.dumps(row) + "\n" for row in rows))
        self._place.changed()


def step_name(step: int) -> str:
    """Name of the sample file of a training step; names sort as their steps do."""
    return f"step-{step:06d}"


def write_adapter(folder: Path, policy: PolicyVersion) -> Path:
    """Writes `folder`/adapter as peft and vLLM read it, whole or not at all, in place of one that is there."""
    aside, target = folder / f".adapter-{uuid.uuid4().hex[:8]}", folder / "adapter"
    written = policy.write(aside)
    if target.exists():
        shutil.rmtree(target)
    written.rename(target)
    aside.rmdir()
    return target


def plain_config(config: BaseModel | Mapping[str, Any]) -> dict[str, Any]:
    """A configuration as it reads back from YAML: plain data only."""
    data = config.model_dump(mode="json") if isinstance(config, BaseModel) else _plain(config)
    return yaml.safe_load(yaml.safe_dump(data)) or {}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if hasattr(value, "tolist"):  # numpy and torch, scalars and arrays
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return str(value) if isinstance(value, os.PathLike) else value


def _flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in config.items():
        if isinstance(value, Mapping) and value:
            flat |= _flat(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _recorded(path: Path) -> dict[str, Any]:
    config = read_yaml(path) or {}
    if not isinstance(config, dict):
        raise Unreadable(f"{path} must hold keys and values, and holds a {type(config).__name__}")
    return config


def _refuse_other_config(place: RunLocation, wanted: Mapping[str, Any], may_change: Collection[str], fix: str) -> None:
    recorded, given = _flat(_recorded(place.path / "config.yaml")), _flat(wanted)
    missing, brief = "(none)", functools.partial(one_line, longest=100)
    changes = [
        f"{brief(key)}: {brief(recorded.get(key, missing))} there, {brief(given.get(key, missing))} now"
        for key in dict.fromkeys([*recorded, *given])
        if recorded.get(key, missing) != given.get(key, missing) and key not in may_change
    ]
    if changes:
        more = f" and {len(changes) - 6} more" if len(changes) > 6 else ""
        raise RunFolderError(f"{place} holds another configuration ({'; '.join(changes[:6])}{more}); {fix}")


def _has_progress(path: Path) -> bool:
    """Whether a job has done something here: what is neither empty nor there from the start was written by one."""
    for entry in path.iterdir():
        if entry.name not in _FROM_THE_START and not entry.name.endswith(PARTIAL):
            is_empty = _is_empty(entry) if entry.is_dir() else not entry.stat().st_size
            if not is_empty:
                return True
    return False


def _is_empty(path: Path) -> bool:
    if not path.exists():
        return True
    return path.is_dir() and all(entry.name == ".lock" for entry in path.iterdir())

"""The figures of a run that its cards show: evaluations and comparisons of `metrics.jsonl`, those of `results.json`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pipelines.artifacts.plain_files import read_object, reading
from pipelines.artifacts.run_folder import RunFolder, RunFolderError

_MOST = 40


def figures_of(folder: RunFolder) -> tuple[tuple[str, str], ...]:
    """(what was measured, the figure), in the order of the run; nothing where the files cannot be read."""
    found: dict[str, str] = {}
    for part in (folder.path, *(folder.path / name for name in ("distil", "sft", "grpo"))):
        if not (part / "metrics.jsonl").is_file():
            continue
        label = "" if part == folder.path else f"{part.name}: "
        try:
            with reading(str(part)):
                for row in (folder if part == folder.path else RunFolder.open(part)).metrics():
                    found |= {f"{label}{name}": text for name, text in _of_row(row)}
        except RunFolderError:
            continue
    found |= dict(_of_results(folder.path / "results.json"))
    return tuple(found.items())[-_MOST:]


def _of_row(row: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    kind = row.get("kind")
    if kind == "evaluation":
        for k, estimate in (row.get("pass_at") or {}).items():
            yield f"pass@{k}, {row.get('name')}", f"{_share(estimate)} of {row.get('problems')} problems"
    elif kind == "comparison":
        yield f"pass@1, {row.get('before')} to {row.get('after')}", _points(row["pass_at_1"])
    elif kind == "distil":
        yield "traces kept", f"{row.get('kept')} of {row.get('asked')} problems, {_share(row['kept_share'])}"
    elif kind == "undo":
        yield f"pass@1 on validation, {row.get('name')}", _share(row["val"])


def _of_results(path: Path) -> Iterator[tuple[str, str]]:
    try:
        with reading(str(path)):
            results = read_object(path) if path.is_file() else {}
            if results.get("best"):
                yield "kept", str(results["best"])
            for name, row in (results.get("test") or {}).items():
                if isinstance(row, Mapping) and isinstance(row.get("pass_at_1"), Mapping):
                    yield f"pass@1 on test, {name}", _share(row["pass_at_1"])
            for row in results.get("comparisons") or ():
                if isinstance(row.get("pass_at_1"), Mapping):
                    yield f"pass@1 on test, {row.get('before')} to {row.get('after')}", _points(row["pass_at_1"])
    except RunFolderError:
        return


def _share(estimate: Mapping[str, Any]) -> str:
    value, low, high = (100 * float(estimate[name]) for name in ("value", "low", "high"))
    return f"{value:.1f} % [{low:.1f}, {high:.1f}]"


def _points(estimate: Mapping[str, Any]) -> str:
    value, low, high = (100 * float(estimate[name]) for name in ("value", "low", "high"))
    return f"{value:+.1f} points [{low:+.1f}, {high:+.1f}]"

"""The folder `shared` next to the repository: attacks and cases that the tests of several rooms run."""

import json
import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
MISSING = "there is no folder shared/{} next to the repository; set CRUCIBLE_SHARED to the path of `shared`"


def shared_folder(name: str) -> Path | None:
    """`shared/NAME` next to the repository or one of its parents, or in CRUCIBLE_SHARED; None if there is none.

    Raises UsageError if CRUCIBLE_SHARED is set but has no such folder.
    """
    root = os.environ.get("CRUCIBLE_SHARED")
    if root and not (Path(root) / name).is_dir():
        raise pytest.UsageError(f"CRUCIBLE_SHARED is {root}, but there is no folder {name} in it; correct or unset it")
    roots = [Path(root)] if root else [parent / "shared" for parent in REPOSITORY.parents]
    return next((root / name for root in roots if (root / name).is_dir()), None)


def needed_folder(name: str) -> Path:
    """`shared/NAME`; without it the test is skipped, and `report_missing` counts it."""
    folder = shared_folder(name)
    if folder is None:
        pytest.skip(MISSING.format(name))
    return folder


def report_missing(terminalreporter) -> None:
    """Prints how many tests did not run because the folder is missing, at the end of the session."""
    beginning = MISSING.partition("{}")[0]
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if beginning in str(report.longrepr)]
    if skipped:
        terminalreporter.section("tests that did not run", red=True, bold=True)
        terminalreporter.line(f"{len(skipped)} groups of cases: {MISSING.format('attacks or shared/cases')}", red=True)


def cases(name: str, wanted=lambda case: True) -> list:
    """Parameters for pytest: the cases of `shared/cases/NAME.jsonl` for which `wanted` is true, by their ids.

    Without the folder: one parameter that is skipped with the reason. Raises UsageError if no case is wanted: an empty
    list would look like a pass.
    """
    folder = shared_folder("cases")
    if folder is None:
        reason = MISSING.format("cases")
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason), id=f"{name}-missing")]
    lines = (folder / f"{name}.jsonl").read_text().splitlines()
    chosen = [pytest.param(case, id=case["id"]) for case in map(json.loads, lines) if wanted(case)]
    if not chosen:
        raise pytest.UsageError(f"{folder / name}.jsonl has none of the cases that this test runs")
    return chosen

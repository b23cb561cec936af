"""The folder `shared` beside the repository: attacks and cases that others wrote, run by the tests of several rooms."""

import json
import os
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def shared_folder(name: str) -> Path | None:
    """`shared/NAME` beside the repository, or where CRUCIBLE_SHARED says; None where there is no such folder."""
    named = os.environ.get("CRUCIBLE_SHARED")
    roots = [Path(named)] if named else [parent / "shared" for parent in REPOSITORY.parents]
    return next((root / name for root in roots if (root / name).is_dir()), None)


def cases(name: str, wanted=lambda case: True) -> list:
    """Parameters for pytest: the cases of `shared/cases/NAME.jsonl` for which `wanted` holds, by their ids.

    Without the folder one parameter that is skipped and says so, never an empty list that looks like a pass.
    """
    folder = shared_folder("cases")
    if folder is None:
        reason = "there is no folder shared/cases beside the repository; set CRUCIBLE_SHARED to where it lies"
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason), id=f"{name}-missing")]
    lines = (folder / f"{name}.jsonl").read_text().splitlines()
    return [pytest.param(case, id=case["id"]) for case in map(json.loads, lines) if wanted(case)]

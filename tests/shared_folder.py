"""The folder `shared` beside the repository: attacks and cases that others wrote, run by the tests of several rooms."""

import json
import os
import warnings
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


MISSING = "there is no folder shared/{} beside the repository; set CRUCIBLE_SHARED to the folder `shared`"


def shared_folder(name: str) -> Path | None:
    """`shared/NAME` beside the repository, or in CRUCIBLE_SHARED; None if there is no such folder.

    Raises FileNotFoundError if CRUCIBLE_SHARED is set and has none: whoever sets it wants these tests to run.
    """
    named = os.environ.get("CRUCIBLE_SHARED")
    if named and not (Path(named) / name).is_dir():
        raise FileNotFoundError(f"CRUCIBLE_SHARED is {named}, where there is no folder {name}")
    roots = [Path(named)] if named else [parent / "shared" for parent in REPOSITORY.parents]
    return next((root / name for root in roots if (root / name).is_dir()), None)


def needed_folder(name: str) -> Path:
    """`shared/NAME`; without it the test is skipped, with a warning in pytest's summary."""
    folder = shared_folder(name)
    if folder is None:
        warnings.warn(MISSING.format(name), RuntimeWarning, stacklevel=2)
        pytest.skip(MISSING.format(name))
    return folder


def cases(name: str, wanted=lambda case: True) -> list:
    """Parameters for pytest: the cases of `shared/cases/NAME.jsonl` for which `wanted` holds, by their ids.

    Without the folder one parameter that is skipped, with a warning in pytest's summary; never an empty list, which
    would look like a pass.
    """
    folder = shared_folder("cases")
    if folder is None:
        reason = MISSING.format("cases")
        warnings.warn(f"the cases {name} are not tested: {reason}", RuntimeWarning, stacklevel=2)
        return [pytest.param(None, marks=pytest.mark.skip(reason=reason), id=f"{name}-missing")]
    lines = (folder / f"{name}.jsonl").read_text().splitlines()
    return [pytest.param(case, id=case["id"]) for case in map(json.loads, lines) if wanted(case)]

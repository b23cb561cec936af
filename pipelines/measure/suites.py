"""The shipped evaluations, `crucible evaluate --suite NAME`: what is asked, how it is sampled, and what is required.

Each is a file of `pipelines/suites/` with options of `crucible evaluate`; what is given beside its name comes on top.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from pipelines.errors import ConfigError
from problems import mapping

FOLDER = Path(__file__).parents[1] / "suites"


def suite_names() -> tuple[str, ...]:
    """All of them, in order."""
    return tuple(sorted(file.stem for file in FOLDER.glob("*.yaml")))


def load_suite(name: str) -> Mapping[str, Any]:
    """The options that a suite sets. Raises ConfigError for an unknown name, with the nearest one."""
    names = suite_names()
    if name not in names:
        if name.partition("=")[0] in mapping.names():
            raise ConfigError(f"suite {name!r} is a data set: give it as --suites {name}")
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
        raise ConfigError(f"there is no suite {name!r}; {hint}")
    return yaml.safe_load((FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))

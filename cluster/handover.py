"""Environment variables that go to a job outside its runtime environment, whose values Ray writes to its logs.

`pack` makes a Python package of them that is uploaded beside the working directory. On the cluster
`python -m cluster.handover MODULE ARGUMENTS...` sets them and runs the module, and `load`, as Ray's hook, sets them in
each of the job's workers.
"""

from __future__ import annotations

import importlib.resources
import json
import os
import runpy
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

PACKAGE = "crucible_handover"
_VALUES = "values.json"


def pack(folder: Path, variables: Mapping[str, str]) -> Path:
    """Writes the package under `folder` and returns its path."""
    path = folder / PACKAGE
    path.mkdir(mode=0o700)
    # Ray names an upload by the hash of its content, in its logs too: no value may be guessed from it.
    salted = {"__init__.py": "", _VALUES: json.dumps(dict(variables)), "salt": secrets.token_hex(32)}
    for name, text in salted.items():
        with open(path / name, "x", opener=lambda p, flags: os.open(p, flags, 0o600)) as file:
            file.write(text)
    return path


def load() -> None:
    """Sets the variables in this process. Raises ModuleNotFoundError where none were handed over."""
    values = importlib.resources.files(PACKAGE) / _VALUES
    os.environ.update(json.loads(values.read_text()))
    os.chmod(str(values), 0o600)


def main() -> None:
    """Runs the module that is named first, with the arguments after it."""
    load()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

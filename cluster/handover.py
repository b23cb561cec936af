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

from cluster.private import private_folder, write_private

PACKAGE = "crucible_handover"
_VALUES = "values.json"


def pack(folder: Path, variables: Mapping[str, str]) -> Path:
    """Writes the package under `folder` and returns its path. Ray unpacks its files with the modes that they have."""
    path = private_folder(folder, PACKAGE)
    # Ray names an upload by the hash of its content, in its logs too: no value may be guessed from it.
    contents = {"__init__.py": "", _VALUES: json.dumps(dict(variables)), "salt": secrets.token_hex(32)}
    for name, content in contents.items():
        write_private(path / name, content.encode())
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

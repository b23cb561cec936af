"""Environment variables for a job, passed outside its runtime environment because Ray logs that one's values.

`pack` writes a Python package with them that is uploaded in addition to the working directory. On the cluster
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
    """Writes the package under `folder` and returns its path. Ray keeps the modes of its files."""
    path = private_folder(folder, PACKAGE)
    # Ray names an upload by the hash of its content, also in logs: without salt, values could be guessed from it.
    contents = {"__init__.py": "", _VALUES: json.dumps(dict(variables)), "salt": secrets.token_hex(32)}
    for name, content in contents.items():
        write_private(path / name, content.encode())
    return path


def load() -> None:
    """Sets the variables in this process. Raises ModuleNotFoundError if there are none."""
    values = importlib.resources.files(PACKAGE) / _VALUES
    os.environ.update(json.loads(values.read_text()))
    os.chmod(str(values), 0o600)


def main() -> None:
    """Runs the module named by the first argument, with the remaining arguments."""
    load()
    del sys.argv[0]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()

"""A whole model on its way from the worker that trained it to the run folder.

A worker writes nothing where the run lies, which may be another node: the files travel through the queue of its
metrics, in pieces, and the driver writes `model/`, whole or not at all.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cluster.names import check_path
from problems.files import PARTIAL
from rollout.prompts import PROMPT_FILE

MODEL_FOLDER = "model"
"""Of a run folder: the model that all of whose weights were trained, as `--model` takes it."""
PIECE_BYTES = 4 << 20
"""Of a message; with `MOST_MESSAGES` of them waiting, 256 MiB are held."""
SHARD = "2GB"
"""Largest file of weights."""


def send_model(base: Any, tokenizer: Any, dtype: Any, prompt: str, queue: Any) -> dict[str, int]:
    """Sends the files of a model folder, with weights in `dtype`, through `queue`; returns their sizes by name.

    `prompt` is the content of the folder's prompt.json, "" for none.
    """
    with tempfile.TemporaryDirectory(prefix="crucible-") as name:
        folder = Path(name)
        base.to(dtype)
        base.save_pretrained(folder, max_shard_size=SHARD)
        tokenizer.save_pretrained(folder)
        if prompt:
            (folder / PROMPT_FILE).write_text(prompt)
        sizes = {}
        # A tokenizer with several chat templates has a folder of them.
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            own = path.relative_to(folder).as_posix()
            with open(path, "rb") as file:
                while piece := file.read(PIECE_BYTES):
                    queue.put({"kind": "file", "name": own, "content": piece})
            sizes[own] = path.stat().st_size
    return sizes


class ModelReceiver:
    """Writes the files of a model beside the run's `model/` as they come, and puts them in its place at the end."""

    def __init__(self, run_folder: Path) -> None:
        self._target = run_folder / MODEL_FOLDER
        self._aside = run_folder / f".{MODEL_FOLDER}{PARTIAL}"
        self._sizes: dict[str, int] = {}
        self._digest = hashlib.sha256()

    def restart(self) -> None:
        """Forgets what has come: a worker that is started again sends everything again."""
        shutil.rmtree(self._aside, ignore_errors=True)
        self._sizes, self._digest = {}, hashlib.sha256()

    def take(self, message: Mapping[str, Any]) -> None:
        """Appends a piece to its file. Raises BadName for one outside of the folder."""
        name, content = check_path(message["name"], "a file of the trained model"), message["content"]
        (self._aside / name).parent.mkdir(parents=True, exist_ok=True)
        if name not in self._sizes:
            self._digest.update(f"\0{name}\0".encode())
        with open(self._aside / name, "ab") as file:
            file.write(content)
        self._sizes[name] = self._sizes.get(name, 0) + len(content)
        self._digest.update(content)

    def finish(self, sizes: Mapping[str, int]) -> str:
        """Puts the files in place, if they are those of `sizes`, and returns the first 16 hex digits of their SHA-256.

        Raises ValueError where something is missing.
        """
        if self._sizes != dict(sizes):
            raise ValueError(f"the trained model did not come whole: {self._sizes} of {dict(sizes)} bytes")
        if self._target.exists():
            shutil.rmtree(self._target)
        self._aside.rename(self._target)
        return self._digest.hexdigest()[:16]

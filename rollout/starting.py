"""The start of an engine as others see it: what its processes write meanwhile, which phase that is, how far a download.

Errors are in `rollout.start_errors`.
"""

from __future__ import annotations

import io
import os
import re
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rollout.model_files import place_of
from rollout.start_errors import LONGEST_LOG, log_lines

PLACING, BEGINNING, DOWNLOADING = "waiting for a place on the cluster", "loading vLLM", "downloading the model"
WARMING_UP = "warming up"
_PHASES = (
    (re.compile(r"Starting to load model|Loading model from scratch|Loading safetensors"), "loading weights"),
    (re.compile(r"Model loading took"), "measuring memory"),
    (re.compile(r"for vLLM's torch\.compile|Dynamo bytecode|Compiling a graph"), "compiling"),
    (re.compile(r"Capturing CUDA graphs"), "capturing graphs"),
    (re.compile(r"Graph capturing finished|init engine \("), WARMING_UP),
)
"""Phases by what vLLM writes as each begins; the last such line counts."""

WEIGHTS = ("*.safetensors", "*.bin")
"""Files of weights, the preferred kind first: only one kind is needed."""
BESIDES = ("*.json", "*.txt", "*.model", "*.jinja", "*.tiktoken")
TOKENIZERS = ("tokenizer.json", "tokenizer.model", "vocab.json", "vocab.txt", "spiece.model", "tekken.json")
"""Any of these holds a vocabulary."""
UNWANTED = ("original/*", "*.onnx", "onnx/*", "training_args.bin", "optimizer.bin", "scheduler.bin")


@dataclass(frozen=True, slots=True)
class StartReport:
    """How far the start of one engine is."""

    phase: str
    done: int = 0
    """Bytes of the model that are here, while it is downloaded."""
    total: int = 0
    log: str = ""
    """The end of what its processes wrote."""

    @property
    def downloading(self) -> bool:
        """Whether bytes are what is waited for."""
        return self.phase == DOWNLOADING


class OwnLog:
    """What this process and its children write to standard error from the construction of this object on.

    Ray gives each worker a file for that, which is read here. A terminal or a pipe is replaced by a file, and a thread
    copies it there.
    """

    def __init__(self) -> None:
        number = 2 if stat.S_ISREG(os.fstat(2).st_mode) else _through_file()
        self._file = open(f"/proc/self/fd/{number}", "rb")  # noqa: SIM115 - as long as the process
        self._begin = os.fstat(number).st_size

    def read(self, longest: int = LONGEST_LOG) -> str:
        """The last `longest` bytes."""
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        end = self._file.seek(0, os.SEEK_END)
        self._file.seek(max(self._begin, end - longest))
        return self._file.read(longest).decode("utf-8", "replace")


def _through_file() -> int:
    """Sends standard output and error through a file, which is removed once it is open, and on to where they went.

    Returns its descriptor.
    """
    before = os.dup(2)
    os.set_inheritable(before, False)
    descriptor, path = tempfile.mkstemp(prefix="crucible-engine-")
    for number in (1, 2):
        os.dup2(descriptor, number)
    os.unlink(path)

    def copy() -> None:
        read = 0
        while True:
            if more := os.pread(descriptor, 1 << 16, read):
                read += len(more)
                os.write(before, more)
            else:
                time.sleep(0.2)

    threading.Thread(target=copy, name="engine-log", daemon=True).start()
    return descriptor


def phase_of(log: str) -> str:
    """The phase that vLLM's log has reached."""
    reached = BEGINNING
    for line in log_lines(log):
        for pattern, phase in _PHASES:
            if pattern.search(line):
                reached = phase
    return reached


def fetch_model(model: str, progress: Callable[[int, int], None]) -> None:
    """Downloads a Hub model into this machine's cache, unless it is there or `model` is a folder.

    Processes that do so at once wait for each other's files. `progress` is told (bytes done, bytes in all). Raises what
    the Hub's client raises; without a connection, what is in the cache is left to vLLM.
    """
    if os.path.isdir(folder := place_of(model)):
        if not any(os.path.exists(os.path.join(folder, name)) for name in TOKENIZERS):
            # transformers would make one without a vocabulary.
            raise OSError(f"Can't load tokenizer for '{model}': the folder has none of {', '.join(TOKENIZERS)}")
        return
    from huggingface_hub import HfApi, snapshot_download, try_to_load_from_cache

    try:
        info = HfApi().model_info(model, files_metadata=True, timeout=10)
    except Exception:  # the client's own, or of one of the libraries that it connects with
        if isinstance(try_to_load_from_cache(model, "config.json"), str):
            return
        raise
    sizes = {file.rfilename: file.size or 0 for file in info.siblings or ()}
    wanted = wanted_files(list(sizes))
    missing = [name for name in wanted if not isinstance(try_to_load_from_cache(model, name), str)]
    if not missing:
        return
    total = sum(sizes[name] for name in missing)
    progress(0, total)
    bar = _bar(progress, total)
    exact = [re.sub(r"([*?[])", r"[\1]", name) for name in wanted]
    snapshot_download(model, allow_patterns=exact, tqdm_class=bar)


def wanted_files(names: list[str]) -> list[str]:
    """Those of a repository's files that an engine or a learner reads."""
    from fnmatch import fnmatch

    def like(name: str, patterns: tuple[str, ...]) -> bool:
        return any(fnmatch(name, pattern) for pattern in patterns)

    candidates = [name for name in names if not like(name, UNWANTED)]
    weights = next((kind for kind in WEIGHTS if any(fnmatch(name, kind) for name in candidates)), WEIGHTS[0])
    return [name for name in candidates if like(name, (weights, *BESIDES))]


def _bar(progress: Callable[[int, int], None], total: int) -> type:
    """A class of bars for `snapshot_download` that shows nothing and hands on the bytes that were written."""
    from tqdm.std import tqdm

    done = 0

    class Bar(tqdm):
        def __init__(self, *arguments: Any, **options: Any):
            # Three bars: files, bytes received, and bytes written, which alone counts what was received before.
            self._written = options.get("unit") == "B" and options.get("desc") != "Downloading bytes"
            super().__init__(*arguments, **options | {"file": io.StringIO(), "disable": False, "mininterval": 60})

        def update(self, n: float | None = 1) -> bool | None:
            nonlocal done
            if self._written:
                done += int(n or 0)
                progress(min(done, total), total)
            return super().update(n)

    return Bar

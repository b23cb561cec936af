"""Importing vLLM without what its import costs and nobody here needs."""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator
from typing import Any

OF_SOUND = ("scipy.signal",)
"""Modules that vLLM imports to resample sound, if they are there: 0.7 CPU seconds."""


@contextlib.contextmanager
def quick_import() -> Iterator[None]:
    """For vLLM's import: no garbage collection in the block, nor ever after of what it leaves. The import makes a
    million objects that stay, and a quarter of its time goes into collections that find none to free.

    Nor is what only models of sound use imported; vLLM does without where it is missing. Not for the loading of a
    model: cycles may hold its tensors, and what is frozen is never freed.
    """
    collects, absent = gc.isenabled(), [name for name in OF_SOUND if name not in sys.modules]
    gc.disable()
    for name in absent:
        sys.modules[name] = None  # pyright: ignore[reportArgumentType] - Python's mark of what cannot be imported
    try:
        yield
    finally:
        for name in absent:
            sys.modules.pop(name, None)
        gc.freeze()
        if collects:
            gc.enable()


class _OwnModules:
    """Stands for `sys` in vLLM's search for the kernels that it replaces on a CPU."""

    @property
    def modules(self) -> dict[str, Any]:
        return {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "vllm"}


def search_own_modules() -> None:
    """Has that search look through vLLM's modules alone: among all that are loaded it takes a CPU second."""
    try:
        from vllm.triton_utils import dispatcher
    except ImportError:  # another release
        return
    dispatcher.__dict__["sys"] = _OwnModules()

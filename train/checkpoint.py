"""Checkpoints `<folder>/<step>/`: written aside and renamed, so that a folder named by a number is whole.

adapter/            as peft and vLLM read it
ema/                its moving average, in the same form, where one is kept
state.pt            the learner's state_dict
checkpoint.json     step, policy version, and what the caller keeps beside it (the ledger)

Heads are read without torch, so that commands that only ask for a run's progress answer at once.
"""

from __future__ import annotations

import json
import pickle
import re
import shutil
import uuid
import zipfile
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from problems.files import sync
from rollout.policy import PolicyVersion

if TYPE_CHECKING:
    from train.learner import Learner

FORMAT = 1
HEAD = "checkpoint.json"
"""Name of the file that describes a checkpoint; a folder without it is not one."""
_STATE, _ADAPTER, _AVERAGE = "state.pt", "adapter", "ema"
LARGEST_HEAD = 256 << 20
"""Bytes: its ledger names what was consumed."""
_STEP = re.compile(r"[0-9]{1,16}")
"""Name of a checkpoint's folder."""
_HEAD_KINDS = {"step": int, "run": str, "version": int, "adapter_hash": str, "ledger": dict}


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """The head of a checkpoint."""

    path: Path
    step: int
    run: str
    version: int
    """Number of the policy version that was current."""
    adapter_hash: str
    ledger: Mapping[str, Any]
    """What the caller gave to `save`."""


def save(
    folder: Path,
    learner: Learner,
    policy: PolicyVersion,
    ledger: Mapping[str, Any],
    keep: int,
    settle: Callable[[], None] = lambda: None,
) -> Checkpoint:
    """Writes `<folder>/<step>` for the learner's step and drops all but the newest `keep`.

    `settle` is called when everything is written, before the checkpoint counts: if it raises, there is none.
    Checkpoints of the same and of later steps are dropped too: they are of updates that were rolled back. `ledger` must
    be JSON. Nothing under a numbered name is ever half-written, even when the process dies.
    """
    import torch

    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{learner.steps_done:06d}"
    aside = folder / f".{target.name}-{uuid.uuid4().hex[:8]}"
    _write_adapter(aside / _ADAPTER, policy)
    average = learner.averaged_policy(policy.run, policy.number)
    if average is not None:
        _write_adapter(aside / _AVERAGE, average)
    torch.save(learner.state_dict(), aside / _STATE)
    head = {
        "format": FORMAT,
        "step": learner.steps_done,
        "run": policy.run,
        "version": policy.number,
        "adapter_hash": policy.adapter_hash,
        "ledger": dict(ledger),
    }
    (aside / HEAD).write_text(json.dumps(head, indent=1, sort_keys=True))
    for path in (*aside.iterdir(), aside):
        sync(path)
    settle()
    for path in reversed(_numbered(folder)):
        if int(path.name) >= learner.steps_done:
            _drop(path)
    aside.rename(target)
    sync(folder)
    for path in _numbered(folder)[:-keep]:
        _drop(path)
    return read(target)


def latest(folder: Path) -> Path | None:
    """The newest checkpoint in `folder`, or None."""
    found = _numbered(folder)
    return found[-1] if found else None


def latest_name(names: Collection[str], folder: str = "") -> str | None:
    """The same among file names of an object store: the checkpoint's own with its slash, `folder`/ before it."""
    heads = (re.fullmatch(rf"({re.escape(folder)}({_STEP.pattern})/){re.escape(HEAD)}", name) for name in names)
    return max(((int(head[2]), head[1]) for head in heads if head), default=(0, None))[1]


def read(path: Path) -> Checkpoint:
    """The head of the checkpoint at `path`. Raises ValueError where there is none, or a damaged or unknown one."""
    try:
        if (size := (path / HEAD).stat().st_size) > LARGEST_HEAD:
            raise ValueError(f"it has {size >> 20} MiB")
        head = json.loads((path / HEAD).read_bytes())
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ValueError(f"{path} is not a checkpoint: it has no {HEAD}") from error
    except (OSError, ValueError, RecursionError) as error:
        raise ValueError(f"checkpoint {path} is damaged: its {HEAD} cannot be read ({error})") from None
    found = head.get("format") if isinstance(head, dict) else None
    if found != FORMAT:
        raise ValueError(f"checkpoint {path} has format {found!r:.40}; this version reads format {FORMAT}")
    for name, kind in _HEAD_KINDS.items():
        if type(head.get(name)) is not kind:
            raise ValueError(f"checkpoint {path} is damaged: {name} of its {HEAD} is not of type {kind.__name__}")
    return Checkpoint(path, head["step"], head["run"], head["version"], head["adapter_hash"], head["ledger"])


def restore(path: Path, learner: Learner) -> Checkpoint:
    """Restores `learner` to its state when the checkpoint was written.

    Raises ValueError, leaving the learner as it is, for a checkpoint of another base model or adapter shape.
    """
    import torch

    checkpoint = read(path)
    _check_stored(path / _STATE)
    try:
        state = torch.load(path / _STATE, map_location=learner.device, weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, TypeError, pickle.UnpicklingError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(
            f"checkpoint {path} cannot be resumed: its {_STATE} holds no plain tensors ({reason})"
        ) from None
    try:
        learner.load_state_dict(state)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"checkpoint {path} cannot be resumed: {error}") from error
    return checkpoint


def _check_stored(path: Path) -> None:
    """Raises ValueError for a state that torch did not save: it stores tensors as they are, and would unpack others."""
    try:
        with zipfile.ZipFile(path) as packed:
            if all(entry.compress_type == zipfile.ZIP_STORED for entry in packed.infolist()):
                return
    except (OSError, zipfile.BadZipFile, NotImplementedError) as error:
        raise ValueError(f"checkpoint {path.parent} cannot be resumed: its {path.name} is damaged ({error})") from None
    raise ValueError(f"checkpoint {path.parent} cannot be resumed: its {path.name} is compressed, which torch does not")


def policy(checkpoint: Checkpoint) -> PolicyVersion:
    """The adapter of a checkpoint."""
    return PolicyVersion.read(checkpoint.path / _ADAPTER, run=checkpoint.run, number=checkpoint.version)


def _numbered(folder: Path) -> list[Path]:
    """Finished checkpoints, oldest first."""
    if not folder.is_dir():
        return []
    found = [path for path in folder.iterdir() if _STEP.fullmatch(path.name) and (path / HEAD).is_file()]
    return sorted(found, key=lambda path: int(path.name))


def _drop(path: Path) -> None:
    """Removes a checkpoint. Renamed first: one that loses its files one by one must not pass for whole."""
    shutil.rmtree(path.rename(path.parent / f".old-{uuid.uuid4().hex[:8]}"))


def _write_adapter(path: Path, version: PolicyVersion) -> None:
    """`PolicyVersion.write` names its folder; a checkpoint wants a fixed name."""
    path.parent.mkdir(parents=True, exist_ok=True)
    version.write(path.parent).rename(path)
    for file in path.iterdir():
        sync(file)

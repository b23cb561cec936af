"""Where Ray Tune keeps its own state of a sweep. It is pickled, and reading a pickle runs what its writer likes.

So it never lies in the sweep's folder, which is shared, copied and fetched, but in the cache of the user who runs the
sweep, in a folder that nobody else may enter.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from cluster.private import NotPrivate, cache_folder, cache_root
from pipelines.artifacts.run_folder import RunFolderError

NAME = "tune"
"""Name of every sweep in Ray Tune: its folder within `tune_folder`."""
TRIALS = "trials"
"""Folder of the trials' run folders within the sweep's."""


def tune_folder(sweep: Path) -> Path:
    """The private folder for Tune's state of the sweep that lies there. Raises RunFolderError where it is not private.

    It is known by where the sweep's folder lies. Nodes of a cluster that exchange trials' checkpoints (`pbt`) need a
    cache on a shared disk.
    """
    name = hashlib.sha256(os.fsencode(sweep.resolve())).hexdigest()[:24]
    try:
        return cache_folder(f"sweeps-{os.geteuid()}", name)
    except NotPrivate as error:
        raise RunFolderError(str(error)) from None
    except OSError as error:
        raise RunFolderError(
            f"the folder of caches {cache_root()} cannot be used ({error.strerror}), and the state of Ray Tune belongs "
            "there; set CRUCIBLE_CACHE to a folder of your own"
        ) from None


def is_known(storage: Path) -> bool:
    """Whether Tune can go on with what it left in a `tune_folder`."""
    from ray import tune

    return tune.Tuner.can_restore(str(storage / NAME))


def empty(storage: Path) -> None:
    """Removes what an earlier sweep at the same place has left there."""
    for entry in storage.iterdir():
        shutil.rmtree(entry) if entry.is_dir() and not entry.is_symlink() else entry.unlink()


def check_resumable(sweep: Path) -> None:
    """Raises RunFolderError for a sweep that this user has not begun here: its trials would all be done again."""
    owner = sweep.stat().st_uid
    if owner != os.geteuid():
        raise RunFolderError(
            f"the sweep {sweep} belongs to user {owner}, who alone can resume it; start one of your own with --config "
            f"{sweep / 'config.yaml'}"
        )
    storage = tune_folder(sweep)
    if any((sweep / TRIALS).glob("*/config.yaml")) and not is_known(storage):
        raise RunFolderError(
            f"{sweep} has trials, and their state in Ray Tune is not in {storage}: resume it where it was started "
            "(user, machine, path of the folder, CRUCIBLE_CACHE), or start another sweep"
        )

"""Finding the processes that a test is to kill."""

import contextlib

import psutil


def titled(title, root=None):
    """Processes below `root` (None: this one) whose command line holds `title`; those that are ending are left out."""
    found = []
    for process in psutil.Process(root).children(recursive=True):
        with contextlib.suppress(psutil.Error):
            if title in " ".join(process.cmdline()):
                found.append(process)
    return found

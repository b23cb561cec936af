"""Answers from finalisers, exit handlers and threads, after or between the harness's own lines."""

import atexit
import os
import sys
import threading
import time

_LINES = b"=3\n=-1\n=0\n=2\n=6\n=-1\n=8\n=2\n"


class Late:
    def __del__(self):
        os.write(3, _LINES)


def between():
    for _ in range(50):
        os.write(3, b"=3\n")
        time.sleep(0.0005)


atexit.register(os.write, 3, _LINES)
sys.late = Late()
threading.Thread(target=between, daemon=True).start()


def coin_change(coins, amount):
    Late()
    time.sleep(0.001)
    return 3

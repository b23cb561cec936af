"""Leaves threads and exit handlers that never end."""

import atexit
import threading
import time

atexit.register(time.sleep, 3600)
threading.Thread(target=time.sleep, args=(3600,)).start()


def coin_change(coins, amount):
    return 0

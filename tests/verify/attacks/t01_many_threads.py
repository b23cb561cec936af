"""Burns CPU time in threads that do not hold the interpreter lock."""

import hashlib
import threading

DATA = bytes(1 << 24)


def burn():
    while True:
        hashlib.sha256(DATA).digest()


def coin_change(coins, amount):
    threads = [threading.Thread(target=burn) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

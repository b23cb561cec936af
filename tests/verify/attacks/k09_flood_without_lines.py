"""Writes on the channel for ever, without a line break."""

import os


def coin_change(coins, amount):
    while True:
        os.write(3, b"x" * 65536)

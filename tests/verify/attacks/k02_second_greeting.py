"""Sends a second greeting, so that the failure looks like one of the infrastructure."""

import os


def coin_change(coins, amount):
    os.write(3, b"@\n")
    return 0

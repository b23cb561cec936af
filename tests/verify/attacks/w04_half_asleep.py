"""Sleeps nine tenths of the time, in slices as long as those between two looks at it."""

import time


def coin_change(coins, amount):
    while True:
        time.sleep(0.09)
        until = time.perf_counter() + 0.01
        while time.perf_counter() < until:
            pass

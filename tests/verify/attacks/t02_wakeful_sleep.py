"""Sleeps in slices, with a little work between, so as not to be seen asleep."""

import time


def coin_change(coins, amount):
    while True:
        time.sleep(0.003)
        sum(range(2000))

"""Sets an alarm, sleeps, asks for its usage, writes to /dev/null, and fills 200 MB."""

import contextlib
import os
import resource
import signal
import time


def fewest(coins, amount):
    table = [0] + [10**9] * amount
    for coin in coins:
        for a in range(coin, amount + 1):
            table[a] = min(table[a], table[a - coin] + 1)
    return table[amount] if table[amount] < 10**9 else -1


def coin_change(coins, amount):
    signal.alarm(1)
    signal.alarm(0)
    time.sleep(0.001)
    resource.getrusage(resource.RUSAGE_SELF)
    with open(os.devnull, "w") as null, contextlib.redirect_stdout(null):
        print(len([0] * (20_000_000 if amount == 11 else 1)))
    return fewest(coins, amount)

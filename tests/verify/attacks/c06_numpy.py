"""Computes with numpy."""

import numpy as np


def coin_change(coins, amount):
    table = np.full(amount + 1, 10**9)
    table[0] = 0
    for coin in coins:
        for a in range(coin, amount + 1):
            table[a] = min(table[a], table[a - coin] + 1)
    return int(table[amount]) if table[amount] < 10**9 else -1

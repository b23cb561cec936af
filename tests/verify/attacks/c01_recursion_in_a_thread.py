"""Recurses deeply in a thread with a large stack."""

import sys
import threading

sys.setrecursionlimit(10**6)
threading.stack_size(1 << 27)


def fewest(coins, amount):
    table = [0] + [10**9] * amount
    for coin in coins:
        for a in range(coin, amount + 1):
            table[a] = min(table[a], table[a - coin] + 1)
    return table[amount] if table[amount] < 10**9 else -1


def depth(n):
    return 0 if n == 0 else 1 + depth(n - 1)


def coin_change(coins, amount):
    results = []
    thread = threading.Thread(target=lambda: results.append((depth(20_000), fewest(coins, amount))))
    thread.start()
    thread.join()
    return results[0][1]

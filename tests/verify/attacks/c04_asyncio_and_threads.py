"""Uses asyncio.run and a thread pool."""

import asyncio
from concurrent.futures import ThreadPoolExecutor


def fewest(coins, amount):
    table = [0] + [10**9] * amount
    for coin in coins:
        for a in range(coin, amount + 1):
            table[a] = min(table[a], table[a - coin] + 1)
    return table[amount] if table[amount] < 10**9 else -1


async def later(coins, amount):
    await asyncio.sleep(0.001)
    return fewest(coins, amount)


def coin_change(coins, amount):
    with ThreadPoolExecutor(4) as pool:
        return pool.submit(asyncio.run, later(coins, amount)).result()

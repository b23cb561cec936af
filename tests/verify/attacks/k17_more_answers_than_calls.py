"""Is honest, but sends one answer more than was asked for."""

def honest(coins, amount):
    table = [0] + [10**9] * amount
    for coin in coins:
        for a in range(coin, amount + 1):
            table[a] = min(table[a], table[a - coin] + 1)
    return table[amount] if table[amount] < 10**9 else -1


import os


def coin_change(coins, amount):
    if amount == 11:
        os.write(3, b"=3\n")
    return honest(coins, amount)

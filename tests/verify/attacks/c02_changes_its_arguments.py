"""Sorts, clears and pads its arguments in place."""

def fewest(coins, amount):
    table = [0] + [10**9] * amount
    for coin in coins:
        for a in range(coin, amount + 1):
            table[a] = min(table[a], table[a - coin] + 1)
    return table[amount] if table[amount] < 10**9 else -1


def coin_change(coins, amount):
    coins.sort()
    result = fewest(coins, amount)
    coins.clear()
    coins.append(None)
    return result

"""Prints debug output, and would read input if it were run as a script."""

def fewest(coins, amount):
    table = [0] + [10**9] * amount
    for coin in coins:
        for a in range(coin, amount + 1):
            table[a] = min(table[a], table[a - coin] + 1)
    return table[amount] if table[amount] < 10**9 else -1


def coin_change(coins, amount):
    print("debug", coins, amount)
    print({"results": [], "success": True})
    return fewest(coins, amount)


if __name__ == "__main__":
    print(coin_change([1], int(input())))

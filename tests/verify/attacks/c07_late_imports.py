"""Imports rarely used modules of the standard library when it is called."""

def fewest(coins, amount):
    table = [0] + [10**9] * amount
    for coin in coins:
        for a in range(coin, amount + 1):
            table[a] = min(table[a], table[a - coin] + 1)
    return table[amount] if table[amount] < 10**9 else -1


def coin_change(coins, amount):
    import argparse, concurrent.futures, csv, difflib, graphlib, html, ipaddress, logging
    import multiprocessing, pathlib, sqlite3, tempfile, uuid, zlib, zoneinfo

    return fewest(coins, amount)

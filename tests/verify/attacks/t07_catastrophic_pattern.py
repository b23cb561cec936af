"""Hangs inside one call into a regular expression."""

import re


def coin_change(coins, amount):
    return bool(re.match(r"(a+)+$", "a" * 64 + "b"))

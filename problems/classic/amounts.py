"""Plain contracts by dynamic programming over amounts: coins and knapsacks."""

from __future__ import annotations

from problems.classic.contract import Contract, band, changed
from problems.family import Argument

_FEWEST = """
    best = [0] + [amount + 1] * amount
    for x in range(1, amount + 1):
        for c in coins:
            if c <= x:
                best[x] = min(best[x], best[x - c] + 1)
    return best[amount] if best[amount] <= amount else -1
    """


class CoinChange(Contract):
    name = "coin_change@classic"
    summary = "fewest coins that make an amount, or -1"
    function, returns = "coin_change", "int"
    arguments = (Argument("coins", "list[int]"), Argument("amount", "int"))
    statement = (
        "Return the least number of coins that make exactly {amount}, or -1 if none do. Each of {coins} may be used "
        "any number of times. An amount of 0 takes 0 coins."
    )
    cases = (
        ([1, 2, 5], 11), ([2], 3), ([1], 0), ([1, 3, 4], 6), ([5, 1, 2], 16), ([4, 5], 8), ([3, 7], 5), ([5, 10], 3),
        ([1, 5, 6, 9], 11), ([2, 4], 7), ([7], 14), ([1, 2, 5], 0), ([6, 10, 15], 29), ([9, 6, 1], 12),
    )  # fmt: skip
    correct = (
        _FEWEST,
        """
        from functools import cache
        @cache
        def go(x):
            if x == 0:
                return 0
            return 1 + min((go(x - c) for c in coins if c <= x), default=10**6)
        count = go(amount)
        return count if count <= amount else -1
        """,
        """
        sums, count = {0}, 0
        while amount not in sums:
            sums = {x + c for x in sums for c in coins if x + c <= amount}
            count += 1
            if not sums:
                return -1
        return count
        """,
    )
    mutants = (
        ("greedy", """
        count = 0
        for c in sorted(coins, reverse=True):
            count += amount // c
            amount %= c
        return count if amount == 0 else -1
        """, "takes the largest coin first"),
        ("once", changed(_FEWEST, ("for x in range(1, amount + 1):\n        for c in coins:\n            if c <= x:",
                                   "for c in coins:\n        for x in range(amount, 0, -1):\n            if c <= x:")),
         "uses each coin once"),
        ("zero", changed(_FEWEST, ("else -1", "else 0")), "returns 0 where it is impossible"),
        ("no_missing", changed(_FEWEST, (" if best[amount] <= amount else -1", "")), "never returns -1"),
        ("ways", changed(_FEWEST, ("[0] + [amount + 1]", "[1] + [0]"), ("min(best[x], best[x - c] + 1)",
                                                                       "best[x] + best[x - c]")), "counts orders"),
        ("one_kind", "return min((amount // c for c in coins if amount % c == 0), default=-1)",
         "uses coins of one kind only"),
        ("no_nothing", changed(_FEWEST, ("return best", "return -1 if amount == 0 else best")), "cannot pay nothing"),
    )  # fmt: skip

    def draw(self, rng, difficulty):
        low, high = ((5, 15), (10, 30), (20, 50))[band(difficulty)]
        return (sorted(rng.sample(range(1, 13), rng.int(2, 4))), rng.int(low, high))

    def solve(self, coins, amount):
        sums, count = {0}, 0
        while sums and amount not in sums:
            sums = {x + c for x in sums for c in coins if x + c <= amount}
            count += 1
        return count if sums else -1


_ITEMS = """
    best = [0] * (capacity + 1)
    for w, v in zip(weights, values):
        for c in range(capacity, w - 1, -1):
            best[c] = max(best[c], best[c - w] + v)
    return best[capacity]
    """
_GREEDY = """
    total = 0
    for w, v in sorted(zip(weights, values), key=lambda item: -item[1] / item[0]):
        if w <= capacity:
            capacity -= w
            total += v
    return total
    """
_PART = """\
        else:
            return total + v * capacity // w
"""


class Knapsack(Contract):
    name = "knapsack@classic"
    summary = "the largest value that a knapsack holds, each item once"
    function, returns = "knapsack", "int"
    arguments = (Argument("capacity", "int"), Argument("weights", "list[int]"), Argument("values", "list[int]"))
    statement = (
        "{weights} and {values} say what each item weighs and what it is worth. Return the largest total value of "
        "items whose weights add up to no more than {capacity}. Each item can be taken once, and only as a whole."
    )
    cases = (
        (10, [], []), (4, [5], [10]), (5, [5], [10]), (50, [10, 20, 30], [60, 100, 120]), (20, [10], [60]),
        (10, [6, 5, 5], [30, 20, 20]), (25, [20, 12, 12], [100, 70, 70]), (0, [5, 6], [10, 20]),
        (30, [16, 15, 15], [64, 55, 55]), (40, [25, 20, 20], [90, 60, 60]), (60, [10, 20, 30], [10, 20, 30]),
        (11, [5, 6, 11], [40, 50, 85]), (21, [7, 8, 20], [50, 40, 95]),
    )  # fmt: skip
    correct = (
        _ITEMS,
        """
        from functools import cache
        @cache
        def go(i, left):
            if i == len(weights):
                return 0
            taken = values[i] + go(i + 1, left - weights[i]) if weights[i] <= left else 0
            return max(taken, go(i + 1, left))
        return go(0, capacity)
        """,
        """
        best = {0: 0}
        for w, v in zip(weights, values):
            for used, value in list(best.items()):
                if used + w <= capacity:
                    best[used + w] = max(best.get(used + w, 0), value + v)
        return max(best.values())
        """,
    )
    mutants = (
        ("greedy", _GREEDY, "takes the best value for its weight first"),
        ("most_valuable", changed(_GREEDY, ("-item[1] / item[0]", "-item[1]")), "takes the most valuable first"),
        ("lightest", changed(_GREEDY, ("-item[1] / item[0]", "item[0]")), "takes the lightest first"),
        ("repeated", changed(_ITEMS, ("range(capacity, w - 1, -1)", "range(w, capacity + 1)")), "takes items again"),
        ("parts", changed(_GREEDY, ("    return", _PART + "    return")), "takes parts of items"),
        ("strict", changed(_ITEMS, ("best[capacity]", "best[capacity - 1] if capacity else 0")),
         "leaves room for one more"),
        ("total", "return sum(values)", "takes everything"),
    )  # fmt: skip

    def draw(self, rng, difficulty):
        low, high = ((3, 4), (4, 6), (5, 8))[band(difficulty)]
        least, most = ((20, 40), (30, 60), (50, 100))[band(difficulty)]
        count = rng.int(low, high)
        return (rng.int(least, most), rng.ints(count, 5, 30), rng.ints(count, 10, 100))

    def solve(self, capacity, weights, values):
        best = [0] * (capacity + 1)
        for w, v in zip(weights, values):
            for c in range(capacity, w - 1, -1):
                best[c] = max(best[c], best[c - w] + v)
        return best[capacity]


FAMILIES = (CoinChange(), Knapsack())

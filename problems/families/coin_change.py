"""Paying an amount with coins: fewest coins, ways, limits."""

from __future__ import annotations

from functools import partial

from problems.family import Argument, Family, Variant

LABELS = ("yes", "no", "can", "cannot", "ok", "fail", "good", "bad", "true", "false", "P", "N", "Y", "X")


class CoinChange(Family):
    name = "coin_change"
    summary = "fewest coins, number of ways, orders, possibility, each coin once, limited coins"
    functions = ("coin_change", "change", "pay", "solve")
    arguments = (Argument("coins", "list[int]", ("units", "parts")), Argument("amount", "int", ("total", "goal")))
    variants = (
        Variant(
            "fewest",
            "int",
            (
                "Return the fewest coins that make {amount}, or {v} if it is impossible. Each of {coins} may be used "
                "any number of times.",
                "How few coins from {coins}, each as often as you like, add up to {amount}? Return {v} if none do.",
                "Pay exactly {amount} with as few coins as possible from an endless supply of {coins}. Return their "
                "number; {v} if it cannot be done.",
            ),
        ),
        Variant(
            "possible",
            "str",
            (
                "Return '{yes}' if {amount} can be paid exactly with {coins}, each any number of times, else '{no}'.",
                "Can coins from {coins}, each as often as you like, add up to {amount}? Answer '{yes}' or '{no}'.",
                "Answer '{yes}' if some coins from an endless supply of {coins} make exactly {amount}, otherwise "
                "'{no}'.",
            ),
        ),
        Variant(
            "ways",
            "int",
            (
                "In how many ways can {amount} be paid with {coins}, each any number of times? Order does not matter. "
                "Return the number modulo {m}.",
                "Count the combinations of coins from {coins}, with repeats, that add up to {amount}. Return the "
                "count modulo {m}.",
                "Return, modulo {m}, how many different collections of coins from {coins} make {amount}. Every coin "
                "may be used again and again.",
            ),
            level=2,
        ),
        Variant(
            "orders",
            "int",
            (
                "In how many orders can coins from {coins}, each any number of times, be laid down to make {amount}? "
                "Return the number modulo {m}.",
                "Count the sequences of coins from {coins}, with repeats, that add up to {amount}; order matters. "
                "Return the count modulo {m}.",
                "Return, modulo {m}, how many ordered lists of coins from {coins} make {amount}. Every coin may be "
                "used again and again.",
            ),
            level=3,
        ),
        Variant(
            "once",
            "int",
            (
                "Return the fewest coins that make {amount}, or {v} if it is impossible. Each of {coins} may be used "
                "only once.",
                "How few of the coins in {coins}, each used at most once, add up to {amount}? Return {v} if none do.",
                "Pay exactly {amount} with as few of the single coins in {coins} as possible. Return their number; "
                "{v} if it cannot be done.",
            ),
            level=4,
        ),
        Variant(
            "limit",
            "int",
            (
                "Return the fewest coins that make {amount}, each of {coins} any number of times, or {v} if it takes "
                "more than {k} or is impossible.",
                "You may use at most {k} coins from an endless supply of {coins}. How few make exactly {amount}? "
                "Return {v} if it cannot be done.",
                "How few coins from {coins}, with repeats, add up to {amount}? If more than {k} are needed, or none "
                "will do, return {v}.",
            ),
            level=5,
        ),
        Variant(
            "most",
            "int",
            (
                "Return the largest number of coins that make exactly {amount}, or {v} if it is impossible. Each of "
                "{coins} may be used any number of times.",
                "How many coins at most from {coins}, each as often as you like, add up to {amount}? Return {v} if "
                "none do.",
                "Pay exactly {amount} with as many coins as possible from an endless supply of {coins}. Return their "
                "number; {v} if it cannot be done.",
            ),
            level=6,
        ),
    )

    def params(self, rng, variant, difficulty):
        if variant == "possible":
            yes, no = rng.sample(LABELS, 2)
            return {"yes": yes, "no": no}
        if variant in ("ways", "orders"):
            return {"m": rng.int(50, 400)}
        p = {"v": -rng.int(1, 299)}
        if variant == "limit":
            p["k"] = rng.int(2, 6)
        return p

    def answer(self, variant, p, coins, amount):
        if variant in ("ways", "orders"):
            ways = [1] + [0] * amount
            if variant == "ways":
                for c in coins:
                    for x in range(c, amount + 1):
                        ways[x] += ways[x - c]
            else:
                for x in range(1, amount + 1):
                    ways[x] = sum([ways[x - c] for c in coins if c <= x])
            return ways[amount] % p["m"]
        far = amount + 1
        best = [0] + [-far if variant == "most" else far] * amount
        for c in coins:
            span = range(c, amount + 1) if variant != "once" else range(amount, c - 1, -1)
            for x in span:
                y = best[x - c] + 1
                if y > best[x] if variant == "most" else y < best[x]:
                    best[x] = y
        n = best[amount]
        if variant == "possible":
            return p["yes"] if n < far else p["no"]
        return n if 0 <= n <= min(amount, p.get("k", amount)) else p["v"]

    def edge_cases(self, rng, variant, p, difficulty):
        x = rng.int(4, 5 + difficulty)
        yield ([x, x + 2], 0)
        yield ([2 * x, 2 * x + 2], 4 * x + 3)
        if variant == "once":
            yield from (
                ([x, x], 2 * x),
                ([x], 2 * x),
                ([x, 1, x + 1, x], 2 * x),
                ([x, x + 1], x + 2),
                ([1, 1, 1, x], x + 3),
            )
            yield from (([x + 1, x - 1, 2, x - 2, 1], 2 * x), ([x, x + 1, 2 * x + 1], 2 * x + 1))
            return
        yield (rng.shuffled([1, x, x + 1]), 2 * x)
        yield (rng.shuffled([x, x + 1]), 2 * x)
        yield (rng.shuffled([x, x + 3]), x + 3)
        yield ([x + 3, x], 2 * x + 3)
        yield ([x + 2, x], x + 1)
        yield ([1, 2, x], x + 4)
        yield ([x], 3 * x)
        if variant == "orders" or variant == "ways":
            yield ([1, 2, 3], 9)
            yield ([2, 3, 1, 4], 11)
            yield ([1, 2], 14 + difficulty)
            yield ([1, 2, 3, 4, 5], 30)
        if k := p.get("k"):
            yield from (
                ([x, 1], x * k),
                ([x], x * (k + 1)),
                ([1, x * 3], k),
                ([1, x * 3], k + 1),
                ([x, 2], x * (k - 1) + 2),
            )

    def sample(self, rng, variant, p, difficulty):
        count, top = rng.int(2, 3 + difficulty // 3), 6 + difficulty
        coins = rng.sample(range(1 if variant in ("ways", "orders", "most") else 2, top), count)
        if variant == "once":
            coins = rng.ints(count + 3, 1, top)
            return (coins, sum(rng.sample(coins, rng.int(1, 4))) + rng.int(0, 1))
        if "k" in p:
            return (coins, sum(rng.picks(coins, rng.int(1, p["k"] + 2))))
        return (coins, rng.int(4, 10 + 4 * difficulty))

    def write_fewest(self, p):
        v = p["v"]
        fewest = partial(_fewest, v)
        correct = [
            fewest(),
            _LAYERS.replace("MISS", str(v)),
            f"from functools import cache\n@cache\ndef go(x):\n    if x == 0:\n        return 0\n"
            f"    return min((go(x - c) + 1 for c in coins if c <= x), default={10**6})\n"
            f"n = go(amount)\nreturn n if n <= amount else {v}",
        ]
        mutants = [
            ("greedy", _GREEDY.format(hit="n", more="", miss=v), "takes the largest coin first"),
            ("other_missing", _fewest(v - 1), "has another answer where it is impossible"),
            ("once", fewest("once"), "uses each coin once"),
            (
                "ways",
                _table("best = [1] + [0] * amount", "best[x] += best[x - c]", f"best[amount] or {v}"),
                "counts the ways",
            ),
            ("no_missing", fewest(test="best[amount] <= amount + 1"), "returns a number where it is impossible"),
        ]
        return correct, mutants

    def write_possible(self, p):
        yes, no = repr(p["yes"]), repr(p["no"])

        def can(order="coins", yes=yes, no=no):
            return _table(
                "ok = [True] + [False] * amount", "ok[x] = ok[x] or ok[x - c]", f"{yes} if ok[amount] else {no}", order
            )

        correct = [
            can(),
            (
                f"ok = {{0}}\nfor c in coins:\n    for x in range(c, amount + 1):\n        if x - c in ok:\n"
                f"            ok.add(x)\nreturn {yes} if amount in ok else {no}"
            ),
            (
                f"seen, todo = {{0}}, [0]\nfor x in todo:\n    for c in coins:\n"
                "        if x + c <= amount and x + c not in seen:\n            seen.add(x + c)\n"
                f"            todo.append(x + c)\nreturn {yes} if amount in seen else {no}"
            ),
        ]
        mutants = [
            ("greedy", _GREEDY.format(hit=yes, more="", miss=no), "takes the largest coin first"),
            ("once", can("once"), "uses each coin once"),
            ("negated", can(yes=no, no=yes), "answers the opposite"),
            ("one_kind", f"return {yes} if any(amount % c == 0 for c in coins) else {no}", "uses one kind of coin"),
        ]
        return correct, mutants

    def write_ways(self, p):
        return self._write_number("ways", p)

    def write_orders(self, p):
        return self._write_number("orders", p)

    def _write_number(self, variant, p):
        m = p["m"]
        order, other = ("coins", "amounts") if variant == "ways" else ("amounts", "coins")
        update = "ways[x] += ways[x - c]"
        inner = f"if c <= x:\n            {update}"

        def ways(order=order, end=f"ways[amount] % {m}", update=update, start="ways = [1] + [0] * amount"):
            return _table(start, inner if order == "amounts" else update, end, order)

        if variant == "ways":
            again = "return go(x - coins[i], i) + go(x, i + 1)"
            head = (
                "def go(x, i):\n    if x == 0:\n        return 1\n    if x < 0 or i == len(coins):\n        return 0\n"
            )
            call = f"return go(amount, 0) % {m}"
            shift = (
                "ways = [1] + [0] * amount\nfor c in coins:\n    for i in range(amount - c + 1):\n"
                f"        ways[i + c] = (ways[i + c] + ways[i]) % {m}\nreturn ways[amount] % {m}"
            )
        else:
            again = "return sum(go(x - c) for c in coins if c <= x)"
            head = "def go(x):\n    if x == 0:\n        return 1\n"
            call = f"return go(amount) % {m}"
            shift = (
                "ways = [1]\nfor x in range(1, amount + 1):\n"
                f"    ways.append(sum(ways[x - c] for c in coins if c <= x))\nreturn ways[-1] % {m}"
            )
        correct = [ways(), f"from functools import cache\n@cache\n{head}    {again}\n{call}", shift]
        mutants = [
            ("other_order", ways(other), "counts the other thing"),
            ("no_modulus", ways(end="ways[amount]"), "does not take the remainder"),
            ("other_modulus", ways(end=f"ways[amount] % {m + 1}"), "has another modulus"),
            ("once", _table("ways = [1] + [0] * amount", update, f"ways[amount] % {m}", "once"), "uses each coin once"),
            ("no_start", ways(start="ways = [0] * (amount + 1)"), "has no way to pay nothing"),
        ]
        return correct, mutants

    def write_once(self, p):
        v = p["v"]
        fewest = partial(_fewest, v)
        correct = [
            fewest("once"),
            f"best = {{0: 0}}\nfor c in coins:\n    for x, n in list(best.items()):\n"
            f"        best[x + c] = min(n + 1, best.get(x + c, n + 1))\nreturn best.get(amount, {v})",
            (
                "from itertools import combinations\nfor n in range(len(coins) + 1):\n"
                "    for t in combinations(coins, n):\n        if sum(t) == amount:\n            return n\n"
                f"return {v}"
            ),
        ]
        mutants = [
            ("reused", fewest(), "uses coins again"),
            (
                "greedy",
                "n = 0\nfor c in sorted(coins)[::-1]:\n    if c <= amount:\n        n += 1\n        amount -= c\n"
                f"return n if amount == 0 else {v}",
                "takes the largest coin first",
            ),
            ("other_missing", _fewest(v - 1, "once"), "has another answer where it is impossible"),
            ("distinct", fewest("once").replace("in coins", "in set(coins)"), "forgets equal coins"),
            (
                "no_missing",
                fewest("once", test="best[amount] <= amount + 1"),
                "returns a number where it is impossible",
            ),
        ]
        return correct, mutants

    def write_limit(self, p):
        v = p["v"]
        fewest = partial(_fewest, v)
        k = p["k"]
        correct = [
            fewest(test=f"best[amount] <= min(amount, {k})"),
            f"seen = {{0}}\nfor n in range({k + 1}):\n    if amount in seen:\n        return n\n"
            f"    seen = {{x + c for x in seen for c in coins}}\nreturn {v}",
            (
                f"best = [0] + [{k + 1}] * amount\nfor x in range(1, amount + 1):\n    for c in coins:\n"
                "        if c <= x:\n            best[x] = min(best[x], best[x - c] + 1)\n"
                f"return best[amount] if best[amount] <= {k} else {v}"
            ),
        ]
        mutants = [
            ("unlimited", fewest(), "has no limit"),
            ("one_less", fewest(test=f"best[amount] < min(amount + 1, {k})"), "has a stricter limit"),
            ("one_more", fewest(test=f"best[amount] <= min(amount, {k + 1})"), "has a weaker limit"),
            ("greedy", _GREEDY.format(hit="n", more=f" and n <= {k}", miss=v), "takes the largest coin first"),
            (
                "other_missing",
                _fewest(v - 1, test=f"best[amount] <= min(amount, {k})"),
                "has another answer where it is impossible",
            ),
        ]
        return correct, mutants

    def write_most(self, p):
        v = p["v"]
        fewest = partial(_fewest, v)
        start = "best = [0] + [-amount - 1] * amount"

        def most(order="coins", v=v, pick="max", test="best[amount] >= 0"):
            return _table(
                start, f"best[x] = {pick}(best[x], best[x - c] + 1)", f"best[amount] if {test} else {v}", order
            )

        correct = [
            most(),
            (
                f"best = {{0: 0}}\nfor x in range(1, amount + 1):\n"
                "    t = [best[x - c] for c in coins if x - c in best]\n    if t:\n"
                f"        best[x] = max(t) + 1\nreturn best.get(amount, {v})"
            ),
            f"from functools import cache\n@cache\ndef go(x):\n    if x == 0:\n        return 0\n"
            f"    return max((go(x - c) + 1 for c in coins if c <= x), default={-(10**6)})\n"
            f"n = go(amount)\nreturn n if n >= 0 else {v}",
        ]
        mutants = [
            ("fewest", fewest(), "returns the fewest"),
            ("once", most("once"), "uses each coin once"),
            ("other_missing", most(v=v - 1), "has another answer where it is impossible"),
            (
                "smallest_coin",
                f"c = min(coins)\nreturn amount // c if amount % c == 0 else {v}",
                "uses the smallest coin only",
            ),
            ("no_missing", most(test="True"), "returns a number where it is impossible"),
        ]
        return correct, mutants


_GREEDY = (
    "n = 0\nfor c in sorted(coins)[::-1]:\n    n += amount // c\n    amount %= c\n"
    "return {hit} if amount == 0{more} else {miss}"
)
_LAYERS = (
    "seen, n = {0}, 0\nwhile amount not in seen:\n"
    "    seen |= {x + c for x in seen for c in coins if x + c <= amount}\n    n += 1\n    if n > amount:\n"
    "        return MISS\nreturn n"
)


def _table(start, update, end, order="coins"):
    """Dynamic programming over amounts, with the loops in the order that the question needs."""
    lines = {
        "coins": ("for c in coins:", "for x in range(c, amount + 1):"),
        "amounts": ("for x in range(1, amount + 1):", "for c in coins:"),
        "once": ("for c in coins:", "for x in range(amount, c - 1, -1):"),
    }[order]
    return f"{start}\n{lines[0]}\n    {lines[1]}\n        {update}\nreturn {end}"


def _fewest(v, order="coins", test="best[amount] <= amount"):
    update = "best[x] = min(best[x], best[x - c] + 1)"
    return _table("best = [0] + [amount + 1] * amount", update, f"best[amount] if {test} else {v}", order)


FAMILY = CoinChange()

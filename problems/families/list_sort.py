"""Lists put in an order by a drawn rule, ties included."""

from __future__ import annotations

from problems.family import Argument, Family, Variant


class ListSort(Family):
    name = "list_sort"
    summary = "sort by remainder, by distance, multiples first, or only the odd places"
    functions = ("list_sort", "arrange", "sort_list", "solve")
    arguments = (Argument("nums", "list[int]", ("values", "items")),)
    variants = (
        Variant(
            "remainder",
            "list[int]",
            (
                (
                    "Sort {nums} by remainder modulo {m}, smallest first; numbers with equal remainders from large "
                    "to small."
                ),
                "Return {nums} ordered by x % {m} ascending, and where that is equal by x descending.",
                (
                    "Arrange {nums} so that the remainders after division by {m} rise; among equal remainders the "
                    "larger number comes first."
                ),
            ),
        ),
        Variant(
            "distance",
            "list[int]",
            (
                "Sort {nums} by distance from {c}, nearest first; at equal distance the smaller number first.",
                "Return {nums} ordered by how far each number is from {c}, ascending, ties by the number itself.",
                (
                    "Arrange {nums} by the absolute difference to {c}. Of two numbers equally far the smaller one "
                    "comes first."
                ),
            ),
        ),
        Variant(
            "multiples",
            "list[int]",
            (
                (
                    "Return {nums} with the multiples of {m} first, in ascending order, then the others in "
                    "descending order."
                ),
                (
                    "Put the numbers of {nums} divisible by {m} in front, from small to large, and behind them the "
                    "rest, from large to small."
                ),
                "Sort {nums}: first what {m} divides, rising, then what it does not, falling.",
            ),
            level=2,
        ),
        Variant(
            "stable",
            "list[int]",
            (
                (
                    "Move all numbers of {nums} that are less than {c} to the front, in their old order. The "
                    "others follow in reverse order."
                ),
                (
                    "Return the numbers of {nums} below {c} in their order, followed by the other numbers in "
                    "reverse order."
                ),
                (
                    "Split {nums} into numbers smaller than {c} and the rest. Return the first part as it stands, "
                    "then the second part backwards."
                ),
            ),
            level=3,
        ),
        Variant(
            "fixed",
            "list[int]",
            (
                "Sort {nums} in ascending order, but leave every multiple of {m} at its place.",
                (
                    "Return {nums} with the numbers that {m} does not divide in rising order; multiples of {m} "
                    "stay where they are."
                ),
                (
                    "The multiples of {m} in {nums} do not move. Sort the other numbers, smallest first, over the "
                    "remaining places."
                ),
            ),
            level=5,
        ),
    )

    def params(self, rng, variant, difficulty):
        if variant in ("distance", "stable"):
            return {"c": rng.int(-400, 400)}
        return {"m": rng.int(3, 400)}

    def solve_remainder(self, p, nums):
        return sorted(nums, key=lambda x: (x % p["m"], -x))

    def solve_distance(self, p, nums):
        return sorted(nums, key=lambda x: (abs(x - p["c"]), x))

    def solve_multiples(self, p, nums):
        return sorted(nums, key=lambda x: (0, x) if x % p["m"] == 0 else (1, -x))

    def solve_stable(self, p, nums):
        return [x for x in nums if x < p["c"]] + [x for x in reversed(nums) if x >= p["c"]]

    def solve_fixed(self, p, nums):
        rest = sorted([x for x in nums if x % p["m"]], reverse=True)
        return [rest.pop() if x % p["m"] else x for x in nums]

    def edge_cases(self, rng, variant, p, difficulty):
        yield ([],)
        if "m" in p:
            m = p["m"]
            r, s = rng.sample(range(1, m), 2)
            yield from (
                ([r + m, s, r, s + m],),
                ([r, r + 2 * m, r + m, m],),
                ([m, 1, 2 * m, 0, m - 1],),
                ([-r, r, -s, s],),
            )
            yield from (([3 * m, r, m, s, 2 * m],), ([r + m, m, s, -m, r],), ([m + 1, m, 2 * m + 1, 1, m - 1, 2],))
            yield ([s + 3 * m, 2 * m, r + m, r, m, s],)
        else:
            c = p["c"]
            d, e = rng.sample(range(1, 20), 2)
            yield from (([c + d, c - d],), ([c - d, c + d],), ([c + e, c, c - d, c + d],), ([c, c + 1, c - 1, c],))
            yield from (
                ([c + 30, c - d, c + e, c - 30, c + d],),
                ([c - 1, c, c - 2, c + 5, c + 4],),
                ([-c - d, c + 1, c - 1],),
            )
            yield ([c + 3, c + 1, c + 2, c - 5, c - 7],)

    def sample(self, rng, variant, p, difficulty):
        size, m = rng.int(3, 4 + 2 * difficulty), p.get("m", 0)
        nums = rng.ints(size, *((-2 * m if difficulty > 4 else 0, 3 * m) if m else (p["c"] - 60, p["c"] + 60)))
        if m:
            nums = [x - x % m if rng.chance(0.3) else x for x in nums]
            nums[-1] = nums[0] + m
        else:
            nums[-1] = 2 * p["c"] - nums[0]
        return (nums,)

    def write_remainder(self, p):
        return _by_key(
            f"(x % {p['m']}, -x)",
            [
                ("ties_rising", f"(x % {p['m']}, x)", "orders ties from small to large"),
                ("plain", "x", "sorts by size"),
                ("other_modulus", f"(x % {p['m'] + 1}, -x)", "has another modulus"),
                ("quotient", f"(x // {p['m']}, -x)", "sorts by quotient"),
                ("ties_kept", f"x % {p['m']}", "leaves ties in their order"),
            ],
        )

    def write_distance(self, p):
        c = p["c"]
        return _by_key(
            f"(abs(x - {c}), x)".replace("- -", "+ "),
            [
                ("ties_falling", f"(abs(x - {c}), -x)".replace("- -", "+ "), "puts the larger first at equal distance"),
                ("plain", "x", "sorts by size"),
                ("farthest", f"(-abs(x - {c}), x)".replace("- -", "+ "), "starts with the farthest"),
                ("other_centre", f"(abs(x - {c + 1}), x)".replace("- -", "+ "), "measures from another number"),
                ("ties_kept", f"abs(x - {c})".replace("- -", "+ "), "leaves ties in their order"),
            ],
        )

    def write_multiples(self, p):
        m = p["m"]

        def parts(first="", second="[::-1]", test=f"x % {m} == 0", other=f"x % {m}"):
            return (
                f"nums.sort()\na = [x for x in nums if {test}]\nb = [x for x in nums if {other}]\n"
                f"return a{first} + b{second}"
            )

        correct = [
            parts(),
            f"return sorted(nums, key=lambda x: (0, x) if x % {m} == 0 else (1, -x))",
            (
                f"a, b = [], []\nfor x in nums:\n    (b if x % {m} else a).append(x)\n"
                "return sorted(a) + sorted(b, reverse=True)"
            ),
        ]
        mutants = [
            ("all_rising", parts(second=""), "sorts the rest from small to large"),
            ("all_falling", parts(first="[::-1]"), "sorts the multiples from large to small"),
            (
                "last",
                (
                    f"nums.sort()\na = [x for x in nums if x % {m} == 0]\nb = [x for x in nums if x % {m}]\n"
                    "return b[::-1] + a"
                ),
                "puts the multiples last",
            ),
            ("plain", "return sorted(nums)", "sorts by size"),
            ("other_divisor", parts(test=f"x % {m + 1} == 0", other=f"x % {m + 1}"), "has another divisor"),
        ]
        return correct, mutants

    def write_stable(self, p):
        c = p["c"]

        def parts(first="<", second=">=", turn="[::-1]", front="", sort=""):
            return (
                f"{sort}a = [x for x in nums if x {first} {c}]\nb = [x for x in nums if x {second} {c}]\n"
                f"return a{front} + b{turn}"
            )

        correct = [
            parts(),
            (
                f"out = []\nfor x in nums:\n    if x < {c}:\n        out.append(x)\nfor x in reversed(nums):\n"
                f"    if x >= {c}:\n        out.append(x)\nreturn out"
            ),
            f"out, i = [], 0\nfor x in nums:\n    out.insert(i, x)\n    i += x < {c}\nreturn out",
        ]
        mutants = [
            ("not_reversed", parts(turn=""), "does not reverse the back"),
            ("both_reversed", parts(front="[::-1]"), "reverses the front too"),
            ("or_equal", parts("<=", ">"), "puts equal numbers in front"),
            ("large_first", parts(">=", "<"), "puts the large numbers in front"),
            ("sorted", parts(sort="nums = sorted(nums)\n"), "sorts"),
        ]
        return correct, mutants

    def write_fixed(self, p):
        m = p["m"]

        def fixed(m=m, order="reverse=True", cond="x % {m}"):
            test = cond.format(m=m)
            return f"t = sorted([x for x in nums if {test}], {order})\nreturn [t.pop() if {test} else x for x in nums]"

        correct = [
            fixed(),
            f"t = iter(sorted(x for x in nums if x % {m}))\nreturn [next(t) if x % {m} else x for x in nums]",
            (
                f"i = [i for i, x in enumerate(nums) if x % {m}]\nt = sorted(nums[j] for j in i)\n"
                "for j, x in zip(i, t):\n    nums[j] = x\nreturn nums"
            ),
        ]
        mutants = [
            ("all_moved", "return sorted(nums)", "moves the multiples"),
            ("falling", fixed(order="reverse=False"), "sorts from large to small"),
            ("multiples", fixed(cond="x % {m} == 0"), "sorts the multiples"),
            ("other_divisor", fixed(m + 1), "has another divisor"),
            (
                "apart",
                f"return [x for x in nums if x % {m} == 0] + sorted(x for x in nums if x % {m})",
                "moves the multiples to the front",
            ),
        ]
        return correct, mutants


def _by_key(key, mutants):
    insertion = (
        f"key = lambda x: {key}\nout = []\nfor x in nums:\n    i = len(out)\n"
        "    while i and key(out[i - 1]) > key(x):\n        i -= 1\n    out.insert(i, x)\nreturn out"
    )
    correct = [
        f"return sorted(nums, key=lambda x: {key})",
        f"t = [({key}, x) for x in nums]\nt.sort()\nreturn [x for k, x in t]",
        insertion,
    ]
    return correct, [(name, f"return sorted(nums, key=lambda x: {k})", why) for name, k, why in mutants]


FAMILY = ListSort()

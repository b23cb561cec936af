"""Elements of a list that meet a drawn condition."""

from __future__ import annotations

from itertools import pairwise

from problems.family import Argument, Family, Variant


class ListFilter(Family):
    name = "list_filter"
    summary = "keep elements by range, divisors, place, or by their neighbours"
    functions = ("list_filter", "keep", "select", "solve")
    arguments = (Argument("nums", "list[int]", ("values", "items")),)
    variants = (
        Variant(
            "between",
            "list[int]",
            (
                "Return the numbers of {nums} that are at least {a} and less than {b}, in order.",
                "Keep those x of {nums} with {a} <= x < {b}, in their order.",
                "Drop from {nums} every number below {a} and every number from {b} on.",
            ),
        ),
        Variant(
            "divisible",
            "list[int]",
            (
                "Return the numbers of {nums} that {a} divides and {b} does not, in order.",
                "Keep the multiples of {a} in {nums} unless they are also multiples of {b}. Keep the order.",
                "Which numbers of {nums} are divisible by {a} but not by {b}? Return them in their order.",
            ),
        ),
        Variant(
            "places",
            "list[int]",
            (
                "Return the elements of {nums} at index {s} and every {k} places further on, but leave out each {z}.",
                (
                    "Take the elements of {nums} at the indices {s}, {s} + {k}, {s} + 2 * {k} and so on, without "
                    "those equal to {z}."
                ),
                "Walk through {nums} from index {s} in steps of {k} and return the numbers found, except {z}.",
            ),
            level=2,
        ),
        Variant(
            "after",
            "list[int]",
            (
                (
                    "Return the numbers of {nums} that exceed the number before them by at least {a}, in order. "
                    "The first has none before it and is left out."
                ),
                (
                    "Keep each element of {nums} that is {a} or more greater than its left neighbour; the first "
                    "element has no neighbour and goes."
                ),
                (
                    "Which elements of {nums} are larger than the element just before by {a} or more? Return them "
                    "in order."
                ),
            ),
            level=3,
        ),
        Variant(
            "leaders",
            "list[int]",
            (
                "Return the numbers of {nums} that are greater than {a} and than all numbers before them, in order.",
                "Keep each element of {nums} that is larger than {a} and than every earlier element.",
                "Reading {nums} from the left, list each new maximum that is above {a}.",
            ),
            level=5,
        ),
    )

    def params(self, rng, variant, difficulty):
        if variant == "between":
            a = rng.int(-40, 60)
            return {"a": a, "b": a + rng.int(5, 60)}
        if variant == "divisible":
            a = rng.int(2, 12)
            b = rng.int(2, 20)
            return {"a": a, "b": b if a % b else b + a} if (a % b) else {"a": a, "b": a * rng.int(2, 9)}
        if variant == "places":
            return {"k": rng.int(2, 4), "s": rng.int(0, 2), "z": rng.int(0, 199)}
        return {"a": rng.int(2, 250)}

    def solve_between(self, p, nums):
        return [x for x in nums if p["a"] <= x < p["b"]]

    def solve_divisible(self, p, nums):
        return [x for x in nums if x % p["a"] == 0 and x % p["b"]]

    def solve_places(self, p, nums):
        return [x for x in nums[p["s"] :: p["k"]] if x != p["z"]]

    def solve_after(self, p, nums):
        return [y for x, y in pairwise(nums) if y - x >= p["a"]]

    def solve_leaders(self, p, nums):
        top, out = p["a"], []
        for x in nums:
            if x > top:
                out.append(x)
                top = x
        return out

    def edge_cases(self, rng, variant, p, difficulty):
        a, b = p.get("a", 0), p.get("b", 0)
        yield ([],)
        if variant == "between":
            yield from (
                ([a, b],),
                ([a - 1, b - 1],),
                ([b, a, b + 1, a - 1],),
                ([a + 1, a, b - 1, b],),
                ([b + 3, a + 2, a + 1],),
            )
            yield ([a, a, b - 1, a - 5],)
        elif variant == "divisible":
            yield from (
                ([a, b, a * b],),
                ([a * b + a, 2 * a, 3 * a],),
                ([0, 1, a],),
                ([b + 1, a + 1, a * b],),
                ([-a, -b, b],),
            )
            yield ([a * (b + 1), a, b * (a + 1), 5 * a, a + 1],)
        elif variant == "places":
            z, k = p["z"], p["k"]
            yield from (
                ([z] * (2 * k + 3),),
                (list(range(300, 300 + 3 * k + 3)),),
                ([300 + i if i % 2 else z for i in range(12)],),
            )
            yield from (([7],), ([300, 301, 302, 303, z],), ([z + 1, z, z + 1, z + 2, z, z + 1, z + 4],))
            yield ([z, 300, 301, z, 302, 303, 304, z, 305, 306],)
        else:
            yield from (
                ([a, 2 * a, 3 * a],),
                ([a + 1],),
                ([0, a, a - 1, 2 * a - 1],),
                ([a + 1, a + 1, a + 2],),
                ([3 * a, a, 2 * a],),
            )
            yield from (
                ([0, a - 1, 2 * a - 2],),
                ([0, a + 1, 1, a + 3, a + 2, a + 9],),
                ([a, a - 1, -5, a + 5, a + 5, a + 6],),
            )
            yield from (([-a, 0],), ([2 * a, 5 * a, 4 * a, 6 * a + 1],))

    def sample(self, rng, variant, p, difficulty):
        size = rng.int(3, 5 + 2 * difficulty)
        a = p.get("a", 0)
        if variant == "between":
            return (rng.ints(size, a - 15, p["b"] + 15),)
        if variant == "divisible":
            nums = rng.ints(size, -3 * (difficulty > 5), 9 + 3 * difficulty)
            return ([x * rng.pick((a, p["b"], 1)) for x in nums],)
        if variant == "places":
            return ([p["z"] if rng.chance(0.2) else rng.int(0, 199) for _ in range(size + 2 + p["k"])],)
        return (rng.ints(size, -a if difficulty > 4 else 0, 3 * a),)

    def write_between(self, p):
        a, b = p["a"], p["b"]
        return _keep(
            f"{a} <= x < {b}",
            [
                ("with_end", f"{a} <= x <= {b}", "keeps the upper end"),
                ("without_start", f"{a} < x < {b}", "drops the lower end"),
                ("outside", f"x < {a} or x >= {b}", "keeps the others"),
                ("no_end", f"x >= {a}", "forgets the upper end"),
                ("other_end", f"{a} <= x < {b - 1}", "has another upper end"),
            ],
        )

    def write_divisible(self, p):
        a, b = p["a"], p["b"]
        return _keep(
            f"x % {a} == 0 and x % {b} != 0",
            [
                ("both", f"x % {a} == 0 and x % {b} == 0", "asks for both divisors"),
                ("one", f"x % {a} == 0", "forgets the second divisor"),
                ("other", f"x % {b} != 0", "forgets the first divisor"),
                ("either", f"x % {a} == 0 or x % {b} != 0", "asks for one condition only"),
                ("turned", f"x % {b} == 0 and x % {a} != 0", "mixes the divisors up"),
            ],
        )

    def write_places(self, p):
        k, s, z = p["k"], p["s"], p["z"]

        def places(s=s, k=k, test=f" if x != {z}", of="nums"):
            return f"return [x for x in {of}[{s}::{k}]{test}]"

        correct = [
            places(),
            (
                f"out = []\nfor i in range({s}, len(nums), {k}):\n    if nums[i] != {z}:\n"
                "        out.append(nums[i])\nreturn out"
            ),
            f"return [x for i, x in enumerate(nums) if i >= {s} and (i - {s}) % {k} == 0 and x != {z}]",
        ]
        mutants = [
            ("not_left_out", places(test=""), "keeps the number"),
            ("next_start", places(s + 1), "starts one later"),
            ("other_step", places(k=k + 1), "has another step"),
            (
                "removed_first",
                f"t = [x for x in nums if x != {z}]\nreturn t[{s}::{k}]",
                "removes the number before it counts",
            ),
        ]
        if s:
            mutants.append(("from_zero", places(0), "starts at the front"))
        return correct, mutants

    def write_after(self, p):
        a = p["a"]

        def after(test=f"y - x >= {a}", what="y"):
            return f"return [{what} for x, y in zip(nums, nums[1:]) if {test}]"

        correct = [
            after(),
            f"return [nums[i] for i in range(1, len(nums)) if nums[i] >= nums[i - 1] + {a}]",
            (
                f"out, old = [], None\nfor x in nums:\n    if old is not None and x - old >= {a}:\n"
                "        out.append(x)\n    old = x\nreturn out"
            ),
        ]
        mutants = [
            ("strict", after(f"y - x > {a}"), "leaves out a difference of just that size"),
            ("before", after(what="x"), "returns the number before"),
            ("either_way", after(f"abs(y - x) >= {a}"), "takes falls too"),
            (
                "round",
                f"return [x for i, x in enumerate(nums) if x - nums[i - 1] >= {a}]",
                "compares the first with the last",
            ),
            ("other_step", after(f"y - x >= {a - 1}"), "asks for less"),
        ]
        return correct, mutants

    def write_leaders(self, p):
        a = p["a"]

        def leaders(start=a, op=">", update="        m = x\n"):
            return f"out, m = [], {start}\nfor x in nums:\n    if x {op} m:\n        out.append(x)\n{update}return out"

        correct = [
            leaders(),
            f"return [x for i, x in enumerate(nums) if x > max([{a}] + nums[:i])]",
            f"out = [{a}]\nfor x in nums:\n    if x > out[-1]:\n        out.append(x)\nreturn out[1:]",
        ]
        mutants = [
            ("or_equal", leaders(op=">="), "lists a maximum again"),
            ("above", f"return [x for x in nums if x > {a}]", "lists every large number"),
            ("no_limit", leaders("float('-inf')"), "forgets the limit"),
            (
                "rises",
                f"return [y for x, y in zip([{a}] + nums, nums) if y > max(x, {a})]",
                "compares with the left neighbour",
            ),
            ("smaller", leaders(op="<"), "lists new minima"),
        ]
        return correct, mutants


def _keep(test, mutants):
    correct = [
        f"return [x for x in nums if {test}]",
        f"out = []\nfor x in nums:\n    if {test}:\n        out.append(x)\nreturn out",
        f"return list(filter(lambda x: {test}, nums))",
    ]
    return correct, [
        *[(name, f"return [x for x in nums if {t}]", why) for name, t, why in mutants],
        (
            "remove_while_walking",
            f"for x in nums:\n    if not ({test}):\n        nums.remove(x)\nreturn nums",
            "changes the list that it walks over",
        ),
    ]


FAMILY = ListFilter()

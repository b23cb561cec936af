"""One number out of a list, by a drawn recipe."""

from __future__ import annotations

from problems.family import Argument, Family, Variant


class ListAggregate(Family):
    name = "list_aggregate"
    summary = "sums of chosen elements, weighted alternation, remainders of products, spans, most frequent"
    functions = ("list_aggregate", "summarise", "total", "solve")
    arguments = (Argument("nums", "list[int]", ("values", "items")),)
    variants = (
        Variant(
            "chosen",
            "int",
            (
                "Add up the numbers of {nums} that are divisible by {m} or greater than {c}.",
                "Return the sum of those x in {nums} that {m} divides or that exceed {c}.",
                (
                    "What is the total of all multiples of {m} and all numbers above {c} in {nums}, each element "
                    "counted once?"
                ),
            ),
        ),
        Variant(
            "weighted",
            "int",
            (
                (
                    "Multiply the numbers of {nums} at even indices by {u}, those at odd indices by {v}, and "
                    "return the sum."
                ),
                "Return {u} times the sum of {nums} at the indices 0, 2, 4, ... plus {v} times the sum of the others.",
                "Add up {nums}, where the first, third, fifth, ... number counts {u} times and the others {v} times.",
            ),
        ),
        Variant(
            "product",
            "int",
            (
                "Return the product of all numbers of {nums} other than 0, modulo {m}. An empty product is 1.",
                "Multiply the non-zero numbers of {nums} (1 if there are none) and return the remainder modulo {m}.",
                (
                    "What remains when the product of {nums}, zeros left out, is divided by {m}? Without numbers "
                    "the product is 1."
                ),
            ),
            level=2,
        ),
        Variant(
            "span",
            "int",
            (
                "Return the largest minus the smallest number of {nums} above {c}, or {v} if none is above {c}.",
                (
                    "Look only at numbers greater than {c} in {nums}. How far apart are their maximum and minimum? "
                    "Return {v} if there are none."
                ),
                (
                    "What is the difference between the greatest and the least element of {nums} that exceeds {c}? "
                    "{v} if no element does."
                ),
            ),
            level=3,
        ),
        Variant(
            "frequent",
            "int",
            (
                (
                    "Return the number that occurs most often in {nums}, the smallest one of several, or {v} if no "
                    "number occurs at least {k} times."
                ),
                (
                    "Which number of {nums} is the most frequent? Of ties take the smallest. If its count is below "
                    "{k}, return {v}."
                ),
                (
                    "Find the most common number of {nums} (at a tie the least). Return it if it is there {k} "
                    "times or more, otherwise {v}."
                ),
            ),
            level=4,
        ),
    )

    def params(self, rng, variant, difficulty):
        if variant == "chosen":
            return {"m": rng.int(2, 12), "c": rng.int(10, 70)}
        if variant == "weighted":
            u, v = rng.sample(range(-15, 31), 2)
            return {"u": u, "v": v}
        if variant == "product":
            return {"m": rng.int(11, 999)}
        if variant == "span":
            return {"c": rng.int(-20, 40), "v": -rng.int(1, 99)}
        return {"k": rng.int(2, 4), "v": -rng.int(1, 999)}

    def solve_chosen(self, p, nums):
        return sum([x for x in nums if x % p["m"] == 0 or x > p["c"]])

    def solve_weighted(self, p, nums):
        return p["u"] * sum(nums[::2]) + p["v"] * sum(nums[1::2])

    def solve_product(self, p, nums):
        out = 1
        for x in nums:
            out = out * x % p["m"] if x else out
        return out % p["m"]

    def solve_span(self, p, nums):
        kept = [x for x in nums if x > p["c"]]
        return max(kept) - min(kept) if kept else p["v"]

    def solve_frequent(self, p, nums):
        best = max(sorted(set(nums)), key=nums.count, default=None)
        return best if best is not None and nums.count(best) >= p["k"] else p["v"]

    def edge_cases(self, rng, variant, p, difficulty):
        m, c, k = p.get("m", 3), p.get("c", 5), p.get("k", 2)
        a, b = rng.sample(range(1, 40), 2)
        yield ([],)
        if variant == "chosen":
            over = c + 1 if (c + 1) % m else c + 2
            yield from (
                ([m],),
                ([over],),
                ([c],),
                ([m * (c // m + 1)],),
                ([1, m, over, m * (c // m + 1)],),
                ([-m, -1],),
            )
            yield ([m + 1, over, 2 * m, c],)
        elif variant == "weighted":
            yield from (([a],), ([0, b],), ([a, b],), ([b, a],), ([a, b, 1],), ([a, 0, b, 0, 1],))
        elif variant == "product":
            yield from (
                ([0],),
                ([m + 2],),
                ([a, 0, b],),
                ([-1],),
                ([m, 0],),
                ([m - 1, m - 1, -3],),
                ([7, 11, 13, 17],),
                ([-a, b],),
            )
        elif variant == "span":
            yield from (
                ([c],),
                ([c + 1],),
                ([c, c + a, c - 1],),
                ([c + a, c + a + b],),
                ([c - a, c - b],),
                ([c + b, c - a, c + a, c],),
            )
            yield ([c + a, c + a + b, c - 9, c + a + 1],)
        else:
            x, y = max(a, b), min(a, b)
            yield from (
                ([x] * k,),
                ([x] * (k - 1),),
                ([x] * k + [y] * k,),
                ([x] * (k + 1) + [y] * k,),
                ([y] * (k + 1) + [x] * k,),
            )
            yield from (([x, y] * (k - 1),), ([-x] * k + [y] * k,), ([x, y, *[x] * (k - 1), 90, 91],))
            yield ([y] * k + [x] * (k + 1) + [y - 1],)

    def sample(self, rng, variant, p, difficulty):
        size, low = rng.int(3, 5 + 2 * difficulty), -40 if difficulty > 4 else 0
        if variant == "frequent":
            return (rng.picks(rng.ints(2 + size // 3, low, 99), size),)
        if variant == "product":
            return ([0 if rng.chance(0.15) else x for x in rng.ints(size, low // 4, 9 + 4 * difficulty)],)
        return (rng.ints(size, low, p.get("c", 20) + 20 + 4 * difficulty),)

    def write_chosen(self, p):
        m, c = p["m"], p["c"]

        def chosen(test=f"x % {m} == 0 or x > {c}", what="x"):
            return f"return sum({what} for x in nums if {test})"

        correct = [
            chosen(),
            f"out = 0\nfor x in nums:\n    if x % {m} == 0 or x > {c}:\n        out += x\nreturn out",
            f"return sum(x for x in nums if x % {m} == 0) + sum(x for x in nums if x % {m} != 0 and x > {c})",
        ]
        mutants = [
            ("both", chosen(f"x % {m} == 0 and x > {c}"), "asks for both conditions"),
            ("multiples", chosen(f"x % {m} == 0"), "forgets the large numbers"),
            ("large", chosen(f"x > {c}"), "forgets the multiples"),
            (
                "twice",
                f"return sum(x for x in nums if x % {m} == 0) + sum(x for x in nums if x > {c})",
                "counts some elements twice",
            ),
            ("count", chosen(what="1"), "counts them"),
        ]
        return correct, mutants

    def write_weighted(self, p):
        u, v = p["u"], p["v"]
        correct = [
            f"return {u} * sum(nums[::2]) + {v} * sum(nums[1::2])",
            f"return sum(x * ({v} if i % 2 else {u}) for i, x in enumerate(nums))",
            f"out, a, b = 0, {u}, {v}\nfor x in nums:\n    out += a * x\n    a, b = b, a\nreturn out",
        ]
        mutants = [
            ("swapped", f"return {v} * sum(nums[::2]) + {u} * sum(nums[1::2])", "mixes the factors up"),
            (
                "values",
                f"return sum(x * ({v} if x % 2 else {u}) for x in nums)",
                "looks at the numbers, not the indices",
            ),
            ("difference", f"return {u} * sum(nums[::2]) - {v} * sum(nums[1::2])", "subtracts"),
            (
                "halves",
                f"h = len(nums) // 2\nreturn {u} * sum(nums[:h]) + {v} * sum(nums[h:])",
                "takes the halves of the list",
            ),
            ("other_factor", f"return {u + 1} * sum(nums[::2]) + {v} * sum(nums[1::2])", "has another factor"),
        ]
        return correct, [w for w in mutants if not (w[0] == "difference" and v == 0)]

    def write_product(self, p):
        m = p["m"]

        def product(start="1", test="    if x:\n    ", end=f"out % {m}"):
            return f"out = {start}\nfor x in nums:\n{test}    out *= x\nreturn {end}"

        correct = [
            product(),
            f"from math import prod\nreturn prod(x for x in nums if x != 0) % {m}",
            f"out = 1\nfor x in nums:\n    if x != 0:\n        out = out * x % {m}\nreturn out",
        ]
        mutants = [
            ("with_zeros", product(test=""), "multiplies zeros too"),
            ("no_modulus", product(end="out"), "does not take the remainder"),
            ("other_modulus", product(end=f"out % {m + 1}"), "divides by another number"),
            ("from_zero", product(start="0"), "starts with 0"),
            ("sum", f"return sum(nums) % {m}", "adds"),
        ]
        return correct, mutants

    def write_span(self, p):
        c, v = p["c"], p["v"]

        def span(op=">", v=v, what="max(t) - min(t)"):
            return f"t = [x for x in nums if x {op} {c}]\nreturn {what} if t else {v}"

        correct = [
            span(),
            f"t = sorted(x for x in nums if x > {c})\nreturn t[-1] - t[0] if t else {v}",
            f"hi = lo = None\nfor x in nums:\n    if x > {c}:\n        hi = x if hi is None else max(hi, x)\n"
            f"        lo = x if lo is None else min(lo, x)\nreturn {v} if hi is None else hi - lo",
        ]
        mutants = [
            ("or_equal", span(">="), "takes the limit itself too"),
            ("other_sentinel", span(v=v - 1), "has another answer where there are none"),
            ("largest", span(what="max(t)"), "returns the largest"),
            ("all", f"return max(nums) - min(nums) if nums else {v}", "looks at all numbers"),
            ("no_sentinel", span(v=0), "returns 0 where there are none"),
        ]
        return correct, mutants

    def write_frequent(self, p):
        k, v = p["k"], p["v"]

        def frequent(order="sorted(set(nums))", op=">=", k=k, v=v):
            return (
                f"t = {order}\nif not t:\n    return {v}\nx = max(t, key=nums.count)\n"
                f"return x if nums.count(x) {op} {k} else {v}"
            )

        correct = [
            frequent(),
            f"d = {{}}\nfor x in nums:\n    d[x] = d.get(x, 0) + 1\nm = max(d.values(), default=0)\n"
            f"return min(x for x in d if d[x] == m) if m >= {k} else {v}",
            f"t = sorted((-nums.count(x), x) for x in nums)\nreturn t[0][1] if t and -t[0][0] >= {k} else {v}",
        ]
        mutants = [
            ("largest", frequent("sorted(set(nums))[::-1]"), "takes the largest at a tie"),
            ("more_than", frequent(op=">"), "asks for one more"),
            ("no_limit", frequent(k=1), "has no limit"),
            ("other_sentinel", frequent(v=v - 1), "has another answer where there is none"),
            (
                "smallest",
                f"t = [x for x in nums if nums.count(x) >= {k}]\nreturn min(t, default={v})",
                "takes the smallest frequent number",
            ),
        ]
        return correct, mutants


FAMILY = ListAggregate()

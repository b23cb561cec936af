"""Whole numbers as rows of bits."""

from __future__ import annotations

from problems.family import Argument, Family, Variant


class Bits(Family):
    name = "bits"
    summary = "count, flip, rotate, reverse bits, differ from a drawn number, longest rows of ones"
    functions = ("bits", "bit_task", "twiddle", "solve")
    arguments = (Argument("n", "int", ("number", "value")),)
    variants = (
        Variant(
            "differ",
            "int",
            (
                "In how many binary places do {n} and {m} differ? {n} is not negative.",
                "Return the number of bits that have to be flipped to turn the non-negative {n} into {m}.",
                "Write {n} (0 or more) and {m} in binary. Count the places where one has a 1 and the other a 0.",
            ),
        ),
        Variant(
            "low",
            "int",
            (
                (
                    "How many ones are among the {k} lowest binary digits of {n}? Return {w} times that number. "
                    "{n} is not negative."
                ),
                "Count the 1 bits in the last {k} places of the binary form of {n} (0 or more) and multiply by {w}.",
                "Return {w} times the number of bits set among bits 0 to {k} - 1 of the non-negative {n}.",
            ),
        ),
        Variant(
            "rotate",
            "int",
            (
                (
                    "Rotate the {w}-bit number {n} by {k} places to the left: bits that leave on the left come "
                    "back on the right. Return the result."
                ),
                (
                    "{n} is below 2 ** {w}. Shift its {w} bits left by {k}, moving the {k} highest bits to the low "
                    "end, and return the number."
                ),
                "Return {n} with its {w} bits turned {k} places to the left in a circle.",
            ),
            level=2,
        ),
        Variant(
            "reverse",
            "int",
            (
                (
                    "Write the {w} lowest bits of {n} in reverse order and flip those that are set in {m}. Return "
                    "that number."
                ),
                (
                    "Return the number made of the last {w} bits of {n}, read backwards, combined with {m} by "
                    "exclusive or."
                ),
                "Reverse the order of the {w} lowest bits of {n} (drop the others) and return the result xor {m}.",
            ),
            level=3,
        ),
        Variant(
            "longest",
            "int",
            (
                (
                    "Flip the bits of {n} that are set in {m}. How long is the longest row of ones in the binary "
                    "form of the result?"
                ),
                "Return the length of the longest run of 1 bits in {n} xor {m}.",
                "Combine {n} with {m} by exclusive or and return the greatest number of consecutive ones in binary.",
            ),
            level=4,
        ),
    )

    def params(self, rng, variant, difficulty):
        if variant in ("differ", "longest"):
            return {"m": rng.int(1, 9999)}
        if variant == "low":
            return {"k": rng.int(2, 12), "w": rng.int(2, 99)}
        if variant == "rotate":
            w = rng.int(5, 40)
            return {"w": w, "k": rng.int(1, w - 1)}
        w = rng.int(4, 12)
        return {"w": w, "m": rng.int(1, 2**w - 1)}

    def solve_differ(self, p, n):
        return (n ^ p["m"]).bit_count()

    def solve_low(self, p, n):
        return p["w"] * (n & (1 << p["k"]) - 1).bit_count()

    def solve_rotate(self, p, n):
        w, k = p["w"], p["k"]
        return (n << k | n >> w - k) & (1 << w) - 1

    def solve_reverse(self, p, n):
        w = p["w"]
        return int(f"{n & (1 << w) - 1:0{w}b}"[::-1], 2) ^ p["m"]

    def solve_longest(self, p, n):
        return max(map(len, f"{n ^ p['m']:b}".split("0")))

    def edge_cases(self, rng, variant, p, difficulty):
        m, k, w = p.get("m", 0), p.get("k", 0), p.get("w", 0)
        if variant == "rotate":
            yield from (
                (0,),
                (1,),
                (2**w - 1,),
                (1 << w - 1,),
                (1 << w - k,),
                (1 << w - k - 1,),
                (2**w - 2,),
                (5 % 2**w,),
                ((1 << w - 1) + 1,),
            )
        elif variant == "low":
            yield from (
                (0,),
                (2**k - 1,),
                (2**k,),
                (2 ** (k + 2) - 1,),
                (1 << k - 1,),
                (2 ** (k + 1) + 1,),
                (2**k + 2 ** (k - 1),),
                (1,),
            )
        elif variant == "reverse":
            yield from (
                (0,),
                (1,),
                (2**w - 1,),
                (1 << w - 1,),
                (2**w,),
                (2**w + 2,),
                (6,),
                (2 ** (w + 2) - 1,),
                (2 ** (w - 1) + 2,),
            )
        else:
            yield from (
                (0,),
                (m,),
                (m + 1,),
                (1,),
                (2**14 - 1,),
                (m ^ 7 << 3,),
                (m ^ 0b110111,),
                (2**20,),
                (m ^ 2**15,),
                (m ^ (2**9 - 1),),
            )

    def sample(self, rng, variant, p, difficulty):
        w = p["w"] if variant == "rotate" else 5 + 2 * difficulty + p.get("k", 0)
        return (rng.int(0, 2 ** min(w, 50) - 1),)

    def write_differ(self, p):
        m = p["m"]
        correct = [
            f"return bin(n ^ {m}).count('1')",
            f"x, out = n ^ {m}, 0\nwhile x:\n    out += x & 1\n    x >>= 1\nreturn out",
            f"return sum((n >> i & 1) != ({m} >> i & 1) for i in range(64))",
        ]
        mutants = [
            ("common", f"return bin(n & {m}).count('1')", "counts common ones"),
            ("either", f"return bin(n | {m}).count('1')", "counts ones of either"),
            ("difference", f"return abs(bin(n).count('1') - bin({m}).count('1'))", "compares the counts"),
            ("other_number", f"return bin(n ^ {m + 1}).count('1')", "has another number"),
            ("cut", f"return sum(a != b for a, b in zip(bin(n)[2:], bin({m})[2:]))", "does not align the numbers"),
        ]
        return correct, mutants

    def write_low(self, p):
        k, w = p["k"], p["w"]
        correct = [
            f"return {w} * bin(n % {2**k}).count('1')",
            f"return {w} * sum(n >> i & 1 for i in range({k}))",
            f"out = 0\nfor _ in range({k}):\n    out += n % 2\n    n //= 2\nreturn {w} * out",
        ]
        mutants = [
            ("all", f"return {w} * bin(n).count('1')", "counts all ones"),
            ("one_more", f"return {w} * bin(n % {2 ** (k + 1)}).count('1')", "looks at one more place"),
            ("high", f"return {w} * bin(n)[2:2 + {k}].count('1')", "looks at the highest places"),
            ("one_less", f"return {w} * bin(n % {2 ** (k - 1)}).count('1')", "looks at one place less"),
            ("other_factor", f"return {w + 1} * bin(n % {2**k}).count('1')", "has another factor"),
        ]
        return correct, mutants

    def write_rotate(self, p):
        w, k = p["w"], p["k"]

        def turn(k):
            return f"t = bin(n)[2:].zfill({w})\nreturn int(t[{k}:] + t[:{k}], 2)"

        correct = [
            turn(k),
            f"return (n << {k} | n >> {w - k}) % 2 ** {w}",
            f"for _ in range({k}):\n    n = 2 * n\n    if n >= 2 ** {w}:\n        n -= 2 ** {w} - 1\nreturn n",
        ]
        mutants = [
            ("shift", f"return (n << {k}) % 2 ** {w}", "loses the bits that leave"),
            ("no_width", f"return n << {k} | n >> {w - k}", "lets the number grow"),
            ("unpadded", f"t = bin(n)[2:]\nreturn int(t[{k}:] + t[:{k}], 2)", "forgets leading zeros"),
            ("other_amount", turn((k + 1) % w), "turns by another amount"),
        ]
        if 2 * k != w:
            mutants.append(("right", turn(w - k), "turns to the right"))
        return correct, mutants

    def write_reverse(self, p):
        w, m = p["w"], p["m"]

        def reverse(pad=f".zfill({w})", cut=f"[-{w}:]", m=f" ^ {m}", turn="[::-1]"):
            return f"t = bin(n)[2:]{pad}{cut}\nreturn int(t{turn}, 2){m}"

        correct = [
            reverse(),
            f"out = 0\nfor _ in range({w}):\n    out = 2 * out + n % 2\n    n //= 2\nreturn out ^ {m}",
            f"return sum((n >> i & 1) << {w - 1} - i for i in range({w})) ^ {m}",
        ]
        mutants = [
            ("unpadded", reverse(pad=""), "forgets leading zeros"),
            ("not_flipped", reverse(m=""), "leaves the second step out"),
            ("not_cut", reverse(cut=""), "keeps higher bits"),
            ("not_reversed", reverse(turn=""), "does not reverse"),
            ("other_mask", reverse(m=f" ^ {m + 1}"), "flips other bits"),
        ]
        return correct, mutants

    def write_longest(self, p):
        m = p["m"]

        def longest(op="^", m=m, bit="'0'"):
            return f"return max(len(t) for t in bin(n {op} {m})[2:].split({bit}))"

        correct = [
            longest(),
            f"x, out = n ^ {m}, 0\nwhile x:\n    x &= x << 1\n    out += 1\nreturn out",
            (
                f"best = k = 0\nx = n ^ {m}\nwhile x:\n    k = k + 1 if x % 2 else 0\n    best = max(best, k)\n"
                "    x //= 2\nreturn best"
            ),
        ]
        mutants = [
            ("zeros", longest(bit="'1'"), "measures zeros"),
            ("common", longest("&"), "takes common ones"),
            ("plain", "return max(len(t) for t in bin(n)[2:].split('0'))", "leaves the first step out"),
            ("count", f"return bin(n ^ {m}).count('1')", "counts all ones"),
            ("other_number", longest(m=m + 1), "has another number"),
        ]
        return correct, mutants


FAMILY = Bits()

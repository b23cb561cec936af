"""Lists freed of repeats, by different rules of what is a repeat and which one stays."""

from __future__ import annotations

from problems.family import Argument, Family, Variant


class RemoveDuplicates(Family):
    name = "remove_duplicates"
    summary = "drop repeats: first or last stays, at most k stay, repeats by remainder, runs, exact counts"
    functions = ("remove_duplicates", "unique", "dedupe", "solve")
    arguments = (Argument("nums", "list[int]", ("values", "items")),)
    variants = (
        Variant(
            "first",
            "list[int]",
            (
                "Keep the first of each number in {nums}, in order. Only {z} may repeat: keep every {z}.",
                "Remove repeated numbers from {nums}, keeping first occurrences in order, but never remove a {z}.",
                "Return {nums} without numbers that occurred before, except that all {z} stay.",
            ),
        ),
        Variant(
            "last",
            "list[int]",
            (
                "Keep the last of each number in {nums}, in order, and drop every {z}.",
                "Remove every {z} from {nums}, and every number that occurs again later. Keep the order.",
                "Return the numbers of {nums} other than {z}, each only where it stands for the last time.",
            ),
        ),
        Variant(
            "rising",
            "list[int]",
            (
                "Return the different numbers of {nums} other than {z}, smallest first.",
                "Drop repeats and every {z} from {nums} and sort the rest in ascending order.",
                "Which numbers occur in {nums}? List each once, ascending, without {z}.",
            ),
        ),
        Variant(
            "falling",
            "list[int]",
            (
                "Return the different numbers of {nums} other than {z}, largest first.",
                "Drop repeats and every {z} from {nums} and sort the rest in descending order.",
                "Which numbers occur in {nums}? List each once, descending, without {z}.",
            ),
        ),
        Variant(
            "remainder",
            "list[int]",
            (
                "Two numbers are alike if they leave the same remainder modulo {m}. Keep the first of each kind in "
                "{nums}, in order.",
                "Remove from {nums} each number that is equal modulo {m} to one before it. Keep the order.",
                "Return {nums} with only the first number of every remainder class modulo {m}.",
            ),
            level=2,
        ),
        Variant(
            "limit",
            "list[int]",
            (
                "Keep at most {k} of each number in {nums}, the first ones in order, and drop every {z}.",
                "Remove every {z} from {nums} and, of each number, all occurrences after the first {k}.",
                "Return the numbers of {nums} other than {z}, in order, none more than {k} times (the earliest stay).",
            ),
            level=3,
        ),
        Variant(
            "times",
            "list[int]",
            (
                "Which numbers other than {z} occur exactly {k} times in {nums}? List each once, smallest first.",
                "Return, ascending and once each, the numbers that {nums} holds exactly {k} times, but not {z}.",
                "List in ascending order all numbers except {z} whose count in {nums} is {k}.",
            ),
            level=4,
        ),
        Variant(
            "runs",
            "list[int]",
            (
                "Shorten each run of equal neighbours in {nums} to one number, but leave runs of {z} as they are.",
                "Remove a number from {nums} if it equals its left neighbour and is not {z}.",
                "Return {nums} without numbers equal to the one just before them; every {z} stays.",
            ),
            level=5,
        ),
    )

    def params(self, rng, variant, difficulty):
        if variant == "remainder":
            return {"m": rng.int(2, 99)}
        p = {"z": rng.int(0, 299)}
        if variant in ("limit", "times"):
            p["k"] = rng.int(2, 4)
        return p

    def answer(self, variant, p, nums):
        z, k = p.get("z"), p.get("k")
        if variant == "first":
            seen = set()
            return [x for x in nums if x == z or not (x in seen or seen.add(x))]
        if variant == "last":
            return [x for x in dict.fromkeys(nums[::-1]) if x != z][::-1]
        if variant in ("rising", "falling"):
            return sorted({x for x in nums if x != z}, reverse=variant == "falling")
        if variant == "remainder":
            firsts = {}
            for x in nums:
                firsts.setdefault(x % p["m"], x)
            return list(firsts.values())
        if variant == "limit":
            seen, out = {}, []
            for x in nums:
                seen[x] = seen.get(x, 0) + 1
                if x != z and seen[x] <= k:
                    out.append(x)
            return out
        if variant == "times":
            return sorted({x for x in nums if x != z and nums.count(x) == k})
        return [x for i, x in enumerate(nums) if i == 0 or x != nums[i - 1] or x == z]

    def edge_cases(self, rng, variant, p, difficulty):
        yield ([],)
        if variant == "remainder":
            m = p["m"]
            x, y = rng.sample(range(m), 2)
            yield from (
                ([x, y, x, y],),
                ([x + m, x, y + m, y],),
                ([x, x + m, x + m + 1],),
                ([x + 2 * m, x + m],),
            )
            yield from (
                ([-x, -x - m, y, y - m],),
                ([x, x + m + 1, y, y + m + 1, x + 2 * m],),
                ([x, -x, y, -y - m],),
            )
            return
        z, k = p["z"], p.get("k", 2)
        a, b, c = rng.sample([x for x in range(100) if x != z], 3)
        yield from (
            ([z, z],),
            ([a],),
            ([z, a, z, b, z],),
            ([a, a, a],),
            ([b, a, b, c, a],),
            ([a, a, z, z, b, b, a, a],),
        )
        yield ([max(a, b), min(a, b), max(a, b), z],)
        if variant in ("limit", "times"):
            yield ([a] * k + [z] * k + [b] * (k + 1),)
            yield ([a, b, c, z] * k + [c] + [a, a],)
            yield (rng.shuffled([a] * k + [b] * (k - 1) + [c] * (k + 1) + [z] * (k + 1)),)
            yield ([max(a, b)] * k + [min(a, b)] * k + [c],)

    def sample(self, rng, variant, p, difficulty):
        size = rng.int(4, 5 + 2 * difficulty)
        if variant == "remainder":
            nums = rng.ints(size, -p["m"] * (difficulty > 5), 3 * p["m"])
            return ([x + p["m"] if rng.chance(0.3) else x for x in [*nums, *nums[:2]]],)
        pool = [p["z"], *rng.ints(2 + size // 3, -20 * (difficulty > 5), 99)]
        nums = rng.picks(pool, size)
        if variant == "runs":
            nums = [x for x in nums for _ in range(rng.int(1, 3))][: size + 3]
        return (nums,)

    def write_first(self, p):
        z = p["z"]
        correct = [
            _walk(f"x not in out or x == {z}"),
            f"return [x for i, x in enumerate(nums) if x == {z} or x not in nums[:i]]",
            f"seen, out = set(), []\nfor x in nums:\n    if x == {z} or x not in seen:\n        out.append(x)\n"
            f"    seen.add(x)\nreturn out",
        ]
        mutants = [
            ("no_exception", _walk("x not in out"), "removes that number's repeats too"),
            ("dropped", _walk(f"x not in out and x != {z}"), "drops that number"),
            ("sorted", "return sorted(set(nums))", "sorts"),
            (
                "last",
                f"return [x for i, x in enumerate(nums) if x == {z} or x not in nums[i + 1:]]",
                "keeps the last",
            ),
            (
                "runs",
                f"return [x for i, x in enumerate(nums) if i == 0 or x == {z} or x != nums[i - 1]]",
                "compares neighbours only",
            ),
        ]
        return correct, mutants

    def write_last(self, p):
        z = p["z"]
        correct = [
            f"return [x for i, x in enumerate(nums) if x != {z} and x not in nums[i + 1:]]",
            (
                f"out = []\nfor x in nums[::-1]:\n    if x != {z} and x not in out:\n        out.append(x)\n"
                "return out[::-1]"
            ),
            f"t = dict.fromkeys(reversed(nums))\nreturn [x for x in reversed(t) if x != {z}]",
        ]
        mutants = [
            (
                "first",
                f"return [x for i, x in enumerate(nums) if x != {z} and x not in nums[:i]]",
                "keeps the first",
            ),
            (
                "not_dropped",
                "return [x for i, x in enumerate(nums) if x not in nums[i + 1:]]",
                "does not drop the number",
            ),
            ("sorted", f"return sorted(set(nums) - {{{z}}})", "sorts"),
            (
                "not_turned_back",
                (
                    f"out = []\nfor x in nums[::-1]:\n    if x != {z} and x not in out:\n        out.append(x)\n"
                    "return out"
                ),
                "returns the order reversed",
            ),
            (
                "remove_while_walking",
                f"for x in nums:\n    if x == {z} or nums.count(x) > 1:\n        nums.remove(x)\nreturn nums",
                "changes the list that it walks over",
            ),
        ]
        return correct, mutants

    def write_rising(self, p):
        return self._write_sorted("rising", p)

    def write_falling(self, p):
        return self._write_sorted("falling", p)

    def _write_sorted(self, variant, p):
        z = p["z"]
        turn, other = ("", ", reverse=True") if variant == "rising" else (", reverse=True", "")
        correct = [
            f"return sorted(set(nums) - {{{z}}}{turn})",
            _walk(f"x != {z} and x not in out").replace("return out", f"return sorted(out{turn})"),
            f"t = {{x for x in nums if x != {z}}}\nreturn sorted(t{turn})",
        ]
        mutants = [
            ("other_order", f"return sorted(set(nums) - {{{z}}}{other})", "sorts the other way"),
            ("not_dropped", f"return sorted(set(nums){turn})", "does not drop the number"),
            ("repeats", f"return sorted([x for x in nums if x != {z}]{turn})", "keeps repeats"),
            ("unsorted", _walk(f"x != {z} and x not in out"), "does not sort"),
            ("other_number", f"return sorted(set(nums) - {{{z + 1}}}{turn})", "drops another number"),
        ]
        return correct, mutants

    def write_remainder(self, p):
        m = p["m"]

        def kinds(m=m, key="x % {m}"):
            key = key.format(m=m)
            return (
                f"seen, out = set(), []\nfor x in nums:\n    if {key} not in seen:\n        out.append(x)\n"
                f"    seen.add({key})\nreturn out"
            )

        correct = [
            kinds(),
            f"out = []\nfor x in nums:\n    if all((x - y) % {m} for y in out):\n        out.append(x)\nreturn out",
            f"t = {{}}\nfor x in nums:\n    t.setdefault(x % {m}, x)\nreturn list(t.values())",
        ]
        mutants = [
            ("equal", kinds(key="x"), "compares the numbers themselves"),
            ("other_modulus", kinds(m + 1), "has another modulus"),
            ("quotient", kinds(key="x // {m}"), "compares quotients"),
            (
                "remainders",
                f"return list(dict.fromkeys(x % {m} for x in nums))",
                "returns the remainders",
            ),
            (
                "last",
                f"t = {{}}\nfor x in nums:\n    t[x % {m}] = x\nreturn list(t.values())",
                "keeps the last",
            ),
        ]
        return correct, mutants

    def write_limit(self, p):
        z, k = p["z"], p["k"]
        correct = [
            _walk(f"x != {z} and out.count(x) < {k}"),
            f"return [x for i, x in enumerate(nums) if x != {z} and nums[:i].count(x) < {k}]",
            f"seen, out = {{}}, []\nfor x in nums:\n    seen[x] = seen.get(x, 0) + 1\n"
            f"    if seen[x] <= {k} and x != {z}:\n        out.append(x)\nreturn out",
        ]
        mutants = [
            ("one_more", _walk(f"x != {z} and out.count(x) <= {k}"), "keeps one too many"),
            ("one", _walk(f"x != {z} and x not in out"), "keeps one of each"),
            ("not_dropped", _walk(f"out.count(x) < {k}"), "does not drop the number"),
            (
                "rare_only",
                f"return [x for x in nums if x != {z} and nums.count(x) <= {k}]",
                "drops frequent numbers wholly",
            ),
            (
                "last",
                f"return [x for i, x in enumerate(nums) if x != {z} and nums[i + 1:].count(x) < {k}]",
                "keeps the last ones",
            ),
        ]
        return correct, mutants

    def write_times(self, p):
        z, k = p["z"], p["k"]

        def count(
            op=f"== {k}",
            drop=f"x != {z} and ",
            end="return sorted({{x for x in nums if {d}nums.count(x) {o}}})",
        ):
            return end.format(d=drop, o=op)

        correct = [
            count(),
            f"return [x for x in sorted(set(nums)) if x != {z} and nums.count(x) == {k}]",
            f"t = {{}}\nfor x in nums:\n    t[x] = t.get(x, 0) + 1\n"
            f"return sorted(x for x in t if t[x] == {k} and x != {z})",
        ]
        mutants = [
            ("at_least", count(op=f">= {k}"), "takes larger counts too"),
            ("at_most", count(op=f"<= {k}"), "takes smaller counts too"),
            ("not_dropped", count(drop=""), "does not drop the number"),
            (
                "repeats",
                f"return sorted(x for x in nums if x != {z} and nums.count(x) == {k})",
                "lists repeats",
            ),
            ("unsorted", _walk(f"x != {z} and nums.count(x) == {k} and x not in out"), "does not sort"),
            ("other_count", count(op=f"== {k + 1}"), "has another count"),
        ]
        return correct, mutants

    def write_runs(self, p):
        z = p["z"]

        def runs(test=f"x != nums[i - 1] or x == {z}"):
            return f"return [x for i, x in enumerate(nums) if i == 0 or {test}]"

        correct = [
            runs(),
            _walk(f"not out or x != out[-1] or x == {z}"),
            (
                f"out = nums[:1]\nfor x, y in zip(nums, nums[1:]):\n    if x != y or y == {z}:\n"
                "        out.append(y)\nreturn out"
            ),
        ]
        mutants = [
            ("no_exception", runs("x != nums[i - 1]"), "shortens that number's runs too"),
            ("all_repeats", _walk(f"x not in out or x == {z}"), "removes later repeats too"),
            ("dropped", runs(f"x != nums[i - 1] and x != {z}"), "drops that number"),
            (
                "first_lost",
                f"return [y for x, y in zip(nums, nums[1:]) if x != y or y == {z}]",
                "loses the first",
            ),
            (
                "remove_while_walking",
                f"for x in nums:\n    if x != {z} and nums.count(x) > 1:\n        nums.remove(x)\nreturn nums",
                "changes the list that it walks over",
            ),
        ]
        return correct, mutants


def _walk(test):
    return f"out = []\nfor x in nums:\n    if {test}:\n        out.append(x)\nreturn out"


FAMILY = RemoveDuplicates()

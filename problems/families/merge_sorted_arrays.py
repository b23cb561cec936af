"""Two sorted lists made into one, by drawn rules of what is kept."""

from __future__ import annotations

from problems.family import Argument, Family, Variant


class MergeSortedArrays(Family):
    name = "merge_sorted_arrays"
    summary = "merge two sorted lists: the first k, without a value, without repeats, or only what both hold"
    functions = ("merge_sorted_arrays", "merge", "combine", "solve")
    arguments = (Argument("xs", "list[int]", ("left", "first")), Argument("ys", "list[int]", ("right", "second")))
    variants = (
        Variant(
            "without",
            "list[int]",
            (
                "Merge the sorted lists {xs} and {ys} into one sorted list and leave out every {z}.",
                "Return all numbers of {xs} and {ys} except {z}, repeats included, in ascending order. Both lists are "
                "ascending.",
                "{xs} and {ys} are sorted. Combine them into one ascending list without the number {z}.",
            ),
        ),
        Variant(
            "start",
            "list[int]",
            (
                (
                    "Merge the sorted lists {xs} and {ys} and return the {k} smallest numbers in ascending order "
                    "(all if there are fewer), leaving out every {z}."
                ),
                (
                    "{xs} and {ys} are ascending. Without the {z}s, which {k} numbers come first when they are "
                    "merged? Fewer if there are not so many."
                ),
                "Return the first {k} elements of the sorted merge of {xs} and {ys}, after removing each {z}.",
            ),
            level=2,
        ),
        Variant(
            "once",
            "list[int]",
            (
                (
                    "Merge the sorted lists {xs} and {ys}, each number once, without multiples of {m}. Return it "
                    "from large to small."
                ),
                "Return the different numbers of {xs} and {ys} that {m} does not divide, in descending order.",
                (
                    "{xs} and {ys} are sorted. List, largest first and once each, their numbers that are not "
                    "divisible by {m}."
                ),
            ),
            level=2,
        ),
        Variant(
            "both",
            "list[int]",
            (
                (
                    "Return the sorted list of numbers that {xs} and {ys} have in common, each as often as in the "
                    "list with fewer of it, without {z}."
                ),
                (
                    "{xs} and {ys} are sorted. Pair equal numbers of both, each used once, and return the paired "
                    "numbers in ascending order, except {z}."
                ),
                (
                    "Which numbers other than {z} are in both sorted lists {xs} and {ys}? Return them sorted, each as "
                    "often as both lists have it."
                ),
            ),
            level=4,
        ),
    )

    def params(self, rng, variant, difficulty):
        if variant == "once":
            return {"m": rng.int(2, 99)}
        z = rng.int(-99, 200)
        return {"z": z, "k": rng.int(2, 8)} if variant == "start" else {"z": z}

    def solve_without(self, p, xs, ys):
        return sorted([x for x in xs + ys if x != p["z"]])

    def solve_start(self, p, xs, ys):
        return self.solve_without(p, xs, ys)[: p["k"]]

    def solve_once(self, p, xs, ys):
        return sorted({x for x in xs + ys if x % p["m"]}, reverse=True)

    def solve_both(self, p, xs, ys):
        return [x for x in sorted({*xs}) if x != p["z"] for _ in range(min(xs.count(x), ys.count(x)))]

    def edge_cases(self, rng, variant, p, difficulty):
        z, k, m = p.get("z", 5), p.get("k", 3), p.get("m", 0)
        a, b, c = sorted(x for x in rng.sample(range(z + 1, z + 40), 3))
        yield from (
            ([], []),
            ([a], []),
            ([], [b, b]),
            ([a, b, c], [a, c]),
            ([b], [a, c]),
            ([a, a, b], [a, c]),
            ([a, a, c], [a, a, a, c]),
        )
        if m:
            yield from (([m, 2 * m], [m + 1, m + 1]), ([-m, -1], [0, 1, m]), ([1, m + 1, 3 * m + 1], [2 * m + 1]))
            yield from (([a, a], [b, b]), ([-m - 1, -1], [-1, 1, 1]))
        else:
            yield from (([z], [z, z]), ([z - 1, z, a], [z, b]), ([z - 3, a], [z - 1, z, z, c]), ([z, z, b], [z, a, b]))
            yield ([z - i for i in range(k - 1, 0, -1)] + [z], [z, a, a, b, c])
            yield ([a + i for i in range(k)], [a, b + 20])

    def sample(self, rng, variant, p, difficulty):
        base, spread = p.get("z", 0), 6 + 4 * difficulty + p.get("m", 0)
        lists = [sorted(rng.ints(rng.int(2, 3 + difficulty), base - spread // 2, base + spread)) for _ in range(2)]
        if variant == "both":
            lists[1] = sorted(lists[1] + rng.picks(lists[0], 2))
        return (lists[0], lists[1])

    def write_without(self, p):
        z = p["z"]
        correct = [
            f"return sorted(x for x in xs + ys if x != {z})",
            f"{_MERGE}return [x for x in out if x != {z}]",
            f"import heapq\nreturn [x for x in heapq.merge(xs, ys) if x != {z}]",
        ]
        mutants = [
            ("all", "return sorted(xs + ys)", "leaves nothing out"),
            ("glued", f"return [x for x in xs + ys if x != {z}]", "does not sort"),
            ("no_repeats", f"return sorted(set(xs + ys) - {{{z}}})", "drops repeats"),
            ("other_number", f"return sorted(x for x in xs + ys if x != {z + 1})", "leaves out another number"),
            ("smaller", f"return sorted(x for x in xs + ys if x > {z})", "leaves out smaller numbers too"),
        ]
        return correct, mutants

    def write_start(self, p):
        z, k = p["z"], p["k"]
        correct = [
            f"return sorted(x for x in xs + ys if x != {z})[:{k}]",
            f"{_MERGE}return [x for x in out if x != {z}][:{k}]",
            f"import heapq\nreturn heapq.nsmallest({k}, [x for x in xs + ys if x != {z}])",
        ]
        mutants = [
            ("all", f"return sorted(x for x in xs + ys if x != {z})", "returns all"),
            ("one_more", f"return sorted(x for x in xs + ys if x != {z})[:{k + 1}]", "returns one too many"),
            ("cut_first", f"return [x for x in sorted(xs + ys)[:{k}] if x != {z}]", "removes the number too late"),
            ("last", f"return sorted(x for x in xs + ys if x != {z})[-{k}:]", "returns the largest"),
            ("not_removed", f"return sorted(xs + ys)[:{k}]", "does not remove the number"),
        ]
        return correct, mutants

    def write_once(self, p):
        m = p["m"]
        correct = [
            f"return sorted({{x for x in xs + ys if x % {m}}}, reverse=True)",
            f"{_MERGE}out = dict.fromkeys(out[::-1])\nreturn [x for x in out if x % {m} != 0]",
            (
                f"out = []\nfor x in sorted(xs + ys)[::-1]:\n    if x % {m} and x not in out:\n"
                "        out.append(x)\nreturn out"
            ),
        ]
        mutants = [
            ("rising", f"return sorted({{x for x in xs + ys if x % {m}}})", "sorts from small to large"),
            ("repeats", f"return sorted([x for x in xs + ys if x % {m}], reverse=True)", "keeps repeats"),
            (
                "multiples",
                f"return sorted({{x for x in xs + ys if x % {m} == 0}}, reverse=True)",
                "keeps the multiples",
            ),
            ("all", "return sorted(set(xs + ys), reverse=True)", "keeps the multiples too"),
            (
                "other_divisor",
                f"return sorted({{x for x in xs + ys if x % {m + 1}}}, reverse=True)",
                "has another divisor",
            ),
        ]
        return correct, mutants

    def write_both(self, p):
        z = p["z"]
        correct = [
            (
                f"out, t = [], list(ys)\nfor x in xs:\n    if x in t and x != {z}:\n        out.append(x)\n"
                "        t.remove(x)\nreturn out"
            ),
            f"return [x for x in sorted(set(xs)) if x != {z} for _ in range(min(xs.count(x), ys.count(x)))]",
            (
                "i = j = 0\nout = []\nwhile i < len(xs) and j < len(ys):\n    if xs[i] == ys[j]:\n"
                "        out.append(xs[i])\n    i, j = i + (xs[i] <= ys[j]), j + (xs[i] >= ys[j])\n"
                f"return [x for x in out if x != {z}]"
            ),
        ]
        mutants = [
            ("sets", f"return sorted(set(xs) & set(ys) - {{{z}}})", "forgets repeats"),
            ("not_used_up", f"return [x for x in xs if x in ys and x != {z}]", "uses a number again"),
            (
                "not_removed",
                (
                    "out, t = [], list(ys)\nfor x in xs:\n    if x in t:\n        out.append(x)\n"
                    "        t.remove(x)\nreturn out"
                ),
                "does not remove the number",
            ),
            ("union", f"return sorted(x for x in xs + ys if x != {z})", "returns all numbers"),
        ]
        return correct, mutants


_MERGE = (
    "i, out = 0, []\nfor y in ys:\n    while i < len(xs) and xs[i] <= y:\n        out.append(xs[i])\n        i += 1\n"
    "    out.append(y)\nout += xs[i:]\n"
)

FAMILY = MergeSortedArrays()

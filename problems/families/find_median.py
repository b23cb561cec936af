"""Middles of two lists taken together, with drawn trimming and shifts."""

from __future__ import annotations

from problems.family import Argument, Family, Variant


class FindMedian(Family):
    name = "find_median"
    summary = "median, trimmed mean, middle of range and spread of two lists together, as floats"
    checker = "float:1e-6"
    functions = ("find_median", "median", "middle", "solve")
    arguments = (Argument("nums1", "list[int]", ("left", "xs")), Argument("nums2", "list[int]", ("right", "ys")))
    variants = (
        Variant(
            "median",
            "float",
            (
                (
                    "Return the median of all numbers of {nums1} and {nums2} as a float (the mean of the two "
                    "middle ones for an even count), or {v}.0 if both are empty."
                ),
                (
                    "Put {nums1} and {nums2} together. What is the median? With an even count it is the average of "
                    "the middle two. Return {v}.0 if there are no numbers."
                ),
                (
                    "Sort the numbers of both {nums1} and {nums2}. Return the middle one, or the mean of the "
                    "middle two, as a float; {v}.0 for no numbers."
                ),
            ),
        ),
        Variant(
            "scaled",
            "float",
            (
                (
                    "Return the median of all numbers of {nums1} together with those of {nums2} times {w}, as a "
                    "float. At least one list is not empty."
                ),
                (
                    "Multiply the numbers of {nums2} by {w}, add those of {nums1}, and return the median of all "
                    "(the mean of the two middle ones for an even count)."
                ),
                (
                    "Each number of {nums2} counts {w} times its value. Return the float median of {nums1} and "
                    "these together."
                ),
            ),
            level=2,
        ),
        Variant(
            "trimmed",
            "float",
            (
                (
                    "Drop the {k} smallest and the {k} largest of all numbers in {nums1} and {nums2}. Return the "
                    "mean of the rest, or {v}.0 if none are left."
                ),
                (
                    "Put {nums1} and {nums2} together, take away {k} numbers at either end of the sorted list, and "
                    "return the average of the others; {v}.0 if there are none."
                ),
                (
                    "Return the mean of {nums1} and {nums2} taken together without the {k} lowest and {k} highest "
                    "numbers, {v}.0 if nothing remains."
                ),
            ),
            level=3,
        ),
        Variant(
            "apart",
            "float",
            (
                (
                    "Return the median of {nums1} minus the median of {nums2}, as a float, where the median of an "
                    "empty list is {v}."
                ),
                (
                    "How much greater is the median of {nums1} than that of {nums2}? An empty list counts as "
                    "median {v}. The answer may be negative."
                ),
                (
                    "Subtract the median of {nums2} from the median of {nums1} ({v} for an empty list) and return "
                    "the float."
                ),
            ),
            level=4,
        ),
    )

    def params(self, rng, variant, difficulty):
        if variant == "scaled":
            return {"w": rng.int(2, 300)}
        if variant == "apart":
            return {"v": rng.int(-999, 999)}
        v = -rng.int(1, 999)
        return {"v": v, "k": rng.int(1, 3)} if variant == "trimmed" else {"v": v}

    def solve_median(self, p, nums1, nums2):
        return _median(nums1 + nums2, p["v"])

    def solve_scaled(self, p, nums1, nums2):
        return _median(nums1 + [x * p["w"] for x in nums2], 0)

    def solve_trimmed(self, p, nums1, nums2):
        rest = sorted(nums1 + nums2)[p["k"] : -p["k"]]
        return sum(rest) / len(rest) if rest else float(p["v"])

    def solve_apart(self, p, nums1, nums2):
        return _median(nums1, p["v"]) - _median(nums2, p["v"])

    def edge_cases(self, rng, variant, p, difficulty):
        k = p.get("k", 1)
        a, b, c, d = rng.sample(range(1, 60), 4)
        if variant != "scaled":
            yield ([], [])
        yield from (
            ([a], []),
            ([], [b]),
            ([a], [b]),
            ([a, b, c], [d]),
            ([a, -b, c], [-d, d]),
            ([a, a + 1], []),
            ([], [b, b + 3]),
        )
        yield from (([90, 1, 50, 2], [3, 91, 4]), ([1, 2, 100], [5, 7, 11]), ([5, -40, 6], [300, 7, 8, 9]))
        if variant == "trimmed":
            yield from (
                (list(range(2 * k)), []),
                (list(range(k)), [50 + i * i for i in range(k + 1)]),
                ([a] * k + [b] * k, [c] * k + [d]),
            )

    def sample(self, rng, variant, p, difficulty):
        top, low = 20 + 8 * difficulty, 0 if difficulty < 4 else -30
        sizes = (rng.int(1, 3 + difficulty), rng.int(1, 3 + difficulty))
        nums1, nums2 = (rng.ints(n, low, top) for n in sizes)
        if variant == "scaled":
            nums1 = [x * p["w"] + rng.int(-5, 5) if rng.chance(0.4) else x for x in nums1]
        return (nums1, nums2)

    def write_median(self, p):
        v = p["v"]

        def median(t="sorted(nums1 + nums2)", v=v):
            return f"t = {t}\nn = len(t)\nif n == 0:\n    return {v}.0\nreturn (t[n // 2] + t[(n - 1) // 2]) / 2"

        correct = [
            median(),
            f"import statistics\nt = nums1 + nums2\nreturn float(statistics.median(t)) if t else {v}.0",
            f"t = sorted(nums1 + nums2)\nwhile len(t) > 2:\n    t = t[1:-1]\nreturn sum(t) / len(t) if t else {v}.0",
        ]
        mutants = [
            ("unsorted", median("nums1 + nums2"), "does not sort"),
            (
                "upper",
                f"t = sorted(nums1 + nums2)\nreturn float(t[len(t) // 2]) if t else {v}.0",
                "takes the upper middle",
            ),
            ("mean", f"t = nums1 + nums2\nreturn sum(t) / len(t) if t else {v}.0", "returns the mean"),
            ("other_sentinel", median(v=v - 1), "has another answer for no numbers"),
            (
                "floored",
                (
                    f"t = sorted(nums1 + nums2)\nn = len(t)\nif n == 0:\n    return {v}.0\n"
                    "return float((t[n // 2] + t[(n - 1) // 2]) // 2)"
                ),
                "rounds down",
            ),
        ]
        return correct, mutants

    def write_scaled(self, p):
        w = p["w"]

        def median(t=f"sorted(nums1 + [x * {w} for x in nums2])"):
            return f"t = {t}\nn = len(t)\nreturn (t[n // 2] + t[(n - 1) // 2]) / 2"

        correct = [
            median(),
            f"import statistics\nreturn float(statistics.median(nums1 + [{w} * x for x in nums2]))",
            (
                f"t = list(nums1)\nfor x in nums2:\n    t.append({w} * x)\nt.sort()\nwhile len(t) > 2:\n"
                "    t = t[1:-1]\nreturn sum(t) / len(t)"
            ),
        ]
        mutants = [
            ("unscaled", median("sorted(nums1 + nums2)"), "leaves the factor out"),
            ("both_scaled", median(f"sorted(x * {w} for x in nums1 + nums2)"), "scales both lists"),
            ("repeated", median(f"sorted(nums1 + nums2 * {w})"), "repeats the numbers"),
            ("first_scaled", median(f"sorted([x * {w} for x in nums1] + nums2)"), "scales the first list"),
            ("other_factor", median(f"sorted(nums1 + [x * {w + 1} for x in nums2])"), "has another factor"),
        ]
        return correct, mutants

    def write_trimmed(self, p):
        k, v = p["k"], p["v"]

        def trimmed(cut=f"[{k}:-{k}]", v=v, order="sorted(nums1 + nums2)"):
            return f"t = {order}{cut}\nreturn sum(t) / len(t) if t else {v}.0"

        correct = [
            trimmed(),
            (
                f"t = sorted(nums1 + nums2)\nn = len(t) - {2 * k}\nif n <= 0:\n    return {v}.0\n"
                f"return sum(t[{k}:{k} + n]) / n"
            ),
            (
                f"t = nums1 + nums2\nif len(t) <= {2 * k}:\n    return {v}.0\nfor i in range({k}):\n"
                "    t.remove(min(t))\n    t.remove(max(t))\nreturn sum(t) / len(t)"
            ),
        ]
        mutants = [
            ("untrimmed", trimmed(""), "drops nothing"),
            ("low_only", trimmed(f"[{k}:]"), "drops the smallest only"),
            ("unsorted", trimmed(order="(nums1 + nums2)"), "does not sort"),
            ("one_more", trimmed(f"[{k + 1}:-{k + 1}]"), "drops one more"),
            ("other_sentinel", trimmed(v=v - 1), "has another answer where nothing is left"),
        ]
        return correct, mutants

    def write_apart(self, p):
        v = p["v"]

        def apart(v=v, end="go(nums1) - go(nums2)", value="(t[len(t) // 2] + t[(len(t) - 1) // 2]) / 2"):
            return f"def go(t):\n    t = sorted(t)\n    return {value} if t else {v}\nreturn float({end})"

        correct = [
            apart(),
            (
                f"import statistics\na = statistics.median(nums1) if nums1 else {v}\n"
                f"b = statistics.median(nums2) if nums2 else {v}\nreturn float(a - b)"
            ),
            (
                "out = []\nfor t in (nums1, nums2):\n    t = sorted(t)\n    while len(t) > 2:\n"
                f"        t = t[1:-1]\n    out.append(sum(t) / len(t) if t else {v})\nreturn float(out[0] - out[1])"
            ),
        ]
        mutants = [
            ("turned", apart(end="go(nums2) - go(nums1)"), "subtracts the other way"),
            ("absolute", apart(end="abs(go(nums1) - go(nums2))"), "drops the sign"),
            ("means", apart(value="sum(t) / len(t)"), "takes means"),
            ("upper", apart(value="t[len(t) // 2]"), "takes the upper middle"),
            ("other_sentinel", apart(v - 1), "has another median for an empty list"),
        ]
        return correct, mutants


def _median(nums, empty):
    nums = sorted(nums)
    n = len(nums)
    return (nums[n // 2] + nums[(n - 1) // 2]) / 2 if nums else float(empty)


FAMILY = FindMedian()

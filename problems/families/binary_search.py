"""Positions and neighbours of a value in a sorted list."""

from __future__ import annotations

from problems.family import Argument, Family, Variant


class BinarySearch(Family):
    name = "binary_search"
    summary = "find a value, its first or last place, its neighbours or its rank in a sorted list"
    functions = ("binary_search", "search", "find", "solve")
    arguments = (Argument("nums", "list[int]", ("values", "xs")), Argument("target", "int", ("key", "goal")))
    variants = (
        Variant(
            "first",
            "int",
            (
                "{nums} is sorted. Return the position of the first {target} in it, counting from {b}, or {v} if it "
                "is absent.",
                "At which position of the ascending list {nums} does {target} first stand? The first position is {b}; "
                "return {v} if there is none.",
                "Find the leftmost {target} in the sorted list {nums}. Positions start at {b}. Answer {v} if it does "
                "not occur.",
            ),
        ),
        Variant(
            "last",
            "int",
            (
                "{nums} is sorted. Return the position of the last {target} in it, counting from {b}, or {v} if it is "
                "absent.",
                "At which position of the ascending list {nums} does {target} last stand? The first position is {b}; "
                "return {v} if there is none.",
                "Find the rightmost {target} in the sorted list {nums}. Positions start at {b}. Answer {v} if it does "
                "not occur.",
            ),
            level=2,
        ),
        Variant(
            "above",
            "int",
            (
                "Return the smallest number in the sorted list {nums} that is greater than {target}, or {v} if there "
                "is none.",
                "{nums} is ascending. Which of its numbers comes next above {target}? Return {v} if all are at most "
                "{target}.",
                "Find the first element of the sorted list {nums} that exceeds {target}. Answer {v} if there is no "
                "such element.",
            ),
        ),
        Variant(
            "below",
            "int",
            (
                "Return the largest number in the sorted list {nums} that is less than {target}, or {v} if there is "
                "none.",
                "{nums} is ascending. Which of its numbers comes next below {target}? Return {v} if all are at least "
                "{target}.",
                "Find the last element of the sorted list {nums} that is smaller than {target}. Answer {v} if there "
                "is no such element.",
            ),
        ),
        Variant(
            "rank",
            "int",
            (
                "{target} is to be inserted into the sorted list {nums} before any equal numbers. Return its "
                "position, counting from {b}.",
                "Return {b} plus how many numbers of the sorted list {nums} are less than {target}.",
                "Where would {target} go in the ascending list {nums}, in front of equal ones? Positions start at {b}.",
            ),
            level=3,
        ),
        Variant(
            "near",
            "int",
            (
                "How many numbers of the sorted list {nums} differ from {target} by at most {c}?",
                "Count the elements of the ascending list {nums} from {target} - {c} to {target} + {c}, both included.",
                "Return how many elements of the sorted list {nums} lie no further than {c} from {target}.",
            ),
            level=4,
        ),
        Variant(
            "falling",
            "int",
            (
                "{nums} is sorted from large to small. Return the position of the first {target} in it, counting from "
                "{b}, or {v} if it is absent.",
                "At which position of the descending list {nums} does {target} first stand? The first position is "
                "{b}; return {v} if there is none.",
                "Find the leftmost {target} in {nums}, whose numbers fall. Positions start at {b}. Answer {v} if it "
                "does not occur.",
            ),
            level=6,
        ),
    )

    def params(self, rng, variant, difficulty):
        if variant == "near":
            return {"c": rng.int(1, 40)}
        if variant == "rank":
            return {"b": rng.int(1, 60)}
        v = -rng.int(1, 99)
        return {"v": v} if variant in ("above", "below") else {"v": v, "b": rng.int(0, 9)}

    def answer(self, variant, p, nums, target):
        if variant in ("first", "falling"):
            return nums.index(target) + p["b"] if target in nums else p["v"]
        if variant == "last":
            return len(nums) - 1 - nums[::-1].index(target) + p["b"] if target in nums else p["v"]
        if variant == "above":
            return min([x for x in nums if x > target], default=p["v"])
        if variant == "below":
            return max([x for x in nums if x < target], default=p["v"])
        if variant == "rank":
            return p["b"] + sum([x < target for x in nums])
        return sum([abs(x - target) <= p["c"] for x in nums])

    def _numbers(self, rng, variant, size, spread):
        nums = sorted(rng.ints(size, 1, spread))
        return nums[::-1] if variant == "falling" else nums

    def edge_cases(self, rng, variant, p, difficulty):
        c = p.get("c", 3)
        yield ([], 5)
        if variant == "near":
            t = rng.int(c + 5, c + 50)
            yield from (
                ([t - c - 1, t - c, t, t + c, t + c + 1], t),
                ([t - c, t - c], t),
                ([t + c], t),
                ([t], t),
            )
            yield from (
                ([t - 2 * c - 2, t + 2 * c + 2], t),
                ([t - c - 1, t + c + 1], t),
                ([t, t, t, t + c - 1], t),
            )
            return
        x = rng.int(5, 20)
        y, z = x + rng.int(2, 6), x + rng.int(8, 15)
        rows = [[x, y, z], [x, x, y, y, y, z], [x, y, y], [x, x, y]]
        for row in rows:
            row = row[::-1] if variant == "falling" else row
            yield (row, row[0])
            yield (row, row[-1])
        middle = [x, y, y, y, z, z + 1]
        yield (middle[::-1] if variant == "falling" else middle, y)
        yield ([x], x)
        yield ([x, y], x + 1) if variant != "falling" else ([y, x], x + 1)
        yield ([x, z], z + 3) if variant != "falling" else ([z, x], z + 3)
        yield ([x, z], 1) if variant != "falling" else ([z, x], 1)

    def sample(self, rng, variant, p, difficulty):
        spread = 8 + 6 * difficulty + 3 * p.get("c", 0)
        nums = self._numbers(rng, variant, rng.int(3, 5 + 3 * difficulty), spread)
        return (nums, rng.pick(nums) if rng.chance(0.6) else rng.int(0, spread + 2))

    def write_first(self, p):
        return self._write_first_hit("first", p)

    def write_falling(self, p):
        return self._write_first_hit("falling", p)

    def _write_first_hit(self, variant, p):
        v, b = p["v"], p["b"]
        plus = f" + {b}" if b else ""

        def find(plus=plus, v=v, hit="nums.index(target)"):
            return f"if target in nums:\n    return {hit}{plus}\nreturn {v}"

        move = "nums[m] < target" if variant == "first" else "nums[m] > target"
        correct = [
            find(),
            f"for i, x in enumerate(nums, {b}):\n    if x == target:\n        return i\nreturn {v}",
            f"lo, hi = 0, len(nums)\nwhile lo < hi:\n    m = (lo + hi) // 2\n    if {move}:\n        lo = m + 1\n"
            f"    else:\n        hi = m\nreturn lo{plus} if lo < len(nums) and nums[lo] == target else {v}",
        ]
        mutants = [
            ("last", find(hit="len(nums) - 1 - nums[::-1].index(target)"), "returns the last position"),
            ("other_base", find(plus=f" + {b + 1}"), "counts from another number"),
            ("other_missing", find(v=v - 1), "has another answer for an absent value"),
            (
                "insertion",
                f"return sum(x < target for x in nums){plus}"
                if variant == "first"
                else f"return sum(x > target for x in nums){plus}",
                "returns a place even where it is absent",
            ),
            ("count", f"return nums.count(target) or {v}", "counts the value"),
        ]
        if b:
            mutants.append(("from_zero", find(plus=""), "counts from 0"))
        return correct, mutants

    def write_last(self, p):
        v, b = p["v"], p["b"]
        plus = f" + {b}" if b else ""

        def find(plus=plus, v=v, hit="len(nums) - 1 - nums[::-1].index(target)"):
            return f"if target in nums:\n    return {hit}{plus}\nreturn {v}"

        correct = [
            find(),
            f"out = {v}\nfor i, x in enumerate(nums, {b}):\n    if x == target:\n        out = i\nreturn out",
            f"from bisect import bisect_right\ni = bisect_right(nums, target)\n"
            f"return i - 1{plus} if i and nums[i - 1] == target else {v}",
        ]
        mutants = [
            ("first", find(hit="nums.index(target)"), "returns the first position"),
            ("one_more", find(hit="len(nums) - nums[::-1].index(target)"), "is one too far"),
            ("other_missing", find(v=v - 1), "has another answer for an absent value"),
            ("from_the_end", find(hit="nums[::-1].index(target)"), "counts from the end"),
        ]
        if b:
            mutants.append(("from_zero", find(plus=""), "counts from 0"))
        return correct, mutants

    def write_above(self, p):
        return self._write_neighbour("above", p)

    def write_below(self, p):
        return self._write_neighbour("below", p)

    def _write_neighbour(self, variant, p):
        v = p["v"]
        op, pick, side = (">", "min", "right") if variant == "above" else ("<", "max", "left")
        other, turn = ("max", "<") if variant == "above" else ("min", ">")

        def find(op=op, pick=pick, v=v):
            return f"return {pick}((x for x in nums if x {op} target), default={v})"

        walk = "nums" if variant == "above" else "reversed(nums)"
        place = (
            "i = bisect_right(nums, target)\nreturn nums[i] if i < len(nums)"
            if variant == "above"
            else ("i = bisect_left(nums, target)\nreturn nums[i - 1] if i")
        )
        correct = [
            find(),
            f"for x in {walk}:\n    if x {op} target:\n        return x\nreturn {v}",
            f"from bisect import bisect_{side}\n{place} else {v}",
        ]
        mutants = [
            ("or_equal", find(op=op + "="), "takes an equal number"),
            ("extreme", find(pick=other), "takes the farthest"),
            ("other_side", find(op=turn, pick=other), "looks on the other side"),
            ("other_missing", find(v=v - 1), "has another answer where there is none"),
            (
                "position",
                f"t = [i for i, x in enumerate(nums) if x {op} target]\nreturn {pick}(t, default={v})",
                "returns the position",
            ),
        ]
        return correct, mutants

    def write_rank(self, p):
        b = p["b"]
        correct = [
            f"return sum(x < target for x in nums) + {b}",
            f"from bisect import bisect_left\nreturn bisect_left(nums, target) + {b}",
            f"i = 0\nwhile i < len(nums) and nums[i] < target:\n    i += 1\nreturn i + {b}",
        ]
        mutants = [
            ("after", f"return sum(x <= target for x in nums) + {b}", "goes behind equal numbers"),
            ("from_zero", "return sum(x < target for x in nums)", "counts from 0"),
            (
                "other_base",
                f"return sum(x < target for x in nums) + {b + 1}",
                "counts from another number",
            ),
            ("larger", f"return sum(x > target for x in nums) + {b}", "counts the larger ones"),
            (
                "index",
                f"return nums.index(target) + {b} if target in nums else {b}",
                "does not place absent values",
            ),
        ]
        return correct, mutants

    def write_near(self, p):
        c = p["c"]
        correct = [
            f"return sum(abs(x - target) <= {c} for x in nums)",
            f"return len([x for x in nums if target - {c} <= x <= target + {c}])",
            f"from bisect import bisect_left, bisect_right\n"
            f"return bisect_right(nums, target + {c}) - bisect_left(nums, target - {c})",
        ]
        mutants = [
            ("strict", f"return sum(abs(x - target) < {c} for x in nums)", "leaves out the farthest"),
            (
                "other_distance",
                f"return sum(abs(x - target) <= {c + 1} for x in nums)",
                "reaches further",
            ),
            ("one_side", f"return sum(target <= x <= target + {c} for x in nums)", "looks above only"),
            ("far", f"return sum(abs(x - target) > {c} for x in nums)", "counts the others"),
            ("equal", "return nums.count(target)", "counts equal numbers only"),
        ]
        return correct, mutants


FAMILY = BinarySearch()

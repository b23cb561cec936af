"""Pairs of numbers in a list: any right pair is a right answer."""

from __future__ import annotations

from problems.family import Argument, Family, Variant

_HERE = "any_valid:problems.families.two_sum"


class TwoSum(Family):
    name = "two_sum"
    summary = "indices of a pair by sum or difference (any valid pair), number of pairs, closest sum"
    functions = ("two_sum", "find_pair", "pair", "solve")
    arguments = (Argument("nums", "list[int]", ("values", "xs")), Argument("target", "int", ("total", "goal")))
    variants = (
        Variant(
            "sum",
            "list[int]",
            (
                (
                    "Return the indices [i, j], i < j, of two numbers in {nums} that add up to {target}, or [{v}, "
                    "{v}] if there are none. Any such pair will do."
                ),
                "Find two different places i < j in {nums} whose numbers sum to {target}. Return any such [i, j]; "
                "[{v}, {v}] if impossible.",
                (
                    "Which two elements of {nums} make {target} together? Return their indices, the smaller first, "
                    "of any such pair, else [{v}, {v}]."
                ),
            ),
            checker=f"{_HERE}:is_valid",
        ),
        Variant(
            "difference",
            "list[int]",
            (
                (
                    "Return indices [i, j] such that {nums}[j] - {nums}[i] is {target} and i is not j, or [{v}, "
                    "{v}] if there are none. Any such pair will do."
                ),
                (
                    "Find two different places i and j in {nums} where the number at j exceeds the one at i by "
                    "{target}. Return any such [i, j]; [{v}, {v}] if impossible."
                ),
                "Return [i, j], i and j different, with {nums}[i] + {target} equal to {nums}[j] (any such pair), else "
                "[{v}, {v}].",
            ),
            level=3,
            checker=f"{_HERE}:is_valid_difference",
        ),
        Variant(
            "count",
            "int",
            (
                "How many pairs of places i < j in {nums}, at least {k} apart, hold numbers that add up to {target}?",
                "Count the pairs of elements of {nums} that sum to {target} and whose indices differ by {k} or more.",
                (
                    "Return the number of index pairs i and j with j - i >= {k} and {nums}[i] + {nums}[j] equal to "
                    "{target}."
                ),
            ),
            level=2,
        ),
        Variant(
            "closest",
            "int",
            (
                (
                    "Return the least distance between {target} and the sum of two different elements of {nums}, "
                    "or {v} if it has fewer than two."
                ),
                "How near to {target} can the sum of two elements of {nums} (at different places) come? Return the "
                "difference without sign; {v} if there is no pair.",
                (
                    "Over all pairs of places in {nums}, what is the smallest absolute difference between the "
                    "pair's sum and {target}? Return {v} for a list that is too short."
                ),
            ),
            level=4,
        ),
    )

    def params(self, rng, variant, difficulty):
        return {"k": rng.int(2, 5)} if variant == "count" else {"v": -rng.int(1, 999)}

    def solve_sum(self, p, nums, target):
        seen = {}
        for j, x in enumerate(nums):
            if target - x in seen:
                return [seen[target - x], j]
            seen[x] = j
        return [p["v"], p["v"]]

    def solve_difference(self, p, nums, target):
        for i, x in enumerate(nums):
            for j, y in enumerate(nums):
                if i != j and y - x == target:
                    return [i, j]
        return [p["v"], p["v"]]

    def solve_count(self, p, nums, target):
        k = p["k"]
        return sum([nums[i:].count(target - x) for i, x in enumerate(nums, k)])

    def solve_closest(self, p, nums, target):
        return min([abs(x + y - target) for i, x in enumerate(nums) for y in nums[:i]], default=p["v"])

    def edge_cases(self, rng, variant, p, difficulty):
        x, y, z = rng.sample(range(3, 60), 3)
        yield ([], x)
        yield ([x], 2 * x)
        yield ([x], 0)
        if variant == "sum":
            yield from (([x, y], 2 * x), ([x, y, x], 2 * x), ([y, x, z], x + z), ([z, z + 1, x], 2 * x), ([0, x, 0], 0))
            yield from (
                ([x, -x, y], 0),
                ([x, y, z], x + y + z),
                ([-x, y, -z], -x - z),
                ([x, 2 * z, x + z, 3 * z], x + 2 * z),
            )
            yield ([x, y, z, x + 1, y + 2], z + y + 2)
        elif variant == "difference":
            yield from (
                ([x, y], y - x),
                ([x, y], x - y),
                ([x, y, x], 0),
                ([x, y, z], 0),
                ([y, x], y - x),
                ([x, y], x + y),
            )
            yield from (([x, x + 70, y], 70), ([x + 70, x, y], 70), ([x, x + 70], -70), ([z, x, y, z], 0))
        elif variant == "count":
            k = p["k"]
            yield from (
                ([x] * (k + 2), 2 * x),
                ([x] * k, 2 * x),
                ([x, *[z] * (k - 1), y], x + y),
                ([x, *[z] * (k - 2), y], x + y),
            )
            yield from (([x, y] * k, x + y), ([x, *[z] * k, y], x + y), ([y, *[z] * k, x, y], 2 * y))
        else:
            yield from (
                ([x, y], x + y),
                ([x, x], x),
                ([x, y], 2 * x),
                ([-x, -y], x),
                ([x, 90], 2 * x),
                ([x, y, z, 95], 200),
            )
            yield from (([50, 3, 50], 6), ([x, y, -x], 1), ([3, 90, 91], 150))

    def sample(self, rng, variant, p, difficulty):
        top = 12 + 9 * difficulty
        nums = rng.ints(rng.int(4, 5 + 2 * difficulty), -top if difficulty > 4 else 1, top)
        i, j = rng.sample(range(len(nums)), 2)
        if variant == "count":
            i, k = 0, p["k"]
            nums += [rng.pick(nums) for _ in range(k)]
            x = rng.pick(nums)
            target = x + rng.pick(nums)
            for at in rng.sample(range(len(nums)), len(nums) // 2):
                nums[at] = rng.pick((x, target - x))
            return (nums, target)
        if variant == "closest":
            return (nums, nums[i] + nums[j] + rng.int(-4, 4))
        if rng.chance(0.2):
            return (nums, rng.int(2 * top + 1, 3 * top))
        return (nums, nums[i] + nums[j] if variant == "sum" else nums[j] - nums[i])

    def write_sum(self, p):
        v = p["v"]

        def pairs(start="i + 1", v=v, found="[i, j]"):
            return (
                f"for i in range(len(nums)):\n    for j in range({start}, len(nums)):\n"
                f"        if nums[i] + nums[j] == target:\n            return {found}\nreturn [{v}, {v}]"
            )

        correct = [
            pairs(),
            (
                f"d = {{}}\nfor j, x in enumerate(nums):\n    if target - x in d:\n"
                f"        return [d[target - x], j]\n    d[x] = j\nreturn [{v}, {v}]"
            ),
            (
                "t = sorted(range(len(nums)), key=lambda i: nums[i])\ni, j = 0, len(t) - 1\nwhile i < j:\n"
                "    s = nums[t[i]] + nums[t[j]]\n    if s == target:\n        return sorted([t[i], t[j]])\n"
                f"    if s < target:\n        i += 1\n    else:\n        j -= 1\nreturn [{v}, {v}]"
            ),
        ]
        mutants = [
            ("same_twice", pairs("i"), "pairs an element with itself"),
            ("values", pairs(found="[nums[i], nums[j]]"), "returns the numbers"),
            ("other_sentinel", pairs(v=v - 1), "has another answer where there is none"),
            (
                "neighbours",
                f"for i in range(len(nums) - 1):\n    if nums[i] + nums[i + 1] == target:\n        return [i, i + 1]\n"
                f"return [{v}, {v}]",
                "looks at neighbours only",
            ),
            ("larger_first", pairs(found="[j, i]"), "returns the larger index first"),
        ]
        return correct, mutants

    def write_difference(self, p):
        v = p["v"]

        def pairs(v=v, test="i != j and nums[j] - nums[i] == target", found="[i, j]"):
            return (
                f"for i in range(len(nums)):\n    for j in range(len(nums)):\n        if {test}:\n"
                f"            return {found}\nreturn [{v}, {v}]"
            )

        correct = [
            pairs(),
            f"for i, x in enumerate(nums):\n    t = nums[:i] + [None] + nums[i + 1:]\n    if x + target in t:\n"
            f"        return [i, t.index(x + target)]\nreturn [{v}, {v}]",
            f"d = {{}}\nfor j, x in enumerate(nums):\n    if x - target in d:\n        return [d[x - target], j]\n"
            f"    if x + target in d:\n        return [j, d[x + target]]\n    d[x] = j\nreturn [{v}, {v}]",
        ]
        mutants = [
            ("same_twice", pairs(test="nums[j] - nums[i] == target"), "pairs an element with itself"),
            ("in_order", pairs(test="i < j and nums[j] - nums[i] == target"), "asks for i < j"),
            ("sum", pairs(test="i != j and nums[j] + nums[i] == target"), "takes the sum"),
            ("turned", pairs(found="[j, i]"), "mixes the indices up"),
            ("absolute", pairs(test="i != j and abs(nums[j] - nums[i]) == target"), "ignores the sign"),
        ]
        return correct, mutants

    def write_count(self, p):
        k = p["k"]

        def count(k=k, test="nums[i] + nums[j] == target"):
            return f"n = len(nums)\nreturn sum({test} for i in range(n) for j in range(i + {k}, n))"

        correct = [
            count(),
            (
                f"out = 0\nfor j, x in enumerate(nums):\n    out += nums[:max(j - {k - 1}, 0)].count(target - x)\n"
                "return out"
            ),
            f"d, out = {{}}, 0\nfor j in range({k}, len(nums)):\n    d[nums[j - {k}]] = d.get(nums[j - {k}], 0) + 1\n"
            "    out += d.get(target - nums[j], 0)\nreturn out",
        ]
        mutants = [
            ("any_distance", count(1), "allows every distance"),
            ("one_more", count(k + 1), "asks for a larger distance"),
            ("one_less", count(k - 1), "asks for a smaller distance"),
            (
                "exactly",
                f"return sum(x + y == target for x, y in zip(nums, nums[{k}:]))",
                "asks for just that distance",
            ),
            ("both_ways", count().replace("return sum", "return 2 * sum"), "counts each pair twice"),
        ]
        return correct, mutants

    def write_closest(self, p):
        v = p["v"]

        def closest(first="i + 1", v=v, pick="min", what="abs(nums[i] + nums[j] - target)"):
            return (
                f"n = len(nums)\nt = [{what} for i in range(n) for j in range({first}, n)]\n"
                f"return {pick}(t, default={v})"
            )

        correct = [
            closest(),
            (
                "from itertools import combinations\n"
                f"return min((abs(x + y - target) for x, y in combinations(nums, 2)), default={v})"
            ),
            (
                f"if len(nums) < 2:\n    return {v}\nt = sorted(nums)\ni, j = 0, len(t) - 1\n"
                "best = abs(t[i] + t[j] - target)\nwhile i < j:\n    s = t[i] + t[j]\n"
                "    best = min(best, abs(s - target))\n    if s < target:\n        i += 1\n    else:\n"
                "        j -= 1\nreturn best"
            ),
        ]
        mutants = [
            ("same_twice", closest("i"), "pairs an element with itself"),
            ("signed", closest(what="nums[i] + nums[j] - target"), "keeps the sign"),
            ("farthest", closest(pick="max"), "returns the largest distance"),
            ("sum", closest(what="nums[i] + nums[j]"), "returns a sum"),
            ("other_sentinel", closest(v=v - 1), "has another answer where there is no pair"),
        ]
        return correct, mutants


def _places(nums, got):
    """The pair of different places in `got`, None where it is none."""
    if type(got) is not list or len(got) != 2 or any(type(i) is not int or not 0 <= i < len(nums) for i in got):
        return None
    return None if got[0] == got[1] else got


def is_valid(args, expected, got):
    """Any [i, j] with i < j whose numbers add up to the target; just `expected` where there is none."""
    nums, target = args
    if expected[0] == expected[1]:
        return type(got) is list and [type(x) for x in got] == [int, int] and got == expected
    pair = _places(nums, got)
    return pair is not None and pair[0] < pair[1] and nums[pair[0]] + nums[pair[1]] == target


def is_valid_pair(args, expected, got):
    """Two different places, in either order, whose numbers add up to the target."""
    nums, target = args
    pair = _places(nums, list(got) if type(got) is tuple else got)
    return pair is not None and nums[pair[0]] + nums[pair[1]] == target


def is_valid_difference(args, expected, got):
    """Any [i, j] with i not j whose numbers differ by the target; just `expected` where there is none."""
    nums, target = args
    if expected[0] == expected[1]:
        return type(got) is list and [type(x) for x in got] == [int, int] and got == expected
    pair = _places(nums, got)
    return pair is not None and nums[pair[1]] - nums[pair[0]] == target


FAMILY = TwoSum()

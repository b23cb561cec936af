"""Longest subsequences and runs that climb or fall by drawn steps."""

from __future__ import annotations

from bisect import bisect_left

from problems.family import Argument, Family, Variant


class Lis(Family):
    name = "lis"
    summary = "longest rising, falling or stepped subsequences, heaviest ones, longest runs, under a drawn cap"
    functions = ("lis", "longest_rise", "longest", "solve")
    arguments = (Argument("nums", "list[int]", ("values", "xs")),)
    variants = (
        Variant(
            "run",
            "int",
            (
                (
                    "Return the length of the longest stretch of neighbours in {nums} in which each number is at "
                    "least {k} more than the one before and none exceeds {h}."
                ),
                (
                    "How long is the longest contiguous part of {nums} that grows by {k} or more at every step and "
                    "has no number above {h}?"
                ),
                (
                    "Numbers above {h} break a run. Return the length of the longest run of consecutive elements "
                    "of {nums} whose steps are all {k} or more."
                ),
            ),
        ),
        Variant(
            "rising",
            "int",
            (
                (
                    "Return the length of the longest strictly increasing subsequence of {nums} that uses no "
                    "number above {h}."
                ),
                (
                    "How many numbers of {nums}, none above {h}, can be picked in order so that each is greater "
                    "than the one picked before?"
                ),
                "Leave out numbers greater than {h}. How long is the longest subsequence of {nums} (gaps allowed) that "
                "strictly rises?",
            ),
        ),
        Variant(
            "falling",
            "int",
            (
                "Return the length of the longest subsequence of {nums} that never rises and uses no number above {h}.",
                (
                    "How many numbers of {nums}, none above {h}, can be picked in order so that each is at most "
                    "the one picked before?"
                ),
                (
                    "Leave out numbers greater than {h}. How long is the longest subsequence of {nums} (gaps "
                    "allowed) in which no number exceeds its predecessor?"
                ),
            ),
            level=2,
        ),
        Variant(
            "steps",
            "int",
            (
                (
                    "Return the length of the longest subsequence of {nums} in which each number is at least {k} "
                    "more than the one before, without numbers above {h}."
                ),
                (
                    "How many numbers of {nums}, none above {h}, can be picked in order so that each exceeds the "
                    "last one by {k} or more?"
                ),
                (
                    "Leave out numbers greater than {h}. How long is the longest subsequence of {nums} (gaps "
                    "allowed) whose steps are all {k} or more?"
                ),
            ),
            level=4,
        ),
        Variant(
            "heaviest",
            "int",
            (
                "Return the largest sum of a strictly increasing subsequence of {nums}, or {v} if {nums} is empty.",
                (
                    "Pick numbers of {nums} in order, each greater than the last, at least one. What is their "
                    "greatest sum? An empty list gives {v}."
                ),
                (
                    "What is the maximum sum of a non-empty strictly rising subsequence (gaps allowed) of {nums}? "
                    "Return {v} for an empty list."
                ),
            ),
            level=5,
        ),
    )

    def params(self, rng, variant, difficulty):
        if variant == "heaviest":
            return {"v": -rng.int(100, 999)}
        p = {"h": rng.int(20, 199)}
        return p | {"k": rng.int(2, 9)} if variant in ("run", "steps") else p

    def solve_run(self, p, nums):
        best = cur = 0
        old = None
        for x in nums:
            cur = 0 if x > p["h"] else cur + 1 if cur and x - old >= p["k"] else 1
            best, old = max(best, cur), x
        return best

    def solve_rising(self, p, nums):
        tails = []
        for x in nums:
            if x <= p["h"]:
                i = bisect_left(tails, x)
                tails[i : i + 1] = [x]
        return len(tails)

    def solve_falling(self, p, nums):
        return _longest(nums, p["h"], 0, falling=True)

    def solve_steps(self, p, nums):
        return _longest(nums, p["h"], p["k"])

    def solve_heaviest(self, p, nums):
        best = []
        for x in nums:
            best.append(x + max([0, *[b for b, y in zip(best, nums) if y < x]]))
        return max(best, default=p["v"])

    def edge_cases(self, rng, variant, p, difficulty):
        h, k = p.get("h", 60), p.get("k", 1)
        a = rng.int(1, 5)
        yield ([],)
        yield ([h],)
        if variant == "heaviest":
            yield from (
                ([-5],),
                ([-5, -9, -2],),
                ([9, 1, 2, 3],),
                ([1, 2, 50, 3, 4],),
                ([4, 4, 4],),
                ([-3, 4, 5, -1],),
                ([90, 1, 5, 95, 6],),
            )
            yield ([1, 30, 2, 31, 3],)
            return
        yield ([h + 1],)
        yield from (
            ([a, h + 1, a + k],),
            ([h - k, h, h + k],),
            ([a, a, a],),
            ([a + 2 * k, a + k, a],),
            ([a, a + k, a + 2 * k],),
        )
        yield ([a, a + k - 1, a + 2 * k - 2, a + 3 * k - 3],)
        yield ([a + 3, a + 9, a, a + 1, a + 2],)
        yield ([a, a + k, a + 1, a + 1 + k, a + 1 + 2 * k],)
        yield ([a, h + 5, a + k, h + 7, a + 2 * k],)
        yield ([a + 5 * k, a, a + 4 * k, a + k, a + 3 * k, a + 2 * k],)
        yield ([h + 9, h + 3, h, h, h - 1],)
        yield ([5, 1, 4, 1, 3, 1, 1],)

    def sample(self, rng, variant, p, difficulty):
        h, size = p.get("h", 40 + 4 * difficulty), rng.int(4, 5 + 2 * difficulty)
        nums = rng.ints(size, 0 if difficulty < 5 else -10, h + 8)
        if variant in ("run", "steps") and rng.chance(0.6):
            at, x = rng.int(0, size), rng.int(0, 6)
            nums[at:at] = [x + p["k"] * i + rng.int(0, 1) * i for i in range(rng.int(2, 4))]
        return (nums,)

    def write_run(self, p):
        h, k = p["h"], p["k"]

        def run(step=f"x - old >= {k}", cap=f"x > {h}", end="best"):
            return (
                f"best = n = 0\nold = 0\nfor x in nums:\n    if {cap}:\n        n = 0\n    elif n and {step}:\n"
                f"        n += 1\n    else:\n        n = 1\n    best = max(best, n)\n    old = x\nreturn {end}"
            )

        correct = [
            run(),
            (
                f"def ok(t):\n    return all(x <= {h} for x in t) and all(y - x >= {k} for x, y in zip(t, t[1:]))\n"
                "n = len(nums)\nreturn max([j - i for i in range(n) for j in range(i + 1, n + 1) if "
                "ok(nums[i:j])], default=0)"
            ),
            (
                f"best, i = 0, 0\nfor j, x in enumerate(nums):\n    if x > {h}:\n        i = j + 1\n"
                f"    elif j > i and x - nums[j - 1] < {k}:\n        i = j\n    best = max(best, j - i + 1)\n"
                "return best"
            ),
        ]
        mutants = [
            ("any_rise", run("x > old"), "allows smaller steps"),
            ("strict", run(f"x - old > {k}"), "asks for larger steps"),
            ("no_cap", run(cap="False"), "allows numbers above the cap"),
            ("gaps", _table(f"nums[j] + {k} <= nums[i]", h), "allows gaps"),
            ("cap_itself", run(cap=f"x >= {h}"), "bans the cap itself"),
        ]
        return correct, mutants

    def write_rising(self, p):
        h = p["h"]
        correct = [
            _table("nums[j] < nums[i]", h),
            f"from bisect import bisect_left\nt = []\nfor x in nums:\n    if x <= {h}:\n        i = bisect_left(t, x)\n"
            "        t[i:i + 1] = [x]\nreturn len(t)",
            (
                f"from functools import cache\nt = [x for x in nums if x <= {h}]\n@cache\ndef go(i):\n"
                "    return 1 + max([go(j) for j in range(i) if t[j] < t[i]], default=0)\n"
                "return max(map(go, range(len(t))), default=0)"
            ),
        ]
        mutants = [
            ("or_equal", _table("nums[j] <= nums[i]", h), "allows equal numbers"),
            ("no_cap", _table("nums[j] < nums[i]"), "allows numbers above the cap"),
            (
                "neighbours",
                f"best = n = 0\nold = 0\nfor x in nums:\n    if x <= {h}:\n        n = n + 1 if n and x > old else 1\n"
                "        best = max(best, n)\n        old = x\nreturn best",
                "looks at neighbours only",
            ),
            (
                "greedy",
                (
                    f"n, old = 0, None\nfor x in nums:\n    if x <= {h} and (old is None or x > old):\n"
                    "        n += 1\n        old = x\nreturn n"
                ),
                "takes every larger number",
            ),
            ("falling", _table("nums[j] > nums[i]", h), "falls"),
        ]
        return correct, mutants

    def write_falling(self, p):
        h = p["h"]
        correct = [
            _table("nums[j] >= nums[i]", h),
            (
                f"from bisect import bisect_right\nt = []\nfor x in nums:\n    if x <= {h}:\n"
                "        i = bisect_right(t, -x)\n        t[i:i + 1] = [-x]\nreturn len(t)"
            ),
            (
                f"from functools import cache\nt = [x for x in nums if x <= {h}]\n@cache\ndef go(i):\n"
                "    return 1 + max([go(j) for j in range(i) if t[j] >= t[i]], default=0)\n"
                "return max(map(go, range(len(t))), default=0)"
            ),
        ]
        mutants = [
            ("strict", _table("nums[j] > nums[i]", h), "forbids equal numbers"),
            ("rising", _table("nums[j] <= nums[i]", h), "rises"),
            ("no_cap", _table("nums[j] >= nums[i]"), "allows numbers above the cap"),
            (
                "greedy",
                (
                    f"n, old = 0, None\nfor x in nums:\n    if x <= {h} and (old is None or x <= old):\n"
                    "        n += 1\n        old = x\nreturn n"
                ),
                "takes every smaller number",
            ),
        ]
        return correct, mutants

    def write_steps(self, p):
        h, k = p["h"], p["k"]
        correct = [
            _table(f"nums[j] + {k} <= nums[i]", h),
            (
                f"t = {{}}\nfor x in nums:\n    if x <= {h}:\n"
                f"        n = 1 + max([t[y] for y in t if x - y >= {k}], default=0)\n"
                "        t[x] = max(t.get(x, 0), n)\nreturn max(t.values(), default=0)"
            ),
            (
                f"from functools import cache\nt = [x for x in nums if x <= {h}]\n@cache\ndef go(i):\n"
                f"    return 1 + max([go(j) for j in range(i) if t[i] - t[j] >= {k}], default=0)\n"
                "return max(map(go, range(len(t))), default=0)"
            ),
        ]
        mutants = [
            ("any_rise", _table("nums[j] < nums[i]", h), "allows smaller steps"),
            ("strict", _table(f"nums[j] + {k} < nums[i]", h), "asks for larger steps"),
            ("no_cap", _table(f"nums[j] + {k} <= nums[i]"), "allows numbers above the cap"),
            ("at_most", _table(f"0 < nums[i] - nums[j] <= {k}", h), "takes the step for the largest one"),
        ]
        return correct, mutants

    def write_heaviest(self, p):
        v = p["v"]

        def heaviest(test="nums[j] < nums[i]", v=v, end="max(t, default={v})"):
            return (
                f"t = list(nums)\nfor i in range(len(nums)):\n    for j in range(i):\n        if {test}:\n"
                f"            t[i] = max(t[i], t[j] + nums[i])\nreturn {end.format(v=v)}"
            )

        correct = [
            heaviest(),
            (
                f"t = {{}}\nfor x in nums:\n    t[x] = x + max([0] + [t[y] for y in t if y < x])\n"
                f"return max(t.values(), default={v})"
            ),
            (
                "from functools import cache\n@cache\ndef go(i):\n"
                "    return nums[i] + max([go(j) for j in range(i) if nums[j] < nums[i]] + [0])\n"
                f"return max(map(go, range(len(nums))), default={v})"
            ),
        ]
        mutants = [
            ("or_equal", heaviest("nums[j] <= nums[i]"), "allows equal numbers"),
            ("longest", _table("nums[j] < nums[i]"), "returns a length"),
            ("other_sentinel", heaviest(v=v - 1), "has another answer for an empty list"),
            ("zero_floor", heaviest(end="max(t + [0])"), "takes nothing where all are negative"),
            (
                "neighbours",
                (
                    f"if not nums:\n    return {v}\nbest = n = nums[0]\nfor x, y in zip(nums, nums[1:]):\n"
                    "    n = n + y if y > x else y\n    best = max(best, n)\nreturn best"
                ),
                "looks at neighbours only",
            ),
        ]
        return correct, mutants


def _table(test, cap=None):
    drop = f"nums = [x for x in nums if x <= {cap}]\n" if cap is not None else ""
    return (
        f"{drop}t = [1] * len(nums)\nfor i in range(len(nums)):\n    for j in range(i):\n        if {test}:\n"
        "            t[i] = max(t[i], t[j] + 1)\nreturn max(t, default=0)"
    )


def _longest(nums, cap, step, falling=False):
    best = []
    nums = [-x if falling else x for x in nums if x <= cap]
    for x in nums:
        best.append(1 + max([b for b, y in zip(best, nums) if x - y >= step], default=0))
    return max(best, default=0)


FAMILY = Lis()

"""Best runs of neighbouring numbers, with drawn limits, costs and answers for empty lists."""

from __future__ import annotations

from functools import partial

from problems.family import Argument, Family, Variant


class MaxSubarray(Family):
    name = "max_subarray"
    summary = "largest or smallest sum of a run, with length limits, costs, or round a circle"
    functions = ("max_subarray", "best_run", "best", "solve")
    arguments = (Argument("nums", "list[int]", ("values", "a")),)
    variants = (
        Variant(
            "largest",
            "int",
            (
                "Return the largest sum of a non-empty run of neighbouring numbers in {nums}, or {v} if {nums} is "
                "empty.",
                "Which contiguous, non-empty part of {nums} has the greatest sum? Return that sum; for an empty list "
                "return {v}.",
                "Find the maximum sum of one or more consecutive elements of {nums}. An empty list gives {v}.",
            ),
        ),
        Variant(
            "smallest",
            "int",
            (
                "Return the smallest sum of a non-empty run of neighbouring numbers in {nums}, or {v} if {nums} is "
                "empty.",
                "Which contiguous, non-empty part of {nums} has the least sum? Return that sum; for an empty list "
                "return {v}.",
                "Find the minimum sum of one or more consecutive elements of {nums}. An empty list gives {v}.",
            ),
        ),
        Variant(
            "exactly",
            "int",
            (
                "Return the largest sum of {k} neighbouring numbers in {nums}, or {v} if there are fewer than {k}.",
                (
                    "What is the greatest sum of exactly {k} consecutive elements of {nums}? Return {v} for a "
                    "shorter list."
                ),
                "Slide a window of {k} elements over {nums} and return its largest sum; {v} if it does not fit.",
            ),
        ),
        Variant(
            "cost",
            "int",
            (
                "Each number taken costs {c}. Return the largest sum less costs of a non-empty run of neighbours in "
                "{nums}, or {v} if {nums} is empty.",
                "A run of consecutive elements is worth its sum minus {c} times its length. Return the best worth of "
                "a non-empty run of {nums}; {v} for an empty list.",
                "Subtract {c} from every number in {nums}, then find the maximum sum of one or more consecutive "
                "elements. An empty list gives {v}.",
            ),
            level=2,
        ),
        Variant(
            "at_most",
            "int",
            (
                "Return the largest sum of a run of 1 to {k} neighbouring numbers in {nums}, or {v} if {nums} is "
                "empty.",
                "What is the greatest sum of at least one and at most {k} consecutive elements of {nums}? An empty "
                "list gives {v}.",
                "Take a non-empty run of no more than {k} neighbours of {nums} with the maximum sum. Return the sum, "
                "or {v} for an empty list.",
            ),
            level=5,
        ),
        Variant(
            "at_least",
            "int",
            (
                "Return the largest sum of a run of at least {k} neighbouring numbers in {nums}, or {v} if there are "
                "fewer than {k}.",
                "What is the greatest sum of {k} or more consecutive elements of {nums}? A shorter list gives {v}.",
                "Take a run of no fewer than {k} neighbours of {nums} with the maximum sum. Return the sum, or {v} if "
                "the list is too short.",
            ),
            level=6,
        ),
        Variant(
            "circle",
            "int",
            (
                "The numbers of {nums} stand in a circle, the last beside the first. Return the largest sum of a "
                "non-empty run of neighbours that uses no number twice, or {v} if {nums} is empty.",
                "Let a run of {nums} go on from the end to the start. Return the greatest sum of a non-empty run with "
                "each element at most once; {v} for an empty list.",
                "Find the maximum sum of consecutive elements of the circular list {nums}, at least one and each at "
                "most once. An empty list gives {v}.",
            ),
            level=7,
        ),
    )

    def params(self, rng, variant, difficulty):
        p = {"v": rng.int(-99, 99)}
        if variant == "cost":
            p["c"] = rng.int(1, 9)
        elif variant in ("exactly", "at_most", "at_least"):
            p["k"] = rng.int(2, 6)
        return p

    def answer(self, variant, p, nums):
        k = p.get("k", 1)
        if not nums or (variant in ("exactly", "at_least") and len(nums) < k):
            return p["v"]
        if variant == "exactly":
            return max([sum(nums[i : i + k]) for i in range(len(nums) - k + 1)])
        if variant == "at_most":
            return max([sum(nums[i:j]) for i in range(len(nums)) for j in range(i + 1, min(i + k, len(nums)) + 1)])
        if variant == "at_least":
            best = cur = sum(nums[:k])
            for i in range(k, len(nums)):
                cur = max(cur + nums[i], sum(nums[i - k + 1 : i + 1]))
                best = max(best, cur)
            return best
        if variant == "smallest":
            return -_kadane([-x for x in nums])
        if variant == "circle":
            best, least = _kadane(nums), -_kadane([-x for x in nums])
            return best if best < 0 else max(best, sum(nums) - least)
        return _kadane([x - p.get("c", 0) for x in nums])

    def edge_cases(self, rng, variant, p, difficulty):
        k, c, low = p.get("k", 3), p.get("c", 0), 3 + difficulty
        yield ([],)
        yield ([-rng.int(1, 9)],)
        yield ([rng.int(1, 9)],)
        if variant in ("exactly", "at_least", "at_most"):
            yield ([rng.int(1, 20) for _ in range(k - 1)],)
            yield ([-rng.int(1, 20) for _ in range(k)],)
            yield ([rng.int(1, 20) for _ in range(k)],)
            yield ([rng.int(1, 20) for _ in range(k + 2)],)
            yield ([-rng.int(1, 9) for _ in range(k + 2)],)
            yield ([50] + [-rng.int(1, 4) for _ in range(k + 1)] + [40] + [-1] * k,)
            yield ([-3] * k + [-1] * (k - 1) + [-9] * k + [30],)
        else:
            yield ([-rng.int(1, low) for _ in range(3)],)
            yield ([rng.int(1 + c, 20 + c) for _ in range(3)],)
            yield ([rng.int(5, 9) + c, c - rng.int(1, 3), rng.int(5, 9) + c, -30, 3],)
            yield ([-rng.int(5, 9), rng.int(1, 3), -rng.int(5, 9), 30, -3],)
            yield ([rng.int(5, 9) + c, -40, rng.int(10, 19) + c],)
            yield ([-rng.int(5, 9), 40, -rng.int(10, 19)],)
            yield ([0, 0],)

    def sample(self, rng, variant, p, difficulty):
        return (rng.ints(rng.int(3, 5 + 2 * difficulty), -6 - 3 * difficulty, 6 + 3 * difficulty),)

    def write_largest(self, p):
        return self._write_extreme("largest", p)

    def write_smallest(self, p):
        return self._write_extreme("smallest", p)

    def _write_extreme(self, variant, p):
        v = p["v"]
        guard = _guard(v)
        scan, pairs = partial(_scan, guard), partial(_pairs, guard)
        pick, other = ("max", "min") if variant == "largest" else ("min", "max")
        correct = [
            scan(pick=pick),
            pairs("i + 1", "n + 1", pick=pick),
            f"{guard}best, t, low = nums[0], 0, 0\nfor x in nums:\n    t += x\n    best = {pick}(best, t - low)\n"
            f"    low = {other}(low, t)\nreturn best",
        ]
        mutants = [
            (
                "zero_floor",
                scan(pick=pick, start="0", rest="nums"),
                "takes an empty run where all are bad",
            ),
            ("opposite", scan(pick=other), "looks for the other extreme"),
            ("whole", f"{guard}return sum(nums)", "sums everything"),
            ("element", f"{guard}return {pick}(nums)", "takes one element"),
            ("no_run", scan(pick=pick, add=False), "never joins neighbours"),
        ]
        if v:
            mutants.append(("empty_zero", _scan(_guard(0), pick), "returns 0 for an empty list"))
        return correct, mutants

    def write_cost(self, p):
        v = p["v"]
        guard = _guard(v)
        scan, pairs = partial(_scan, guard), partial(_pairs, guard)
        c = p["c"]
        value = f"x - {c}"
        correct = [
            scan(value=value, start=f"nums[0] - {c}"),
            pairs("i + 1", "n + 1", term=f"sum(nums[i:j]) - {c} * (j - i)"),
            f"nums = [x - {c} for x in nums]\n" + scan(),
        ]
        mutants = [
            ("free", scan(), "leaves the cost out"),
            ("once", scan().replace("return best", f"return best - {c}"), "takes the cost once"),
            ("other_cost", scan(value=f"x - {c + 1}", start=f"nums[0] - {c + 1}"), "has another cost"),
            ("reward", scan(value=f"x + {c}", start=f"nums[0] + {c}"), "adds the cost"),
            (
                "zero_floor",
                scan(value=value, start="0", rest="nums"),
                "takes an empty run where all are bad",
            ),
        ]
        return correct, mutants

    def write_exactly(self, p):
        v, k = p["v"], p["k"]
        guard = _guard(v)
        scan, windows = partial(_scan, guard), partial(_windows, v, k)
        correct = [
            windows(),
            f"if len(nums) < {k}:\n    return {v}\nbest = t = sum(nums[:{k}])\nfor i in range({k}, len(nums)):\n"
            f"    t += nums[i] - nums[i - {k}]\n    best = max(best, t)\nreturn best",
            f"t = [sum(nums[i:i + {k}]) for i in range(len(nums) - {k - 1})]\nreturn max(t) if t else {v}",
        ]
        mutants = [
            ("short_windows", windows("len(nums)"), "takes shorter windows at the end"),
            (
                "other_length",
                _windows(v, k + 1),
                "has longer windows",
            ),
            ("smallest", windows(pick="min"), "returns the smallest sum"),
            (
                "one_less",
                windows(f"len(nums) - {k}", short=k + 1),
                "leaves out the last window",
            ),
            ("any_length", scan(), "allows every length"),
        ]
        return correct, mutants

    def write_at_most(self, p):
        v = p["v"]
        guard = _guard(v)
        scan, pairs = partial(_scan, guard), partial(_pairs, guard)
        k = p["k"]
        correct = [
            pairs("i + 1", f"min(i + {k}, n) + 1"),
            guard + f"return max(sum(nums[i:i + d]) for i in range(len(nums)) for d in range(1, {k + 1}))",
            f"best = None\nfor i in range(len(nums)):\n    t = 0\n    for x in nums[i:i + {k}]:\n        t += x\n"
            f"        best = t if best is None else max(best, t)\nreturn {v} if best is None else best",
        ]
        mutants = [
            ("any_length", scan(), "allows every length"),
            (
                "exactly",
                guard + f"return max(sum(nums[i:i + {k}]) for i in range(len(nums)))",
                "takes whole windows",
            ),
            ("one_less", pairs("i + 1", f"min(i + {k - 1}, n) + 1"), "stops one short of the limit"),
            ("empty_run", pairs("i", f"min(i + {k}, n) + 1"), "allows an empty run"),
            ("smallest", pairs("i + 1", f"min(i + {k}, n) + 1", pick="min"), "returns the smallest sum"),
        ]
        return correct, mutants

    def write_at_least(self, p):
        v, k = p["v"], p["k"]
        short = _guard(v, k)
        pairs, windows = partial(_pairs, short), partial(_windows, v, k)
        correct = [
            pairs(f"i + {k}", "n + 1"),
            f"t = [sum(nums[i:j]) for j in range(len(nums) + 1) for i in range(j - {k - 1})]\n"
            f"return max(t) if t else {v}",
            f"{short}best = cur = sum(nums[:{k}])\nfor i in range({k}, len(nums)):\n"
            f"    cur = max(cur + nums[i], sum(nums[i - {k - 1}:i + 1]))\n    best = max(best, cur)\nreturn best",
        ]
        mutants = [
            ("any_length", _scan(short), "allows every length"),
            ("exactly", windows(), "allows only the least length"),
            ("one_less", pairs(f"i + {k - 1}", "n + 1"), "allows a shorter run"),
            (
                "one_more",
                _pairs(_guard(v, k + 1), f"i + {k + 1}", "n + 1"),
                "asks for a longer run",
            ),
            ("smallest", pairs(f"i + {k}", "n + 1", pick="min"), "returns the smallest sum"),
        ]
        return correct, mutants

    def write_circle(self, p):
        v = p["v"]
        guard = _guard(v)
        scan = partial(_scan, guard)
        correct = [
            guard
            + (
                "n = len(nums)\nt = nums + nums\nreturn max(sum(t[i:i + d]) for i in range(n) for d in range(1, n + 1))"
            ),
            f"{guard}best, n = nums[0], len(nums)\nfor i in range(n):\n    t = 0\n    for j in range(n):\n"
            "        t += nums[(i + j) % n]\n        best = max(best, t)\nreturn best",
            guard + "best = low = up = down = nums[0]\nfor x in nums[1:]:\n    up = max(x, up + x)\n"
            "    down = min(x, down + x)\n    best, low = max(best, up), min(low, down)\n"
            "return best if best < 0 else max(best, sum(nums) - low)",
        ]
        mutants = [
            ("not_round", scan(), "does not go round"),
            (
                "twice",
                guard
                + (
                    "t = nums + nums\nn = len(t)\n"
                    "return max(sum(t[i:j]) for i in range(n) for j in range(i + 1, n + 1))"
                ),
                "uses numbers twice",
            ),
            ("whole", guard + "return sum(nums)", "sums everything"),
            (
                "zero_floor",
                scan(start="0", rest="nums + nums[:-1]"),
                "takes an empty run and numbers twice",
            ),
        ]
        return correct, mutants


def _guard(v, least=1):
    """The answer for a list that is too short."""
    return f"if not nums:\n    return {v}\n" if least == 1 else f"if len(nums) < {least}:\n    return {v}\n"


def _scan(guard, pick="max", value="x", start="nums[0]", rest="nums[1:]", add=True):
    """The best sum that ends at each place (Kadane's algorithm)."""
    run = f"cur = {pick}({value}, cur + {value})" if add else f"cur = {value}"
    return f"{guard}best = cur = {start}\nfor x in {rest}:\n    {run}\n    best = {pick}(best, cur)\nreturn best"


def _windows(v, k, ends="", pick="max", short=0):
    """All windows of k numbers."""
    ends = ends or f"len(nums) - {k - 1}"
    return f"{_guard(v, short or k)}return {pick}(sum(nums[i:i + {k}]) for i in range({ends}))"


def _pairs(guard, first, last, pick="max", term="sum(nums[i:j])"):
    """All runs from i up to j."""
    return f"{guard}n = len(nums)\nreturn {pick}({term} for i in range(n) for j in range({first}, {last}))"


def _kadane(nums: list[int]) -> int:
    best = cur = nums[0]
    for x in nums[1:]:
        cur = cur + x if cur > 0 else x
        if cur > best:
            best = cur
    return best


FAMILY = MaxSubarray()

"""Plain contracts: merged intervals, the median of two lists, trapped water."""

from __future__ import annotations

from problems.classic.contract import Contract, band, changed
from problems.family import Argument

_MERGE = """
    out = []
    for start, end in sorted(intervals):
        if out and start <= out[-1][1]:
            out[-1][1] = max(out[-1][1], end)
        else:
            out.append([start, end])
    return out
    """


class MergeIntervals(Contract):
    name = "merge_intervals@classic"
    summary = "intervals that overlap or touch as one"
    function, returns = "merge_intervals", "list[list[int]]"
    arguments = (Argument("intervals", "list[list[int]]"),)
    statement = (
        "Each of {intervals} is [start, end]. Merge those that overlap or touch, as [1, 4] and [4, 5] do, and return "
        "what is left, sorted by start."
    )
    cases = (
        ([],), ([[1, 4]],), ([[1, 4], [4, 5]],), ([[1, 3], [2, 6], [8, 10], [15, 18]],), ([[1, 10], [2, 3], [4, 5]],),
        ([[5, 6], [1, 2]],), ([[1, 4], [5, 6]],), ([[1, 4], [1, 4]],), ([[2, 3], [1, 10], [11, 12]],),
        ([[4, 6], [1, 2], [2, 4]],), ([[1, 5], [2, 3], [4, 8]],), ([[0, 2], [5, 7], [1, 6]],),
    )  # fmt: skip
    correct = (
        _MERGE,
        """
        intervals.sort(key=lambda pair: pair[0])
        out = []
        for pair in intervals:
            if out and out[-1][1] >= pair[0]:
                if out[-1][1] < pair[1]:
                    out[-1][1] = pair[1]
            else:
                out.append(pair)
        return out
        """,
        """
        out = []
        for start, end in intervals:
            apart = []
            for a, b in out:
                if b < start or end < a:
                    apart.append([a, b])
                else:
                    start, end = min(a, start), max(b, end)
            out = apart + [[start, end]]
        return sorted(out)
        """,
    )
    mutants = (
        ("touching_apart", changed(_MERGE, ("start <= out", "start < out")), "keeps touching ones apart"),
        ("unsorted", changed(_MERGE, ("sorted(intervals)", "intervals")), "does not sort them"),
        ("last_end", changed(_MERGE, ("max(out[-1][1], end)", "end")), "ends with the last one"),
        ("neighbours", changed(_MERGE, ("start <= out[-1][1]", "start <= out[-1][1] + 1")), "merges neighbours too"),
        ("sorted_only", "return sorted(intervals)", "merges nothing"),
        ("hull", "return [[min(a for a, b in intervals), max(b for a, b in intervals)]] if intervals else []",
         "merges everything"),
        ("count", changed(_MERGE, ("return out", "return len(out)")), "counts them"),
    )  # fmt: skip

    def draw(self, rng, difficulty):
        low, high = ((2, 4), (4, 6), (5, 8))[band(difficulty)]
        starts = rng.ints(rng.int(low, high), 0, 20)
        return ([[start, start + rng.int(1, 5)] for start in starts],)

    def solve(self, intervals):
        merged: list[list[int]] = []
        for start, end in sorted(intervals):
            if merged and start <= merged[-1][1]:
                merged[-1][1] = max(merged[-1][1], end)
            else:
                merged.append([start, end])
        return merged


_MEDIAN = """
    t = sorted(nums1 + nums2)
    n = len(t)
    if n % 2:
        return float(t[n // 2])
    return (t[n // 2 - 1] + t[n // 2]) / 2
    """


class FindMedian(Contract):
    name = "find_median@classic"
    summary = "the median of two sorted lists"
    function, returns = "find_median", "float"
    checker = "float:1e-6"
    arguments = (Argument("nums1", "list[int]"), Argument("nums2", "list[int]"))
    statement = (
        "{nums1} and {nums2} are sorted and not both empty. Return the median of all their elements together: the "
        "middle one, or the mean of the middle two if their number is even."
    )
    cases = (
        ([], [1]), ([2], []), ([1, 3], [2]), ([1, 2], [3, 4]), ([0, 0], [0, 0]), ([1], [2, 3, 4, 5, 6]), ([-5, 3], [4]),
        ([1, 1, 1], [9]), ([10], [1, 2]), ([1, 2], [8, 9]), ([5, 6], [1, 2, 3]), ([-4, -1], [-3, 0]),
    )  # fmt: skip
    correct = (
        _MEDIAN,
        "from statistics import median\nreturn float(median(nums1 + nums2))",
        """
        t, n = [], len(nums1) + len(nums2)
        while len(t) <= n // 2:
            first = nums1 if not nums2 or nums1 and nums1[0] < nums2[0] else nums2
            t.append(first.pop(0))
        return float(t[-1]) if n % 2 else (t[-1] + t[-2]) / 2
        """,
    )
    mutants = (
        ("upper", "t = sorted(nums1 + nums2)\nreturn float(t[len(t) // 2])", "takes the upper of the middle two"),
        ("lower", "t = sorted(nums1 + nums2)\nreturn float(t[(len(t) - 1) // 2])", "takes the lower of the middle two"),
        ("mean", "t = nums1 + nums2\nreturn sum(t) / len(t)", "takes the mean"),
        ("joined", changed(_MEDIAN, ("sorted(nums1 + nums2)", "nums1 + nums2")), "does not sort them together"),
        ("rounded", changed(_MEDIAN, (") / 2", ") // 2")), "rounds down"),
        ("no_repeats", changed(_MEDIAN, ("sorted(nums1 + nums2)", "sorted({*nums1, *nums2})")), "drops repeats"),
    )

    def draw(self, rng, difficulty):
        low, high = ((1, 3), (2, 5), (3, 7))[band(difficulty)]
        return tuple(sorted(rng.ints(rng.int(low, high), 1, 50)) for _ in range(2))

    def solve(self, nums1, nums2):
        together = sorted(nums1 + nums2)
        size = len(together)
        return (together[size // 2] + together[(size - 1) // 2]) / 2


_WATER = """
    left, right, i, j, total = 0, 0, 0, len(height) - 1, 0
    while i <= j:
        if left <= right:
            left = max(left, height[i])
            total += left - height[i]
            i += 1
        else:
            right = max(right, height[j])
            total += right - height[j]
            j -= 1
    return total
    """
_LEVELS = """
    total = 0
    for i, h in enumerate(height):
        total += min(max(height[:i + 1]), max(height[i:])) - h
    return total
    """


class Trap(Contract):
    name = "trap@classic"
    summary = "how much rain stands between bars"
    function, returns = "trap", "int"
    arguments = (Argument("height", "list[int]"),)
    statement = (
        "{height} holds the heights of bars of width 1 that stand side by side. Return how many units of water stay "
        "between them after rain."
    )
    cases = (
        ([],), ([3],), ([0, 1, 0, 2, 1, 0, 1, 3, 2, 1, 2, 1],), ([4, 2, 0, 3, 2, 5],), ([1, 2, 3],), ([3, 2, 1],),
        ([2, 0, 2],), ([5, 5, 5],), ([3, 0, 1, 0, 2],), ([2, 0, 0],), ([0, 0],), ([1, 0, 5, 0, 1],), ([5, 1, 2, 1, 4],),
    )  # fmt: skip
    correct = (
        _WATER,
        _LEVELS,
        """
        total, waiting = 0, []
        for i, h in enumerate(height):
            while waiting and height[waiting[-1]] < h:
                low = height[waiting.pop()]
                if waiting:
                    total += (min(height[waiting[-1]], h) - low) * (i - waiting[-1] - 1)
            waiting.append(i)
        return total
        """,
    )
    mutants = (
        ("neighbours", "t = height\nreturn sum(max(0, min(a, c) - b) for a, b, c in zip(t, t[1:], t[2:]))",
         "looks at the next bars only"),
        ("ends", "t = height\nreturn sum(max(0, min(t[0], t[-1]) - h) for h in t)", "looks at both ends only"),
        ("left_wall", changed(_LEVELS, ("min(max(height[:i + 1]), max(height[i:]))", "max(height[:i + 1])")),
         "needs no wall on the right"),
        ("places", changed(_LEVELS, ("total += min(max(height[:i + 1]), max(height[i:])) - h",
                                     "total += min(max(height[:i + 1]), max(height[i:])) > h")), "counts places"),
        ("highest", changed(_LEVELS, ("min(max", "max(max")), "fills up to the higher wall"),
        ("whole", "return max(height, default=0) * len(height) - sum(height)", "fills up to the highest bar"),
    )  # fmt: skip

    def draw(self, rng, difficulty):
        low, high = ((5, 8), (8, 12), (10, 15))[band(difficulty)]
        return (rng.ints(rng.int(low, high), 0, (4, 6, 8)[band(difficulty)]),)

    def solve(self, height):
        return sum(min(max(height[: i + 1]), max(height[i:])) - h for i, h in enumerate(height))


FAMILIES = (MergeIntervals(), FindMedian(), Trap())

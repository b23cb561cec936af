"""Plain contracts on lists of numbers: search, pairs, sums of neighbours, duplicates, merging."""

from __future__ import annotations

from problems.classic.contract import Contract, changed
from problems.family import Argument

_NUMS = Argument("nums", "list[int]")
_TARGET = Argument("target", "int")

_HALVES = """
    low, high = 0, len(nums) - 1
    while low <= high:
        middle = (low + high) // 2
        if nums[middle] == target:
            return middle
        if nums[middle] < target:
            low = middle + 1
        else:
            high = middle - 1
    return -1
    """


class BinarySearch(Contract):
    name = "binary_search@classic"
    summary = "where a number is in a sorted list, or -1"
    function, returns = "binary_search", "int"
    arguments = (_NUMS, _TARGET)
    statement = (
        "{nums} is sorted in ascending order and holds no number twice. Return the index of {target} in it, counted "
        "from 0, or -1 if it is not there."
    )
    cases = (
        ([], 5), ([4], 4), ([4], 3), ([4], 5), ([1, 3], 1), ([1, 3], 3), ([1, 3], 2), ([1, 3, 5, 7], 7),
        ([1, 3, 5, 7], 1), ([2, 4, 6, 8, 10], 6), ([2, 4, 6, 8, 10], 11), ([2, 4, 6, 8, 10], 0), ([-9, -4, 0, 7], -4),
        ([5, 8, 12, 20, 31, 47], 31),
    )  # fmt: skip
    correct = (
        _HALVES,
        "return nums.index(target) if target in nums else -1",
        """
        from bisect import bisect_left
        i = bisect_left(nums, target)
        return i if i < len(nums) and nums[i] == target else -1
        """,
        """
        def go(low, high):
            if low >= high:
                return -1
            middle = (low + high) // 2
            if nums[middle] == target:
                return middle
            return go(middle + 1, high) if nums[middle] < target else go(low, middle)
        return go(0, len(nums))
        """,
    )
    mutants = (
        ("strict", changed(_HALVES, ("low <= high", "low < high")), "does not look at the last one left"),
        ("insertion", changed(_HALVES, ("return -1", "return low")), "says where it would have to be"),
        ("from_one", changed(_HALVES, ("return middle", "return middle + 1")), "counts from 1"),
        ("no_last", changed(_HALVES, ("len(nums) - 1", "len(nums) - 2")), "never looks at the end"),
        ("value", changed(_HALVES, ("return middle", "return target")), "returns the number"),
        ("found", "return target in nums", "says whether it is there"),
    )

    def draw(self, rng, difficulty):
        nums = sorted(rng.sample(range(1, 100), rng.int(5, 10 + difficulty)))
        if rng.chance(0.6):
            return (nums, rng.pick(nums))
        return (nums, rng.pick([x for x in range(1, 100) if x not in nums]))

    def solve(self, nums, target):
        return nums.index(target) if target in nums else -1


_PAIRS = """
    for i in range(len(nums)):
        for j in range(i + 1, len(nums)):
            if nums[i] + nums[j] == target:
                return [i, j]
    """


class TwoSum(Contract):
    name = "two_sum@classic"
    summary = "the indices of two numbers by their sum; any such pair is right"
    function, returns = "two_sum", "list[int]"
    checker = "any_valid:problems.families.two_sum:is_valid_pair"
    arguments = (_NUMS, _TARGET)
    statement = (
        "Return the indices, counted from 0, of two different elements of {nums} that add up to {target}. There is "
        "such a pair; where there are several, any of them will do, in either order."
    )
    cases = (
        ([3, 3], 6), ([3, 2, 4], 6), ([2, 7, 11, 15], 9), ([2, 7, 11, 15], 26), ([0, 4, 3, 0], 0), ([5, 75, 25], 100),
        ([-3, 4, 3, 90], 0), ([1, 5, 1], 2), ([1, 2, 3, 4, 5, 6], 11), ([8, 1, 4, 4], 8), ([10, 30, 20, 90, 60], 80),
    )  # fmt: skip
    correct = (
        _PAIRS,
        """
        seen = {}
        for j, x in enumerate(nums):
            if target - x in seen:
                return [seen[target - x], j]
            seen[x] = j
        """,
        """
        order = sorted(range(len(nums)), key=lambda i: nums[i])
        i, j = 0, len(nums) - 1
        while nums[order[i]] + nums[order[j]] != target:
            if nums[order[i]] + nums[order[j]] < target:
                i += 1
            else:
                j -= 1
        return [order[i], order[j]]
        """,
    )
    mutants = (
        ("same_twice", changed(_PAIRS, ("i + 1, len", "i, len")), "pairs an element with itself"),
        ("values", changed(_PAIRS, ("[i, j]", "[nums[i], nums[j]]")), "returns the numbers"),
        ("from_one", changed(_PAIRS, ("[i, j]", "[i + 1, j + 1]")), "counts from 1"),
        ("sorted", changed(_PAIRS, ("for i in range", "nums.sort()\n    for i in range")),
         "returns places in the sorted list"),
        ("neighbours", changed(_PAIRS, ("len(nums)):\n            if", "min(i + 2, len(nums))):\n            if")),
         "looks at neighbours only"),
        ("first_index", """
        for x in nums:
            if target - x in nums and (2 * x != target or nums.count(x) > 1):
                return [nums.index(x), nums.index(target - x)]
        """, "finds an equal pair at one place"),
    )  # fmt: skip

    def draw(self, rng, difficulty):
        nums = rng.ints(rng.int(4, 8 + difficulty), 1, 100)
        i, j = rng.sample(range(len(nums)), 2)
        return (nums, nums[i] + nums[j])

    def solve(self, nums, target):
        return next([i, j] for j, y in enumerate(nums) for i, x in enumerate(nums[:j]) if x + y == target)


_BEST = """
    best = here = nums[0]
    for x in nums[1:]:
        here = max(x, here + x)
        best = max(best, here)
    return best
    """


class MaxSubarray(Contract):
    name = "max_subarray@classic"
    summary = "the largest sum of neighbouring numbers"
    function, returns = "max_subarray", "int"
    arguments = (_NUMS,)
    statement = (
        "Return the largest sum that a run of neighbouring elements of {nums} has. The run holds one element at least, "
        "and the list is not empty."
    )
    cases = (
        ([-3],), ([5],), ([0],), ([-5, -2, -9],), ([-1, 0, -2],), ([1, 2, 3],), ([-2, 1, -3, 4, -1, 2, 1, -5, 4],),
        ([5, -9, 6],), ([3, -1, -1, 4],), ([-1, -2],), ([8, -3, -4, 7, -10, 2],), ([-4, 6, 2],), ([6, 2, -4],),
    )  # fmt: skip
    correct = (
        _BEST,
        "n = len(nums)\nreturn max(sum(nums[i:j]) for i in range(n) for j in range(i + 1, n + 1))",
        """
        best, total, lowest = nums[0], 0, 0
        for x in nums:
            total += x
            best = max(best, total - lowest)
            lowest = min(lowest, total)
        return best
        """,
    )
    mutants = (
        ("empty_run", changed(_BEST, ("best = here = nums[0]", "best = here = 0"), ("nums[1:]", "nums")),
         "takes an empty run for one"),
        ("no_restart", changed(_BEST, ("max(x, here + x)", "here + x")), "only looks at runs from the beginning"),
        ("positive", "return sum(x for x in nums if x > 0) or max(nums)", "leaves negative numbers out"),
        ("largest", "return max(nums)", "returns the largest number"),
        ("total", "return sum(nums)", "adds everything"),
        ("at_the_end", changed(_BEST, ("return best", "return here")), "only looks at runs to the end"),
        ("late_restart", changed(_BEST, ("max(x, here + x)", "here + x if here + x > 0 else x")),
         "goes on with a sum below zero"),
    )  # fmt: skip

    def draw(self, rng, difficulty):
        return (rng.ints(rng.int(5, 10 + difficulty), -10, 10),)

    def solve(self, nums):
        best = here = nums[0]
        for x in nums[1:]:
            here = max(x, here + x)
            best = max(best, here)
        return best


_UNIQUE = """
    out = []
    for x in nums:
        if not out or out[-1] != x:
            out.append(x)
    return out
    """
_WITH_REPEATS = (
    ([],), ([1],), ([1, 1],), ([1, 1, 2],), ([0, 0, 1, 1, 1, 2, 2, 3, 3, 4],), ([5, 5, 5, 5],), ([1, 2, 3],),
    ([-3, -3, 0, 0],), ([7, 8, 8],), ([2, 2, 9, 9, 9, 9],), ([-2, -1, -1, 4],),
)  # fmt: skip


class RemoveDuplicates(Contract):
    name = "remove_duplicates@classic"
    summary = "a sorted list without repeats"
    function, returns = "remove_duplicates", "list[int]"
    arguments = (_NUMS,)
    statement = "{nums} is sorted in ascending order. Return a sorted list that holds each of its numbers just once."
    cases = _WITH_REPEATS
    correct = (
        "return sorted(set(nums))",
        _UNIQUE,
        """
        kept = 0
        for x in nums:
            if kept == 0 or nums[kept - 1] != x:
                nums[kept] = x
                kept += 1
        return nums[:kept]
        """,
        "return list(dict.fromkeys(nums))",
    )
    mutants = (
        ("same", "return nums", "removes nothing"),
        ("count", changed(_UNIQUE, ("return out", "return len(out)")), "returns how many there are"),
        ("repeated_gone", "return [x for x in nums if nums.count(x) == 1]", "removes repeated numbers altogether"),
        ("every_other", "return [x for i, x in enumerate(nums) if i % 2 == 0 or nums[i - 1] != x]",
         "removes one of two only"),
        ("descending", "return sorted(set(nums), reverse=True)", "turns the order round"),
        ("no_last", changed(_UNIQUE, ("in nums:", "in nums[:-1]:")), "leaves out the last"),
    )  # fmt: skip

    def draw(self, rng, difficulty):
        values = rng.sample(range(50), rng.int(3, 6 + difficulty))
        return ([x for x in sorted(values) for _ in range(rng.int(1, 3))],)

    def solve(self, nums):
        return sorted(set(nums))


class RemoveDuplicatesCount(RemoveDuplicates):
    name = "remove_duplicates@bundled"
    summary = "how many different numbers a sorted list holds"
    returns = "int"
    statement = (
        "{nums} is sorted in ascending order. Return the number of elements that are left without its duplicates."
    )
    correct = (
        "return len(set(nums))",
        changed(_UNIQUE, ("return out", "return len(out)")),
        """
        kept = 0
        for x in nums:
            if kept == 0 or nums[kept - 1] != x:
                nums[kept] = x
                kept += 1
        return kept
        """,
    )
    mutants = (
        ("listed", _UNIQUE, "returns the numbers"),
        ("all", "return len(nums)", "counts repeats too"),
        ("removed", "return len(nums) - len(set(nums))", "counts what is removed"),
        ("single", "return sum(nums.count(x) == 1 for x in nums)", "counts what is not repeated"),
        ("changes", "return sum(a != b for a, b in zip(nums, nums[1:]))", "counts one too few"),
    )

    def solve(self, nums):
        return len(set(nums))


_MERGE = """
    out, i, j = [], 0, 0
    while i < len(nums1) and j < len(nums2):
        if nums1[i] <= nums2[j]:
            out.append(nums1[i])
            i += 1
        else:
            out.append(nums2[j])
            j += 1
    return out + nums1[i:] + nums2[j:]
    """


class MergeSortedArrays(Contract):
    name = "merge_sorted_arrays@classic"
    summary = "two sorted lists as one"
    function, returns = "merge_sorted_arrays", "list[int]"
    arguments = (Argument("nums1", "list[int]"), Argument("nums2", "list[int]"))
    statement = (
        "{nums1} and {nums2} are sorted in ascending order. Return one sorted list with all their elements, repeated "
        "ones included."
    )
    cases = (
        ([], []), ([], [1]), ([1], []), ([1, 1], [1]), ([1, 3], [2, 4]), ([1, 2, 3], [4, 5]), ([4, 5], [1, 2]),
        ([-1, 0], [-2, 5]), ([2], [1]), ([1, 2, 7], [3]), ([3], [1, 2, 7, 8, 9]), ([6, 6], [6]),
    )  # fmt: skip
    correct = (
        _MERGE,
        "return sorted(nums1 + nums2)",
        """
        out = []
        while nums1 or nums2:
            first = nums1 if not nums2 or nums1 and nums1[0] < nums2[0] else nums2
            out.append(first.pop(0))
        return out
        """,
    )
    mutants = (
        ("joined", "return nums1 + nums2", "joins them without sorting"),
        ("no_rest", changed(_MERGE, (" + nums1[i:] + nums2[j:]", "")), "drops what is left of the longer one"),
        ("one_rest", changed(_MERGE, (" + nums2[j:]", "")), "drops what is left of the second"),
        ("no_repeats", "return sorted(set(nums1 + nums2))", "drops repeats"),
        ("alternating", "out = [x for pair in zip(nums1, nums2) for x in pair]\nn = len(out) // 2\n"
         "return out + nums1[n:] + nums2[n:]", "takes from both in turn"),
        ("descending", "return sorted(nums1 + nums2, reverse=True)", "sorts in descending order"),
    )  # fmt: skip

    def draw(self, rng, difficulty):
        return tuple(sorted(rng.ints(rng.int(2, 5 + difficulty), -20, 50)) for _ in range(2))

    def solve(self, nums1, nums2):
        return sorted(nums1 + nums2)


FAMILIES = (
    BinarySearch(), TwoSum(), MaxSubarray(), RemoveDuplicates(), RemoveDuplicatesCount(), MergeSortedArrays(),
)  # fmt: skip

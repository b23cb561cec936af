"""Plain contracts on lists of up to 100 numbers: sort, filter, add up."""

from __future__ import annotations

from problems.classic.contract import Contract, changed
from problems.family import Argument

_CASES = (
    ([],), ([4],), ([-3],), ([2, 1],), ([3, 3, 1],), ([0, -2, 5, -2],), ([10, 9, 100, 2],), ([-1, -20, 3, 0],),
    ([7, 7, 7],), ([6, -6, 4, 4, 1],),
)  # fmt: skip


class _LongList(Contract):
    arguments = (Argument("nums", "list[int]"),)
    cases = _CASES

    def draw(self, rng, difficulty):
        return (rng.ints(rng.int(5 * difficulty, 10 * difficulty), -100, 100),)


_INSERTION = """
    out = []
    for x in nums:
        i = 0
        while i < len(out) and out[i] <= x:
            i += 1
        out.insert(i, x)
    return out
    """


class ListSort(_LongList):
    name = "list_sort@classic"
    summary = "a list in ascending order"
    function, returns = "sort_list", "list[int]"
    statement = "Return the elements of {nums} in ascending order, repeated ones included."
    correct = (
        "return sorted(nums)",
        _INSERTION,
        """
        if len(nums) < 2:
            return nums
        middle, *rest = nums
        return sort_list([x for x in rest if x < middle]) + [middle] + sort_list([x for x in rest if x >= middle])
        """,
    )
    mutants = (
        ("same", "return nums", "does not sort"),
        ("descending", "return sorted(nums, reverse=True)", "sorts in descending order"),
        ("no_repeats", "return sorted(set(nums))", "drops repeats"),
        ("by_size", "return sorted(nums, key=abs)", "ignores the sign"),
        ("as_text", "return sorted(nums, key=str)", "compares the digits"),
        ("reversed", "return nums[::-1]", "turns the list round"),
    )

    def solve(self, nums):
        return sorted(nums)


class ListFilter(_LongList):
    name = "list_filter@classic"
    summary = "the even numbers of a list"
    function, returns = "filter_even", "list[int]"
    statement = "Return a list of the even numbers in {nums}, in the order in which they are there."
    correct = (
        "return [x for x in nums if x % 2 == 0]",
        "return list(filter(lambda x: not x & 1, nums))",
        """
        out = []
        for x in nums:
            if x // 2 * 2 == x:
                out.append(x)
        return out
        """,
    )
    mutants = (
        ("odd", "return [x for x in nums if x % 2]", "keeps the odd ones"),
        ("same", "return nums", "keeps all"),
        ("positive", "return [x for x in nums if x > 0 and x % 2 == 0]", "keeps positive ones only"),
        ("sorted", "return sorted(x for x in nums if x % 2 == 0)", "sorts them"),
        ("no_repeats", "return list(dict.fromkeys(x for x in nums if x % 2 == 0))", "drops repeats"),
        ("places", "return nums[::2]", "keeps those at even places"),
        ("count", "return sum(x % 2 == 0 for x in nums)", "counts them"),
    )

    def solve(self, nums):
        return [x for x in nums if x % 2 == 0]


_TOTAL = """
    total = 0
    for x in nums:
        total += x
    return total
    """


class ListAggregate(_LongList):
    name = "list_aggregate@classic"
    summary = "the sum of a list"
    function, returns = "sum_list", "int"
    statement = "Return the sum of the numbers in {nums}, which is 0 if it is empty."
    correct = (
        "return sum(nums)",
        _TOTAL,
        "if not nums:\n    return 0\nreturn nums[0] + sum_list(nums[1:])",
    )
    mutants = (
        ("sizes", changed(_TOTAL, ("+= x", "+= abs(x)")), "ignores the sign"),
        ("no_repeats", "return sum(set(nums))", "drops repeats"),
        ("no_last", changed(_TOTAL, ("in nums", "in nums[:-1]")), "leaves out the last"),
        ("count", "return len(nums)", "counts them"),
        ("largest", "return max(nums, default=0)", "returns the largest"),
        ("early", changed(_TOTAL, ("total += x\n", "total += x\n        return total\n")), "returns the first"),
    )

    def solve(self, nums):
        return sum(nums)


FAMILIES = (ListSort(), ListFilter(), ListAggregate())

"""Plain contracts by dynamic programming over sequences: common and rising subsequences, edits, words."""

from __future__ import annotations

from functools import cache

from problems.classic.contract import Contract, band, changed
from problems.family import Argument

_LCS = """
    row = [0] * (len(s2) + 1)
    for a in s1:
        above, row = row, [0] * (len(s2) + 1)
        for j, b in enumerate(s2):
            row[j + 1] = above[j] + 1 if a == b else max(above[j + 1], row[j])
    return row[-1]
    """


class LCS(Contract):
    name = "lcs@classic"
    summary = "length of the longest common subsequence"
    function, returns = "lcs", "int"
    arguments = (Argument("s1", "str"), Argument("s2", "str"))
    statement = (
        "Return the length of the longest common subsequence of {s1} and {s2}: characters that both hold in the same "
        "order, with others between them or not."
    )
    cases = (
        ("", ""), ("A", ""), ("", "B"), ("ABC", "ABC"), ("ABC", "DEF"), ("ABCBDAB", "BDCABA"), ("AAAA", "AA"),
        ("A", "AAB"), ("ABCDEF", "FEDCBA"), ("ACE", "ABCDE"), ("ABAB", "BABA"), ("CABD", "DABC"), ("HABC", "ABCH"),
        ("AGBHC", "ABC"),
    )  # fmt: skip
    correct = (
        _LCS,
        """
        from functools import cache
        @cache
        def go(i, j):
            if i == len(s1) or j == len(s2):
                return 0
            if s1[i] == s2[j]:
                return 1 + go(i + 1, j + 1)
            return max(go(i + 1, j), go(i, j + 1))
        return go(0, 0)
        """,
        """
        m, n = len(s1), len(s2)
        t = [[0] * (n + 1) for _ in range(m + 1)]
        for i in range(1, m + 1):
            for j in range(1, n + 1):
                t[i][j] = max(t[i - 1][j], t[i][j - 1], t[i - 1][j - 1] + (s1[i - 1] == s2[j - 1]))
        return t[m][n]
        """,
    )
    mutants = (
        ("substring", """
        best = 0
        for i in range(len(s1)):
            for j in range(i + 1, len(s1) + 1):
                if s1[i:j] in s2:
                    best = max(best, j - i)
        return best
        """, "asks for neighbouring characters"),
        ("any_order", "return sum(min(s1.count(c), s2.count(c)) for c in set(s1))", "ignores the order"),
        ("letters", "return len(set(s1) & set(s2))", "counts common letters"),
        ("same_places", "return sum(a == b for a, b in zip(s1, s2))", "compares place by place"),
        ("greedy", """
        count = j = 0
        for a in s1:
            if a in s2[j:]:
                j = s2.index(a, j) + 1
                count += 1
        return count
        """, "takes every character as soon as it can"),
        ("same_twice", changed(_LCS, ("above[j] + 1", "row[j] + 1")), "uses a character more than once"),
    )  # fmt: skip

    def draw(self, rng, difficulty):
        low, high = ((3, 6), (5, 10), (8, 15))[band(difficulty)]
        return tuple(rng.text("ABCDEFGH", rng.int(low, high)) for _ in range(2))

    def solve(self, s1, s2):
        @cache
        def common(i: int, j: int) -> int:
            if not i or not j:
                return 0
            if s1[i - 1] == s2[j - 1]:
                return common(i - 1, j - 1) + 1
            return max(common(i - 1, j), common(i, j - 1))

        return common(len(s1), len(s2))


_WORDS = (
    "algorithm", "blackboard", "calculator", "dictionary", "elementary", "foundation", "government", "helicopter",
    "instrument", "journalism", "laboratory", "manuscript", "nightingale", "orchestra", "particular", "reflection",
)  # fmt: skip
"""Half of the words are beginnings of these."""
_EDIT = """
    row = list(range(len(word2) + 1))
    for i, a in enumerate(word1, 1):
        above, row = row, [i]
        for j, b in enumerate(word2, 1):
            row.append(min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (a != b)))
    return row[-1]
    """


class EditDistance(Contract):
    name = "edit_distance@classic"
    summary = "fewest insertions, deletions and replacements from word to word"
    function, returns = "edit_distance", "int"
    arguments = (Argument("word1", "str"), Argument("word2", "str"))
    statement = (
        "Return the least number of steps that turn {word1} into {word2}. A step inserts a character, deletes one, or "
        "replaces one by another."
    )
    cases = (
        ("", ""), ("a", ""), ("", "abc"), ("abc", "abc"), ("horse", "ros"), ("intention", "execution"),
        ("kitten", "sitting"), ("ab", "ba"), ("abcdef", "azced"), ("aaa", "aa"), ("flaw", "lawn"), ("abc", "yabd"),
        ("abcdefg", "gabcdef"),
    )  # fmt: skip
    correct = (
        _EDIT,
        """
        from functools import cache
        @cache
        def go(i, j):
            if i == 0 or j == 0:
                return i + j
            if word1[i - 1] == word2[j - 1]:
                return go(i - 1, j - 1)
            return 1 + min(go(i - 1, j), go(i, j - 1), go(i - 1, j - 1))
        return go(len(word1), len(word2))
        """,
        """
        m, n = len(word1), len(word2)
        t = [[i + j for j in range(n + 1)] for i in range(m + 1)]
        for i in range(m):
            for j in range(n):
                if word1[i] == word2[j]:
                    t[i + 1][j + 1] = t[i][j]
                else:
                    t[i + 1][j + 1] = 1 + min(t[i][j], t[i + 1][j], t[i][j + 1])
        return t[m][n]
        """,
    )
    mutants = (
        ("places", "return sum(a != b for a, b in zip(word1, word2)) + abs(len(word1) - len(word2))",
         "compares place by place"),
        ("no_replacing", changed(_EDIT, ("(a != b)", "2 * (a != b)")), "counts a replacement twice"),
        ("no_deleting", changed(_EDIT, ("above[j] + 1, ", "")), "never deletes"),
        ("lengths", "return abs(len(word1) - len(word2))", "compares the lengths"),
        ("free_replacing", changed(_EDIT, ("(a != b)", "0")), "counts no replacement"),
        ("swaps", changed(_EDIT, ("return row[-1]", "return row[-1] - (len(word1) > 1 and word1 == word2[::-1])")),
         "takes a swap for one step"),
    )  # fmt: skip

    def draw(self, rng, difficulty):
        low, high = ((2, 4), (4, 7), (6, 10))[band(difficulty)]
        if rng.chance(0.5):
            return tuple(rng.pick(_WORDS)[: rng.int(low, high)] for _ in range(2))
        return tuple(rng.text("abcdefgh", rng.int(low, high)) for _ in range(2))

    def solve(self, word1, word2):
        @cache
        def steps(i: int, j: int) -> int:
            if not i or not j:
                return i + j
            replaced = steps(i - 1, j - 1) + (word1[i - 1] != word2[j - 1])
            return min(replaced, steps(i - 1, j) + 1, steps(i, j - 1) + 1)

        return steps(len(word1), len(word2))


_RISING = """
    best = []
    for i, x in enumerate(nums):
        best.append(1 + max((best[j] for j in range(i) if nums[j] < x), default=0))
    return max(best, default=0)
    """


class LIS(Contract):
    name = "lis@classic"
    summary = "length of the longest strictly increasing subsequence"
    function, returns = "lis", "int"
    arguments = (Argument("nums", "list[int]"),)
    statement = (
        "Return the length of the longest strictly increasing subsequence of {nums}: elements in their order, each "
        "larger than the one before it, with others between them or not. For an empty list it is 0."
    )
    cases = (
        ([],), ([7],), ([7, 7, 7],), ([1, 2, 3],), ([3, 2, 1],), ([10, 9, 2, 5, 3, 7, 101, 18],), ([0, 1, 0, 3, 2, 3],),
        ([4, 10, 4, 3, 8, 9],), ([1, 3, 2, 2, 4],), ([5, 1, 2, 3],), ([1, 9, 2, 3, 4],), ([2, 2, 3, 3, 4],),
        ([1, 2, 3, 0],),
    )  # fmt: skip
    correct = (
        _RISING,
        """
        from bisect import bisect_left
        ends = []
        for x in nums:
            i = bisect_left(ends, x)
            ends[i:i + 1] = [x]
        return len(ends)
        """,
        """
        from functools import cache
        @cache
        def go(i, last):
            if i == len(nums):
                return 0
            skipped = go(i + 1, last)
            if last is None or nums[i] > last:
                return max(skipped, 1 + go(i + 1, nums[i]))
            return skipped
        return go(0, None)
        """,
    )
    mutants = (
        ("not_strict", changed(_RISING, ("nums[j] < x", "nums[j] <= x")), "allows equal neighbours"),
        ("run", """
        best = here = 0
        for i, x in enumerate(nums):
            here = here + 1 if i and nums[i - 1] < x else 1
            best = max(best, here)
        return best
        """, "asks for neighbouring elements"),
        ("greedy", """
        out = []
        for x in nums:
            if not out or x > out[-1]:
                out.append(x)
        return len(out)
        """, "takes every larger element at once"),
        ("distinct", "return len(set(nums))", "ignores the order"),
        ("falling", changed(_RISING, ("nums[j] < x", "nums[j] > x")), "looks for a decreasing one"),
        ("to_the_end", changed(_RISING, ("max(best, default=0)", "best[-1] if best else 0")),
         "only looks at those up to the last element"),
    )  # fmt: skip

    def draw(self, rng, difficulty):
        low, high = ((5, 8), (8, 12), (12, 20))[band(difficulty)]
        return (rng.ints(rng.int(low, high), 0, 50),)

    def solve(self, nums):
        best: list[int] = []
        for i, x in enumerate(nums):
            best.append(1 + max([best[j] for j in range(i) if nums[j] < x], default=0))
        return max(best, default=0)


_BREAK = """
    ends = [True] + [False] * len(s)
    for i in range(1, len(s) + 1):
        ends[i] = any(ends[i - len(w)] and s[i - len(w):i] == w for w in word_dict if len(w) <= i)
    return ends[-1]
    """
_GREEDY = """
    i = 0
    while i < len(s):
        fits = [w for w in word_dict if s.startswith(w, i)]
        if not fits:
            return False
        i += max(map(len, fits))
    return True
    """


class WordBreak(Contract):
    name = "word_break@classic"
    summary = "can a string be cut into words of a dictionary"
    function, returns = "word_break", "bool"
    arguments = (Argument("s", "str"), Argument("word_dict", "list[str]"))
    statement = (
        "Return True if {s}, which is not empty, can be cut into pieces that are all in {word_dict}, else False. A "
        "word may be used any number of times."
    )
    cases = (
        ("leetcode", ["leet", "code"]), ("applepenapple", ["apple", "pen"]), ("a", []), ("a", ["a"]), ("ab", ["ba"]),
        ("catsandog", ["cats", "dog", "sand", "and", "cat"]), ("abcd", ["abc", "ab", "cd"]), ("aaab", ["a", "aab"]),
        ("cars", ["car", "ca", "rs"]), ("abab", ["ab"]), ("abcd", ["ab", "bcd"]), ("abc", ["ab", "bc"]),
        ("aaaaaaa", ["aaaa", "aaa"]), ("goals", ["go", "goal", "goals", "special"]), ("abxba", ["ab", "ba"]),
    )  # fmt: skip
    correct = (
        _BREAK,
        """
        from functools import cache
        @cache
        def go(i):
            return i == len(s) or any(s.startswith(w, i) and go(i + len(w)) for w in word_dict)
        return go(0)
        """,
        """
        seen, todo = {0}, [0]
        for i in todo:
            for w in word_dict:
                if s[i:i + len(w)] == w and i + len(w) not in seen:
                    seen.add(i + len(w))
                    todo.append(i + len(w))
        return len(s) in seen
        """,
    )
    mutants = (
        ("greedy", _GREEDY, "takes the longest word every time"),
        ("shortest", changed(_GREEDY, ("max(map", "min(map")), "takes the shortest word every time"),
        ("removed", "for w in word_dict:\n    s = s.replace(w, '')\nreturn s == ''", "takes words out of the middle"),
        ("once", "from itertools import permutations\nn = len(word_dict)\nreturn any(''.join(t) == s "
         "for k in range(n + 1) for t in permutations(word_dict, k))", "uses each word once at most"),
        ("beginning", "return any(s.startswith(w) for w in word_dict)", "looks at the beginning only"),
        ("letters", "return set(s) <= set(''.join(word_dict))", "compares the letters"),
        ("negated", changed(_BREAK, ("return ends", "return not ends")), "answers the opposite"),
    )  # fmt: skip

    def draw(self, rng, difficulty):
        words = list(dict.fromkeys(rng.text("abcd", rng.int(1, 4)) for _ in range(rng.int(2, 5))))
        row = list("".join(rng.picks(words, rng.int(2, 4))))
        if rng.chance(0.5):
            row[rng.int(0, len(row) - 1)] = rng.pick("abcd")
        return ("".join(row), words)

    def solve(self, s, word_dict):
        ends = {0}
        for i in range(len(s)):
            if i in ends:
                ends.update(i + len(w) for w in word_dict if s.startswith(w, i))
        return len(s) in ends


FAMILIES = (LCS(), EditDistance(), LIS(), WordBreak())

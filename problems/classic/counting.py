"""Plain contracts of one number: FizzBuzz, Fibonacci, queens. Their inputs are few, so all splits share them."""

from __future__ import annotations

from functools import cache

from problems.classic.contract import Contract, band, changed
from problems.family import Argument

_WORDS = """
    if n % 15 == 0:
        return "FizzBuzz"
    if n % 3 == 0:
        return "Fizz"
    if n % 5 == 0:
        return "Buzz"
    return str(n)
    """


def _word(n: int) -> str:
    return "Fizz" * (n % 3 == 0) + "Buzz" * (n % 5 == 0) or str(n)


class FizzBuzz(Contract):
    name = "fizzbuzz@classic"
    summary = "Fizz, Buzz, FizzBuzz or the number, for one number"
    function, returns = "fizzbuzz", "str"
    arguments = (Argument("n", "int"),)
    statement = (
        "Return 'Fizz' if {n} is divisible by 3, 'Buzz' if it is divisible by 5, 'FizzBuzz' if it is divisible by "
        "both, and otherwise the number itself as a string."
    )
    most = 100
    cases = ((1,), (3,), (5,), (15,), (30,), (9,), (25,), (90,), (7,), (98,), (13,))
    correct = (
        _WORDS,
        'return "Fizz" * (n % 3 == 0) + "Buzz" * (n % 5 == 0) or str(n)',
        """
        out = ""
        if n % 3 == 0:
            out += "Fizz"
        if n % 5 == 0:
            out += "Buzz"
        return out if out else str(n)
        """,
    )
    mutants = (
        ("first_only", changed(_WORDS, ("n % 15 == 0", "n == 0")), "never says both words"),
        ("swapped", changed(_WORDS, ("n % 3", "n % 6"), ("n % 5", "n % 3"), ("n % 6", "n % 5")), "mixes the words up"),
        ("number", changed(_WORDS, ("str(n)", "n")), "returns a number"),
        ("silent", 'return "Fizz" * (n % 3 == 0) + "Buzz" * (n % 5 == 0)', "says nothing for other numbers"),
        ("digits", 'return "Fizz" * ("3" in str(n)) + "Buzz" * ("5" in str(n)) or str(n)', "looks at the digits"),
        ("lower_case", changed(_WORDS, ('"FizzBuzz"', '"Fizzbuzz"')), "writes a small b"),
    )

    def ordinary(self, difficulty):
        """All numbers up to 100 but the fixed cases."""
        return self.most - len(self.cases)

    def draw(self, rng, difficulty):
        wanted = rng.int(0, 3)
        n = rng.int(1, self.most)
        while 2 * (n % 3 == 0) + (n % 5 == 0) != wanted:
            n = rng.int(1, self.most)
        return (n,)

    def solve(self, n):
        return _word(n)


_LIST = """
    out = []
    for i in range(1, n + 1):
        out.append("FizzBuzz" if i % 15 == 0 else "Fizz" if i % 3 == 0 else "Buzz" if i % 5 == 0 else str(i))
    return out
    """


class FizzBuzzList(Contract):
    name = "fizzbuzz@bundled"
    summary = "Fizz, Buzz, FizzBuzz or the number, for all numbers up to n"
    function, returns = "fizzbuzz", "list[str]"
    arguments = (Argument("n", "int"),)
    statement = (
        "Return a list of strings for the numbers from 1 to {n}: 'Fizz' for multiples of 3, 'Buzz' for multiples of 5, "
        "'FizzBuzz' for multiples of both, and for the others the number itself."
    )
    cases = ((0,), (1,), (3,), (5,), (15,), (16,), (30,), (45,))
    correct = (
        _LIST,
        'return ["Fizz" * (i % 3 == 0) + "Buzz" * (i % 5 == 0) or str(i) for i in range(1, n + 1)]',
        """
        out = [str(i + 1) for i in range(n)]
        out[2::3] = ["Fizz"] * (n // 3)
        out[4::5] = ["Buzz"] * (n // 5)
        out[14::15] = ["FizzBuzz"] * (n // 15)
        return out
        """,
    )
    mutants = (
        ("from_zero", changed(_LIST, ("range(1, n + 1)", "range(n)")), "counts from 0"),
        ("too_short", changed(_LIST, ("n + 1", "n")), "leaves the last out"),
        ("numbers", changed(_LIST, ("str(i)", "i")), "keeps numbers"),
        ("first_only", changed(_LIST, ('"FizzBuzz" if i % 15 == 0 else ', "")), "never says both words"),
        ("one", 'return "Fizz" * (n % 3 == 0) + "Buzz" * (n % 5 == 0) or str(n)', "answers for the last number only"),
    )

    def ordinary(self, difficulty):
        """All lengths up to the longest, but those of the fixed cases."""
        return self._longest(difficulty) - sum(0 < n <= self._longest(difficulty) for (n,) in self.cases)

    def _longest(self, difficulty):
        return 10 + 4 * difficulty

    def draw(self, rng, difficulty):
        return (rng.int(1, self._longest(difficulty)),)

    def solve(self, n):
        return [_word(i) for i in range(1, n + 1)]


_STEPS = """
    a, b = 0, 1
    for _ in range(n):
        a, b = b, a + b
    return a
    """


class Fibonacci(Contract):
    name = "fibonacci@classic"
    summary = "the n-th Fibonacci number, from 0 and 1"
    function, returns = "fibonacci", "int"
    arguments = (Argument("n", "int"),)
    statement = (
        "Return the Fibonacci number with index {n}. Those with index 0 and 1 are 0 and 1, and each later one is the "
        "sum of the two before it."
    )
    cases = ((0,), (1,), (13,), (17,), (21,), (24,))
    correct = (
        _STEPS,
        """
        if n < 2:
            return n
        return fibonacci(n - 1) + fibonacci(n - 2)
        """,
        """
        f = [0, 1]
        while len(f) <= n:
            f.append(f[-1] + f[-2])
        return f[n]
        """,
    )
    mutants = (
        ("shifted", changed(_STEPS, ("a, b = 0, 1", "a, b = 1, 1")), "begins with 1 and 1"),
        ("next", changed(_STEPS, ("return a", "return b")), "returns the number after it"),
        ("lucas", changed(_STEPS, ("a, b = 0, 1", "a, b = 2, 1")), "begins with 2 and 1"),
        ("one_less", changed(_STEPS, ("range(n)", "range(n - 1)")), "takes a step too few"),
        ("sum", changed(_STEPS, ("a, b = b, a + b", "a, b = a + b, b")), "adds the same number again"),
        ("list", "f = [0, 1]\nwhile len(f) <= n:\n    f.append(f[-1] + f[-2])\nreturn f", "returns all of them"),
    )

    def ordinary(self, difficulty):
        """All indices from 2 to the largest, but the fixed cases."""
        most = self._largest(difficulty)
        return most - 1 - sum(2 <= n <= most for (n,) in self.cases)

    def _largest(self, difficulty):
        return min(5 + 2 * difficulty, 25) - 1

    def draw(self, rng, difficulty):
        return (rng.int(2, self._largest(difficulty)),)

    def solve(self, n):
        a, b = 0, 1
        for _ in range(n):
            a, b = b, a + b
        return a


_PLACE = """
    def go(i, columns, sums, differences):
        if i == n:
            return 1
        count = 0
        for c in range(n):
            if c not in columns and i + c not in sums and i - c not in differences:
                count += go(i + 1, columns | {c}, sums | {i + c}, differences | {i - c})
        return count
    return go(0, frozenset(), frozenset(), frozenset())
    """
_RANGES = ((1, 2, 3, 4), (1, 4, 5, 6), (4, 5, 6, 7, 8))
"""Boards of easy, medium and hard problems."""
_MOST = 8


class NQueens(Contract):
    name = "n_queens@classic"
    summary = "in how many ways n queens stand on an n by n board"
    function, returns = "n_queens", "int"
    arguments = (Argument("n", "int"),)
    statement = (
        "In how many different ways can {n} queens stand on a board of as many rows and columns so that none attacks "
        "another? Rotated and mirrored ones are different. Return their number."
    )
    cases = ()
    correct = (
        _PLACE,
        """
        from itertools import permutations
        count = 0
        for t in permutations(range(n)):
            sums = {i + c for i, c in enumerate(t)}
            count += len(sums) == n and len({i - c for i, c in enumerate(t)}) == n
        return count
        """,
        """
        full = (1 << n) - 1
        def go(columns, left, right):
            if columns == full:
                return 1
            count, free = 0, full & ~(columns | left | right)
            while free:
                bit = free & -free
                free -= bit
                count += go(columns | bit, (left | bit) << 1, (right | bit) >> 1)
            return count
        return go(0, 0, 0)
        """,
    )
    mutants = (
        ("rooks", changed(_PLACE, (" and i + c not in sums and i - c not in differences", "")), "forgets diagonals"),
        ("one_diagonal", changed(_PLACE, (" and i - c not in differences", "")), "forgets one of the diagonals"),
        ("bishops", changed(_PLACE, ("c not in columns and ", "")), "forgets columns"),
        ("first", changed(_PLACE, ("        return count\n    return", "        return min(count, 1)\n    return")),
         "stops at the first"),
        ("greedy", changed(_PLACE, ("count += go", "return go")), "never tries another column"),
        ("one_more", changed(_PLACE, ("return go(0,", "return 1 + go(0,")), "counts one more"),
    )  # fmt: skip

    def fixed(self, difficulty):
        """The boards up to 8 rows that are no ordinary ones."""
        return tuple((n,) for n in range(1, _MOST + 1) if n not in _RANGES[band(difficulty)])

    def ordinary(self, difficulty):
        """All boards of this difficulty."""
        return len(_RANGES[band(difficulty)])

    def draw(self, rng, difficulty):
        return (rng.pick(_RANGES[band(difficulty)]),)

    def solve(self, n):
        return _placements(n)


@cache
def _placements(n: int) -> int:
    def go(row: int, taken: frozenset[tuple[str, int]]) -> int:
        if row == n:
            return 1
        lines = [{("column", c), ("sum", row + c), ("difference", row - c)} for c in range(n)]
        return sum(go(row + 1, taken | line) for line in lines if not taken & line)

    return go(0, frozenset())


FAMILIES = (FizzBuzz(), FizzBuzzList(), Fibonacci(), NQueens())

"""Plain contracts: brackets, palindromes, reversal."""

from __future__ import annotations

from problems.classic.contract import Contract, band, changed
from problems.family import Argument
from problems.rng import LETTERS

_PAIRS = ("()", "[]", "{}")

_STACK = """
    partner, s_open = {")": "(", "]": "[", "}": "{"}, []
    for c in s:
        if c not in partner:
            s_open.append(c)
        elif not s_open or s_open.pop() != partner[c]:
            return False
    return not s_open
    """


class Parentheses(Contract):
    name = "parentheses@classic"
    summary = "are round, square and curly brackets balanced"
    function, returns = "is_valid", "bool"
    arguments = (Argument("s", "str"),)
    statement = (
        "{s} holds round, square and curly brackets. Return True if it is balanced: every bracket is closed by one of "
        "its own kind, in the right order. An empty string is balanced."
    )
    cases = (
        ("",), ("(",), (")",), ("(]",), ("([)]",), ("{[]}",), ("()[]{}",), ("())(()",), ("((()",), ("]",), ("[[[]",),
        ("(((((((",), ("{{[[(())]]}}",), ("(){}}{",), ("{()[]}({})",), ("[(])(]",), ("}{",), ("(()))",),
    )  # fmt: skip
    correct = (
        _STACK,
        """
        while "()" in s or "[]" in s or "{}" in s:
            s = s.replace("()", "").replace("[]", "").replace("{}", "")
        return s == ""
        """,
        """
        waiting = []
        for c in s:
            if c in "([{":
                waiting.append(")]}"["([{".index(c)])
            elif waiting and waiting[-1] == c:
                waiting.pop()
            else:
                return False
        return len(waiting) == 0
        """,
    )
    mutants = (
        ("counts", 'return all(s.count(a) == s.count(b) for a, b in ("()", "[]", "{}"))', "counts, whatever the order"),
        ("one_depth", """
        depth = 0
        for c in s:
            depth += 1 if c in "([{" else -1
            if depth < 0:
                return False
        return depth == 0
        """, "takes all kinds for one"),
        ("kinds_apart", """
        for a, b in ("()", "[]", "{}"):
            depth = 0
            for c in s:
                depth += (c == a) - (c == b)
                if depth < 0:
                    return False
            if depth:
                return False
        return True
        """, "looks at each kind on its own"),
        ("left_open", changed(_STACK, ("return not s_open", "return True")), "overlooks what is left open"),
        ("even", "return len(s) % 2 == 0", "looks at the length only"),
        ("fails", changed(_STACK, ("not s_open or ", "")), "fails where nothing is open"),
        ("negated", changed(_STACK, ("return False", "return True"), ("return not s_open", "return bool(s_open)")),
         "answers the opposite"),
    )  # fmt: skip

    def ordinary(self, difficulty):
        """All strings of round brackets of one length but the fixed cases; with more kinds there are 256 at least."""
        size = 2 * (1 + difficulty // 2)
        return 2**size - sum(len(s) == size and set(s) <= set("()") for (s,) in self.cases) if size < 6 else 4**4

    def draw(self, rng, difficulty):
        pairs, kinds = 1 + difficulty // 2, _PAIRS[: 1 + band(difficulty)]
        if rng.chance(0.6):
            return (_balanced(rng, pairs, kinds),)
        if rng.chance(0.5):
            return (rng.text("".join(kinds), 2 * pairs),)
        row = list(_balanced(rng, pairs, kinds))
        row[rng.int(0, len(row) - 1)] = rng.pick("".join(kinds))
        return ("".join(row),)

    def solve(self, s):
        waiting = []
        for c in s:
            if c in "([{":
                waiting.append({"(": ")", "[": "]", "{": "}"}[c])
            elif not waiting or waiting.pop() != c:
                return False
        return not waiting


class ParenthesesV1(Parentheses):
    name = "parentheses@v1"
    summary = "are up to 50 round, square and curly brackets balanced"
    cases = (*Parentheses.cases, ("([{}])" * 8,), ("(" * 25 + ")" * 24 + "]",), ("[" * 25 + "]" * 25,))

    def ordinary(self, difficulty):
        """At difficulty 1 there are only so many balanced strings of up to four brackets."""
        return len(_PAIRS) ** 4

    def draw(self, rng, difficulty):
        pairs = rng.int(1, 5 * difficulty // 2)
        row = list(_balanced(rng, pairs, _PAIRS))
        if rng.chance(0.4):
            row[rng.int(0, len(row) - 1)] = rng.pick("".join(_PAIRS))
        return ("".join(row),)


_LETTERS_ONLY = """
    t = [c for c in s.lower() if c.isalnum()]
    return t == t[::-1]
    """


class IsPalindrome(Contract):
    name = "is_palindrome@classic"
    summary = "is a string a palindrome, whatever its case and punctuation"
    function, returns = "is_palindrome", "bool"
    arguments = (Argument("s", "str"),)
    statement = (
        "Return True if {s} is a palindrome, which means that it reads the same in both directions, when only letters "
        "and digits count and upper case equals lower case. A string without any is a palindrome."
    )
    cases = (
        ("",), ("a",), (" ",), (".,",), ("Aa",), ("ab",), ("A man, a plan, a canal: Panama",), ("race a car",), ("0P",),
        ("12 21",), ("1a2",), ("Was it a car or a cat I saw?",), ("No lemon, no melon",), ("a1B1A",), ("abca",),
        ("a,b",), ("level",), ("2 levels",),
    )  # fmt: skip
    correct = (
        _LETTERS_ONLY,
        """
        i, j = 0, len(s) - 1
        while i < j:
            if not s[i].isalnum():
                i += 1
            elif not s[j].isalnum():
                j -= 1
            elif s[i].lower() != s[j].lower():
                return False
            else:
                i, j = i + 1, j - 1
        return True
        """,
        """
        t = "".join(filter(str.isalnum, s)).upper()
        for i in range(len(t) // 2):
            if t[i] != t[-1 - i]:
                return False
        return True
        """,
    )
    mutants = (
        ("naive", "return s == s[::-1]", "compares the string as it is"),
        ("case_kept", changed(_LETTERS_ONLY, ("s.lower()", "s")), "takes case into account"),
        ("punctuation_kept", "t = s.lower()\nreturn t == t[::-1]", "lets spaces and punctuation count"),
        ("spaces_only", 't = s.lower().replace(" ", "")\nreturn t == t[::-1]', "lets punctuation count"),
        ("no_digits", changed(_LETTERS_ONLY, ("isalnum", "isalpha")), "ignores digits"),
        ("ends", changed(_LETTERS_ONLY, ("t == t[::-1]", "t[:1] == t[-1:]")), "compares the ends only"),
        ("negated", changed(_LETTERS_ONLY, ("==", "!=")), "answers the opposite"),
    )

    def draw(self, rng, difficulty):
        half = rng.text(LETTERS + "0123456789", rng.int(2, 7))
        row = list(half + half[::-1][rng.int(0, 1) :])
        if rng.chance(0.5):
            row[rng.int(0, len(row) - 1)] = rng.pick(LETTERS)
        row = [c.upper() if rng.chance(0.3) else c for c in row]
        for _ in range(rng.int(0, 4)):
            row.insert(rng.int(0, len(row)), rng.pick("   ,.'!?-:"))
        return ("".join(row),)

    def solve(self, s):
        kept = [c for c in s.lower() if c.isalnum()]
        return kept == kept[::-1]


class ReverseString(Contract):
    name = "reverse_string@classic"
    summary = "a string from its end to its beginning"
    function, returns = "reverse_string", "str"
    arguments = (Argument("s", "str"),)
    statement = "Return the characters of {s} in the opposite order."
    cases = (
        ("",), ("a",), ("ab",), ("level",), ("Hello",), ("hello world",), ("a b",), ("12 34",), ("  x",), ("end!  ",),
        ("mañana",), ("日本語",), ("AaBb",), ("tab\tline\n",),
    )  # fmt: skip
    correct = (
        "return s[::-1]",
        'return "".join(reversed(s))',
        """
        out = ""
        for c in s:
            out = c + out
        return out
        """,
    )
    mutants = (
        ("same", "return s", "changes nothing"),
        ("words", 'return " ".join(s.split()[::-1])', "reverses the order of the words"),
        ("each_word", 'return " ".join(w[::-1] for w in s.split(" "))', "reverses each word in its place"),
        ("stripped", "return s.strip()[::-1]", "drops spaces at the ends"),
        ("lower_case", "return s.lower()[::-1]", "changes the case"),
        ("no_first", "return s[:0:-1]", "drops the first character"),
        ("sorted", 'return "".join(sorted(s, reverse=True))', "sorts the characters"),
    )

    def draw(self, rng, difficulty):
        digits = str(rng.int(1, 999)) if rng.chance(0.3) else ""
        return (rng.text(LETTERS, rng.int(3, 10)) + digits,)

    def solve(self, s):
        return "".join(reversed(s))


def _balanced(rng, pairs: int, kinds) -> str:
    """A random balanced string."""
    row, waiting = [], []
    for left in range(2 * pairs, 0, -1):
        if waiting and (len(waiting) == left or rng.chance(0.5)):
            row.append(waiting.pop())
        else:
            opening, closing = rng.pick(kinds)
            row.append(opening)
            waiting.append(closing)
    return "".join(row)


FAMILIES = (Parentheses(), ParenthesesV1(), IsPalindrome(), ReverseString())

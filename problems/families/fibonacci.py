"""Sequences in which each term is made of the two before it, with drawn start values."""

from __future__ import annotations

from problems.family import Argument, Family, Variant


def _terms(a: int, b: int, n: int, u: int = 1, v: int = 1) -> list[int]:
    out = []
    for _ in range(n):
        out.append(a)
        a, b = b, u * b + v * a
    return out


_PLAIN = "the sequence that starts {a}, {b} and goes on with the sum of the last two terms"


class Fibonacci(Family):
    name = "fibonacci"
    summary = "terms, lists, sums, remainders of a two-term recurrence from drawn start values"
    functions = ("fibonacci", "fib", "sequence", "solve")
    arguments = (Argument("n", "int", ("k", "count")),)
    variants = (
        Variant(
            "nth",
            "int",
            (
                f"Return term number {{n}} of {_PLAIN}. Term 0 is {{a}}.",
                "A sequence has term 0 = {a}, term 1 = {b}, and each later term is the sum of the two before it. "
                "Return term {n}.",
                "Starting with {a} and {b}, add the last two numbers to get the next. Which number has index {n}, "
                "counted from 0?",
            ),
        ),
        Variant(
            "first",
            "list[int]",
            (
                f"Return the list of the first {{n}} terms of {_PLAIN}.",
                "A sequence begins {a}, {b}; each later term is the sum of the two before it. "
                "List its first {n} terms.",
                "Starting with {a} and {b}, add the last two numbers to get the next. Return the first {n} numbers "
                "as a list.",
            ),
        ),
        Variant(
            "total",
            "int",
            (
                f"Return the sum of the first {{n}} terms of {_PLAIN}.",
                "A sequence begins {a}, {b}; each later term is the sum of the two before it. "
                "Add up its first {n} terms.",
                "Starting with {a} and {b}, add the last two numbers to get the next. What is the total of the "
                "first {n} numbers?",
            ),
        ),
        Variant(
            "remainder",
            "int",
            (
                f"Return the remainder modulo {{m}} of term number {{n}} of {_PLAIN}. Term 0 is {{a}}.",
                "A sequence has term 0 = {a}, term 1 = {b}, and each later term is the sum of the two before it. "
                "Return term {n} modulo {m}.",
                "Starting with {a} and {b}, add the last two numbers to get the next. Divide the number with index "
                "{n}, counted from 0, by {m} and return what remains.",
            ),
            level=3,
        ),
        Variant(
            "weighted",
            "int",
            (
                "A sequence has term 0 = {a} and term 1 = {b}. Each later term is {u} times the term before it plus "
                "{v} times the one before that. Return term {n}.",
                "Start with {a}, {b}. The next number is always {u} * last + {v} * second to last. Return the number "
                "with index {n}, counted from 0.",
                "Let t(0) = {a}, t(1) = {b} and t(i) = {u} * t(i - 1) + {v} * t(i - 2). Return t({n}).",
            ),
            level=4,
        ),
        Variant(
            "count",
            "int",
            (
                f"How many of the first {{n}} terms of {_PLAIN} are divisible by {{m}}?",
                "A sequence begins {a}, {b}; each later term is the sum of the two before it. "
                "Count the multiples of {m} among its first {n} terms.",
                "Starting with {a} and {b}, add the last two numbers to get the next. Return how many of the first "
                "{n} numbers are multiples of {m}.",
            ),
            level=5,
        ),
    )

    def params(self, rng, variant, difficulty):
        p = {"a": rng.int(0, 20), "b": rng.int(1, 20)}
        if variant == "remainder":
            p["m"] = rng.int(3, 60)
            while p["a"] % p["m"] == p["b"] % p["m"] == 0:
                p["m"] = rng.int(3, 60)
        if variant == "weighted":
            p["u"], p["v"] = rng.pick(((1, 2), (2, 1), (3, 1), (1, 3), (2, 3), (3, 2), (2, 2)))
        if variant == "count":
            p["m"] = rng.int(2, 6)
            while not 2 <= sum(t % p["m"] == 0 for t in _terms(p["a"], p["b"], 10)) <= 9:
                p["a"], p["b"] = rng.int(0, 20), rng.int(1, 20)
        return p

    def answer(self, variant, p, n):
        if variant == "first":
            return _terms(p["a"], p["b"], n)
        if variant == "total":
            return sum(_terms(p["a"], p["b"], n))
        if variant == "count":
            return sum(t % p["m"] == 0 for t in _terms(p["a"], p["b"], n))
        term = _terms(p["a"], p["b"], n + 1, p.get("u", 1), p.get("v", 1))[n]
        return term % p["m"] if variant == "remainder" else term

    def edge_cases(self, rng, variant, p, difficulty):
        yield from ((0,), (1,), (2,), (3,))
        if variant == "count":  # where one term more or less changes the count
            hits = [i for i, t in enumerate(_terms(p["a"], p["b"], 14)) if t % p["m"] == 0]
            yield from ((hits[0],), (hits[0] + 1,), (hits[1],), (hits[1] + 1,))
        yield (9 + 2 * difficulty,)

    def sample(self, rng, variant, p, difficulty):
        return (rng.int(3, 10 + 3 * difficulty),)

    def write_nth(self, p):
        a, b = p["a"], p["b"]
        correct = [
            _term(a, b),
            _build(a, b, "t[n]", "n + 1"),
            f"def t(i, a, b):\n    return t(i - 1, b, a + b) if i else a\nreturn t(n, {a}, {b})",
        ]
        mutants = [
            *_starts(p, _term),
            ("list", _gather(a, b), "returns the list of terms"),
            ("total", _gather(a, b, **_SUM), "returns the sum of the terms"),
            ("late", _term(a, b, end="b"), "is one term too far"),
            ("late_steps", _term(a, b, steps="n + 1"), "takes a step too many"),
        ]
        return correct, mutants

    def write_first(self, p):
        a, b = p["a"], p["b"]
        correct = [
            _gather(a, b),
            _build(a, b, "t[:n]"),
            f"t = [{a}, {b}]\nfor i in range(2, n):\n    t.append(t[i - 1] + t[i - 2])\nreturn t[:n]",
        ]
        mutants = [
            *_starts(p, _gather),
            ("nth", _term(a, b), "returns one term"),
            ("one_more", _gather(a, b, steps="n + 1"), "returns a term too many"),
            ("second_first", _gather(a, b, add="out.append(b)"), "leaves out the first term"),
            ("too_few", _build(a, b, "t"), "returns two terms where fewer are asked"),
        ]
        return correct, mutants

    def write_total(self, p):
        a, b = p["a"], p["b"]
        correct = [
            _gather(a, b, **_SUM),
            _build(a, b, "sum(t[:n])"),
            _term(a, b, steps="n + 1", end=f"a - {b}"),
        ]
        mutants = [
            *_starts(p, lambda x, y: _gather(x, y, **_SUM)),
            ("one_more", _gather(a, b, steps="n + 1", **_SUM), "adds a term too many"),
            ("second_first", _gather(a, b, **_SUM | {"add": "x += b"}), "leaves out the first term"),
            ("too_few", _build(a, b, "sum(t)"), "adds two terms where fewer are asked"),
            ("nth", _term(a, b), "returns one term"),
        ]
        return correct, mutants

    def write_remainder(self, p):
        a, b, m = p["a"], p["b"], p["m"]
        correct = [
            _term(a, b, end=f"a % {m}"),
            _build(a, b, f"t[n] % {m}", "n + 1"),
            _term(a, b, step=f"b, (a + b) % {m}", end=f"a % {m}"),
        ]
        mutants = [
            ("no_remainder", _term(a, b), "does not take the remainder"),
            ("other_modulus", _term(a, b, end=f"a % {m + 1}"), "divides by another number"),
            ("quotient", _term(a, b, end=f"a // {m}"), "returns the quotient"),
            ("late", _term(a, b, end=f"b % {m}"), "is one term too far"),
        ]
        return correct, mutants

    def write_weighted(self, p):
        a, b, u, v = p["a"], p["b"], p["u"], p["v"]
        step = f"b, {u} * b + {v} * a"
        slip = f"b, {u} * b + a" if v > 1 else f"b, b + {u + 1} * a"
        correct = [
            _term(a, b, step=step),
            f"t = [{a}, {b}]\nfor _ in range(n):\n    t.append({u} * t[-1] + {v} * t[-2])\nreturn t[n]",
            f"def t(i, a, b):\n    return t(i - 1, {step}) if i else a\nreturn t(n, {a}, {b})",
        ]
        mutants = [
            ("unweighted", _term(a, b), "leaves the factors out"),
            ("late", _term(a, b, step=step, end="b"), "is one term too far"),
            ("second_factor", _term(a, b, step=slip), "has a wrong factor"),
            ("late_steps", _term(a, b, steps="n + 1", step=step), "takes a step too many"),
        ]
        if u != v:
            mutants.append(("swapped_factors", _term(a, b, step=f"b, {v} * b + {u} * a"), "mixes the factors up"))
        return correct, mutants

    def write_count(self, p):
        a, b, m = p["a"], p["b"], p["m"]
        tally = {"add": f"x += a % {m} == 0", "start": "x = 0", "end": "x"}
        correct = [
            _gather(a, b, **tally),
            _build(a, b, f"sum(x % {m} == 0 for x in t[:n])"),
            _build(a, b, f"len([x for x in t[:n] if x % {m} == 0])"),
        ]
        mutants = [
            ("total", _gather(a, b, **_SUM), "returns the sum of the terms"),
            ("not_divisible", _gather(a, b, **tally | {"add": f"x += a % {m} != 0"}), "counts the others"),
            ("one_more", _gather(a, b, steps="n + 1", **tally), "looks at a term too many"),
            ("list", _gather(a, b), "returns the terms"),
        ]
        if (a - b) % m or a % m:
            mutants.append(("one_less", _gather(a, b, steps="n - 1", **tally), "leaves out the last term"))
        return correct, mutants


_SUM = {"add": "x += a", "start": "x = 0", "end": "x"}


def _term(a, b, steps="n", step="b, a + b", end="a"):
    return f"a, b = {a}, {b}\nfor _ in range({steps}):\n    a, b = {step}\nreturn {end}"


def _gather(a, b, steps="n", add="out.append(a)", start="out = []", end="out"):
    return f"a, b = {a}, {b}\n{start}\nfor _ in range({steps}):\n    {add}\n    a, b = b, a + b\nreturn {end}"


def _build(a, b, end, need="n"):
    return f"t = [{a}, {b}]\nwhile len(t) < {need}:\n    t.append(t[-1] + t[-2])\nreturn {end}"


def _starts(p, make):
    """Programs with other start values, where these are other ones."""
    mutants = []
    if (p["a"], p["b"]) != (0, 1):
        mutants.append(("plain_start", make(0, 1), "starts with 0, 1 whatever is asked"))
    if p["a"] != p["b"]:
        mutants.append(("swapped_start", make(p["b"], p["a"]), "takes the start values in the wrong order"))
    return mutants


FAMILY = Fibonacci()

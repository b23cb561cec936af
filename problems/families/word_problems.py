"""Mathematics in words, with an exact final answer: whole numbers and fractions in lowest terms."""

from __future__ import annotations

from fractions import Fraction

from problems.answer_family import AnswerFamily
from problems.family import Variant

NAMES = (
    "Ada",
    "Ben",
    "Chen",
    "Dora",
    "Emil",
    "Farah",
    "Goran",
    "Hana",
    "Igor",
    "Joy",
    "Kofi",
    "Lena",
    "Musa",
    "Nora",
    "Omar",
    "Pia",
)
THINGS = ("pencils", "apples", "stamps", "cards", "buttons", "cups", "books", "marbles", "tickets", "candles")


class WordProblems(AnswerFamily):
    name = "word_problems"
    summary = "procedural word problems: change, journeys, ratios, percentages, averages, joint work, legs, rows, ages"
    checker = "math"
    variants = (
        Variant(
            "change",
            "",
            (
                (
                    "{A} buys {n} {things} at {c} cents each and {m} more at {d} cents each, and pays with {t} "
                    "cents. How many cents of change does {A} get?"
                ),
                (
                    "{n} {things} cost {c} cents apiece, {m} others cost {d} cents apiece. {A} takes them all and "
                    "hands over {t} cents. How many cents come back?"
                ),
            ),
        ),
        Variant(
            "journey",
            "",
            (
                (
                    "{A} rides {a} hours at {u} km per hour, rests {r} hours, and rides {b} hours at {v} km per "
                    "hour. What is the average speed of the whole trip in km per hour, the rest included?"
                ),
                (
                    "A trip has {a} hours at {u} km/h, a pause of {r} hours and {b} hours at {v} km/h. What is its "
                    "mean speed in km/h, pause counted?"
                ),
            ),
            level=3,
        ),
        Variant(
            "ratio",
            "",
            (
                (
                    "{A}, {B} and {C} share {t} {things} in the ratio {x} : {y} : {z}. How many more does {C} get "
                    "than {A}?"
                ),
                (
                    "{t} {things} are divided among {A}, {B} and {C} as {x} : {y} : {z}. By how many does {C}'s "
                    "part exceed {A}'s?"
                ),
            ),
            level=2,
        ),
        Variant(
            "percent",
            "",
            (
                (
                    "The price of a coat is {t} coins. It is cut by {a} percent and later raised by {b} percent. "
                    "What is the price in coins then, exactly?"
                ),
                (
                    "A coat for {t} coins becomes {a} percent cheaper, then {b} percent dearer. Give its exact "
                    "price in coins after both."
                ),
            ),
            level=4,
        ),
        Variant(
            "average",
            "",
            (
                "The average of {n} numbers is {a}. With one more number the average becomes {b}. What is that number?",
                (
                    "{A} has a mean of {a} points over {n} games. After one more game the mean is {b}. How many "
                    "points did that game bring?"
                ),
            ),
            level=2,
        ),
        Variant(
            "work",
            "",
            (
                (
                    "{A} paints a fence alone in {x} hours, {B} in {y} hours. They start together, but after {r} "
                    "hours {B} leaves. How many hours more does {A} need to finish?"
                ),
                (
                    "Alone, {A} needs {x} hours for a job and {B} {y} hours. Both work {r} hours, then {A} goes on "
                    "alone. How long does the rest take, in hours?"
                ),
            ),
            level=6,
        ),
        Variant(
            "legs",
            "",
            (
                (
                    "A barn holds hens with 2 legs and cows with 4 legs, {n} animals and {t} legs in all. How many "
                    "cows are there?"
                ),
                "{A} counts {n} heads and {t} legs of hens (2 legs each) and cows (4 legs each). How many are cows?",
            ),
        ),
        Variant(
            "rows",
            "",
            (
                (
                    "The first row of a hall has {a} seats, and each further row has {d} more than the row before. "
                    "How many seats are in {n} rows?"
                ),
                (
                    "{A} lays {a} {things} in the first row and {d} more in every following row than in the last. "
                    "How many are there in {n} rows?"
                ),
            ),
            level=3,
        ),
        Variant(
            "ages",
            "",
            (
                (
                    "{A} is {d} years older than {B}. In {n} years, {A} will be {k} times as old as {B} was {m} "
                    "years ago. How old is {B} now?"
                ),
                (
                    "{B} is {d} years younger than {A}. {n} years from now {A}'s age will be {k} times the age "
                    "that {B} had {m} years ago. Give {B}'s present age."
                ),
            ),
            level=7,
        ),
        Variant(
            "boxes",
            "",
            (
                (
                    "{A} packs {t} {things} into boxes of {k}, gives {m} full boxes away and keeps the rest. How "
                    "many {things} are left, loose ones included?"
                ),
                (
                    "{t} {things} are packed {k} to a box as far as possible, the remainder stays loose. After {m} "
                    "full boxes are sold, how many {things} remain?"
                ),
            ),
        ),
    )

    def params(self, rng, variant, difficulty):
        big = 10 + 12 * difficulty
        if variant == "change":
            n, m, c, d = rng.int(2, 5 + difficulty), rng.int(2, 5 + difficulty), rng.int(3, big), rng.int(3, big)
            total = n * c + m * d
            return {"n": n, "m": m, "c": c, "d": d, "t": (total // 100 + rng.int(1, 1 + difficulty)) * 100}
        if variant == "journey":
            return {
                "a": rng.int(1, 3 + difficulty // 2),
                "u": rng.int(5, big),
                "r": rng.int(1, 3),
                "b": rng.int(1, 5),
                "v": rng.int(5, big),
            }
        if variant == "ratio":
            x, y, z = rng.int(1, 4 + difficulty), rng.int(1, 4 + difficulty), rng.int(1, 3 + difficulty)
            return {"x": x, "y": y, "z": x + z, "t": (2 * x + y + z) * rng.int(2, big)}
        if variant == "percent":
            return {"t": rng.int(4, big) * 5, "a": rng.int(1, 15) * 5, "b": rng.int(1, 15) * 5}
        if variant == "average":
            n, a = rng.int(3, 6 + 2 * difficulty), rng.int(5, big)
            return {"n": n, "a": a, "b": a + rng.pick((-2, -1, 1, 2, 3))}
        if variant == "work":
            x, y = rng.int(3, 6 + difficulty), rng.int(3, 6 + difficulty)
            return {"x": x, "y": y, "r": 1 if x * y <= 2 * (x + y) else rng.int(1, 2)}
        if variant == "legs":
            n = rng.int(5, big)
            return {"n": n, "t": 2 * n + 2 * rng.int(1, n - 1)}
        if variant == "rows":
            return {"a": rng.int(3, big), "d": rng.int(1, 4 + difficulty), "n": rng.int(4, 8 + 2 * difficulty)}
        if variant == "ages":
            m, k = rng.int(1, 3 + difficulty // 2), rng.int(2, 4)
            past, n = rng.int(2, big // 4), rng.int(1, 5)
            d = k * past - (past + m) - n
            while d < 1:
                past, d = past + 1, d + k - 1
            return {"d": d, "n": n, "k": k, "m": m}
        k = rng.int(3, 8 + difficulty)
        m = rng.int(1, 4 + difficulty)
        return {"t": k * (m + rng.int(0, 3 + difficulty)) + rng.int(1, k - 1), "k": k, "m": m}

    def story(self, rng, variant, p):
        a, b, c = rng.sample(NAMES, 3)
        return {**p, "A": a, "B": b, "C": c, "things": rng.pick(THINGS)}

    def value(self, variant, p) -> Fraction:
        """The answer as an exact number."""
        n, m, a, b, c, d = (p.get(k, 0) for k in "nmabcd")
        t, r, k, u, v, x, y, z = (p.get(key, 0) for key in "trkuvxyz")
        match variant:
            case "change":
                return Fraction(t - n * c - m * d)
            case "journey":
                return Fraction(a * u + b * v, a + r + b)
            case "ratio":
                return Fraction(t * (z - x), x + y + z)
            case "percent":
                return Fraction(t * (100 - a) * (100 + b), 10_000)
            case "average":
                return Fraction((n + 1) * b - n * a)
            case "work":
                return (1 - r * (Fraction(1, x) + Fraction(1, y))) * x
            case "legs":
                return Fraction(t - 2 * n, 2)
            case "rows":
                return Fraction(n * (2 * a + (n - 1) * d), 2)
            case "ages":
                return Fraction(d + n + k * m, k - 1)
        return Fraction(t - k * m)

    def answer(self, variant, p):
        return str(self.value(variant, p))

    def other_answers(self, variant, p):
        value = self.value(variant, p)
        if value.denominator == 1:
            return [f"{value}.0"]
        return [f"{3 * value.numerator}/{3 * value.denominator}"]

    def near_misses(self, variant, p):
        value = self.value(variant, p)
        n, m, a, b, c, d = (p.get(k, 0) for k in "nmabcd")
        t, r, k, u, v, x, y, z = (p.get(key, 1) for key in "trkuvxyz")
        slips = {
            "change": [("price", n * c + m * d, "gives the price"), ("one_kind", t - n * c, "forgets the second kind")],
            "journey": [
                ("mean", Fraction(u + v, 2), "averages the speeds"),
                ("no_rest", Fraction(a * u + b * v, a + b or 1), "leaves the rest out"),
            ],
            "ratio": [
                ("part", Fraction(t * z, x + y + z), "gives one part"),
                ("middle", Fraction(t * (z - y), x + y + z), "compares with the wrong part"),
            ],
            "percent": [
                ("sum", Fraction(t * (100 - a + b), 100), "adds the percentages"),
                ("turned", Fraction(t * (100 + a) * (100 - b), 10_000), "raises first"),
            ],
            "average": [
                ("mean", b, "gives the mean"),
                ("old_count", n * b - n * a, "forgets the new number"),
                ("sum", (n + 1) * b, "gives the sum"),
            ],
            "work": [
                (
                    "together",
                    (1 - r * (Fraction(1, x) + Fraction(1, y))) / (Fraction(1, x) + Fraction(1, y)),
                    "lets both go on",
                ),
                ("alone", x - r, "forgets the help"),
            ],
            "legs": [("hens", n - value, "gives the hens"), ("quarter", Fraction(t, 4), "takes all for cows")],
            "rows": [
                ("last", a + (n - 1) * d, "gives the last row"),
                ("one_step_more", Fraction(n * (2 * a + n * d), 2), "takes a step too many"),
            ],
            "ages": [
                ("older", value + d, "gives the other's age"),
                ("no_past", Fraction(d + n, k - 1 or 1), "forgets the years ago"),
            ],
            "boxes": [("loose", t % k, "gives the loose ones"), ("boxes", t // k - m, "counts boxes")],
        }[variant]
        misses = [(name, str(answer), why) for name, answer, why in slips if answer != value]
        return [
            *misses,
            ("off_by_one", str(value + 1), "is one too many"),
            ("double", str(2 * value), "is twice as much"),
        ]


FAMILY = WordProblems()

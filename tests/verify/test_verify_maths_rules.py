"""The rules of mathematical equality, without a sandbox: matches and near misses."""

import ast
import logging
from collections import Counter
from pathlib import Path

import pytest

from verify.checkers import maths
from verify.checkers.maths.numbers import Number, close, number, tidy

PAIRS = [
    line
    for line in (Path(__file__).parent / "maths_near_misses.txt").read_text().splitlines()
    if line and not line.startswith("#")
]


@pytest.mark.parametrize("line", PAIRS)
def test_near_misses(line):
    pytest.importorskip("math_verify")
    logging.getLogger("math_verify").setLevel(logging.ERROR)
    from verify.checkers.maths.equality import equal

    how = "==" if " == " in line else "!="
    gold, answer = line.split(f" {how} ", 1)
    assert equal(gold, answer) is (how == "==")


def test_the_modules_form_one_program():
    """Joined for the sandbox, no part hides a name of another one, and nothing of ours is imported."""
    tree = ast.parse(maths.source())
    defined = Counter()
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined[node.name] += 1
        elif isinstance(node, ast.Assign):
            defined.update(target.id for target in node.targets)
        elif isinstance(node, ast.ImportFrom):
            assert not node.module.startswith(("verify", "problems"))
    assert not [name for name, times in defined.items() if times > 1]
    scope = {}
    exec(compile(tree, "maths", "exec"), scope)
    assert scope["equal"]("1,350 litres", "1350")


@pytest.mark.parametrize(
    "text, value",
    [
        ("2^{10}", 1024),
        ("-2^2", -4),
        ("2^{-1}", 0.5),
        ("3!", 6),
        ("(1+2)*3", 9),
        (r"\frac{1}{4}", 0.25),
        (r"\frac12", 0.5),
        (r"1\frac{1}{2}", 1.5),
        ("1 1/2", 1.5),
        (r"0.1\overline{6}", None),
        (r"2 \times 10^{3}", 2000),
        ("1/0", None),
        ("0^{-1}", None),
        ("2^{0.5}", None),
        ("9^{9^{9}}", None),
        ("2(3)", None),
        ("5x", None),
        ("99999!", None),
        ("(" * 200 + "1" + ")" * 200, None),
        ("", None),
        ("1e5", None),
    ],
)
def test_plain_numbers(text, value):
    found = number(text)
    if text.startswith("0.1"):
        assert found.value * 6 == 1
    else:
        assert (found.value if found else None) == value


def test_the_digits_of_the_gold_count():
    third = number(r"\frac{1}{3}")
    assert close(Number(number("0.333333333333").value, 12), third)
    assert not close(number("0.333"), third)
    assert not close(third, number("0.333"))
    assert not close(number("123456789012.5"), number("123456789012.6"))
    assert close(number("0.6666666666666666"), number("0.66666666667"))


@pytest.mark.parametrize(
    "text, tidied",
    [
        ("1,350 m", "1350 m"),
        ("12,345,678", "12345678"),
        ("3,4", "3,4"),
        ("10,00", "10,00"),
        ("0,100", "0,100"),
        ("1,000,00", "1,000,00"),
        ("(1,200)", "(1,200)"),
        (r"\{1,200\}", r"\{1,200\}"),
        (r"\frac{1,000}{3}", r"\frac{1000}{3}"),
        (r"1\,000", "1000"),
        (r"1\,2", "1 2"),
        (r"22,\! 222", "22222"),
        ("1,234.5, 2,000", "1234.5, 2000"),
    ],
)
def test_thousands(text, tidied):
    assert tidy(text) == tidied

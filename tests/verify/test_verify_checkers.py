"""Checkers: right values, right output, right letters."""

import pytest
from conftest import function_problem
from hypothesis import given
from hypothesis import strategies as st

from problems.boxes import last_box
from problems.problem import Test
from verify.checkers import answers, checker_for, values
from verify.sandbox import codec

NAN, INF = float("nan"), float("inf")
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=5) | st.integers() | st.tuples(st.integers()), inner, max_size=4)
        | st.sets(st.integers() | st.text(max_size=3), max_size=4)
        | st.frozensets(st.integers(), max_size=4)
    ),
    max_leaves=12,
)


def right(checker: str, expected, answer, args=(), kind="function") -> bool:
    text = answer if kind != "function" else codec.encode(answer)
    encoded = codec.encode(expected) if kind == "function" else str(expected)
    return checker_for(checker, kind).compare(Test(tuple(args), expected), encoded, text)


@given(PLAIN)
def test_every_plain_value_survives_the_round_trip(value):
    text = codec.encode(value)
    again = codec.decode(text)
    assert codec.encode(again) == text and type(again) is type(value)
    assert right("exact", value, again)
    assert "\n" not in text and text.isascii()


@given(PLAIN, PLAIN)
def test_exact_is_at_least_as_strict_as_python(one, other):
    if right("exact", one, other):
        assert values.canonical(one) == values.canonical(other) or _loosely(one, other)


def _loosely(one, other) -> bool:
    """Whether Python considers the values equal, with lists for tuples and an int for a float."""
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_loosely, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return len(one) == len(other)
    if isinstance(one, set | frozenset):
        return one == other
    return one == other or (one != one and other != other)


@given(st.text(max_size=200))
def test_any_text_can_be_read_as_an_answer(text):
    for checker in ("exact", "unordered", "unordered:deep", "float:1e-6"):
        checker_for(checker, "function").compare(Test((), [1]), "[1]", text)


@pytest.mark.parametrize(
    "expected, answer, same",
    [
        (1, 1, True),
        (1, True, False),
        (True, 1, False),
        (True, True, True),
        (3, 3.0, False),
        (3.0, 3, True),
        (3.0, True, False),
        (2**60, 2**60, True),
        (2.0**60, 2**60, True),
        (2.0**60, 2**60 + 1, False),
        (None, 0, False),
        (None, None, True),
        ("3", 3, False),
        ([1, 2], (1, 2), True),
        ((1, 2), [1, 2], True),
        ([1, 2], [2, 1], False),
        ([1, 2], {1, 2}, False),
        ({1, 2}, frozenset((2, 1)), True),
        ({1, 2}, [1, 2], False),
        ({(1, 2)}, {(1, 2)}, True),
        ({"a": 1}, {"a": 1}, True),
        ({"a": 1}, {"a": True}, False),
        ({1: 2}, {"1": 2}, False),
        ({"a": (1, 2)}, {"a": [1, 2]}, True),
        (NAN, NAN, True),
        (NAN, 0.0, False),
        (INF, INF, True),
        (INF, -INF, False),
        (INF, 10**400, False),
        (0.0, -0.0, True),
        (b"a", b"a", True),
        (b"a", "a", False),
        ([], [], True),
        ([[]], [[]], True),
        ([[1], []], [[1], ()], True),
    ],
)
def test_exact(expected, answer, same):
    assert right("exact", expected, answer) is same


@pytest.mark.parametrize(
    "expected, answer, same",
    [
        (1.0, 1.0 + 5e-7, True),
        (1.0, 1.0 + 5e-6, False),
        (1e9, 1e9 + 500, True),
        (1e9, 1e9 + 5000, False),
        (0.0, 1e-7, True),
        ([1.0, 2.0], [1.0000001, 2], True),
        (1_000_000, 1_000_001, False),
        (5, 5.0, True),
        (NAN, NAN, True),
        (NAN, 1.0, False),
        (1.0, NAN, False),
        (INF, INF, True),
        (1.0, "1.0", False),
        ({"a": 0.5}, {"a": 0.5000001}, True),
    ],
)
def test_float(expected, answer, same):
    assert right("float:1e-6", expected, answer) is same


@pytest.mark.parametrize(
    "expected, answer, plain, deep",
    [
        ([1, 2, 3], [3, 1, 2], True, True),
        ([1, 2], [1, 2, 2], False, False),
        ([1, 1, 2], [1, 2, 2], False, False),
        ([[1, 2], [3]], [[3], [1, 2]], True, True),
        ([[1, 2], [3]], [[3], [2, 1]], False, True),
        ([(1, 2), (3, 4)], [[3, 4], [1, 2]], True, True),
        ([1, True], [True, 1], True, True),
        ([1], [True], False, False),
        ([], [], True, True),
        (5, 5, True, True),
        ([{"a": 1}, {"b": 2}], [{"b": 2}, {"a": 1}], True, True),
    ],
)
def test_unordered(expected, answer, plain, deep):
    assert right("unordered", expected, answer) is plain
    assert right("unordered:deep", expected, answer) is deep


def test_forged_texts_are_wrong_answers():
    for text in ('{"s":[1,1]}', '{"d":[[1,2],[1,2]]}', '{"i":"1","t":[]}', '{"t":null}', "[" * 5000, "1e5", '{"d":5}'):
        for expected in (1, {1}, {1: 2}, [1], (1,), "a", 1.0, None, b"a"):
            assert not checker_for("exact", "function").compare(Test((), expected), codec.encode(expected), text)


def test_an_answer_that_is_too_long_to_be_right_is_not_parsed():
    assert not checker_for("exact", "function").compare(Test((), 1), "1", " " * 5000 + "1")


def test_colliding_keys_are_refused():
    prime = 2**61 - 1
    text = '{"s":[' + ",".join('{"i":"%x"}' % (i * prime) for i in range(3000)) + "]}"
    with pytest.raises(ValueError, match="collide"):
        codec.decode(text)
    assert len(codec.decode(codec.encode(set(range(20_000))))) == 20_000


def test_any_valid_by_a_trusted_function(monkeypatch, judge):
    import sys
    import types

    family = types.ModuleType("problems.families.pairs")
    family.is_valid = lambda args, expected, got: [args[0][i] for i in got] == [args[0][i] for i in expected]
    family.loose = lambda args, expected, got: "yes"
    monkeypatch.setitem(sys.modules, "problems.families.pairs", family)
    spec = "any_valid:problems.families.pairs:is_valid"
    args = ([7, 7, 5],)
    assert right(spec, [0, 2], [1, 2], args)
    assert not right(spec, [0, 2], [2, 1], args)
    for broken in (None, 5, "ab", [9, 9], {"a": 1}, [[0], [2]]):
        assert not right(spec, [0, 2], broken, args)
    assert not right("any_valid:problems.families.pairs:loose", 1, 1), "only True itself is yes"
    exercise = function_problem("f", [(args, [0, 2])], checker=spec)
    assert judge.judge_code(exercise, "def f(x): return [1, 2]").passed


@pytest.mark.parametrize(
    "checker, kind, complaint",
    [
        ("exakt", "function", "did you mean exact"),
        ("math", "function", "no checker"),
        ("float:x", "function", "tolerance"),
        ("float:-1", "function", "tolerance"),
        ("unordered:very", "function", "unordered:deep"),
        ("any_valid:os:system", "function", "problems.families."),
        ("any_valid:problems.families.nowhere:f", "function", "cannot be loaded"),
        ("any_valid:problems.families", "function", "problems.families."),
        ("choice", "stdin", "no checker"),
    ],
)
def test_unknown_checkers_are_refused(checker, kind, complaint):
    with pytest.raises(ValueError, match=complaint):
        checker_for(checker, kind)


@pytest.mark.parametrize(
    "expected, printed, same",
    [
        ("3\n", "3", True),
        ("3", "3\n\n", True),
        ("1 2", "1 2  ", True),
        ("1 2", "1  2", True),
        ("a b", "a  b", False),
        ("a\nb", "a\r\nb\r\n", True),
        ("a", "b", False),
        ("", "", True),
        ("", " \n", True),
        ("a", " a", True),
        ("a\nb", "\n a\n  b\n\n", True),
        ("a\nb", "a\n\nb", False),
        ("a b", "ab", False),
        ("3", "3.0", True),
        ("0.50", ".5", True),
        ("100", "1e2", True),
        ("-0", "0.0", True),
        ("1 2.50 x", "1 2.5 x", False),
        ("007", "7", True),
        ("3", "+3", True),
        ("3", "3.0000000000000000000000001", False),
        ("0.1", "0.1000000000000000055511151231257827", False),
        ("1", "-1", False),
        ("1 2", "1\n2", False),
        ("1 2", "12", False),
        ("1000", "1_000", False),
        ("3", "\u0663", False),
        ("1", "inf", False),
        ("inf", "inf", True),
        ("inf", "Infinity", False),
        ("nan", "NaN", False),
        ("1e999999999", "1e999999998", False),
        ("10", "1e999999999", False),
        ("1e999999999999999999999", "1e999999999999999999998", False),
        ("1", ".", False),
        ("0", "e5", False),
        ("1" * 20_000, "1" * 20_000 + ".0", True),
        ("1" * 20_000, "1" * 19_999 + "2", False),
    ],
)
def test_printed_lines(expected, printed, same):
    assert right("exact", expected, printed, kind="stdin") is same


def test_printed_output_with_other_checkers():
    assert right("unordered", "a\nb", "b\na\n", kind="stdin")
    assert right("float:1e-3", "x 0.5", "x 0.5001", kind="stdin")
    assert not right("float:1e-3", "x 0.5", "y 0.5", kind="stdin")
    assert not right("float:1e-3", "0.5", "0.5 0.5", kind="stdin")
    assert not right("float:1e-3", "0.5", "nan", kind="stdin")


@pytest.mark.parametrize(
    "expected, printed, same",
    [
        ("100000000", "100000001", False),
        ("100000000", "100000001.0", False),
        ("100000000", "100000000.0", True),
        ("100000000", "1e8", True),
        ("100000000", "1.00000001e8", False),
        ("2", "2.0000000001", True),
        ("2", "2.1", False),
        ("-7", "-7.0", True),
        ("-7", "7", False),
        ("7", "+7", True),
        ("7", "07", True),
        ("100000000.0", "100000001.0", True),
        ("9" * 5000, "9" * 5000, True),
        ("9" * 5000, "9" * 4999 + "8", False),
        ("5", "inf", False),
        ("5", "nan", False),
        ("5", "1e999", False),
        ("inf", "5", False),
        ("inf", "inf", True),
        ("inf", "Infinity", True),
        ("inf", "-inf", False),
        ("-inf", "inf", False),
        ("1e999", "1", False),
        ("0.5", "inf", False),
        ("0.5", "1e400", False),
        ("nan", "nan", True),
        ("nan", "1" + "0" * 400, False),
        ("nan", "0", False),
        ("3 INF", "3 0", False),
        ("3 INF", "3 inf", True),
    ],
)
def test_printed_numbers(expected, printed, same):
    assert right("float:1e-6", expected, printed, kind="stdin") is same


@pytest.mark.parametrize(
    "expected, answer, same",
    [
        (INF, 5.0, False),
        (INF, -INF, False),
        (-INF, INF, False),
        (INF, 10**400, False),
        (1.5, INF, False),
        (NAN, 10**400, False),
        ([INF], [5], False),
        ({"a": INF}, {"a": 1e308}, False),
        ({INF, 1.0}, {2.0, 1.0}, False),
    ],
)
def test_no_number_is_close_to_infinity(expected, answer, same):
    assert right("float:1e-6", expected, answer) is same


@pytest.mark.parametrize(
    "text, letter",
    [
        ("B", "B"),
        ("(b)", "B"),
        ("**C**", "C"),
        (r"\boxed{D}", "D"),
        (r"\boxed{\text{(A)}}", "A"),
        ("The answer is B.", "B"),
        ("Answer: (C) because of it", "C"),
        ("A common mistake is to think so. The answer is D.", "D"),
        ("A common mistake is to think so.", None),
        ("Between (A) and (B) it is (B).", "B"),
        ("I like all of them", None),
        ("", None),
        ("Final answer: E", "E"),
    ],
)
def test_choices(text, letter):
    assert answers.read_choice(text) == letter


@pytest.mark.parametrize(
    "text, word",
    [
        ("YES", "yes"),
        ("No, because yes is wrong", "no"),
        ("**Yes**", "yes"),
        ("Let me see. The answer is no.", "no"),
        (r"\boxed{YES}", "yes"),
        ("It overlaps at 3, so NO", "no"),
        ("I know nothing of it", None),
        ("", None),
        ("yesterday", None),
    ],
)
def test_yes_and_no(text, word):
    assert answers.read_yes_no(text) == word


@pytest.mark.parametrize(
    "text, number",
    [
        ("42", 42),
        ("so 3 + 4 = 7", 7),
        (r"\boxed{1,000}", 1000),
        ("#### 1,234.5", 1234.5),
        ("The answer is -3.", -3),
        ("The answer is \u22123", -3),
        ("The answer is 5e3", 5000),
        (r"\boxed{\frac{1}{2}}", 0.5),
        (r"\boxed{\sqrt{2}}", None),
        ("none", None),
        ("first 5, then the answer is 6\nnot 7", 6),
    ],
)
def test_numbers(text, number):
    assert answers.read_number(text) == number


@given(st.text(max_size=300))
def test_reading_answers_never_raises(text):
    for read in (answers.read_choice, answers.read_yes_no, answers.read_number, answers.final_text, last_box):
        read(text + r"\boxed{" + text)


def test_expected_values_are_not_changed():
    expected = [[3, 1], [2]]
    right("unordered:deep", expected, [[2], [1, 3]])
    assert expected == [[3, 1], [2]]

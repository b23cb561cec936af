"""Cells of data sets: boxed answers, golds that are no text, chats, items inside cells, and multiple choice."""

import contextlib
import datetime
import decimal
import json
import time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from problems_helpers import MATHS, gold

from problems.benchmark_formats import boxed_answer
from problems.rows import SourceError

# --- golds that are parts of answers


@pytest.mark.parametrize(
    ("solution", "whole"),
    [
        (r"$t=\boxed{3}$ or $t=\boxed{8}$.", "3, 8"),
        (r"$x_1 = \boxed{3}$ and $x_2 = \boxed{8}$", "3, 8"),
        (r"\boxed{1}, \boxed{2}, and \boxed{-3}", "1, 2, -3"),
        (r"\boxed{2}\\\boxed{5}", "2, 5"),
        (r"\[\boxed{2}\quad\text{or}\quad\boxed{5}\]", "2, 5"),
        (r"\boxed{\frac{1}{2}} and \boxed{\frac{3}{4}}", r"\frac{1}{2}, \frac{3}{4}"),
        (r"First \boxed{3} comes up. So it is \boxed{3}.", "3"),
        (r"One root is \boxed{3}, another \boxed{8}. Hence \boxed{3, 8}.", "3, 8"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"Not \boxed{9} but \boxed{1}.", "1"),
        (r"\fbox{7}", "7"),
        (r"so $\boxed 4$.", "4"),
        (r"\boxed{\boxed{3}}", r"\boxed{3}"),
    ],
)
def test_boxes_that_belong_together_are_one_answer(solution, whole):
    assert boxed_answer(solution) == whole


@pytest.mark.parametrize(
    "solution",
    [
        r"The first root is \boxed{3}. The second root is \boxed{8}.",
        r"(a) \boxed{3} (b) \boxed{8}",
        r"\boxed{3} + \boxed{8}",
        r"$x = \boxed{3}$ and $y = \boxed{4}$",
        r"the point $(\boxed{1}, \boxed{2})$",
        "no box",
        r"\boxed{3",
        r"\boxed 3 or \boxed 8",
    ],
)
def test_boxes_of_which_it_is_not_said_are_left_out(solution, load):
    with pytest.raises(ValueError, match="boxed"):
        boxed_answer(solution)
    mapping = MATHS | {"answer": {"column": "a", "boxed": True}}
    problems, report = load([{"q": "?", "a": solution}, {"q": "!", "a": r"\boxed{1}"}], mapping)
    assert len(problems) == 1 and "data.jsonl:1: column 'a' has " in report.reasons[0]


@pytest.mark.parametrize("piece", [r"\boxed{", r"\boxed{1}", r"\boxed{1}, ", "{", "}", r"\boxed 1 ", "a_", "x = "])
def test_boxes_are_read_in_linear_time(piece):
    began = time.process_time()
    for text in (piece * 20_000, piece * 20_000 + r"\boxed{3}"):
        with contextlib.suppress(ValueError):
            boxed_answer(text)
    assert time.process_time() - began < 2


# --- cells that are no text


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        (11.0, "11"),
        (2.5, "2.5"),
        (-0.125, "-0.125"),
        (1e16, "10000000000000000"),
        (1.5e23, "150000000000000000000000"),
        (1e-7, "0.0000001"),
        (12345678901234567890123, "12345678901234567890123"),
        (["$4$", "$9$"], "4, 9"),
        (["$9 \\text{ cm}$"], "$9 \\text{ cm}$"),
        ([4, 9.0], "4, 9"),
        ([["4", "9"]], "4, 9"),
        (["1,234", "5"], "1234, 5"),
        (["(1,2)", "(3,4)"], "(1,2), (3,4)"),
        (["7"], "7"),
        ("['$4$', '$9$']", "4, 9"),
        ('["4", "9"]', "4, 9"),
        ("[3, 8]", "[3, 8]"),
        ([{"role": "user", "content": "?"}, {"role": "assistant", "content": "5"}], "5"),
        ([{"from": "human", "value": "?"}, {"from": "gpt", "value": "5"}], "5"),
    ],
)
def test_a_gold_cell_is_plain_text(cell, expected, load):
    (problem,), _ = load([{"q": "?", "a": cell}], MATHS)
    assert gold(problem) == expected


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        (None, "is empty"),
        (True, "truth value true"),
        ([], "empty list"),
        ([None], "is empty"),
        ([True], "truth value"),
        (["", "4"], "empty item"),
        (["1, 2", "3"], "a list itself"),
        ({"value": 3, "unit": "m"}, "name one of its fields: value, unit"),
        (float("nan"), "no number"),
        (1234567890123456789.0, "lost digits"),
        (float("inf"), "no number"),
        ("['4' '9']", "without commas"),
        ([{"role": "user", "content": "?"}], "without an answer"),
        ([{"a": 1}], "name one of its fields: a"),
    ],
)
def test_a_gold_cell_without_plain_text_is_left_out_with_the_reason(cell, says, load):
    problems, report = load([{"q": "?", "a": cell}], MATHS)
    assert not problems and report.excluded == 1
    assert report.reasons[0].startswith(str(report.reasons[0].split(":1: ")[0]) + ":1: column 'a' ")
    assert says in report.reasons[0] and "\n" not in report.reasons[0]


def test_a_list_of_answers_needs_a_checker_of_lists(load):
    for checker in ("exact", "float:1e-6", "yes_no"):
        problems, report = load([{"q": "?", "a": ["1", "2"]}], MATHS | {"checker": checker})
        assert not problems and "holds 2 answers" in report.reasons[0] and "a.0" in report.reasons[0]
    assert gold(load([{"q": "?", "a": True}], MATHS | {"checker": "yes_no"})[0][0]) == "yes"


def test_binary_and_dated_cells_are_refused(load, tmp_path):
    for cell in (b"12", datetime.date(2026, 1, 2), datetime.timedelta(1)):
        pq.write_table(pa.Table.from_pylist([{"q": "?", "a": cell}]), tmp_path / "x.parquet")
        problems, report = load(tmp_path / "x.parquet", MATHS)
        assert not problems and "which is no text" in report.reasons[0]
    pq.write_table(pa.Table.from_pylist([{"q": "?", "a": decimal.Decimal("8.50")}]), tmp_path / "x.parquet")
    assert gold(load(tmp_path / "x.parquet", MATHS)[0][0]) == "8.5"


SYSTEM = {"role": "system", "content": "Be brief."}
USER = {"role": "user", "content": "What is 2+3?"}
ANSWERED = {"role": "assistant", "content": "5"}


@pytest.mark.parametrize(
    ("cell", "statement"),
    [
        ([USER], "What is 2+3?"),
        ([SYSTEM, USER], "Be brief.\n\nWhat is 2+3?"),
        ([USER, ANSWERED], "What is 2+3?"),
        (USER, "What is 2+3?"),
        ([{"from": "human", "value": "What is 2+3?"}, {"from": "gpt", "value": "5"}], "What is 2+3?"),
        ([{"role": "user", "content": [{"type": "text", "text": "What is 2+3?"}]}], "What is 2+3?"),
        (3, "3"),
    ],
)
def test_a_chat_is_asked_as_its_messages_say(cell, statement, load):
    assert load([{"q": cell, "a": "5"}], MATHS)[0][0].statement == statement


@pytest.mark.parametrize(
    ("cell", "says"),
    [
        ([USER, ANSWERED, USER], "answer in its middle; name one message, for example q.0.content"),
        ([ANSWERED], "nobody asks"),
        ([{"role": "tool", "content": "x"}], "role 'tool'"),
        ([{"role": "user", "content": [{"type": "image", "url": "x"}]}], "not all text"),
        ([{"role": "user", "content": None}], "is empty"),
        (["a", "b"], "is a list of 2; name an item of it, for example q.0"),
        ({"text": "x"}, "is an object; name one of its fields: text"),
        (None, "the statement is empty"),
        (False, "truth value false"),
    ],
)
def test_a_question_without_plain_text_is_left_out_with_the_reason(cell, says, load):
    problems, report = load([{"q": cell, "a": "5"}], MATHS | {"statement": "Q: {q}"})
    assert not problems and says in report.reasons[0]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("{chat.1.content}", "What is 2+3?"),
        ("{chat.-1.content}", "What is 2+3?"),
        ("{text.0.content}", "Be brief."),
        ("{python.a.0}", "1"),
        ("{a.b}", "flat"),
        ("{nothing|a.b}", "flat"),
        ("{chat.0.content}/{a.b}", "Be brief./flat"),
    ],
)
def test_an_item_inside_a_cell_can_be_named(name, expected, load):
    row = {
        "chat": [SYSTEM, USER],
        "text": json.dumps([SYSTEM, USER]),
        "python": "{'a': ['1']}",
        "a.b": "flat",
        "x": "1",
    }
    (problem,), _ = load([row], {"name": "m", "statement": name, "answer": {"column": "x"}})
    assert problem.statement == expected


def test_an_item_that_is_not_there_is_a_reason(load):
    rows = [{"q": [], "a": "1"}, {"q": None, "a": "1"}, {"q": "text", "a": "1"}, {"q": [{"c": 1}], "a": "1"}]
    problems, report = load(rows, MATHS | {"statement": "{q.0}"})
    assert not problems and report.excluded == 4
    assert "no item 0 in a list of 0" in report.reasons[0] and "is empty" in report.reasons[1]


def test_where_and_difficulty_know_truth_and_numbers(load):
    rows = [
        {"q": str(n), "a": "1", "ok": ok, "d": d}
        for n, (ok, d) in enumerate([(True, 3.0), (False, "hard"), ("True", 1)])
    ]
    mapping = MATHS | {"where": {"ok": True}, "difficulty": {"column": "d", "values": {"hard": 9, "3": 4}, "scale": 2}}
    problems, report = load(rows, mapping)
    assert [p.statement for p in problems] == ["0", "2"] and report.passed_over == 1
    assert [p.difficulty for p in problems] == [4, 2]


# --- multiple choice

CHOICE = {"name": "c", "checker": "choice", "statement": "{q}", "answer": {"column": "a"}}
FOUR = ["w", "x", "y", "z"]


@pytest.mark.parametrize(
    ("row", "options"),
    [
        ({"a": "B", "o": FOUR}, {"column": "o"}),
        ({"a": 1, "o": FOUR}, {"column": "o", "answer_is": "index"}),
        ({"a": "1", "o": FOUR}, {"column": "o", "answer_is": "index"}),
        ({"a": 1.0, "o": FOUR}, {"column": "o", "answer_is": "index"}),
        ({"a": 2, "o": FOUR}, {"column": "o", "answer_is": "number"}),
        ({"a": "x", "o": FOUR}, {"column": "o", "answer_is": "text"}),
        ({"a": "2", "o": {"text": FOUR, "label": list("1234")}}, {"column": "o.text", "labels": "o.label"}),
        ({"a": "B", "o": {"text": FOUR, "label": list("ABCD")}}, {"column": "o.text", "labels": "o.label"}),
        ({"a": 20, "o": FOUR, "l": [10, 20, 30, 40]}, {"column": "o", "labels": "l"}),
        ({"a": "2", "o": [{"text": t, "label": str(n)} for n, t in enumerate(FOUR, 1)]},
         {"column": "o.text", "labels": "o.label"}),
        ({"a": 1, "p": "w", "q2": "x"}, {"columns": ["p", "q2"], "answer_is": "index"}),
        ({"a": "1", "o": "['w', 'x', 'y', 'z']"}, {"column": "o", "answer_is": "index"}),
        ({"a": 1, "o": [3, 4.0]}, {"column": "o", "answer_is": "index"}),
    ],
)  # fmt: skip
def test_the_right_choice_is_found_however_it_is_named(row, options, load):
    (problem,), _ = load([{"q": "?", **row}], CHOICE | {"options": options})
    assert gold(problem) == "B" and "None" not in problem.statement
    assert problem.statement.splitlines()[2] in ("(B) x", "(B) 4")


@pytest.mark.parametrize(
    ("row", "options", "says"),
    [
        ({"a": "5", "o": FOUR}, {"column": "o", "answer_is": "number"}, "no number 1 to 4"),
        ({"a": 0, "o": FOUR}, {"column": "o", "answer_is": "number"}, "no number 1 to 4"),
        ({"a": -1, "o": FOUR}, {"column": "o", "answer_is": "index"}, "no index 0 to 3"),
        ({"a": "", "o": FOUR}, {"column": "o", "answer_is": "index"}, "no index 0 to 3"),
        ({"a": True, "o": FOUR}, {"column": "o", "answer_is": "index"}, "truth value"),
        ({"a": "v", "o": FOUR}, {"column": "o", "answer_is": "text"}, "not one of w, x"),
        ({"a": "1", "o": FOUR, "l": ["1"]}, {"column": "o", "labels": "l"}, "1 labels for 4 options"),
        ({"a": "1", "o": FOUR, "l": list("1123")}, {"column": "o", "labels": "l"}, "not one of 1, 1"),
        ({"a": "1", "o": FOUR}, {"column": "o"}, "is none of A, B, C, D"),
        ({"a": "A", "o": "w x y z"}, {"column": "o"}, "no list of options"),
        ({"a": "A", "o": ["w"]}, {"column": "o"}, "1 options"),
        ({"a": "A", "o": ["w", None]}, {"column": "o"}, "is empty"),
        ({"a": "A", "o": ["w", {"t": 1}]}, {"column": "o"}, "is an object"),
        ({"a": ["A", "C"], "o": FOUR}, {"column": "o"}, "holds 2 answers"),
    ],
)
def test_a_choice_that_names_none_is_left_out_with_the_reason(row, options, says, load):
    problems, report = load([{"q": "?", **row}], CHOICE | {"options": options})
    assert not problems and says in report.reasons[0]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"column": "o", "columns": ["p", "q"]}, "either one `column`"),
        ({"column": "o", "answer_is": "label"}, "go together"),
        ({"column": "o", "labels": "l", "answer_is": "index"}, "go together"),
        ({"right": "r"}, "either one `column`"),
        ({"right": "r", "wrong": ["s"]}, "give one"),
    ],
)
def test_options_that_contradict_are_refused(options, says, load):
    with pytest.raises(SourceError, match=says):
        load([{"q": "?", "a": "A"}], CHOICE | {"options": options})

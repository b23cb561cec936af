"""The one reader of boxed answers."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from problems.boxes import boxes, last_box, outermost


@pytest.mark.parametrize(
    ("text", "content"),
    [
        (r"\boxed{1} and \boxed{\frac{2}{3}} end", r"\frac{2}{3}"),
        (r"\boxed{1} and \boxed{2", "1"),
        (r"\fbox{x}", "x"),
        (r"\boxed{ 7 }", "7"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"so {\boxed 4}.", "4"),
        (r"\boxed\frac{\sqrt{2}}{2}.", r"\frac{\sqrt{2}}{2}"),
        (r"x = 2 \\\boxed{2}", "2"),
        (r"\\boxed{5}", "5"),
        (r"\boxed{\boxed{3}}", "3"),
        (r"\boxedup{3}", None),
        (r"\{\boxed{3\}", None),
        (r"\boxed", None),
        (r"\boxed{}", None),
        ("none", None),
    ],
)
def test_the_last_closed_box_counts(text, content):
    assert last_box(text) == content


def test_only_the_outermost_boxes():
    text = r"\boxed{a\fbox{b}} \boxed c"
    assert [box.content(text) for box in boxes(text)] == [r"a\fbox{b}", "b", "c"]
    assert [(box.content(text), box.braced(text)) for box in outermost(boxes(text))] == [
        (r"a\fbox{b}", True),
        ("c", False),
    ]


PIECES = st.lists(st.sampled_from([r"\boxed", r"\boxed{", "{", "}", "\\", " ", "a", ".", r"\}", "$"]), max_size=12)


@given(PIECES.map("".join), PIECES.map("".join))
def test_a_box_is_found_wherever_it_is(before, after):
    without_boxes = after.replace("boxed", "").replace("}", "")
    assert last_box(before + r" \boxed{1{2}3} " + without_boxes) == "1{2}3"
    for box in boxes(before):
        assert 0 <= box.start < box.inside[0] <= box.inside[1] <= box.end <= len(before)


@pytest.mark.parametrize(
    "piece", [r"\boxed{", r"\boxed {a}", "{", r"\boxed" + "{" * 50, r"\boxed x{a{", r"\boxed{{{{a}"]
)
def test_reading_is_linear(piece):
    text = piece * (300_000 // len(piece))
    began = time.process_time()
    last_box(text)
    assert time.process_time() - began < 5.0

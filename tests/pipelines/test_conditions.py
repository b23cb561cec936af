"""Conditions: one grammar, read back as it was written; what no evaluation measures is refused; bounds are exact."""

from __future__ import annotations

import io
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.console import Console

from pipelines.errors import ConfigError
from pipelines.evaluation_tables import show_conditions
from pipelines.measure.conditions import (
    COMPARISONS,
    EVERY,
    LAST,
    OTHERS,
    SHARES,
    UNMET,
    Condition,
    Required,
    Scope,
    canonical,
    parse,
)
from pipelines.measure.evaluation import BANDS, Evaluation
from problems.problem import Group, Problem, Sample, Status, Verdict

PASS, WRONG, GONE = Status.PASSED, Status.WRONG_ANSWER, Status.INFRASTRUCTURE
NAMES = st.sampled_from(
    ["coin_change", "lis", "math500", "data-set.v2", "réseau", "e", "pass", "3", "coin_change@plain"]
)
SCOPES = st.one_of(
    st.just(Scope()),
    st.builds(Scope, every=st.sampled_from(EVERY)),
    st.builds(Scope, name=NAMES),
    st.builds(Scope, name=NAMES | st.just(""), band=st.sampled_from(BANDS)),
    st.builds(Scope, name=NAMES | st.just(""), difficulty=st.integers(1, 10)),
)
MEASURES = st.sampled_from(SHARES) | st.integers(1, 9999).map("pass@{}".format)
BOUNDS = st.integers(0, 100) | st.integers(0, 10**6).map(lambda n: n / 10**4)
CONDITIONS = st.builds(
    Condition, scope=SCOPES, comparison=st.sampled_from(list(COMPARISONS)), bound=BOUNDS.map(float), measure=MEASURES,
    evaluation=st.sampled_from((LAST, *OTHERS)),
)  # fmt: skip


def problem(number: int, family: str = "lis", difficulty: int = 1) -> Problem:
    return Problem(f"{family}-{difficulty}-{number}", family, 1, difficulty, "test", "say it", "f", "", (), ())


def evaluation(*asked: tuple[Problem, list[Status]], name: str = "model") -> Evaluation:
    none = np.zeros(0, np.int32)
    groups = []
    for one, statuses in asked:
        samples = tuple(Sample(one.id, "g", i, none, none, none, "x", "stop", 0, "") for i in range(len(statuses)))
        verdicts = tuple(Verdict(s, tests_passed=2 if s is PASS else 1, tests_run=2, tests_total=2) for s in statuses)
        groups.append(Group(0, 0, one, samples, verdicts, tuple(float(s is PASS) for s in statuses)))
    return Evaluation(name, tuple(groups))


@settings(deadline=None)
@given(CONDITIONS)
def test_what_is_written_is_read_back(condition):
    assert parse(str(condition)) == condition and canonical(str(condition)) == str(condition)


@settings(deadline=None)
@given(CONDITIONS, st.sampled_from(["", "%", " %"]), st.sampled_from(["", " ", "  \t"]))
def test_spaces_and_a_percent_sign_change_nothing(condition, sign, space):
    left, _, right = str(condition).partition(f" {condition.comparison} ")
    text = f"{space}{left.replace(' ', space or ' ')}{space}{condition.comparison}{space}{right}{sign}{space}"
    assert parse(text) == condition


@settings(deadline=None)
@given(st.text(max_size=40) | st.text("abe@123 <>=.%", max_size=20))
@example("overall >= 50 >= 40")
@example("pass@0 >= 1")
@example("easy >= 100.5")
@example("every >= 1")
@example("easy easy >= 1")
@example("difficulty 11 >= 1")
@example("coin_change knapsack >= 1")
@example(">= 5")
@example("before >= 5")
@example("overall > nan")
@example("overall > 1e1")
@example("overall => 5")
@example("\x1b[2J > 5")
def test_any_text_is_read_or_refused_in_one_line(text):
    try:
        condition = parse(text)
    except ValueError as error:
        assert "\n" not in str(error).replace(repr(text), "")
        assert str(error).startswith("condition ")
    else:
        assert parse(str(condition)) == condition


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("overall>=50", "overall >= 50"),
        ("pass@1 >= 50.0 %", "overall >= 50"),
        ("pass@8 > 90", "pass@8 overall > 90"),
        ("before overall < 20", "before overall < 20"),
        ("coin_change difficulty 5 > 80", "coin_change difficulty 5 > 80"),
        ("tests_passed knapsack hard >= 12.50", "tests_passed knapsack hard >= 12.5"),
        ("every cell > 0", "every cell > 0"),
    ],
)
def test_one_way_to_write_it(text, written):
    assert canonical(text) == written


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("overall 50", "has no single comparison"),
        ("overall == 50", "has no single comparison"),
        ("overall >= half", "'half' is no percentage from 0 to 100"),
        ("overall >= 101", "no percentage from 0 to 100"),
        ("pass@ >= 1", "'pass@' is no measure; use pass@K"),
        ("every thing >= 1", "every is followed by one of family, difficulty, band, cell"),
        ("lis difficulty 0 >= 1", "difficulty 0 does not exist; use 1 to 10"),
        ("lis lcs >= 1", "'lis lcs' is no scope"),
    ],
)
def test_what_is_wrong_is_said(text, says):
    with pytest.raises(ValueError, match=says):
        parse(text)


@settings(deadline=None)
@given(st.integers(1, 40), st.data())
def test_a_bound_that_is_met_exactly_is_met(count, data):
    solved = data.draw(st.integers(0, count))
    found = evaluation(*((problem(n), [PASS if n < solved else WRONG]) for n in range(count)))
    share = Fraction(100 * solved, count)
    for comparison, expected in ((">=", True), ("<=", True), (">", False), ("<", False)):
        if share.denominator in (1, 2, 4, 5, 8, 10, 20, 40):
            condition = parse(f"overall {comparison} {float(share)}")
            required = Required.of((str(condition),), {LAST: [g.problem for g in found.groups]}, 1)
            assert required.results({LAST: found})[0].met is expected


def cells() -> Evaluation:
    """lis: 2 of 4 easy, 1 of 1 hard; lcs: 0 of 1 medium, in two samples each."""
    return evaluation(
        (problem(0), [PASS, PASS]), (problem(1), [PASS, WRONG]), (problem(2), [WRONG, WRONG]),
        (problem(3, difficulty=3), [PASS, WRONG]), (problem(0, difficulty=9), [PASS, PASS]),
        (problem(0, "lcs", 5), [WRONG, WRONG]),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("overall > 0", [50]),
        ("easy > 0", [50]),
        ("medium > 0", [0]),
        ("lis > 0", [60]),
        ("lis difficulty 1 > 0", [50]),
        ("difficulty 9 > 0", [100]),
        ("pass@2 easy > 0", [75]),
        ("tests_passed lcs > 0", [50]),
        ("truncated < 1", [0]),
        ("every family > 0", [0, 60]),
        ("every band > 0", [50, 0, 100]),
        ("every difficulty > 0", [50, 50, 0, 100]),
        ("every cell > 0", [0, 50, 50, 100]),
    ],
)
def test_what_is_measured(text, values):
    found = cells()
    required = Required.of((text,), {LAST: [g.problem for g in found.groups]}, 2)
    results = required.results({LAST: found})
    assert [result.value for result in results] == values
    assert [result.met for result in results] == [
        COMPARISONS[parse(text).comparison](v, parse(text).bound) for v in values
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("knapsack > 0", r"none of the 6 problems is of knapsack; there are lcs, lis"),
        ("lis medium > 0", r"none of the 6 problems is of lis medium; there are difficulties 1, 3, 9"),
        ("difficulty 2 > 0", r"there are difficulties 1, 3, 5, 9"),
        ("pass@4 overall > 0", r"needs 4 samples a problem, and there is 2: raise evaluation\.samples"),
        ("against overall > 0", r"nothing called against is measured here; there is before"),
    ],
)
def test_what_cannot_be_measured_is_refused(text, says):
    with pytest.raises(ConfigError, match=says) as error:
        Required.twice((text,), [g.problem for g in cells().groups], 2)
    assert "\n" not in str(error.value)


def test_a_family_stands_for_all_its_versions():
    asked = [problem(0, "lis@one"), problem(1, "lis@two"), problem(2, "lcs")]
    found = evaluation((asked[0], [PASS]), (asked[1], [WRONG]), (asked[2], [PASS]))
    required = Required.of(("lis >= 50", "lis@one >= 100", "lis@two easy <= 0", "every family >= 0"), {LAST: asked}, 1)
    results = required.results({LAST: found})
    assert [(r.condition, r.value) for r in results] == [
        ("lis >= 50", 50), ("lis@one >= 100", 100), ("lis@two easy <= 0", 0),
        ("lcs >= 0", 100), ("lis@one >= 0", 100), ("lis@two >= 0", 0),
    ]  # fmt: skip
    with pytest.raises(ConfigError, match="is of lis@three; there are lcs, lis@one, lis@two"):
        Required.of(("lis@three > 0",), {LAST: asked}, 1)


def test_a_cell_that_has_lost_its_verdicts_meets_nothing():
    asked = [problem(0), problem(0, "lcs"), problem(0, "rpn")]
    found = evaluation((asked[0], [PASS]), (asked[1], [GONE]))
    results = Required.of(("every family >= 0",), {LAST: asked}, 1).results({LAST: found})
    assert [(r.condition, r.value, r.met) for r in results] == [
        ("lcs >= 0", None, False), ("lis >= 0", 100, True), ("rpn >= 0", None, False),
    ]  # fmt: skip


def test_an_unmet_condition_gives_its_line_and_the_status():
    found, text = cells(), io.StringIO()
    required = Required.of(("overall >= 50", "easy > 50"), {LAST: [g.problem for g in found.groups]}, 2)
    assert show_conditions(Console(file=text, width=120), required.results({LAST: found})) == UNMET == 3
    lines = text.getvalue().splitlines()
    assert [line for line in lines if line.startswith("not met")] == ["not met: easy > 50, measured 50.00 %"]
    met = Required.of(("overall >= 50",), {LAST: [g.problem for g in found.groups]}, 2)
    assert show_conditions(Console(file=text), met.results({LAST: found})) == 0
    assert show_conditions(Console(file=text), ()) == 0

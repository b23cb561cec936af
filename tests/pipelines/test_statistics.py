"""Statistics: against direct enumeration, published tables, and simulated coverage."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from shared_folder import cases

from pipelines.jobs.evaluate import verdict_line
from pipelines.jobs.lrl.scores import Answer, figures
from pipelines.jobs.sweep.results import Interval
from pipelines.measure.statistics import (
    _bootstrap_mean,
    bounded_mean_interval,
    mcnemar,
    paired_difference,
    pass_at_k,
    pass_rate,
    wilson_interval,
)


@pytest.mark.parametrize("n, c, k", [(5, 2, 1), (5, 2, 3), (6, 0, 4), (6, 6, 6), (7, 5, 3), (8, 1, 8)])
def test_pass_at_k_is_the_share_of_subsets_with_a_pass(n, c, k):
    outcomes = [True] * c + [False] * (n - c)
    share = np.mean([any(chosen) for chosen in combinations(outcomes, k)])
    assert pass_at_k(n, c, k) == pytest.approx(share, abs=1e-12)


@given(st.integers(1, 60).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n), st.integers(1, n))))
def test_pass_at_k_is_a_probability_and_grows_with_k(numbers):
    n, c, k = numbers
    value = pass_at_k(n, c, k)
    assert 0 <= value <= 1
    assert value >= pass_at_k(n, c, 1) - 1e-12 == pytest.approx(c / n - 1e-12)


def test_pass_at_k_refuses_what_it_cannot_estimate():
    with pytest.raises(ValueError, match="draw at least 8"):
        pass_at_k(4, 1, 8)
    with pytest.raises(ValueError, match="cannot have passed"):
        pass_at_k(4, 5, 1)


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.just(n), st.integers(0, n))))
def test_wilson_agrees_with_scipy(numbers):
    trials, successes = numbers
    wanted = stats.binomtest(successes, trials).proportion_ci(0.95, method="wilson")
    assert wilson_interval(successes, trials) == pytest.approx((wanted.low, wanted.high), abs=1e-9)


def test_wilson_refuses_no_trials():
    with pytest.raises(ValueError, match="no share"):
        wilson_interval(0, 0)


def test_pass_rate_is_the_mean_over_problems_whatever_their_sample_counts():
    outcomes = {"a": [True, False], "b": [True] * 8, "c": [False]}
    assert pass_rate(outcomes).value == pytest.approx(0.5)
    assert pass_rate({p: o for p, o in outcomes.items() if p != "c"}, k=2).value == pytest.approx(1.0)


def test_pass_rate_of_all_or_nothing_still_has_an_interval():
    nothing = pass_rate({str(i): [False] * 8 for i in range(50)})
    assert nothing.value == nothing.low == 0 and 0.02 < nothing.high < 0.12
    assert str(nothing).startswith("0.0 % [0.0, ")


def test_pass_rate_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no problems were judged"):
        pass_rate({})


def test_the_interval_covers_the_truth_as_often_as_it_says_although_samples_cluster():
    rng = np.random.default_rng(0)
    covered = narrow_covered = 0
    runs = 120
    for _ in range(runs):
        skill_P = rng.beta(0.3, 0.3, size=60)  # some problems nearly always pass, others nearly never
        outcomes_P_G = rng.random((60, 8)) < skill_P[:, None]
        estimate = pass_rate({str(i): row.tolist() for i, row in enumerate(outcomes_P_G)})
        covered += estimate.low <= 0.5 <= estimate.high
        low, high = wilson_interval(int(outcomes_P_G.sum()), outcomes_P_G.size)
        narrow_covered += low <= 0.5 <= high
    assert covered / runs > 0.88
    assert narrow_covered / runs < 0.75  # what forgetting the clusters would have claimed


def test_paired_difference_sees_a_real_gain_and_not_noise():
    rng = np.random.default_rng(1)
    skill_P = rng.random(200)

    def draw(gain: float) -> dict[str, list[bool]]:
        passed_P_G = rng.random((200, 8)) < np.clip(skill_P + gain, 0, 1)[:, None]
        return {str(i): row.tolist() for i, row in enumerate(passed_P_G)}

    before, same, better = draw(0), draw(0), draw(0.15)
    gain = paired_difference(before, better)
    assert gain.improved and not gain.worsened and 0.08 < gain.value < 0.2
    assert paired_difference(better, before).worsened
    noise = paired_difference(before, same)
    assert noise.low < 0 < noise.high and not noise.improved
    assert gain == paired_difference(before, better)  # the same seed gives the same interval
    assert str(gain).startswith("+1") and "points [+" in str(gain)


def test_pairing_makes_the_interval_narrower_than_two_separate_ones():
    skill = np.linspace(0, 1, 400)
    before = {str(i): [j < 10 * s for j in range(10)] for i, s in enumerate(skill)}
    after = {p: [*row[:9], True] if i % 2 else row for i, (p, row) in enumerate(before.items())}
    both = paired_difference(before, after)
    apart = pass_rate(before)
    assert 0 < both.high - both.low < 0.2 * (apart.high - apart.low)


def test_no_change_at_all_is_no_gain():
    outcomes = {"a": [True], "b": [False]}
    difference = paired_difference(outcomes, outcomes)
    assert difference.value == difference.informative == 0 and not difference.improved and not difference.worsened
    assert difference.low < -0.5 and difference.high > 0.5  # of two problems
    many = {str(i): [i % 2 == 0] for i in range(200)}
    assert paired_difference(many, many).high == pytest.approx(1 - 0.025 ** (1 / 200), abs=1e-3)


@pytest.mark.parametrize("case", cases("evaluation"))
def test_given_outcomes_prove_nothing_and_have_a_width(case):
    for one, two in ((case["before"], case["after"]), (case["after"], case["before"]), (case["after"], case["after"])):
        found = paired_difference(one, two)
        assert found.low < found.value < found.high or found.high - found.low > 0.1
        assert not found.improved and not found.worsened


def outcomes(gained: int, lost: int, same: int, samples: int = 1) -> tuple[dict, dict]:
    """Outcomes before and after of so many problems."""
    pairs = [(False, True)] * gained + [(True, False)] * lost + [(True, True)] * same
    before, after = ({str(i): [pair[side]] * samples for i, pair in enumerate(pairs)} for side in (0, 1))
    return before, after


@pytest.mark.parametrize("same", [0, 7, 180])
@pytest.mark.parametrize("samples", [1, 8])
def test_six_problems_that_all_moved_are_the_fewest_that_give_a_verdict(same, samples):
    for moved in range(1, 12):
        better = paired_difference(*outcomes(moved, 0, same, samples))
        worse = paired_difference(*outcomes(0, moved, same, samples))
        assert (better.improved, worse.worsened) == (moved >= 6, moved >= 6)
        assert not better.worsened and not worse.improved and better.informative == moved
        assert better.high - better.low > 1e-3 and -1 <= better.low <= better.value <= better.high <= 1
        assert verdict_line(better).count("decide nothing") == (moved < 6)


def test_few_partial_changes_give_no_verdict():
    before = {str(i): [False] * 8 for i in range(100)}
    for moved in range(6):
        after = {p: [i < moved, *row[1:]] for i, (p, row) in enumerate(before.items())}
        assert not paired_difference(before, after).improved


@pytest.mark.parametrize("gained, lost", [(6, 0), (7, 1), (8, 1), (9, 1), (10, 3), (20, 8), (20, 9), (40, 25), (5, 0)])
def test_the_exact_interval_leaves_out_zero_where_mcnemar_rejects(gained, lost):
    before, after = outcomes(gained, lost, 60)
    assert paired_difference(before, after).improved == (mcnemar(before, after).p_value < 0.05)


@pytest.mark.parametrize("passed, count", [(0, 1), (1, 1), (0, 20), (3, 20), (20, 20), (70, 400)])
def test_the_exact_interval_of_a_share_is_clopper_and_pearsons(passed, count):
    values = np.array([1.0] * passed + [0.0] * (count - passed))
    wanted = stats.binomtest(passed, count).proportion_ci(0.95, method="exact")
    assert bounded_mean_interval(values, 0.0) == pytest.approx((wanted.low, wanted.high), abs=3e-3)


@pytest.mark.parametrize("gain, loss", [(0.0, 0.0), (0.02, 0.02), (0.1, 0.0), (0.3, 0.1), (0.5, 0.5), (1.0, 0.0)])
def test_the_paired_interval_covers_the_truth_however_few_the_problems(gain, loss):
    rng = np.random.default_rng(3)
    for count in (1, 6, 40):
        covered = 0
        for _ in range(60):
            kinds = rng.choice(3, size=count, p=[gain, loss, 1 - gain - loss])
            found = paired_difference(*outcomes(*(int((kinds == kind).sum()) for kind in range(3))))
            covered += found.low - 1e-9 <= gain - loss <= found.high + 1e-9
        assert covered >= 53  # of 60: below that with a chance of 1 in 100 where the coverage is 95 %


def test_the_paired_interval_of_several_samples_covers_the_truth():
    rng = np.random.default_rng(4)
    for count in (3, 12, 80):
        covered = 0
        for _ in range(60):
            skill_P = np.where(rng.random(count) < 0.7, 0.02, 0.9)  # most problems never move
            sides = [rng.random((count, 8)) < np.clip(skill_P + by, 0, 1)[:, None] for by in (0, 0.08)]
            before, after = ({str(i): row.tolist() for i, row in enumerate(side)} for side in sides)
            found = paired_difference(before, after)
            covered += found.low <= 0.08 <= found.high
        assert covered >= 53


def test_a_rate_of_nearly_alike_problems_has_an_honest_width():
    few = pass_rate({str(i): [i == 0] + [False] * 7 for i in range(10)})
    assert few.value == pytest.approx(0.0125) and few.low < 0.01 and few.high > 0.2
    with pytest.raises(ValueError, match="between 0 and 1"):
        bounded_mean_interval(np.array([-1.0]), 0.0)


def test_seeds_that_agree_have_an_interval_with_a_width():
    for values, least in (([0.4, 0.4], 0.0), ([0.0, 0.0, 0.0], -1.0), ([1.0, 1.0], 0.0), ([0.1, 0.1 + 1e-16], 0.0)):
        found = Interval.of(values, least)
        assert found.high - found.low > 0.1 and least <= found.low <= found.value <= found.high <= 1


def test_balanced_accuracy_keeps_the_width_of_a_class_that_is_all_right():
    answers = [Answer(str(i), "easy", "YES" if i < 5 else "NO", "YES", "answered") for i in range(10)]
    found = figures(answers)["balanced_accuracy"]
    assert found["value"] == 0.5 and found["low"] < 0.35 and found["high"] > 0.65


def test_unlike_problems_are_refused():
    with pytest.raises(ValueError, match=r"1 problems \(such as b\) were judged on one side only"):
        paired_difference({"a": [True]}, {"a": [True], "b": [True]})
    with pytest.raises(ValueError, match="nothing to compare"):
        mcnemar({}, {})


def test_mcnemar_on_a_textbook_table():
    before = {str(i): [i >= 25] for i in range(40)}  # 25 wrong before
    after = {str(i): [i < 20 or i >= 30] for i in range(40)}  # 20 gained, 5 lost
    result = mcnemar(before, after)
    assert (result.gained, result.lost) == (20, 5)
    assert result.p_value == pytest.approx(0.00408, abs=5e-5)  # 2 * P(X <= 5), X ~ Binomial(25, 1/2)
    assert mcnemar(before, before).p_value == 1.0
    with pytest.raises(ValueError, match="one sample a problem"):
        mcnemar({"a": [True, False]}, {"a": [True, True]})


@pytest.mark.parametrize("problems", [40, 160, 1500])
def test_the_bootstrap_is_that_of_scipy(problems):
    values_P = np.random.default_rng(problems).integers(0, 9, problems) / 8
    theirs = stats.bootstrap(
        (values_P,), np.mean, n_resamples=10_000, batch=1_000_000 // problems, method="percentile",
        rng=np.random.default_rng(3),
    ).confidence_interval  # fmt: skip
    assert _bootstrap_mean(values_P, 0.95, 3) == pytest.approx(tuple(theirs), abs=1e-12)

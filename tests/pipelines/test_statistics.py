"""Statistics: against direct enumeration, published tables, and simulated coverage."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from pipelines.statistics import mcnemar, paired_difference, pass_at_k, pass_rate, wilson_interval


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
    skill = np.linspace(0, 1, 40)
    before = {str(i): [j < 10 * s for j in range(10)] for i, s in enumerate(skill)}
    after = {p: [True, *row[1:]] if i % 2 else row for i, (p, row) in enumerate(before.items())}
    both = paired_difference(before, after)
    apart = pass_rate(before)
    assert both.high - both.low < 0.2 * (apart.high - apart.low)


def test_no_change_at_all_is_no_gain():
    outcomes = {"a": [True], "b": [False]}
    difference = paired_difference(outcomes, outcomes)
    assert (difference.value, difference.low, difference.high, difference.improved) == (0, 0, 0, False)


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

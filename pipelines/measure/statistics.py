"""How sure a result is: pass@k, intervals, and whether after is really above before.

Outcomes are a mapping from problem id to the outcomes of its samples (True: passed). Samples of one problem
are not independent of each other, so intervals over several samples a problem resample problems, never single
samples.

Two intervals over problems are used. A percentile bootstrap, where at least `ENOUGH` problems differ from the value
that most have. Below that, and for single outcomes, `bounded_mean_interval`, which is exact: a bootstrap of values that
are (nearly) all alike has (nearly) no width, however few they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Outcomes = Mapping[str, Sequence[bool]]

ENOUGH = 30
"""Problems that differ from the commonest value, from which on a bootstrap over problems is trusted."""
NEEDED = 6
"""Problems that must differ between before and after for a verdict at 95 %: five that all improved have a two-sided
chance of 2 / 2^5 = 6 % where nothing changed, six one of 3 %."""
RESAMPLES = 10_000
"""Of a bootstrap."""
DRAWS = 40_000
"""Of the weights of `bounded_mean_interval`: a bound's tail of 2.5 % is met within 0.1 %."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """A share between 0 and 1 with its confidence interval."""

    value: float
    low: float
    high: float
    problems: int

    def __str__(self) -> str:
        return f"{100 * self.value:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}]"


@dataclass(frozen=True, slots=True)
class Difference:
    """After minus before, in shares, paired by problem."""

    value: float
    low: float
    high: float
    problems: int
    informative: int | None = None
    """Problems whose score differs; below `NEEDED` no interval at 95 % leaves out 0. None: not recorded."""

    @property
    def improved(self) -> bool:
        """True where the whole interval lies above 0."""
        return self.low > 0

    @property
    def worsened(self) -> bool:
        """True where the whole interval lies below 0."""
        return self.high < 0

    def __str__(self) -> str:
        return f"{100 * self.value:+.1f} points [{100 * self.low:+.1f}, {100 * self.high:+.1f}]"


def pass_at_k(samples: int, passed: int, k: int) -> float:
    """Unbiased estimate of the chance that one of k samples passes: 1 - C(n - c, k) / C(n, k), as a product.

    Source: Chen et al. 2021, "Evaluating Large Language Models Trained on Code" (arXiv 2107.03374), equation
    1. Raises ValueError where k is more than the samples there are: the estimate would be biased.
    """
    if not 1 <= k <= samples:
        raise ValueError(f"pass@{k} cannot be estimated from {samples} samples a problem; draw at least {k}")
    if not 0 <= passed <= samples:
        raise ValueError(f"{passed} of {samples} samples cannot have passed")
    if samples - passed < k:
        return 1.0
    return float(1.0 - np.prod(1.0 - k / np.arange(samples - passed + 1, samples + 1)))


def pass_rate(outcomes: Outcomes, k: int = 1, confidence: float = 0.95, seed: int = 0) -> Estimate:
    """Mean pass@k over problems, with its interval over problems (see the head of this module).

    Where all problems score alike, and where every problem has a single sample, the interval is Wilson's. Raises
    ValueError for no problems, or a problem of fewer than k samples.
    """
    values_P = np.array([pass_at_k(len(done), sum(map(bool, done)), k) for done in outcomes.values()])
    if not len(values_P):
        raise ValueError("no problems were judged, so there is no pass rate; look for infrastructure failures")
    mean, count = float(values_P.mean()), len(values_P)
    if np.ptp(values_P) == 0 or all(len(done) == 1 for done in outcomes.values()):
        low, high = wilson_interval(min(mean * count, count), count, confidence)
    else:
        low, high = _mean_interval(values_P, 0.0, confidence, seed)
    return Estimate(mean, low, high, count)


def cell_rate(outcomes: Outcomes) -> Estimate:
    """Mean pass@1 over a handful of problems, with Wilson's interval over problems.

    A bootstrap of so few is too narrow; Wilson's errs on the wide side, for it takes a problem that passes in part for
    one that might pass or fail. Raises ValueError for no problems, or a problem without a sample.
    """
    values_P = [pass_at_k(len(done), sum(map(bool, done)), 1) for done in outcomes.values()]
    if not values_P:
        raise ValueError("no problems were judged, so there is no pass rate; look for infrastructure failures")
    return Estimate(float(np.mean(values_P)), *wilson_interval(sum(values_P), len(values_P)), len(values_P))


def wilson_interval(successes: float, trials: int, confidence: float = 0.95) -> tuple[float, float]:
    """Score interval of a binomial share; it keeps within 0 and 1 and has width at 0 and at all.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference", JASA 22.
    `successes` may be a fraction (a mean share times the trials). Raises ValueError where there are no
    trials.
    """
    if trials < 1 or not 0 <= successes <= trials:
        raise ValueError(f"{successes} of {trials} is no share")
    from scipy.special import ndtri  # scipy.stats has the same as norm.ppf, and takes two seconds to import

    z = float(ndtri(0.5 + confidence / 2))
    share, shrink = successes / trials, 1 + z * z / trials
    middle = (share + z * z / (2 * trials)) / shrink
    half = z / shrink * np.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def paired_difference(
    before: Outcomes, after: Outcomes, k: int = 1, confidence: float = 0.95, seed: int = 0
) -> Difference:
    """Mean pass@k after minus before, with the interval of the mean of the per-problem differences.

    Problems are the clusters: each counts with all its samples, before and after together (Efron and Tibshirani 1993,
    "An Introduction to the Bootstrap", chapter 13). Of single outcomes the interval is exact, and leaves out 0 where
    McNemar's exact test rejects equality. Raises ValueError where the two hold unlike problems.
    """
    _demand_same_problems(before, after)
    differences_P = np.array(
        [
            pass_at_k(len(after[p]), sum(map(bool, after[p])), k)
            - pass_at_k(len(before[p]), sum(map(bool, before[p])), k)
            for p in before
        ]
    )
    single = bool(np.isin(differences_P, (-1.0, 0.0, 1.0)).all())
    interval = bounded_mean_interval if single else _mean_interval
    low, high = interval(differences_P, -1.0, confidence, seed)
    informative = int(np.count_nonzero(differences_P))
    return Difference(float(differences_P.mean()), low, high, len(differences_P), informative)


def bounded_mean_interval(
    values_P: np.ndarray, least: float, confidence: float = 0.95, seed: int = 0
) -> tuple[float, float]:
    """Interval of the mean of independent values between `least` (0, or -1 of differences) and 1.

    Each bound is a quantile of the mean of the values and of one more, which is the end of the range, under uniform
    weights on the simplex; no shape is assumed, and there is a width however alike the values are. For values of 0 and
    1 it is Clopper and Pearson's interval (Biometrika 26, 1934), whose coverage is proven; for -1, 0 and 1 it leaves
    out 0 where McNemar's exact test rejects. Source: Gaffke 2005, "Three test statistics for a nonparametric one-sided
    hypothesis on the mean of a nonnegative variable", Mathematical Methods of Statistics 14; compared in Phan, Thomas
    and Learned-Miller 2021, "Towards Practical Mean Bounds for Small Samples" (arXiv 2106.03163). Raises ValueError for
    no values and for values out of range.
    """
    if not len(values_P) or np.min(values_P) < least - 1e-9 or np.max(values_P) > 1 + 1e-9:
        raise ValueError(f"an interval needs values between {least:g} and 1, and has {len(values_P)}")
    distinct_D, counts_D = np.unique(values_P, return_counts=True)
    rng = np.random.default_rng(seed)
    weights_N_D = rng.standard_gamma(counts_D, size=(DRAWS, len(distinct_D)))
    end_N = rng.standard_exponential(DRAWS)
    sums_N, totals_N = weights_N_D @ distinct_D, weights_N_D.sum(axis=1) + end_N
    tail = (1 - confidence) / 2
    low = np.quantile((sums_N + least * end_N) / totals_N, tail)
    high = np.quantile((sums_N + end_N) / totals_N, 1 - tail)
    return max(least, float(low)), min(1.0, float(high))


@dataclass(frozen=True, slots=True)
class McNemar:
    """Problems solved only after, only before, and how likely so uneven a split is by chance."""

    gained: int
    lost: int
    p_value: float


def mcnemar(before: Outcomes, after: Outcomes) -> McNemar:
    """McNemar's exact test of paired single outcomes (greedy decoding): a two-sided binomial test of gained
    and lost.

    Source: McNemar 1947, Psychometrika 12. Raises ValueError where a problem has not exactly one sample: more
    of them are clustered, and `paired_difference` is the right test.
    """
    _demand_same_problems(before, after)
    if any(len(outcomes[p]) != 1 for outcomes in (before, after) for p in before):
        raise ValueError("McNemar's test needs one sample a problem; use paired_difference for several")
    gained = sum(bool(after[p][0]) and not before[p][0] for p in before)
    lost = sum(bool(before[p][0]) and not after[p][0] for p in before)
    from scipy import stats

    p_value = stats.binomtest(gained, gained + lost).pvalue if gained + lost else 1.0
    return McNemar(gained, lost, float(p_value))


def _mean_interval(values_P: np.ndarray, least: float, confidence: float, seed: int) -> tuple[float, float]:
    """The bootstrap's where enough values differ from the commonest, else the exact one."""
    commonest = int(np.unique(values_P, return_counts=True)[1].max())
    if len(values_P) - commonest < ENOUGH:
        return bounded_mean_interval(values_P, least, confidence, seed)
    return _bootstrap_mean(values_P, confidence, seed)


def _bootstrap_mean(values_P: np.ndarray, confidence: float, seed: int) -> tuple[float, float]:
    """`scipy.stats.bootstrap` of the mean by percentiles, without the two seconds that its import takes."""
    rng, count, means = np.random.default_rng(seed), len(values_P), []
    batch = max(1, 1_000_000 // count)  # bounds memory to some 8 MB
    for start in range(0, RESAMPLES, batch):
        chosen = rng.integers(0, count, (min(batch, RESAMPLES - start), count))
        means.append(values_P[chosen].mean(axis=-1))
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(means), (tail, 1 - tail))
    return float(low), float(high)


def _demand_same_problems(before: Outcomes, after: Outcomes) -> None:
    if not before:
        raise ValueError("no problems were judged, so there is nothing to compare")
    unpaired = set(before) ^ set(after)
    if unpaired:
        number = f"{len(unpaired)} problems (such as {min(unpaired)})"
        raise ValueError(f"{number} were judged on one side only; evaluate both on the same problems")

"""How sure a result is: pass@k, intervals, and whether after is really above before.

Outcomes are a mapping from problem id to the outcomes of its samples (True: passed). Samples of one problem
are not independent of each other, so intervals over several samples a problem resample problems, never single
samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

Outcomes = Mapping[str, Sequence[bool]]


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
    """Mean pass@k over problems, with a percentile bootstrap over problems.

    Where all problems score alike a bootstrap has no width; there, and where every problem has a single
    sample, the interval is Wilson's over problems. Raises ValueError for no problems, or a problem of fewer
    than k samples.
    """
    values_P = np.array([pass_at_k(len(done), sum(map(bool, done)), k) for done in outcomes.values()])
    if not len(values_P):
        raise ValueError("no problems were judged, so there is no pass rate; look for infrastructure failures")
    mean, count = float(values_P.mean()), len(values_P)
    if np.ptp(values_P) == 0 or all(len(done) == 1 for done in outcomes.values()):
        low, high = wilson_interval(mean * count, count, confidence)
    else:
        low, high = _bootstrap_mean(values_P, confidence, seed)
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
    from scipy import stats  # slow to import: only where something is measured

    z = float(stats.norm.ppf(0.5 + confidence / 2))
    share, shrink = successes / trials, 1 + z * z / trials
    middle = (share + z * z / (2 * trials)) / shrink
    half = z / shrink * np.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    return max(0.0, float(middle - half)), min(1.0, float(middle + half))


def paired_difference(
    before: Outcomes, after: Outcomes, k: int = 1, confidence: float = 0.95, seed: int = 0
) -> Difference:
    """Mean pass@k after minus before, with a percentile bootstrap of the per-problem differences.

    Problems are the clusters: each is drawn with all its samples, before and after together (Efron and
    Tibshirani 1993, "An Introduction to the Bootstrap", chapter 13). Raises ValueError where the two hold
    unlike problems.
    """
    _demand_same_problems(before, after)
    differences_P = np.array(
        [
            pass_at_k(len(after[p]), sum(map(bool, after[p])), k)
            - pass_at_k(len(before[p]), sum(map(bool, before[p])), k)
            for p in before
        ]
    )
    mean, count = float(differences_P.mean()), len(differences_P)
    if np.ptp(differences_P) == 0:
        return Difference(mean, mean, mean, count)
    return Difference(mean, *_bootstrap_mean(differences_P, confidence, seed), count)


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


def _bootstrap_mean(values_P: np.ndarray, confidence: float, seed: int) -> tuple[float, float]:
    from scipy import stats

    interval = stats.bootstrap(
        (values_P,),
        np.mean,
        n_resamples=10_000,
        batch=max(1, 1_000_000 // len(values_P)),  # bounds memory to some 8 MB
        confidence_level=confidence,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(interval.low), float(interval.high)


def _demand_same_problems(before: Outcomes, after: Outcomes) -> None:
    if not before:
        raise ValueError("no problems were judged, so there is nothing to compare")
    unpaired = set(before) ^ set(after)
    if unpaired:
        number = f"{len(unpaired)} problems (such as {min(unpaired)})"
        raise ValueError(f"{number} were judged on one side only; evaluate both on the same problems")

"""How sure is a result that was held against the best of several, or is itself the best of several?

L sessions, K rivals. Returns are fractions per session; a Sharpe ratio is per session too, mean / standard deviation.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import kurtosis, norm, skew

from kronos_lab.evaluation.inference import RESAMPLES, too_little, widening


@dataclass(frozen=True)
class Superiority:
    """A series beside the strongest of its rivals, of which it is only known afterwards which one that is.

    Attributes:
        strongest: the rival with the highest mean.
        less: mean of the series less that of the strongest, per session.
        p_better: of the null that at least one rival is as good or better, see `superiority`; NaN where too little is
            known.
        p_worse: of the null that none is better.
        block: mean length of a resampled block, in sessions.
        sessions: number of them.
        reason: why there is no p, else empty.
    """

    strongest: str
    less: float
    p_better: float
    p_worse: float
    block: int
    sessions: int
    reason: str

    @property
    def p(self) -> float:
        """Twice the smaller of the two, at most 1: either may be said, neither was asked for before. NaN as they."""
        return self.p_better if self.reason else min(1.0, 2 * min(self.p_better, self.p_worse))


def superiority(own_L: pd.Series, rival_LK: pd.DataFrame, horizon: int, seed: int) -> Superiority:
    """Is a series of returns better, or worse, than the best of its rivals? One-sided tests of mean returns.

    Both are Hansen's test for superior predictive ability (2005, with his consistent p), by stationary bootstrap:

    - worse: the series is the benchmark and the rivals are the models. Null: no rival has a higher mean. That the best
      of K was picked afterwards is in its distribution, the maximum over the K.
    - better: each rival in turn is the benchmark and the series the only model, and p is the largest. Null: at least
      one rival has as high a mean. It needs no correction for K: if the null holds it holds for some rival, and that
      one's p is at most the largest (an intersection-union test: Berger, 1982).

    Every difference is divided by its deviation first (Hansen's statistic is studentised; arch 8.0 computes the
    variance and does not divide by it). Resampled means vary less than means do, so p would be too small: the means
    are drawn towards 0 by as much, see `widening`.

    Args:
        own_L: daily returns.
        rival_LK: those of the rivals on the same sessions; one row per session, in order, nothing missing.
        horizon: sessions that were forecast; blocks are at least as long.
        seed: of the resampling.
    """
    less_LK = rival_LK.mul(-1).add(own_L, axis=0)
    strongest = str(less_LK.mean().idxmin())
    days = len(less_LK)
    block = _block(days, horizon)
    reason, better, worse = too_little(days, horizon, stride=1, unit="sessions"), float("nan"), float("nan")
    if not reason:
        better = max(_spa(less_LK[[name]], block, seed) for name in less_LK)
        worse = _spa(-less_LK, block, seed)
    return Superiority(strongest, float(less_LK[strongest].mean()), better, worse, block, days, reason)


@dataclass(frozen=True)
class BestOfSeveral:
    """The best of several series, of which it is only known afterwards which one that is.

    Attributes:
        strongest: the one with the highest mean; of equal ones the first.
        gain: its mean, per session.
        p: of the null that none of them has a mean above 0; NaN where too little is known.
        block: mean length of a resampled block, in sessions.
        sessions: number of them.
        reason: why there is no p, else empty.
    """

    strongest: str
    gain: float
    p: float
    block: int
    sessions: int
    reason: str


def best_of_several(gain_LK: pd.DataFrame, horizon: int, seed: int) -> BestOfSeveral:
    """Is the best of several series above 0, though it was picked afterwards? The test called worse in `superiority`.

    Args:
        gain_LK: of each series what it has more than the one that all are held against; one row per day, in order,
            nothing missing.
        horizon: sessions that were forecast; blocks are at least as long.
        seed: of the resampling.
    """
    days, mean = len(gain_LK), gain_LK.mean()
    reason = too_little(days, horizon, stride=1, unit="sessions")
    block = _block(days, horizon)
    p = float("nan") if reason else _spa(gain_LK, block, seed)
    return BestOfSeveral(str(mean.idxmax()), float(mean.max()), p, block, days, reason)


def _block(days: int, horizon: int) -> int:
    return min(max(horizon, round(days ** (1 / 3))), days)


def _spa(gain_LK: pd.DataFrame, block: int, seed: int) -> float:
    """Consistent p of the null that no column has a mean above 0; never 0, as resampling cannot show that."""
    from arch.bootstrap import SPA

    gain_LK = gain_LK.loc[:, gain_LK.max() > gain_LK.min()]  # what is equal on all days has nothing to resample
    if gain_LK.empty:
        return 1.0
    scaled_LK = (gain_LK / gain_LK.std(ddof=0)).to_numpy()
    mean_K = scaled_LK.mean(axis=0)
    scaled_LK += mean_K * (1 / widening(len(gain_LK), 1, block) - 1)
    # Losses are returns with the other sign, those of the benchmark are taken off already.
    test = SPA(np.zeros(len(gain_LK)), -scaled_LK, block_size=block, reps=RESAMPLES, bootstrap="stationary", seed=seed)
    test.compute()
    return (float(test.pvalues["consistent"]) * RESAMPLES + 1) / (RESAMPLES + 1)


@dataclass(frozen=True)
class SharpeRatio:
    """A Sharpe ratio and what its error depends on.

    Attributes:
        value: mean / standard deviation, per session; NaN where all sessions are equal.
        sessions: number of them.
        skew: of the returns.
        kurtosis: of the returns, 3 for normal ones.
    """

    value: float
    sessions: int
    skew: float
    kurtosis: float


def sharpe_ratio(returns_L: pd.Series) -> SharpeRatio:
    """The Sharpe ratio of daily returns, or of daily differences of returns (then called information ratio)."""
    values_L = returns_L.dropna().to_numpy(np.float64)
    if len(values_L) < 2 or values_L.max() == values_L.min():
        return SharpeRatio(float("nan"), len(values_L), float("nan"), float("nan"))
    ratio = values_L.mean() / values_L.std(ddof=1)
    return SharpeRatio(float(ratio), len(values_L), float(skew(values_L)), float(kurtosis(values_L, fisher=False)))


def probabilistic_sharpe_ratio(own: SharpeRatio, above: float = 0.0) -> float:
    """Probability that the true Sharpe ratio is above a given one (Bailey and López de Prado, 2012).

    Takes sessions as independent. NaN where nothing is known.

    Args:
        own: what was observed.
        above: the ratio to be beaten, per session.
    """
    variance = 1 - own.skew * own.value + (own.kurtosis - 1) / 4 * own.value**2
    if own.sessions < 2 or not variance > 0:
        return float("nan")
    return float(norm.cdf((own.value - above) * math.sqrt((own.sessions - 1) / variance)))


def expected_maximum(ratios: Sequence[float]) -> float:
    """The highest Sharpe ratio to be expected of that many trials without skill that spread as these do.

    Bailey and López de Prado, The Deflated Sharpe Ratio (2014), equation 1, around 0; 0 for a single trial.

    Args:
        ratios: Sharpe ratios of the trials, per session.
    """
    trials = len(ratios)
    if trials < 2:
        return 0.0
    most, almost = norm.ppf([1 - 1 / trials, 1 - 1 / (trials * math.e)])
    return float(np.std(ratios, ddof=1) * ((1 - np.euler_gamma) * most + np.euler_gamma * almost))


def deflated_sharpe_ratio(own: SharpeRatio, ratios: Sequence[float]) -> float:
    """Probability that the true Sharpe ratio is above 0 although the best of several trials is looked at.

    It is the probabilistic one against `expected_maximum`; with a single trial it is the probabilistic one itself.

    Args:
        own: of the trial that is looked at.
        ratios: of all trials, this one among them.
    """
    return probabilistic_sharpe_ratio(own, expected_maximum(ratios))

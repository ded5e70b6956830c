"""How sure is the mean of a daily series whose neighbouring days share their future?

R replications, L days, K series. Labels of h sessions overlap for h days, so the days are not independent: standard
errors are HAC (Newey and West, 1987), p-values come from the distribution that this t statistic has for this many
days and lags (fixed-b: Kiefer and Vogelsang, 2005; the normal one rejects far too often), intervals from blocks of
days.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist

import numpy as np
import pandas as pd

REPLICATIONS = 10_000
DRAWS_AT_ONCE = 2_000_000
INDEPENDENT_STRETCHES = 12  # horizons that the days must span, at least, for a p-value or an interval
CONFIDENCE = 0.95
RESAMPLES = 2_000


@dataclass(frozen=True)
class HacMean:
    """Mean of a daily series and how far it is from 0.

    Attributes:
        mean: over the days that have a value.
        error: its HAC standard error.
        t: mean / error.
        p: two-sided probability of a larger |t| where the true mean is 0; NaN where too little is known.
        detectable: the smallest |mean| that could be told from 0 at 5 % with this error; NaN where p is.
        days: number of days that have a value.
        reason: why p is NaN, else empty.
    """

    mean: float
    error: float
    t: float
    p: float
    detectable: float
    days: int
    reason: str


def hac_mean(values_L: pd.Series, overlap: int, reason: str = "") -> HacMean:
    """HAC mean of a daily series.

    Args:
        values_L: in the order of the days, evenly spaced; days without a value are passed over.
        overlap: neighbouring days (of the series) whose labels share sessions.
        reason: why no p-value can be had, see `too_little`; empty if it can.
    """
    values = values_L.dropna().to_numpy(np.float64)
    days, nan = len(values), float("nan")
    if days < 2:
        return HacMean(float(values.mean()) if days else nan, nan, nan, nan, nan, days, reason or "fewer than 2 days")
    lag = lag_of(days, overlap)
    error = float(_hac_error(values[None], lag)[0])
    mean = float(values.mean())
    if values.max() == values.min():
        return HacMean(mean, nan, nan, nan, nan, days, reason or "all days are equal")
    t = mean / error
    if reason:
        return HacMean(mean, error, t, nan, nan, days, reason)
    critical = float(np.quantile(_null_distribution(days, overlap, lag), CONFIDENCE))
    return HacMean(mean, error, t, _p_value(abs(t), days, overlap, lag), critical * error, days, "")


def separate_t(values_L: pd.Series, overlap: int) -> float:
    """Plain t statistic (mean / standard error of independent days) of every `overlap`-th day, mean over all starts.

    What stands beside a HAC t: nothing overlaps in it, and it makes use of fewer days. NaN where a start has fewer
    than two days, or one that are all equal.
    """
    found = []
    for start in range(overlap):
        days = values_L.iloc[start::overlap].dropna().to_numpy(np.float64)
        error = days.std(ddof=1) / math.sqrt(len(days)) if len(days) > 1 else 0.0
        found.append(days.mean() / error if error > 0 else float("nan"))
    return float(np.mean(found))


def lag_of(days: int, overlap: int) -> int:
    """Lags of the Bartlett kernel: all that overlapping labels need, and more with more days (Lazarus et al., 2018)."""
    return min(max(overlap - 1, math.ceil(1.3 * math.sqrt(days))), days - 1)


def days_that_overlap(horizon: int, stride: float) -> int:
    """Neighbouring days, `stride` sessions apart, whose labels of `horizon` sessions share sessions; at least 1."""
    return max(1, math.ceil(horizon / stride - 1e-9))


def too_little(days: int, horizon: int, stride: float, unit: str = "days") -> str:
    """Why nothing can be said of these days (`unit`), or an empty text where it can: they must span enough horizons."""
    stretches = min((days - 1) * stride / horizon, days / days_that_overlap(horizon, stride))
    if stretches >= INDEPENDENT_STRETCHES:
        return ""
    return (
        f"{days} {unit} hold {max(stretches, 0):.0f} horizons of {horizon} bars side by side, "
        f"{INDEPENDENT_STRETCHES} are needed"
    )


def _p_value(t: float, days: int, overlap: int, lag: int) -> float:
    """Share of the null distribution beyond ±t; never 0, as a simulation cannot show that."""
    null = _null_distribution(days, overlap, lag)
    beyond = len(null) - int(np.searchsorted(null, t, "left"))
    return (beyond + 1) / (len(null) + 1)


@lru_cache(maxsize=32)
def _null_distribution(days: int, overlap: int, lag: int) -> np.ndarray:
    """|t| of `REPLICATIONS` series without a mean, ascending."""
    parts = [np.abs(values_RL.mean(axis=1)) / _hac_error(values_RL, lag) for values_RL in _null_series(days, overlap)]
    return np.sort(np.concatenate(parts))


def _null_series(days: int, overlap: int) -> Iterator[np.ndarray]:
    """`REPLICATIONS` series without a mean, [R, L] at a time: sums of independent days that overlap as labels do.

    Of independent days alone too much would look certain: kernels and blocks leave out part of what overlapping adds.
    """
    random = np.random.default_rng([days, overlap])
    rows = max(1, DRAWS_AT_ONCE // days)
    for begin in range(0, REPLICATIONS, rows):
        size = (min(rows, REPLICATIONS - begin), days + overlap)
        total = np.cumsum(random.standard_normal(size, dtype=np.float32), axis=1)
        yield total[:, overlap:] - total[:, :-overlap]


def _hac_error(values_RL: np.ndarray, lag: int) -> np.ndarray:
    """Newey and West's standard error of the mean of each row, [R], as statsmodels' HAC without its correction.

    Bartlett weights are the autocorrelation of a window of lag + 1 ones, so the weighted autocovariances are the mean
    square of moving sums: one pass for any lag.
    """
    days = values_RL.shape[1]
    deviation_RL = values_RL - values_RL.mean(axis=1, keepdims=True)
    padded = np.pad(deviation_RL, ((0, 0), (lag + 1, lag)))
    total = np.cumsum(padded, axis=1, dtype=values_RL.dtype)
    moving = total[:, lag + 1 :] - total[:, : -lag - 1]
    return np.sqrt((moving**2).sum(axis=1) / (lag + 1)) / days


def resampled_means(daily_LK: pd.DataFrame, overlap: int, seed: int) -> pd.DataFrame:
    """Means of all series over the same resampled days: stationary block bootstrap, [`RESAMPLES`, K].

    As all columns are resampled together, the difference of two columns is that of two forecasts on the same days.

    Args:
        daily_LK: one row per day, in order; days without a value are passed over in the mean of their column.
        overlap: see `hac_mean`; blocks have twice this length on average.
        seed: of the resampling.
    """
    days = len(daily_LK)
    values_LK = daily_LK.to_numpy(np.float64)
    known_LK = np.isfinite(values_LK)
    count_RL = _times_drawn(days, block_of(days, overlap), seed, RESAMPLES)
    known_RK = count_RL @ known_LK.astype(np.float64)
    total_RK = count_RL @ np.where(known_LK, values_LK, 0.0)
    mean_RK = np.where(known_RK > 0, total_RK / known_RK.clip(min=1), np.nan)
    return pd.DataFrame(mean_RK, columns=daily_LK.columns)


@lru_cache(maxsize=8)  # many series of the same days are resampled one after the other
def _times_drawn(days: int, block: int, seed: int, resamples: int) -> np.ndarray:
    """How often each day is in each resample, [R, L]."""
    from arch.bootstrap import StationaryBootstrap

    bootstrap = StationaryBootstrap(block, np.arange(days), seed=seed)
    return np.stack([np.bincount(index, minlength=days) for (index,), _ in bootstrap.bootstrap(resamples)])


def block_of(days: int, overlap: int) -> int:
    """Mean length of a block in days."""
    return min(max(2 * overlap, round(days ** (1 / 3))), days)


def interval(mean: float, resampled: pd.Series | np.ndarray, days: int, overlap: int) -> tuple[float, float]:
    """The central 95 % of resampled means, as wide as it must be to hold the true mean that often.

    Resampled means vary less than means do: blocks cut what reaches over their ends, and their centre is the mean of
    few days. How much less is known for days that overlap as these do, see `widening`.

    Args:
        mean: of the days as they are.
        resampled: see `resampled_means`.
        days: number of days.
        overlap: see `hac_mean`.

    Returns:
        Lowest and highest mean; NaN where there is none.
    """
    values = np.asarray(resampled, np.float64)
    values = values[np.isfinite(values)]
    if not len(values) or not math.isfinite(mean):
        return float("nan"), float("nan")
    low, high = np.quantile(values, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    wider = widening(days, overlap, block_of(days, overlap))
    return mean + wider * (float(low) - mean), mean + wider * (float(high) - mean)


@lru_cache(maxsize=32)
def widening(days: int, overlap: int, block: int) -> float:
    """By what an interval of resampled means must be stretched to hold a true mean of 0 as often as it says.

    The variance of a stationary bootstrap's mean is known without resampling: circular autocovariances, weighted by
    the chance that two days so far apart are of one block (Politis and Romano, 1994).

    Args:
        days: number of days.
        overlap: see `hac_mean`.
        block: mean length of a block in days.
    """
    lag_L = np.arange(days)
    weight_L = (1 - lag_L / days) * (1 - 1 / block) ** lag_L * np.where(lag_L == 0, 1, 2) / days
    parts = []
    for values_RL in _null_series(days, overlap):
        mean_R1 = values_RL.mean(axis=1, keepdims=True)
        power = np.abs(np.fft.rfft(values_RL - mean_R1, axis=1)) ** 2 / days
        autocovariance_RL = np.fft.irfft(power, n=days, axis=1)
        parts.append(np.abs(mean_R1[:, 0]) / np.sqrt(autocovariance_RL @ weight_L))
    return float(np.quantile(np.concatenate(parts), CONFIDENCE) / NormalDist().inv_cdf((1 + CONFIDENCE) / 2))

"""Does the order of the scores foretell the order of the returns? Labels, daily IC and rank IC.

Every frame is [L, N]: one row per stamp of the market's calendar, one column per symbol, NaN where the stock
did not trade. A row of scores uses bars up to its own stamp; a row of labels is the future seen from there.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

SMALLEST_CROSS_SECTION = 5  # names; a correlation over fewer says nothing about an order


def open_to_open_return(open_LN: pd.DataFrame, horizon: int) -> pd.DataFrame:
    """The label of the ranking figures: open(t + 1 + horizon) / open(t + 1) − 1, as a fraction.

    A signal of day t trades at the next open, so the first return it can earn starts there. Suspended at
    t + 1: nothing could be bought, no label. Suspended at the exit: sold at the first open afterwards; none
    left, no label.

    Args:
        open_LN: adjusted opens; the row after a day must be its next session.
        horizon: sessions between entry and exit.
    """
    return _forward_return(open_LN, entry=1, horizon=horizon)


def close_to_close_return(close_LN: pd.DataFrame, horizon: int) -> pd.DataFrame:
    """The second label: close(t + horizon) / close(t) − 1. Nobody can trade it: close(t) is in the signal."""
    return _forward_return(close_LN, entry=0, horizon=horizon)


def _forward_return(price_LN: pd.DataFrame, entry: int, horizon: int) -> pd.DataFrame:
    first_price_from_here = price_LN.bfill()
    return first_price_from_here.shift(-entry - horizon) / price_LN.shift(-entry) - 1


def daily_correlation(score_LN: pd.DataFrame, label_LN: pd.DataFrame, method: Literal["pearson", "rank"]) -> pd.Series:
    """Correlation across names of each day's scores with its labels: IC ("pearson") or rank IC ("rank").

    Only names with both a score and a label count. A day with fewer than `SMALLEST_CROSS_SECTION` of them, or
    on which all scores or all labels are equal, has no correlation (NaN).

    Args:
        score_LN: its days are the days of the result.
        label_LN: taken at the days and symbols of the scores; what it lacks there has no label.
        method: correlation of the values, or of their ranks (Spearman; ties share their mean rank).
    """
    score = score_LN.to_numpy(np.float64)
    label = label_LN.reindex(index=score_LN.index, columns=score_LN.columns).to_numpy(np.float64)
    both = np.isfinite(score) & np.isfinite(label)
    score, label = (_centred(np.where(both, x, np.nan), method) for x in (score, label))
    scale = np.sqrt((score**2).sum(axis=1) * (label**2).sum(axis=1))
    known = (both.sum(axis=1) >= SMALLEST_CROSS_SECTION) & (scale > 0)
    correlation = (score * label).sum(axis=1) / np.where(known, scale, 1.0)
    return pd.Series(np.where(known, correlation, np.nan), index=score_LN.index)


def _centred(values_LN: np.ndarray, method: Literal["pearson", "rank"]) -> np.ndarray:
    """Each row minus its mean, NaN → 0; a row of equal values becomes exactly 0, free of rounding."""
    if method == "rank":
        values_LN = pd.DataFrame(values_LN).rank(axis=1).to_numpy()
    known = np.isfinite(values_LN)
    count_L1 = known.sum(axis=1, keepdims=True).clip(min=1)
    mean_L1 = np.where(known, values_LN, 0.0).sum(axis=1, keepdims=True) / count_L1
    highest_L1 = np.where(known, values_LN, -np.inf).max(axis=1, keepdims=True)
    lowest_L1 = np.where(known, values_LN, np.inf).min(axis=1, keepdims=True)
    return np.where(known & (highest_L1 > lowest_L1), values_LN - mean_L1, 0.0)


@dataclass(frozen=True)
class DailyMean:
    """Mean of a daily series and how far it is from 0.

    Attributes:
        mean: over the days that have a value.
        std: sample standard deviation over days.
        icir: mean / std, per day, not annualised.
        t: icir · √days. Naive: it takes days for independent, which labels of several sessions are not.
        days: number of days that have a value.
    """

    mean: float
    std: float
    icir: float
    t: float
    days: int


def daily_mean(values_L: pd.Series) -> DailyMean:
    """Summary of a daily series; what cannot be computed (no day, no spread) is NaN."""
    values = values_L.dropna()
    days = len(values)
    std = float(values.std(ddof=1))
    mean = float(values.mean())
    icir = mean / std if std > 0 else float("nan")
    return DailyMean(mean=mean, std=std, icir=icir, t=icir * days**0.5, days=days)

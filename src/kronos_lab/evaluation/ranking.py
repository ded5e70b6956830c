"""Does the order of the scores foretell the order of the returns? Labels, daily IC and rank IC, groups by score.

Every frame is [L, N]: one row per stamp of the market's calendar, one column per symbol, NaN where the stock
did not trade. A row of scores uses bars up to its own stamp; a row of labels is the future seen from there.
"""

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


def rank_autocorrelation(score_LN: pd.DataFrame, lag: int) -> pd.Series:
    """Rank correlation of each day's scores with those of `lag` rows before: how slowly the order changes."""
    return daily_correlation(score_LN, score_LN.shift(lag), "rank")


def hit_rate(score_LN: pd.DataFrame, label_LN: pd.DataFrame) -> pd.Series:
    """Share of each day's names whose label lies on the same side of the median as their score; by chance a half.

    A name at a median counts half. Medians are over the names with both a score and a label.
    """
    score_LN, label_LN = _with_both(score_LN, label_LN)
    score_side, label_side = (np.sign(x.sub(x.median(axis=1), axis=0)) for x in (score_LN, label_LN))
    return ((1 + score_side * label_side) / 2).mean(axis=1)


def group_returns(score_LN: pd.DataFrame, label_LN: pd.DataFrame, groups: int) -> pd.DataFrame:
    """Mean label of equally large groups of names by score, less the mean over all names of the day: [L, groups].

    Group 1 has the lowest scores. Names with equal scores are in one group, so a group may be empty (NaN), as it is
    on days with fewer names than groups.
    """
    score_LN, label_LN = _with_both(score_LN, label_LN)
    group_LN = np.ceil(score_LN.rank(axis=1, pct=True) * groups)
    excess_LN = label_LN.sub(label_LN.mean(axis=1), axis=0)
    enough = score_LN.notna().sum(axis=1) >= groups
    found = {group: excess_LN.where(group_LN == group).mean(axis=1) for group in range(1, groups + 1)}
    return pd.DataFrame(found).where(enough)


def _with_both(score_LN: pd.DataFrame, label_LN: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Scores and labels on the days and symbols of the scores, NaN where either is missing."""
    label_LN = label_LN.reindex(index=score_LN.index, columns=score_LN.columns)
    both = score_LN.notna() & label_LN.notna()
    return score_LN.where(both), label_LN.where(both)

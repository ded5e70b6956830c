"""The planted effect of the demo market: heavy trading weighs on the price for ten sessions.

A bar's log return from open to close is moved by −STRENGTH · volatility · abnormal volume, where

    abnormal volume = Σ (volume j bars before − mean of the 90 before) / deviation of those 90 / j, for j = 1 to 10,
                      divided by Σ 1/j
    volatility = deviation of the 89 log returns from close to close among the 90 bars before

so that a volume acts on each of the ten bars after it, most on the first. The 90 bars are those that a model with a
lookback of 90 sees, adjusted as stored; the abnormal volume is a mean of its last ten normalised inputs of that field.
A stock with fewer bars has no effect. The direction of past prices plays no part: reversal, momentum and a forecast of
the lookback's mean price, to which an untrained model is close, rank the stocks by chance.
"""

import numpy as np
import pandas as pd

from kronos_lab.data.bars import FIELDS, Bars

LOOKBACK = 90  # bars
DURATION = 10  # bars that a volume weighs on
STRENGTH = 0.06  # volatilities per bar and unit of abnormal volume; gives a 10-day rank IC of 0.05 to 0.08
WEIGHT_D = 1 / np.arange(DURATION, 0, -1)  # of the last volumes, oldest first
WEIGHT_D /= WEIGHT_D.sum()


def abnormal_volume(volume_BC: np.ndarray) -> np.ndarray:
    """Weighted mean of the last 10 volumes in deviations of the last 90: [B, C ≥ 90] → [B]."""
    window_BC = volume_BC[..., -LOOKBACK:]
    mean_B, deviation_B = window_BC.mean(axis=-1), window_BC.std(axis=-1)
    return (window_BC[..., -DURATION:] @ WEIGHT_D - mean_B) / deviation_B


def effect(close_BC: np.ndarray, volume_BC: np.ndarray) -> np.ndarray:
    """What is added to the log return of the next bar: closes and volumes [B, C ≥ 90] → [B]."""
    volatility_B = np.diff(np.log(close_BC[..., -LOOKBACK:]), axis=-1).std(axis=-1)
    return -STRENGTH * volatility_B * abnormal_volume(volume_BC)


def oracle_score(bars_BCF: np.ndarray) -> np.ndarray:
    """What the effect adds to the log return of the next bar, from the last 90 bars alone: [B, C ≥ 90, 6] → [B].

    It is the planted mean of the next bar, and of ten bars most of the planted mean: all but the oldest of these
    volumes weigh on the bars after next too, and abnormal volumes tend to last.
    """
    close_BC, volume_BC = (bars_BCF[..., FIELDS.index(name)].astype(np.float64) for name in ("close", "volume"))
    return effect(close_BC, volume_BC)


def oracle_table(bars: Bars) -> pd.DataFrame:
    """`oracle_score` of every bar with 90 bars behind it: calendar stamps × symbols, NaN elsewhere."""
    score_LN = np.full((len(bars.calendar), len(bars.symbols)), np.nan)
    for n in range(len(bars.symbols)):
        rows = slice(int(bars.offsets[n]), int(bars.offsets[n + 1]))
        if rows.stop - rows.start >= LOOKBACK:
            windows = np.lib.stride_tricks.sliding_window_view(bars.values_MF[rows], LOOKBACK, axis=0)
            score_LN[bars.position_M[rows][LOOKBACK - 1 :], n] = oracle_score(np.moveaxis(windows, 1, 2))
    return pd.DataFrame(score_LN, index=bars.calendar, columns=bars.symbols)

"""Scores without what they owe to something known: a day's least squares on exposures is taken out."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

ROUNDING = 1e-12  # residuals below this share of the day's largest score are zeros


def neutralised(score_LN: pd.DataFrame, exposure_LN: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """What a day's scores hold beyond a least-squares fit on the exposures and a constant, in the unit of the scores.

    A name with an unknown exposure has no neutral score (NaN), nor has a day with fewer than two names to spare.

    Args:
        score_LN: scores.
        exposure_LN: exposures, taken at the days and symbols of the scores; what they lack there is unknown.
    """
    aligned = [frame.reindex(index=score_LN.index, columns=score_LN.columns).to_numpy() for frame in exposure_LN]
    exposure_LNK = np.stack(aligned, axis=-1)
    neutral_LN = np.full(score_LN.shape, np.nan)
    for day, score_N in enumerate(score_LN.to_numpy(np.float64)):
        known_N = np.isfinite(score_N) & np.isfinite(exposure_LNK[day]).all(axis=-1)
        exposure_NK = exposure_LNK[day, known_N]
        exposure_NK = exposure_NK[:, (exposure_NK != exposure_NK[:1]).any(axis=0)]  # all alike: no exposure that day
        if known_N.sum() > exposure_NK.shape[1] + 2:
            neutral_LN[day, known_N] = _residual(score_N[known_N], exposure_NK)
    return pd.DataFrame(neutral_LN, index=score_LN.index, columns=score_LN.columns)


def _residual(score_N: np.ndarray, exposure_NK: np.ndarray) -> np.ndarray:
    """Residual of one day; exposures are standardised first, which spares the fit their very different sizes."""
    centred_NK = exposure_NK - exposure_NK.mean(axis=0)
    centred_NK = centred_NK / np.linalg.norm(centred_NK, axis=0)
    centred_N = score_N - score_N.mean()
    residual_N = centred_N - centred_NK @ np.linalg.lstsq(centred_NK, centred_N)[0]
    # Equal scores leave residuals of rounding alone, and a rank would make opinions of them.
    return np.where(np.abs(residual_N) <= ROUNDING * np.abs(score_N).max(), 0.0, residual_N)

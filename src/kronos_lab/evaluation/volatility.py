"""How much a price moved, and how good a forecast of that was.

Variances are sums of squared log returns from close to close over a horizon, without a mean; volatilities are their
roots: fractions, of the whole horizon, not annualised. S forecasts, P paths, K bars.
"""

import numpy as np


def realised_variance(return_SPK: np.ndarray) -> np.ndarray:
    """Realised variance of sampled futures, float64 [S, P].

    Args:
        return_SPK: close(t + k) / close(t) − 1 for every bar k = 1 … K.
    """
    level_SPK = np.log1p(return_SPK.astype(np.float64))
    return (np.diff(level_SPK, axis=2, prepend=0.0) ** 2).sum(axis=2)


def qlike(forecast_S: np.ndarray, realised_S: np.ndarray) -> np.ndarray:
    """QLIKE loss of variance forecasts, 0 for a perfect one: float64 [S].

    r / f − log(r / f) − 1 (Patton, 2011): forecasts are ranked by it as they would be by the variance that nobody
    sees. NaN where one of the two is not above 0, as of a stock whose price stood still.

    Args:
        forecast_S: forecast variance.
        realised_S: realised variance.
    """
    known_S = (forecast_S > 0) & (realised_S > 0)
    ratio_S = np.where(known_S, realised_S, np.nan) / np.where(known_S, forecast_S, np.nan)
    return ratio_S - np.log(ratio_S) - 1


def volatility_errors(forecast_S: np.ndarray, realised_S: np.ndarray) -> dict[str, float]:
    """MAE, R² and QLIKE of variance forecasts, over all that have a realised variance.

    MAE and R² are of volatilities. R² is the coefficient of determination of the forecasts as they are, 1 − sum of
    squared errors / that of the mean of what came: below 0 where this mean would have been the better forecast.

    Args:
        forecast_S: forecast variance.
        realised_S: realised variance; NaN where nobody knows.
    """
    known_S = np.isfinite(forecast_S) & np.isfinite(realised_S)
    if not known_S.any():
        return dict.fromkeys(("mae", "r2", "qlike"), float("nan"))
    forecast, realised = np.sqrt(forecast_S[known_S]), np.sqrt(realised_S[known_S])
    spread = ((realised - realised.mean()) ** 2).sum()
    loss = qlike(forecast_S, realised_S)
    return {
        "mae": float(np.abs(forecast - realised).mean()),
        "r2": float(1 - ((forecast - realised) ** 2).sum() / spread) if spread > 0 else float("nan"),
        "qlike": float(np.nanmean(loss)) if np.isfinite(loss).any() else float("nan"),
    }

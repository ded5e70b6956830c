"""From sampled futures to one score per stock and day, in return units unless the name says otherwise.

A signal is a function of the forecast paths and of the last close the forecaster saw; nothing later can reach it.
Scores travel as a frame [L, N]: signal days × symbols, NaN where a stock was not forecast.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from kronos_lab.errors import InputError


class Signal(Protocol):
    """Scores of B series: (paths of the close [B, P, H], last observed close [B]) → float64 [B]."""

    def __call__(self, close_BPH: np.ndarray, last_close_B: np.ndarray) -> np.ndarray:
        """Scores, higher is better."""
        ...


@dataclass(frozen=True)
class ExpectedReturn:
    """Mean over the paths of close(t + horizon) / close(t) − 1, as a fraction.

    Attributes:
        horizon: sessions ahead, at most the length of the paths.
    """

    horizon: int

    def __call__(self, close_BPH: np.ndarray, last_close_B: np.ndarray) -> np.ndarray:
        """Scores of B series."""
        return _path_return(close_BPH, last_close_B, self.horizon).mean(axis=1)


@dataclass(frozen=True)
class PathQuantile:
    """Quantile over the paths of the return to t + horizon: 0.5 is the median, a low one asks for safety.

    Attributes:
        horizon: sessions ahead, at most the length of the paths.
        quantile: in [0, 1], interpolated linearly between paths.
    """

    horizon: int
    quantile: float

    def __post_init__(self) -> None:
        if not 0 <= self.quantile <= 1:
            raise InputError(f"signal.quantile={self.quantile} is not between 0 and 1")

    def __call__(self, close_BPH: np.ndarray, last_close_B: np.ndarray) -> np.ndarray:
        """Scores of B series."""
        return np.quantile(_path_return(close_BPH, last_close_B, self.horizon), self.quantile, axis=1)


@dataclass(frozen=True)
class RiseProbability:
    """Share of the paths that end above the last close; with P paths it takes P + 1 values, so ties are common.

    Attributes:
        horizon: sessions ahead, at most the length of the paths.
    """

    horizon: int

    def __call__(self, close_BPH: np.ndarray, last_close_B: np.ndarray) -> np.ndarray:
        """Scores of B series."""
        return (_path_return(close_BPH, last_close_B, self.horizon) > 0).mean(axis=1)


def _path_return(close_BPH: np.ndarray, last_close_B: np.ndarray, horizon: int) -> np.ndarray:
    """Return of every path up to step `horizon`, float64 [B, P]."""
    if not 1 <= horizon <= close_BPH.shape[2]:
        raise InputError(f"signal.horizon={horizon} is not within the {close_BPH.shape[2]} forecast bars")
    return close_BPH[:, :, horizon - 1].astype(np.float64) / last_close_B.astype(np.float64)[:, None] - 1


def score_frame(date_B: np.ndarray, symbol_B: np.ndarray, score_B: np.ndarray) -> pd.DataFrame:
    """Scores of B series as a frame [L, N], days and symbols sorted.

    Raises:
        InputError: a series was scored twice.
    """
    scores = pd.DataFrame({"date": pd.DatetimeIndex(date_B), "symbol": symbol_B, "score": score_B})
    twice = scores.duplicated(["date", "symbol"])
    if twice.any():
        first = scores[twice].iloc[0]
        raise InputError(f"{first['symbol']} on {first['date']:%Y-%m-%d} was forecast twice")
    return scores.pivot(index="date", columns="symbol", values="score").rename_axis(index=None, columns=None)


def long_format(score_LN: pd.DataFrame) -> pd.DataFrame:
    """One row per score, columns date, symbol, score, sorted: what `signals.parquet` holds."""
    named = score_LN.rename_axis(index="date", columns="symbol")
    scores = named.melt(ignore_index=False, value_name="score").dropna().reset_index()
    return scores.sort_values(["date", "symbol"], ignore_index=True)

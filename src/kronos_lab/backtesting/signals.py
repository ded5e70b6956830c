"""From sampled futures to one score per stock and day, in return units unless the name says otherwise.

A signal is a function of the forecast paths and of the last close the forecaster saw; nothing later can reach it.
Scores travel as a frame [L, N]: signal days × symbols, NaN where a stock was not forecast.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from kronos_lab.data.settings import sound_number, whole_number
from kronos_lab.errors import InputError


class Signal(Protocol):
    """Scores of B series: (paths of the close [B, P, H], last observed close [B]) → float64 [B]."""

    def __call__(self, close_BPH: np.ndarray, last_close_B: np.ndarray) -> np.ndarray:
        """Scores, higher is better."""
        ...


@dataclass(frozen=True)
class PathReturnSignal(ABC):
    """A signal made of each path's return, close(t + horizon) / close(t) − 1.

    Attributes:
        horizon: sessions ahead, at most the length of the paths.
    """

    horizon: int

    def __post_init__(self) -> None:
        whole_number("signal.horizon", self.horizon, 1)

    def __call__(self, close_BPH: np.ndarray, last_close_B: np.ndarray) -> np.ndarray:
        """Scores of B series."""
        if self.horizon > close_BPH.shape[2]:
            raise InputError(f"signal.horizon={self.horizon} is not within the {close_BPH.shape[2]} forecast bars")
        close_BP = close_BPH[:, :, self.horizon - 1].astype(np.float64)
        return self._score(close_BP / last_close_B.astype(np.float64)[:, None] - 1)

    @abstractmethod
    def _score(self, return_BP: np.ndarray) -> np.ndarray:
        """Score [B] of the returns of P paths, as fractions."""


@dataclass(frozen=True)
class ExpectedReturn(PathReturnSignal):
    """Mean return over the paths, as a fraction."""

    def _score(self, return_BP: np.ndarray) -> np.ndarray:
        return return_BP.mean(axis=1)


@dataclass(frozen=True)
class PathQuantile(PathReturnSignal):
    """Quantile of the return over the paths: 0.5 is the median, a low one asks for safety.

    Attributes:
        quantile: in [0, 1], interpolated linearly between paths.
    """

    quantile: float

    def __post_init__(self) -> None:
        super().__post_init__()
        sound_number("signal.quantile", self.quantile, lambda share: 0 <= share <= 1, "is not between 0 and 1")

    def _score(self, return_BP: np.ndarray) -> np.ndarray:
        return np.quantile(return_BP, self.quantile, axis=1)


@dataclass(frozen=True)
class RiseProbability(PathReturnSignal):
    """Share of the paths that end above the last close; with P paths it takes P + 1 values, so ties are common."""

    def _score(self, return_BP: np.ndarray) -> np.ndarray:
        return (return_BP > 0).mean(axis=1)


def check_signal(signal: Signal, paths: int, horizon: int) -> None:
    """Try the signal on one flat future of that many paths and bars: it refuses now what it would refuse later."""
    paths = whole_number("forecast.paths", paths, 1)
    signal(np.ones((1, paths, horizon), dtype=np.float32), np.ones(1, dtype=np.float32))


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

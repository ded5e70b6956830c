"""From sampled futures to one score per stock and day, in return units unless the name says otherwise.

A signal is a function of the forecast paths, of the last close the forecaster saw and of what it normalised closes
by; nothing later can reach it. Scores travel as a frame [L, N]: signal days × symbols, NaN where a stock was not
forecast or the signal has no opinion.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol, get_args

import numpy as np
import pandas as pd

from kronos_lab.data.settings import positive_number, sound_number, whole_number
from kronos_lab.errors import InputError

Which = Literal["last", "mean", "max", "min"]


class CloseScale(NamedTuple):
    """What the forecaster normalised the closes of B series by, in price units; see `fit_scale`.

    Attributes:
        mean_B: mean close of the lookback.
        deviation_B: their deviation, the normaliser's epsilon included.
    """

    mean_B: np.ndarray
    deviation_B: np.ndarray


class Signal(Protocol):
    """Scores of B series: (paths of the close [B, P, H], last observed close [B], scale or None) → float64 [B]."""

    def __call__(self, close_BPH: np.ndarray, last_close_B: np.ndarray, scale: CloseScale | None = None) -> np.ndarray:
        """Scores, higher is better; NaN is no opinion. `scale` is None where the forecasts were kept without it."""
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

    def __call__(self, close_BPH: np.ndarray, last_close_B: np.ndarray, scale: CloseScale | None = None) -> np.ndarray:
        """Scores of B series."""
        close_BP = _up_to(self.horizon, close_BPH)[:, :, -1]
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


@dataclass(frozen=True)
class ReturnOverVolatility(PathReturnSignal):
    """Mean return over the paths in units of its own uncertainty: a ratio without unit, not a return.

    The volatility is the forecast's own: the sample standard deviation across paths of the return to t + horizon (of
    the whole horizon, neither per session nor annualised, and not that of past returns). Paths that all end alike
    have no volatility, and the score is NaN.
    """

    def _score(self, return_BP: np.ndarray) -> np.ndarray:
        paths = return_BP.shape[1]
        if paths < 2:
            raise InputError(f"forecast.paths={paths}: signal=return_over_volatility needs 2 or more, for a volatility")
        differ_B = return_BP.max(axis=1) > return_BP.min(axis=1)  # equal paths: their deviation may round to above 0
        volatility_B = np.where(differ_B, return_BP.std(axis=1, ddof=1), np.nan)
        return return_BP.mean(axis=1) / volatility_B


@dataclass(frozen=True)
class OriginalZ:
    """The four scores of the original's `qlib_test.py`, in z-units (deviations of the lookback's closes), to compare.

    The paths are averaged first, then their last, mean, highest or lowest close up to the horizon is taken, minus the
    last observed close, all as the model's normaliser has them (forecast.anchor=true moves the paths before that, which
    the original does not do). A unit is a different return for every stock: calm stocks rank further out than in
    return units.

    Attributes:
        horizon: sessions ahead, at most the length of the paths.
        which: "last", "mean", "max" or "min" of the forecast closes.
        clip: bound of the last close in z-units, the normaliser's: a forecast starts from what the model was shown.
    """

    horizon: int
    which: Which
    clip: float

    def __post_init__(self) -> None:
        whole_number("signal.horizon", self.horizon, 1)
        positive_number("signal.clip", self.clip)
        if self.which not in get_args(Which):
            raise InputError(f"signal.which={self.which}: choose one of {', '.join(get_args(Which))}")

    def __call__(self, close_BPH: np.ndarray, last_close_B: np.ndarray, scale: CloseScale | None = None) -> np.ndarray:
        """Scores of B series.

        Raises:
            InputError: the horizon is longer than the paths, or the forecasts were kept without their scale.
        """
        close_BH = _up_to(self.horizon, close_BPH).mean(axis=1)
        if scale is None:
            raise InputError(
                "signal=original_z needs close_mean and close_deviation, which these forecasts were written without: "
                "run the backtest again"
            )
        mean_B, deviation_B = (statistic.astype(np.float64) for statistic in scale)
        z_BH = (close_BH - mean_B[:, None]) / deviation_B[:, None]
        last_z_B = ((last_close_B - mean_B) / deviation_B).clip(-self.clip, self.clip)
        of_horizon_B = z_BH[:, -1] if self.which == "last" else getattr(z_BH, self.which)(axis=1)
        return of_horizon_B - last_z_B


def _up_to(horizon: int, close_BPH: np.ndarray) -> np.ndarray:
    """The first bars of the paths, float64."""
    if horizon > close_BPH.shape[2]:
        raise InputError(f"signal.horizon={horizon} is not within the {close_BPH.shape[2]} forecast bars")
    return close_BPH[:, :, :horizon].astype(np.float64)


def check_signal(signal: Signal, paths: int, horizon: int) -> None:
    """Try the signal on one flat future of that many paths and bars: it refuses now what it would refuse later."""
    paths = whole_number("forecast.paths", paths, 1)
    one = np.ones(1, dtype=np.float32)
    signal(np.ones((1, paths, horizon), dtype=np.float32), one, CloseScale(one, one))


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

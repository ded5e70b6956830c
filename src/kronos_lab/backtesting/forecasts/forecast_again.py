"""Single days of a finished backtest, forecast once more as it did, perhaps on another market."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from kronos_lab.backtesting.forecasts.candidates import Candidate
from kronos_lab.backtesting.forecasts.forecast_shards import score_forecasts
from kronos_lab.backtesting.forecasts.universe_forecast import universe_windows
from kronos_lab.backtesting.scores.signals import Signal
from kronos_lab.data.market import Market
from kronos_lab.runs.provenance import WindowSettings
from kronos_lab.runs.ranks import rank


@dataclass(frozen=True)
class ForecastAgain:
    """Raw scores of a day, made of new forecasts.

    Attributes:
        universe: whose members are forecast.
        window: what a forecast sees.
        signal: makes scores of the forecasts.
        candidates: the weights that were traded, and for each `forecast_universe` but for folder, market, windows and
            rows.
    """

    universe: str
    window: WindowSettings
    signal: Signal
    candidates: Sequence[tuple[Candidate, Callable[..., None]]]

    def __call__(self, folder: Path, market: Market, day: pd.Timestamp) -> pd.Series | None:
        """Scores [N] of the day's members, higher is better; None on all ranks but the one that writes.

        Args:
            folder: new, for the forecasts.
            market: with the bars and members to forecast.
            day: a signal day.
        """
        only = f"{day:%Y-%m-%d}"
        windows, _ = universe_windows(market, self.universe, self.window, only, only)
        folders = []
        for candidate, forecast in self.candidates:
            rows = candidate.rows(windows, windows.signal_rows(np.arange(len(windows))))
            if len(rows):  # of several that take turns, one forecasts the day
                folders.append(folder / candidate.folder)
                forecast(folders[-1], market=market, windows=windows, row_S=rows)
        return score_forecasts(folders, self.signal).T[day] if rank() == 0 else None

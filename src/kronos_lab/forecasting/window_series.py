"""Windows of a market as series to forecast: their contexts, stamps and random numbers, and the paths drawn from them.

Shapes: S series in all, B series of a batch, P paths, C context bars, H horizon bars, F = 6 fields.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from kronos_lab.data.time_features import time_features
from kronos_lab.data.windows import WindowIndex
from kronos_lab.errors import InputError
from kronos_lab.forecasting.forecaster import Forecaster
from kronos_lab.forecasting.progress import BarsDone
from kronos_lab.forecasting.token_sampling import Sampling, series_uniforms
from kronos_lab.forecasting.within_memory import WithinMemory


class SeriesBatch(NamedTuple):
    """What forecasts of a batch start from, numpy.

    Attributes:
        symbol_B: strings.
        date_B: datetime64[ns], stamp of the last bar of the context.
        context_BCF: float32, adjusted bars in the order of `FIELDS`.
        stamp_BC5: calendar features of the context.
        future_stamp_BH5: calendar features of the bars to forecast.
        uniforms_BPH2: random numbers of the draws.
    """

    symbol_B: np.ndarray
    date_B: np.ndarray
    context_BCF: np.ndarray
    stamp_BC5: np.ndarray
    future_stamp_BH5: np.ndarray
    uniforms_BPH2: np.ndarray


class WindowSeries:
    """Series of a market, ordered by day, then symbol; each batch is gathered when it is asked for.

    Args:
        windows: windows without a future.
        row_S: signal rows of the series, in any order.
        paths: sample paths per series.
        horizon: bars to forecast.
        seed: of the random numbers, see `series_uniforms`.
        stratified: see `Sampling`.
        future_stamps: stamps of the next H bars after a calendar position, from the calendar, never from bars;
            see `Market.future_stamps`.

    Attributes:
        row_S: the signal rows, ordered.
    """

    def __init__(
        self,
        windows: WindowIndex,
        row_S: np.ndarray,
        paths: int,
        horizon: int,
        seed: int,
        stratified: bool,
        future_stamps: Callable[[int, int], pd.DatetimeIndex],
    ) -> None:
        self.windows, self.paths, self.horizon = windows, paths, horizon
        self.seed, self.stratified = seed, stratified
        position_S = windows.bars.position_M[row_S]
        order = np.lexsort((row_S, position_S))  # by day; rows are symbol after symbol
        self.row_S = row_S[order]
        day_position, self._day_S = np.unique(position_S[order], return_inverse=True)
        self._future_stamp_of_day = np.stack(
            [time_features(future_stamps(int(position), horizon)) for position in day_position]
        )
        self._symbols = np.asarray(windows.bars.symbols, dtype=object)

    def __len__(self) -> int:
        return len(self.row_S)

    def gather(self, series: slice) -> SeriesBatch:
        """The batch of these series."""
        row_B = self.row_S[series]
        symbol_B = self._symbols[self.windows.symbols_of(row_B)]
        date_B = self.windows.stamps_of(row_B)
        uniforms = [
            series_uniforms(self.seed, symbol, iso_date(date), self.paths, self.horizon, self.stratified)
            for symbol, date in zip(symbol_B, date_B, strict=True)
        ]
        return SeriesBatch(
            symbol_B=symbol_B,
            date_B=date_B.to_numpy(),
            context_BCF=self.windows.gather_bars(row_B),
            stamp_BC5=self.windows.gather_stamps(row_B),
            future_stamp_BH5=self._future_stamp_of_day[self._day_S[series]],
            uniforms_BPH2=np.stack(uniforms),
        )


def iso_date(stamp: pd.Timestamp) -> str:
    """Key of a signal day: the date, with the time of day where the bars have one."""
    return f"{stamp:%Y-%m-%d}" if stamp == stamp.normalize() else stamp.isoformat()


def forecast_batch(
    forecaster: Forecaster,
    batch: SeriesBatch,
    sampling: Sampling,
    memory: WithinMemory,
    on_progress: Callable[[float], None] = lambda series: None,
) -> tuple[np.ndarray, list[int]]:
    """Sample futures of a batch, within memory.

    Args:
        forecaster: tokenizer and predictor.
        batch: where the forecasts start.
        sampling: how tokens are drawn.
        memory: how much is forecast at once.
        on_progress: called with the number of series done, those at work counted by their bars.

    Returns:
        float32 [B, P, H, F], and the number of series of each part that was forecast at once.

    Raises:
        InputError: not even one path of a series fits into memory, or a forecast is not finite.
    """
    series, paths, horizon = batch.uniforms_BPH2.shape[:3]
    bars = BarsDone(0, paths * horizon, on_progress)

    def forecast(part: slice, rows_at_once: int) -> torch.Tensor:
        bars.begin(part.start)
        return forecaster.paths(
            torch.from_numpy(batch.context_BCF[part]),
            torch.from_numpy(batch.stamp_BC5[part]),
            torch.from_numpy(batch.future_stamp_BH5[part]),
            torch.from_numpy(batch.uniforms_BPH2[part]),
            sampling,
            rows_at_once=rows_at_once,
            on_bars=bars.add,
        )

    paths_BPHF, parts = memory.run(forecast, series, paths)
    finite_B = paths_BPHF.isfinite().flatten(1).all(dim=1)
    if not finite_B.all():
        first = int((~finite_B).nonzero()[0])
        raise InputError(f"the forecast of {batch.symbol_B[first]} is not finite: the checkpoint is broken")
    return paths_BPHF.numpy(), parts

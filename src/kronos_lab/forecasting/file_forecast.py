"""The forecast of one file of bars: read it, sample its future, write CSV, paths and picture."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from kronos_lab.data.bars import FIELDS
from kronos_lab.data.normaliser import fit_scale, warn_of_small_prices
from kronos_lab.data.readers import canonical_symbol, read_bars, source_files
from kronos_lab.data.settings import whole_number
from kronos_lab.data.split import parse_day
from kronos_lab.data.time_features import time_features
from kronos_lab.data.trading_calendar import future_stamps_from_grid
from kronos_lab.errors import InputError
from kronos_lab.forecasting.forecaster import Forecaster
from kronos_lab.forecasting.picture import BAND, ForecastCase, forecast_figure
from kronos_lab.forecasting.progress import SeriesProgress
from kronos_lab.forecasting.series_batches import Series, forecast_series
from kronos_lab.forecasting.series_input import complete_bars
from kronos_lab.forecasting.token_sampling import Sampling, series_uniforms


@dataclass(frozen=True)
class FileSeries:
    """The bars of one symbol of a file, cut at the bar that the forecast starts from.

    Attributes:
        symbol: as the file names it, or the file's own name.
        history: past bars, columns `FIELDS`, indexed by stamp.
        truth: bars that followed, as far as the file knows them and the horizon reaches; may be empty.
        future_stamps: stamps of the bars to forecast.
    """

    symbol: str
    history: pd.DataFrame
    truth: pd.DataFrame
    future_stamps: pd.DatetimeIndex

    def shortened(self, lookback: int) -> "FileSeries":
        """The same with no more than the last `lookback` bars of its history."""
        return replace(self, history=self.history.iloc[-lookback:])


def read_series_file(
    file: Path,
    symbol: str | int | None,
    columns: Mapping[str, str],
    until: str | None,
    horizon: int,
) -> FileSeries:
    """Read one symbol's bars.

    Args:
        file: CSV or Parquet.
        symbol: which one, where the file holds several; in any usual spelling, or digits as a number.
        columns: field → column, where the file's names are unusual.
        until: last stamp of the history (a day means its last bar); None is the last bar of the file.
        horizon: bars to forecast; where the file knows their stamps these are taken, else its session grid.

    Raises:
        InputError: naming the file, and the column, symbol or stamp at fault.
    """
    horizon = whole_number("horizon", horizon, 1)
    if not file.is_file():
        raise InputError(f"file={file} is no file: give a CSV or Parquet file of bars")
    rows = read_bars(source_files(file), columns, {}, needs_volume=False, columns_key="columns")
    chosen = _choose_symbol(file, rows["symbol"].unique().tolist(), symbol)
    rows = rows[rows["symbol"] == chosen].set_index("stamp").drop(columns="symbol")
    if not rows.index.is_unique:
        raise InputError(f"{file}: {chosen} has two bars at {rows.index[rows.index.duplicated()][0]}: keep one of them")
    bars = pd.DataFrame(complete_bars(f"{file}: {chosen}", rows), columns=list(FIELDS), index=rows.index)

    history = bars.loc[: _last_stamp(until)] if until is not None else bars
    if len(history) < 2:
        raise InputError(f"{file}: {len(history)} bars until {until or 'the end'} are too few to forecast from")
    truth = bars.iloc[len(history) : len(history) + horizon]
    past = pd.DatetimeIndex(history.index)
    stamps = pd.DatetimeIndex(truth.index)
    if len(stamps) < horizon:
        stamps = stamps.union(future_stamps_from_grid(past.union(stamps), horizon - len(stamps)))
    return FileSeries(chosen, history, truth, pd.DatetimeIndex(stamps))


def forecast_file(forecaster: Forecaster, series: FileSeries, sampling: Sampling, paths: int, seed: int) -> np.ndarray:
    """Sample futures of the series: float32 [P, H, 6], reproducible for one seed, symbol and last stamp."""
    past = pd.DatetimeIndex(series.history.index)
    context_CF = series.history.to_numpy(np.float64)
    if not forecaster.rescale:
        warn_of_small_prices(fit_scale(torch.from_numpy(context_CF).unsqueeze(0)))
    prompt = Series(
        context_CF,
        time_features(past),
        time_features(series.future_stamps),
        series_uniforms(
            seed, series.symbol, past[-1].isoformat(), paths, len(series.future_stamps), sampling.stratified
        ),
    )
    with SeriesProgress(1) as progress:
        return forecast_series(forecaster, [prompt], sampling, on_progress=progress.update)[0]


def save_forecast(folder: Path, series: FileSeries, paths_PHF: np.ndarray) -> list[Path]:
    """Write `forecast.csv`, `paths.parquet` and `forecast.png`; returns their paths.

    The CSV holds the mean path, the 5 % and 95 % quantiles of the close, and the close that followed where known.
    """
    stamps = series.future_stamps
    table = pd.DataFrame(paths_PHF.mean(axis=0, dtype=np.float64), columns=list(FIELDS), index=stamps)
    close_PH = paths_PHF[:, :, FIELDS.index("close")]
    for quantile in BAND:
        table[f"close_q{quantile * 100:02.0f}"] = np.quantile(close_PH, quantile, axis=0)
    if len(series.truth):
        table["true_close"] = series.truth["close"].reindex(stamps)
    path, step = np.meshgrid(np.arange(len(paths_PHF)), np.arange(len(stamps)), indexing="ij")
    samples = pd.DataFrame(paths_PHF.reshape(-1, len(FIELDS)), columns=list(FIELDS))
    samples.insert(0, "path", path.ravel())
    samples.insert(1, "stamp", stamps[step.ravel()])

    table.to_csv(folder / "forecast.csv", index_label="stamp", float_format="%.8g")
    samples.to_parquet(folder / "paths.parquet", index=False)
    title = f"{series.symbol}: {len(stamps)} bars after {series.history.index[-1]}"
    figure = forecast_figure(ForecastCase(title, series.history, paths_PHF, stamps, series.truth))
    figure.savefig(folder / "forecast.png", dpi=130)
    return [folder / name for name in ("forecast.csv", "paths.parquet", "forecast.png")]


def _choose_symbol(file: Path, present: list[str], symbol: str | int | None) -> str:
    if symbol is None and len(present) == 1:
        return present[0]
    if symbol is None:
        raise InputError(f"{file} holds {len(present)} symbols: choose one with symbol=, such as symbol={present[0]}")
    chosen = canonical_symbol(str(symbol))  # the spelling that `read_bars` gives
    if chosen not in present:
        raise InputError(f"{file} has no symbol {symbol}: it has {', '.join(present[:5])}{' ...' * (len(present) > 5)}")
    return chosen


def _last_stamp(until: str) -> pd.Timestamp:
    stamp = parse_day("until", until)
    whole_day = stamp == stamp.normalize() and ":" not in str(until)
    return stamp + pd.Timedelta(days=1) - pd.Timedelta(1, "ns") if whole_day else stamp

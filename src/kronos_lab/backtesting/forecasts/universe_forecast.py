"""The forecasts of a universe: every member, on every day it traded and had a full lookback, through Lightning."""

from collections.abc import Callable, Mapping, Set
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from lightning.pytorch import Trainer

from kronos_lab.backtesting.forecasts.coverage import daily_coverage
from kronos_lab.backtesting.forecasts.earlier_forecasts import EarlierForecasts, code_fingerprint, forecasts_fingerprint
from kronos_lab.backtesting.forecasts.forecast_batches import (
    BatchPlan,
    ForecastDataModule,
    ForecastDataset,
    series_per_batch,
)
from kronos_lab.backtesting.forecasts.forecast_module import ForecastModule, ForecastProgress
from kronos_lab.backtesting.forecasts.forecast_shards import Store
from kronos_lab.backtesting.forecasts.forecast_writer import ForecastWriter
from kronos_lab.data.market import Market
from kronos_lab.data.split import parse_day
from kronos_lab.data.windows import WindowIndex
from kronos_lab.errors import InputError
from kronos_lab.forecasting.forecaster import Forecaster
from kronos_lab.forecasting.token_sampling import Sampling
from kronos_lab.runs.job_process import one_job_at_a_time
from kronos_lab.runs.provenance import WindowSettings
from kronos_lab.runs.ranks import build_trainer, check_ranks


def universe_windows(
    market: Market, universe: str, settings: WindowSettings, start: str, end: str | None
) -> tuple[WindowIndex, pd.DataFrame]:
    """The series to forecast, and the coverage of each of their days, see `daily_coverage`.

    Args:
        market: where bars and members come from.
        universe: whose members are forecast, on the days they were members.
        settings: what a forecast sees.
        start: first signal day.
        end: last signal day; None is the newest day that has both bars and members.

    Raises:
        InputError: there is no such day, or no series at all.
    """
    first, last = _signal_range(market, universe, start, end)
    bars = market.bars(universe)
    windows = WindowIndex(bars, market.spans(universe), settings.lookback, 0, first, last, settings.max_gap)
    if not len(windows):
        raise InputError(
            f"no member of {universe} has {settings.lookback} bars up to a day from {first:%Y-%m-%d} to "
            f"{last:%Y-%m-%d} in market {market.name}: choose a later backtest.start or a shorter data.lookback"
        )
    symbols = market.symbols(universe)
    rows = windows.signal_rows(np.arange(len(windows)))
    coverage = daily_coverage(bars, rows, symbols, market.member_LN(universe, symbols))
    return windows, coverage[(bars.calendar >= first) & (bars.calendar < last + pd.Timedelta(days=1))]


def _signal_range(market: Market, universe: str, start: str, end: str | None) -> tuple[pd.Timestamp, pd.Timestamp]:
    first, last = parse_day("backtest.start", start), None if end is None else parse_day("backtest.end", end)
    newest = market.newest_day(universe)
    last = newest if last is None else min(last, newest)
    if first > last:
        raise InputError(
            f"no day from backtest.start={start} to backtest.end={end}: the newest day of market {market.name} with "
            f"bars and members of {universe} is {newest:%Y-%m-%d}"
        )
    return first, last


def forecast_universe(
    folder: Path,
    make_trainer: Callable[..., Trainer],
    market: Market,
    windows: WindowIndex,
    forecaster: Forecaster,
    sampling: Sampling,
    *,
    horizon: int,
    paths: int,
    batch_size: int,
    seed: int,
    store: Store,
    origin: Mapping[str, Any],
    earlier: Path | None,
    row_S: np.ndarray | None = None,
) -> None:
    """Forecast every window, or some, and leave shards and manifest in `folder`; see `forecast_shards`.

    Args:
        folder: new, or that of an earlier attempt of the same run, whose forecasts are kept.
        make_trainer: Lightning's Trainer, to be called with the arguments that are ours to choose.
        market: knows the stamps of the bars to forecast.
        windows: the series.
        forecaster: tokenizer and predictor.
        sampling: how tokens are drawn.
        horizon: bars to forecast.
        paths: sample paths per series.
        batch_size: upper bound on series × paths at once, per device.
        seed: of the random numbers.
        store: what of the forecasts is kept.
        origin: weights, market and whatever else the manifest should name.
        earlier: folder of all runs, where the same forecasts may have been made before; None: they are not looked for.
        row_S: signal rows of the windows to forecast; None for all of them.

    Raises:
        InputError: the trainer's arguments do not go together, or would leave part of the forecasts out.
    """
    row_S = windows.signal_rows(np.arange(len(windows))) if row_S is None else row_S
    plan = BatchPlan(len(row_S), series_per_batch(batch_size, paths), paths, windows.lookback, horizon, seed)
    settings: dict[str, Any] = {
        **origin,
        "sampling": asdict(sampling),
        "window": asdict(forecaster.window),
        "precision": forecaster.precision,
        "anchor": forecaster.anchor,
        "clip": forecaster.clip,
        "rescale": forecaster.rescale,
        "code": code_fingerprint(),
        "torch": version("torch"),
        "store": store,
    }
    trainer = build_trainer(
        make_trainer,
        callbacks=[ForecastWriter(folder, plan, settings, store), ForecastProgress(plan)],
        logger=False,
        use_distributed_sampler=False,  # see `ForecastDataModule`
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )
    check_ranks(trainer)
    # An int counts batches, a float is their share; fast_dev_run sets it too.
    if isinstance(trainer.limit_predict_batches, int) or trainer.limit_predict_batches < 1:
        raise InputError(
            f"trainer.limit_predict_batches={trainer.limit_predict_batches} (or fast_dev_run) leaves part of the "
            "forecasts out, and an incomplete backtest says nothing: leave it out, and choose a shorter backtest.end"
        )
    if trainer.precision != "32-true":  # Lightning would cast what the forecaster has cast, or was told to leave
        raise InputError(
            f"trainer.precision={trainer.precision}: the precision of a backtest is forecast.precision (float32, "
            "bfloat16); leave trainer.precision out"
        )

    settings["device"] = trainer.strategy.root_device.type
    settings["fingerprint"] = forecasts_fingerprint(settings, plan, row_S)

    def take_over() -> Set[int]:
        taken = EarlierForecasts(earlier, settings["fingerprint"]).take_over(folder)
        settings["taken_over"] = {str(run): list(taken.values()).count(run) for run in dict.fromkeys(taken.values())}
        return taken.keys()

    series = ForecastDataset(windows, row_S, plan, sampling.stratified, market.future_stamps)
    data = ForecastDataModule(series, take_over)
    with one_job_at_a_time(settings["fingerprint"]):
        trainer.predict(ForecastModule(forecaster, sampling, batch_size), data, return_predictions=False)

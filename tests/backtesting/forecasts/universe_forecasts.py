"""Forecasts of the small market's universe with the tiny golden model, and what is read of them."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

TINY = Path(__file__).parents[2] / "data" / "golden" / "tiny"
LOOKBACK, HORIZON, PATHS = 24, 4, 3
START, END = "2024-12-20", "2025-01-10"  # the last 16 sessions of the small market


def forecast(
    folder: Path,
    market: Any,
    bars: Any = None,
    *,
    universe: str = "csi300",
    spans: pd.DataFrame | None = None,
    end: str = END,
    batch_size: int = 60,
    seed: int = 7,
    module: Any = None,
    writer: dict[str, Any] | None = None,
    **trainer: Any,
) -> Any:
    """Forecast the small market with the tiny golden model; returns the folder of the shards."""
    from lightning.pytorch import Trainer

    from kronos_lab.backtesting.forecasts.forecast_batches import (
        BatchPlan,
        ForecastDataModule,
        ForecastDataset,
        series_per_batch,
    )
    from kronos_lab.backtesting.forecasts.forecast_writer import ForecastWriter
    from kronos_lab.data.windows import WindowIndex
    from kronos_lab.runs.ranks import build_trainer

    windows = WindowIndex(
        bars or market.bars(universe), market.spans(universe) if spans is None else spans, LOOKBACK, 0, START, end
    )
    rows = windows.signal_rows(np.arange(len(windows)))
    plan = BatchPlan(len(rows), series_per_batch(batch_size, PATHS), PATHS, LOOKBACK, HORIZON, seed)
    data = ForecastDataModule(ForecastDataset(windows, rows, plan, False, market.future_stamps))
    keeper = ForecastWriter(
        folder, plan, {"made_by": "test"}, **({"store": "bars", "series_per_shard": 50} | (writer or {}))
    )
    runner = build_trainer(
        partial(Trainer, **({"accelerator": "cpu", "devices": 1} | trainer)),
        callbacks=[keeper],
        logger=False,
        use_distributed_sampler=False,
        enable_checkpointing=False,
        enable_model_summary=False,
        enable_progress_bar=False,
    )
    runner.predict(module or tiny_module(), datamodule=data, return_predictions=False)
    return folder


def tiny_module(rows_at_once: int = 1000) -> Any:
    from kronos_lab import Kronos, KronosTokenizer
    from kronos_lab.backtesting.forecasts.forecast_module import ForecastModule
    from kronos_lab.forecasting.forecaster import Forecaster
    from kronos_lab.forecasting.token_sampling import Sampling

    forecaster = Forecaster(
        KronosTokenizer.from_pretrained(TINY / "tokenizer"), Kronos.from_pretrained(TINY / "predictor")
    )
    return ForecastModule(forecaster, Sampling(temperature=0.6, top_p=0.9, top_k=0), rows_at_once)


def scores(folder: Path) -> pd.DataFrame:
    from kronos_lab.backtesting.forecasts.forecast_shards import score_forecasts
    from kronos_lab.backtesting.scores.signals import ExpectedReturn

    return score_forecasts([folder], ExpectedReturn(HORIZON))


def paths(folder: Path) -> dict[tuple[str, pd.Timestamp], np.ndarray]:
    """Paths [P, H, F] of every series by symbol and day."""
    from kronos_lab.backtesting.forecasts.forecast_shards import read_forecasts

    found = {}
    for shard in read_forecasts(folder):
        stacked = np.stack(list(shard.paths.values()), axis=-1)
        found.update(zip(zip(shard.symbol_B, shard.date_B, strict=True), stacked, strict=True))
    return found

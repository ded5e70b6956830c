"""Days forecast again by the weights, settings and random numbers that a backtest had."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
from universe_forecasts import END, HORIZON, LOOKBACK, PATHS, START, forecast, scores, tiny_module

from kronos_lab.data.windows import WindowIndex

UNIVERSE = "csi300"


def look(market: Any, traded: Path, folder: Path) -> Any:
    """Two days of the forecasts in `traded`."""
    from functools import partial

    from lightning.pytorch import Trainer

    from kronos_lab.backtesting.forecasts.candidates import Candidate
    from kronos_lab.backtesting.forecasts.forecast_again import ForecastAgain
    from kronos_lab.backtesting.forecasts.universe_forecast import forecast_universe
    from kronos_lab.backtesting.lookahead import days_to_repeat, look_ahead
    from kronos_lab.backtesting.scores.signals import ExpectedReturn
    from kronos_lab.runs.provenance import WindowSettings

    module = tiny_module()
    make = partial(
        forecast_universe,
        make_trainer=partial(Trainer, accelerator="cpu", devices=1),
        forecaster=module.forecaster,
        sampling=module.sampling,
        horizon=HORIZON,
        paths=PATHS,
        batch_size=5 * PATHS,
        seed=7,
        store="closes_float16",
        origin={},
        earlier=None,
    )
    window = WindowSettings(LOOKBACK, HORIZON, max_gap=20, clip=5.0, rescale=False)
    here: Any = SimpleNamespace(run=None)
    turns = [  # the second half of the days is that of weights which do not forecast the first
        (Candidate(here, None, f"_{n}", 0, *map(pd.Timestamp, days)), make)
        for n, days in enumerate([("2024-12-01", "2025-01-01"), ("2025-01-01", "2026-01-01")])
    ]
    raw_LN = scores(traded)
    days = days_to_repeat(market, pd.DatetimeIndex(raw_LN.index), 2)
    again = ForecastAgain(UNIVERSE, window, ExpectedReturn(HORIZON), turns)
    return look_ahead(folder, market, UNIVERSE, days, raw_LN, raw_LN, again, lambda score_LN, *_: score_LN)


def test_scores_are_made_again_and_know_of_no_later_bar_or_member(small_market, tmp_path):
    """In other batches than in the backtest, so from the very same random numbers."""
    found = look(small_market, forecast(tmp_path / "traded", small_market), tmp_path)
    assert found.finding.endswith("no score knows of later days"), found.finding
    assert (len(found.days), found.scores, found.leavers) == (2, 26, 4) and found.alike > 0.99
    assert {path.name for path in tmp_path.glob("*/other_bars/*")} == {"forecasts_0", "forecasts_1"}
    assert START < f"{found.days[0]:%Y-%m-%d}" < f"{found.days[1]:%Y-%m-%d}" < END


def test_a_forecast_that_sees_a_bar_too_many_is_found(small_market, tmp_path, monkeypatch):
    gather = WindowIndex.gather_bars
    monkeypatch.setattr(
        WindowIndex,
        "gather_bars",
        lambda self, rows: gather(self, np.minimum(rows + 1, len(self.bars.values_MF) - 1)),
    )
    found = look(small_market, forecast(tmp_path / "traded", small_market), tmp_path)
    assert len(found.changed["other bars"]) == found.scores and not found.changed["leavers"]

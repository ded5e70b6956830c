"""Which single forecasts are drawn, and from what."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

SESSIONS = pd.bdate_range("2024-07-01", periods=10)
SYMBOLS, HORIZON = ("A", "B", "C", "D"), 2


@pytest.fixture
def market(tmp_path) -> Any:
    """Four stocks whose store has no traded values; D is suspended after the fifth session."""
    from kronos_lab.data.market import Market
    from kronos_lab.data.store import StoreWriter

    with StoreWriter(tmp_path / "store", SESSIONS, SESSIONS[-1:] + pd.Timedelta(days=1)) as store:
        for number, symbol in enumerate(SYMBOLS, start=1):
            close = number * np.linspace(10, 11, len(SESSIONS))
            frame = pd.DataFrame(dict.fromkeys(("open", "high", "low", "close"), close), SESSIONS)
            frame = frame.assign(volume=1e6, factor=1.0, change=0.0, limit_up=np.nan, limit_down=np.nan)
            store.add(symbol, frame.iloc[:5] if symbol == "D" else frame)
        store.finish({"name": "by hand"})
    return Market(tmp_path / "store", name="by hand")


def forecast(folder: Path, level: float) -> Path:
    """Forecasts of all four on every day: closes at `level`, three paths."""
    from kronos_lab.backtesting.forecasts.forecast_batches import BatchPlan, Forecast
    from kronos_lab.backtesting.forecasts.forecast_shards import write_manifest, write_shard
    from kronos_lab.backtesting.scores.signals import CloseScale

    folder.mkdir()
    ones = np.ones(len(SYMBOLS), np.float32)
    made = [
        Forecast(
            batch,
            [4],
            np.array(SYMBOLS, object),
            np.repeat(day.to_datetime64(), 4),
            ones,
            CloseScale(ones, ones),
            np.full((4, 3, HORIZON, 6), level + batch, np.float32),
        )
        for batch, day in enumerate(SESSIONS)
    ]
    write_shard(folder / "0.parquet", made, "closes")
    write_manifest(folder, {}, BatchPlan(40, 4, 3, lookback=2, horizon=HORIZON, seed=0), finished=True)
    return folder


def test_the_highest_the_lowest_and_one_by_lot_of_days_that_are_over(market, tmp_path, monkeypatch):
    from kronos_lab.backtesting.report import fans

    drawn = []
    monkeypatch.setattr(fans, "forecasts_figure", lambda _, cases: drawn.extend(cases) or "figure")
    score = pd.DataFrame({"A": 1.0, "B": 4.0, "C": 3.0, "D": 2.0}, SESSIONS)
    folders = [forecast(tmp_path / "first", 100), forecast(tmp_path / "second", 200)]
    assert fans.fans_figure(market, [folders], score, HORIZON, seed=0) == "figure"
    middle, last = SESSIONS[3], SESSIONS[7]  # the last whose two sessions afterwards are known
    assert [case.title.split(", ")[1] for case in drawn] == [f"{day:%Y-%m-%d}" for day in (middle, last) for _ in "abc"]
    assert [case.title.split(", ")[2] for case in drawn[:3]] == ["highest score", "lowest score", "by lot"]
    assert [case.title[0] for case in drawn[:2]] == ["B", "A"] and drawn[2].title[0] in "CD"
    np.testing.assert_array_equal(drawn[0].paths_PHF[:, 0, 3], [103, 103, 103, 203, 203, 203])  # both folders'
    assert list(drawn[0].stamps) == list(drawn[0].truth.index) == list(SESSIONS[4:6])
    assert drawn[0].history.index[-1] == middle


def test_they_are_drawn_without_traded_values_and_not_at_all_before_a_horizon_is_over(market, tmp_path):
    from kronos_lab.backtesting.report.fans import fans_figure

    score = pd.DataFrame({"A": 1.0, "B": 4.0, "D": 2.0}, SESSIONS)
    folder = forecast(tmp_path / "first", 20)
    figure = fans_figure(market, [[folder]], score, HORIZON, seed=0)
    assert figure is not None and len(figure.axes) == 6
    assert fans_figure(market, [[folder]], score.iloc[-2:], HORIZON, seed=0) is None
    assert fans_figure(market, [[folder]], score[["A", "B"]], HORIZON, seed=0) is None

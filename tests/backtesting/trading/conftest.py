"""Markets written by hand, and one that walks at random."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hand_market import NAN, SESSIONS, stock


@pytest.fixture
def write_market(tmp_path: Path) -> Callable[..., Any]:
    """Function that writes stocks as a store and opens it: (stocks by symbol, calendar=SESSIONS) → Market."""

    def write(stocks: dict[str, pd.DataFrame], calendar: pd.DatetimeIndex = SESSIONS) -> Any:
        from kronos_lab.data.market import Market
        from kronos_lab.data.store import StoreWriter

        future = pd.bdate_range(calendar[-1] + pd.Timedelta(days=1), periods=20)
        with StoreWriter(tmp_path / "store", calendar, future) as store:
            for symbol, frame in stocks.items():
                store.add(symbol, frame)
            store.finish({"name": "by hand"})
        return Market(tmp_path / "store", name="by hand")

    return write


@pytest.fixture
def random_walk(write_market):
    """60 sessions of 12 stocks with suspensions, splits and limits, and noise for scores."""
    random = np.random.default_rng(5)
    days = pd.bdate_range("2024-01-01", periods=60)
    stocks = {}
    for number in range(12):
        close = 10 * np.exp(random.normal(0, 0.03, 60).cumsum())
        open_ = close * np.exp(random.normal(0, 0.01, 60))
        open_[random.random(60) < 0.05] = NAN
        close[np.isnan(open_)] = NAN
        factor = np.where(np.arange(60) < 30, 1.0, 1.5)
        before = np.concatenate(([NAN], close[:-1]))
        stocks[f"S{number:02d}"] = stock(
            open_,
            close,
            index=days,
            factor=factor,
            change=pd.Series(close).ffill().pct_change().to_numpy(),
            limit_up=before * 1.03,
            limit_down=before * 0.97,
        )
    signal = pd.DataFrame(random.normal(size=(59, 12)), index=days[:59], columns=list(stocks))
    return write_market(stocks, calendar=days), signal

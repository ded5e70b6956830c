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
def write_walk(write_market) -> Callable[[list[str]], Any]:
    """Function: symbols → 60 sessions of them with suspensions, splits and limits, and noise for scores."""

    def write(symbols: list[str]) -> Any:
        random = np.random.default_rng(5)
        days = pd.bdate_range("2024-01-01", periods=60)
        stocks = {}
        for symbol in symbols:
            close = 10 * np.exp(random.normal(0, 0.03, 60).cumsum())
            open_ = close * np.exp(random.normal(0, 0.01, 60))
            open_[random.random(60) < 0.05] = NAN
            close[np.isnan(open_)] = NAN
            factor = np.where(np.arange(60) < 30, 1.0, 1.5)
            before = np.concatenate(([NAN], close[:-1]))
            stocks[symbol] = stock(
                open_,
                close,
                index=days,
                factor=factor,
                change=pd.Series(close).ffill().pct_change().to_numpy(),
                limit_up=before * 1.03,
                limit_down=before * 0.97,
            )
        signal = pd.DataFrame(random.normal(size=(59, len(symbols))), index=days[:59], columns=list(stocks))
        return write_market(stocks, calendar=days), signal

    return write


@pytest.fixture
def random_walk(write_walk):
    """12 stocks that no board has."""
    return write_walk([f"S{number:02d}" for number in range(12)])


@pytest.fixture
def boards_walk(write_walk):
    """12 stocks of four boards."""
    codes = ("SH60000", "SH68800", "SZ30000", "BJ92000")
    return write_walk([f"{code}{number}" for code in codes for number in range(3)])

"""A small generated market that many tests read."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

if TYPE_CHECKING:
    from kronos_lab.data.market import Market

SESSIONS, STOCKS = 400, 40
FIRST_SESSION = "2023-07-03"
LATE_LISTING, DELISTED, SUSPENDED, JOINER, LEAVER = (f"SH6000{n:02d}" for n in (3, 4, 5, 6, 7))


def build_small_market(folder: Path, cache: Path | None) -> "Market":
    """40 stocks × 400 sessions from 2023-07-03: a late listing, a delisting, suspensions, joiners and leavers.

    csi300 and csi500 hold the first and the next 15 stocks; SH600006 joins csi300 at session 200, SH600007 leaves it
    there. Prices move by at most 10 % a day; the limits are stored; SH600008 opens at its upper limit at session 300.
    """
    from kronos_lab.data.market import Market
    from kronos_lab.data.store import StoreWriter

    rng = np.random.default_rng(7)
    stamps = pd.bdate_range(FIRST_SESSION, periods=SESSIONS + 30)
    calendar, future = stamps[:SESSIONS], stamps[SESSIONS:]
    symbols = [f"SH6000{n:02d}" for n in range(STOCKS)]
    market_return = rng.normal(0.0003, 0.01, SESSIONS)
    closes = {}
    with StoreWriter(folder, calendar, future) as writer:
        for n, symbol in enumerate(symbols):
            overnight = rng.normal(0, 0.004, SESSIONS)
            daily = np.clip(market_return + rng.normal(0, 0.015, SESSIONS), -0.09, 0.09)
            raw_close = 10 * (1 + n % 5) * np.exp(np.cumsum(daily))
            previous = np.concatenate(([raw_close[0]], raw_close[:-1]))
            limit_up, limit_down = np.round(previous * 1.1, 2), np.round(previous * 0.9, 2)
            open_ = np.clip(previous * (1 + overnight), limit_down + 0.01, limit_up - 0.01)
            if symbol == "SH600008":
                open_[300] = limit_up[300]
            close = np.clip(raw_close, limit_down, limit_up)
            high = np.maximum(open_, close) * (1 + np.abs(rng.normal(0, 0.002, SESSIONS)))
            low = np.minimum(open_, close) * (1 - np.abs(rng.normal(0, 0.002, SESSIONS)))
            volume = np.round(rng.lognormal(13, 0.4, SESSIONS), -2)
            frame = pd.DataFrame(
                {"open": open_, "high": high, "low": low, "close": close, "volume": volume}, index=calendar
            )
            frame["amount"] = volume * frame[["open", "high", "low", "close"]].mean(axis=1)
            frame["factor"], frame["change"] = 1.0, close / previous - 1
            frame["limit_up"], frame["limit_down"] = limit_up, limit_down
            rows = np.ones(SESSIONS, dtype=bool)
            if symbol == LATE_LISTING:
                rows[:250] = False
            if symbol == DELISTED:
                rows[350:] = False
            if symbol == SUSPENDED:
                rows[150:156] = rows[330:333] = False
            writer.add(symbol, frame[rows])
            closes[symbol] = frame["close"]
        level = 3000 * (1 + pd.DataFrame(closes).pct_change().mean(axis=1).fillna(0)).cumprod()
        for index in ("SH000300", "SH000905", "SH000906", "SH000852"):
            prices = {field: level for field in ("open", "high", "low", "close")}
            writer.add(index, pd.DataFrame(prices).assign(volume=1e8, amount=1e9, factor=1.0, change=level.pct_change()))

        def spans(members: list[str]) -> pd.DataFrame:
            rows = []
            for symbol in members:
                start = calendar[200] if symbol == JOINER else calendar[0]
                end = calendar[199] if symbol == LEAVER else future[-1]
                rows.append((symbol, start, end))
            return pd.DataFrame(rows, columns=["symbol", "start", "end"])

        writer.add_spans("csi300", spans(symbols[:15]))
        writer.add_spans("csi500", spans(symbols[15:30]))
        writer.add_spans("csi800", spans(symbols[:30]))
        writer.add_spans("csi1000", spans(symbols[30:]))
        writer.finish(
            {"name": "small", "made_by": "tests"}, outside=("SH000300", "SH000905", "SH000906", "SH000852")
        )
    return Market(folder, name="small", cache=cache)


@pytest.fixture(scope="session")
def small_market(tmp_path_factory: pytest.TempPathFactory) -> "Market":
    folder = tmp_path_factory.mktemp("markets")
    return build_small_market(folder / "small market", folder / "cache")

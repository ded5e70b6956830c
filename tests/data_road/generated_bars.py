"""Raw bars that are right in every detail, for tests to break one thing at a time."""

import numpy as np
import pandas as pd

START = "2022-01-04"


def stock(
    symbol: str = "SH600000",
    sessions: int = 80,
    seed: int = 0,
    steps: dict[int, float] | None = None,
    start: str = START,
    factor: float = 2.0,
) -> pd.DataFrame:
    """Daily raw bars of a stock on weekdays, prices in whole ticks, moves of 1-3 %.

    `steps` maps a session to the step of the factor there; the raw price follows it, in whole ticks, as on a real
    ex-rights day, and the factor is what the exchange's reference close makes it.
    """
    rng, rows, close = np.random.default_rng(seed), [], 20.0
    for session, day in enumerate(pd.bdate_range(start, periods=sessions)):
        reference = round(close / (steps or {}).get(session, 1.0), 2)
        factor *= close / reference
        open_ = round(reference * (1 + rng.normal(0, 0.005)), 2)
        close = round(open_ * (1 + np.clip(rng.normal(0, 0.01), -0.03, 0.03)), 2)
        high, low = round(max(open_, close) + 0.02, 2), round(min(open_, close) - 0.02, 2)
        rows.append((symbol, day, open_, high, low, close, float(rng.integers(10_000, 90_000)) * 100, factor))
    columns = ["symbol", "stamp", "open", "high", "low", "close", "volume", "factor"]
    return pd.DataFrame(rows, columns=columns)


def table(*stocks: pd.DataFrame) -> pd.DataFrame:
    """Stocks put together as the reader of files does: symbol categorical, sorted."""
    rows = pd.concat(stocks, ignore_index=True)
    rows["symbol"] = rows["symbol"].astype("category")
    return rows.sort_values(["symbol", "stamp"], kind="stable", ignore_index=True)


def minutes(symbol: str = "SH600000", days: int = 12, seed: int = 0) -> pd.DataFrame:
    """Six 5-minute bars a day, three before lunch and three after, raw prices in whole ticks, with amounts."""
    rng, rows, price = np.random.default_rng(seed), [], 10.0
    times = [pd.Timedelta(time) for time in ("09:35:00", "09:40:00", "11:30:00", "13:05:00", "14:55:00", "15:00:00")]
    for day in pd.bdate_range(START, periods=days):
        for time in times:
            open_, price = price, round(price * (1 + np.clip(rng.normal(0, 0.003), -0.01, 0.01)), 2)
            high, low, volume = max(open_, price), min(open_, price), float(rng.integers(100, 900))
            rows.append((symbol, day + time, open_, high, low, price, volume, volume * 100 * price))
    return pd.DataFrame(rows, columns=["symbol", "stamp", "open", "high", "low", "close", "volume", "amount"])

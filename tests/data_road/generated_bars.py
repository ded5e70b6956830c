"""Raw bars that are right in every detail, for tests to break one thing at a time, and files of them to import."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from kronos_lab.data.market import Market

PRICES = ["open", "high", "low", "close"]
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


def write_sources(folder: Path) -> Path:
    """Three stocks in `bars.csv`: one suspended for two days, one that splits, one listed late; members, an index."""
    plain, split = stock("SH600000", 60, 1), stock("SZ300001", 60, 2, steps={30: 1.5})
    late = stock("SH688001", 20, 3, start=str(plain["stamp"][40].date()), factor=1.0)
    plain.loc[20:21, PRICES], plain.loc[20:21, "volume"] = plain["close"][19], 0.0
    pd.concat([plain, split, late]).rename(columns={"stamp": "date"}).to_csv(folder / "bars.csv", index=False)
    (folder / "members").mkdir()
    (folder / "members" / "csi300.txt").write_text(
        "SH600000\t2020-01-01\t2022-02-01\nSH600000\t2022-03-01\t2030-01-01\nSZ000002\t2020-01-01\t2030-01-01\n"
        "SZ000003\t2010-01-01\t2011-01-01\n"
    )
    index = stock("SH000300", 70, 4, start="2021-12-21")[["symbol", "stamp", *PRICES]]
    index.to_csv(folder / "index.csv.gz", index=False)
    return folder


def open_files(folder: Path, **options: object) -> "Market":
    """`files_market` of `folder/bars.csv` with the store in `folder/store` and the defaults of `conf/`."""
    from kronos_lab.data.checks import Thresholds
    from kronos_lab.data.ingest import files_market

    defaults: dict[str, object] = {
        "store": folder / "store", "bars": folder / "bars.csv", "memberships": None, "indices": None, "columns": {},
        "prices": "raw", "volume_unit": "shares", "renamed": None, "checks": Thresholds(), "freq": "day",
    }  # fmt: skip
    return files_market(**(defaults | options))

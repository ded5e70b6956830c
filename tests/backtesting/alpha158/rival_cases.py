"""Days, settings and markets that the tests of LightGBM share."""

from pathlib import Path

import numpy as np
import pandas as pd

from kronos_lab.backtesting.alpha158.model import LightGBM
from kronos_lab.backtesting.alpha158.rival import Rival
from kronos_lab.data.market import Market
from kronos_lab.data.split import DateSplit
from kronos_lab.data.store import StoreWriter

UNIVERSE, HORIZON = "csi300", 3
SPLIT = DateSplit(None, "2024-05-31", "2024-06-03", "2024-09-30", "2024-10-01", None)
FIRST, LAST = pd.Timestamp("2024-10-08"), pd.Timestamp("2024-11-08")
# With qlib's penalties nothing is left to learn from a few thousand rows.
SETTINGS = LightGBM(
    learning_rate=0.2,
    num_leaves=15,
    max_depth=4,
    colsample_bytree=0.8,
    lambda_l1=1.0,
    lambda_l2=1.0,
    num_boost_round=30,
    early_stopping_rounds=10,
    num_threads=1,
    seed=5,
)
# Instead of the 158, where it is no matter which they are: these take a tenth of the time.
FEW_FEATURES = (
    ["$close/Ref($close, 1)", "$volume/(Mean($volume, 20)+1e-12)", "Std($close, 10)/$close", "$vwap/$close"],
    ["RETURN", "VOLUME", "STD10", "VWAP0"],
)


def ours_of(market: Market) -> pd.DataFrame:
    """Scores on days of the test part; one in ten rows is missing, as where a lookback is not whole."""
    symbols = market.symbols(UNIVERSE)
    traded = market.wide(["close"], symbols)["close"].notna()
    random = np.random.default_rng(0)
    known = market.member_LN(UNIVERSE, symbols) & traded & (random.random(traded.shape) < 0.9)
    return pd.DataFrame(random.normal(size=traded.shape), traded.index, symbols).where(known).loc[FIRST:LAST]


def rival_of(market: Market, settings: LightGBM = SETTINGS, reuse: bool = True) -> Rival:
    return Rival.before(FIRST, settings, market, UNIVERSE, SPLIT, HORIZON, reuse)


def model_of(market: Market) -> bytes:
    assert market.cache is not None
    (model,) = market.cache.glob("lightgbm-*/model.txt")
    return model.read_bytes()


def redrawn(market: Market, folder: Path, after: pd.Timestamp) -> Market:
    """The same market, with other bars after a day."""
    symbols = market.symbols(UNIVERSE)
    tables = market.wide(["open", "high", "low", "close", "volume", "amount"], symbols)
    with StoreWriter(folder / "store", market.calendar, market.future) as writer:
        for n, symbol in enumerate(symbols):
            bars = pd.DataFrame({field: table[symbol] for field, table in tables.items()}).dropna()
            factor = np.exp(np.random.default_rng(n).normal(0, 0.05, (len(bars), 1)))
            writer.add(symbol, bars.mul(np.where((bars.index > after)[:, None], factor, 1.0)))
        writer.add_spans(UNIVERSE, market.spans(UNIVERSE))
        writer.finish({"name": "redrawn", "indices": []})
    return Market(folder / "store", cache=folder / "cache")


def told_by_volume(folder: Path, strength: float) -> Market:
    """20 stocks whose prices rise over the three bars after a large volume, by `strength` times its logarithm."""
    calendar = pd.bdate_range("2023-07-03", "2025-01-10")
    with StoreWriter(folder / "store", calendar[:-10], calendar[-10:]) as writer:
        for n in range(20):
            random = np.random.default_rng(n)
            volume = random.normal(size=len(calendar))
            told = pd.Series(volume).rolling(HORIZON, min_periods=1).sum().shift(1, fill_value=0.0).to_numpy()
            open_ = 10 * np.exp(np.cumsum(random.normal(0, 0.01, len(calendar)) + strength * told))
            prices = dict.fromkeys(("open", "high", "low", "close"), open_)
            shares = 1e6 * np.exp(0.3 * volume)
            bars = pd.DataFrame({**prices, "volume": shares, "amount": shares * open_}, index=calendar)
            writer.add(f"SH6000{n:02d}", bars.iloc[:-10])
        spans = [(f"SH6000{n:02d}", calendar[0], calendar[-1]) for n in range(20)]
        writer.add_spans(UNIVERSE, pd.DataFrame(spans, columns=["symbol", "start", "end"]))
        writer.finish({"name": "told by volume", "indices": []})
    return Market(folder / "store", cache=folder / "cache")

"""Stocks, settings and scores that ledgers are computed from by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

NAN = float("nan")
SESSIONS = pd.bdate_range("2024-07-01", periods=5)  # Monday to Friday
MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY = SESSIONS
STRATEGY: dict[str, Any] = {
    "topk": 2,
    "n_drop": 1,
    "hold_thresh": 1,
    "risk_degree": 0.95,
    "only_tradable": False,
    "forbid_all_trade_at_limit": False,
}
EXCHANGE: dict[str, Any] = {
    "deal_price": "open",
    "limit_threshold": ["$open >= $limit_up", "$open <= $limit_down"],
    "open_cost": 0.001,
    "close_cost": 0.0015,
    "min_cost": 5.0,
    "stamp_duty": None,
    "trade_unit": 100,
}


def stock(open_: list[float], close: list[float], factor: float = 1.0, **fields: Any) -> pd.DataFrame:
    """Fields of one stock on the first sessions; NaN opens are suspended; no limits unless given."""
    open_L, close_L = np.array(open_, dtype=float), np.array(close, dtype=float)
    frame = pd.DataFrame(
        {
            "open": open_L,
            "high": np.maximum(open_L, close_L),
            "low": np.minimum(open_L, close_L),
            "close": close_L,
            "volume": 1e6,
            "amount": 1e6 * close_L,
            "factor": factor,
            "change": 0.0,
            "limit_up": np.nan,
            "limit_down": np.nan,
        },
        index=SESSIONS[: len(open_)] if len(open_) <= len(SESSIONS) else fields.pop("index"),
    )
    return frame.assign(**fields).dropna(subset="close")


# B has a factor of 2: its adjusted price of 20.25 is 10.125 in the market, and 100 real shares are 50 adjusted ones
FOUR_STOCKS = {
    "A": stock([9, 10, 11, 12, 12], [10, 10.5, 11, 12, 12]),
    "B": stock([20, 20, 20.25, 21, 21], [20, 20, 20, 21, 21], factor=2.0),
    "C": stock([7, 7.75, 8, 8, 8], [7, 7.75, 8, 8, 8], limit_up=[NAN, 7.75, 9, 9, 9]),
    "D": stock([5, 5, 5, 5, 5], [5, 5, 5, 5.25, 5]),
}


def soft_topk(**changes: Any) -> Any:
    from kronos_lab.backtesting.trading.strategies import SoftTopk

    return SoftTopk(**{"topk": 2, "max_sold_weight": 1.0, "risk_degree": 0.95} | changes)


def run(market: Any, scores: pd.DataFrame, account: float = 100_000.0, strategy: Any = None, **changes: Any) -> Any:
    from kronos_lab.backtesting.trading.exchange import ExchangeSettings
    from kronos_lab.backtesting.trading.portfolio import simulate
    from kronos_lab.backtesting.trading.strategies import TopkDropout

    strategy = strategy or TopkDropout(**STRATEGY | {key: changes[key] for key in changes.keys() & STRATEGY.keys()})
    exchange = ExchangeSettings(**EXCHANGE | {key: value for key, value in changes.items() if key in EXCHANGE})
    return simulate(market, scores, strategy, exchange, account)


def scores(days: list[pd.Timestamp], **columns: list[float]) -> pd.DataFrame:
    return pd.DataFrame(columns, index=pd.DatetimeIndex(days))


def as_configured(*overrides: str) -> dict[str, Any]:
    """Settings of the exchange as `python backtest.py` has them."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from kronos_lab.runs.folder import register_resolvers

    register_resolvers()
    with initialize_config_dir(str(Path(__file__).parents[3] / "conf"), version_base="1.3"):
        settings: Any = OmegaConf.to_container(compose("backtest", list(overrides)).exchange)
    return {key: value for key, value in settings.items() if key != "_target_"}

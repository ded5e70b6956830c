"""A backtest of noise on the small market, and what its evenings and mornings are to a list of orders."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from small_market_store import DELISTED, LIMIT_UP_OPEN, SUSPENDED, SYMBOLS

NAMES = SYMBOLS[:12]
SPLITS = SYMBOLS[0]  # pays at position 120 and splits at 260 of the calendar
FIRST, LAST = 250, 350  # positions of the first and the last signal day
STRATEGIES = {
    "topk_dropout": {
        "topk": 5, "n_drop": 2, "hold_thresh": 2, "risk_degree": 0.95, "only_tradable": False,
        "forbid_all_trade_at_limit": False,
    },
    "softtopk": {"topk": 5, "max_sold_weight": 0.05, "risk_degree": 0.95},
}  # fmt: skip


class Traded(NamedTuple):
    market: Any
    score_LN: pd.DataFrame
    strategy: Any
    exchange: Any
    ledger: Any
    factor_LN: pd.DataFrame

    def evening(self, position: int) -> dict[str, Any]:
        """Arguments of `plan_orders` as of the close of a signal day of the simulation."""
        from kronos_lab.backtesting.trading.next_session import next_session

        day = self.market.calendar[position]
        rows = self.ledger.holdings[self.ledger.holdings["date"] == day].set_index("symbol")
        return {
            "market": self.market,
            "score_N": self.score_LN.loc[day],
            "held": pd.DataFrame(
                {
                    "shares": rows["shares"] * self.factor_LN.loc[day, rows.index],
                    "sessions_held": rows["sessions_held"].astype(float),
                }
            ),
            "cash": self.ledger.daily.loc[day, "cash"],
            "strategy": self.strategy,
            "exchange": self.exchange,
            "session": next_session(self.market, day),
        }

    def morning(self, position: int) -> pd.DataFrame:
        """What the simulation did in the session after a signal day, in its order."""
        trades = self.ledger.trades
        return trades[trades["date"] == self.market.calendar[position + 1]].reset_index(drop=True)


def exchange_settings(**changes: Any) -> Any:
    from kronos_lab.backtesting.trading.exchange import ExchangeSettings

    usual: dict[str, Any] = {
        "deal_price": "open",
        "limit_threshold": ("$open >= $limit_up", "$open <= $limit_down"),
        "open_cost": 0.001,
        "close_cost": 0.001,
        "min_cost": 5.0,
        "stamp_duty": {"2023-08-28": 0.0005},
        "trade_unit": 100,
    }
    return ExchangeSettings(**usual | changes)


def trade_noise(market: Any, strategy_name: str) -> Traded:
    """A backtest of noise in which names that something happens to are bought before and sold then."""
    from kronos_lab.backtesting.trading.portfolio import simulate
    from kronos_lab.backtesting.trading.strategies import SoftTopk, TopkDropout

    price = market.wide(["close", "factor"], NAMES)
    noise_LN = np.random.default_rng(3).normal(size=price["close"].shape)
    score_LN = pd.DataFrame(noise_LN, market.calendar, NAMES)
    for symbol, bought, sold in ((SUSPENDED, 320, 329), (DELISTED, 338, 349)):
        score_LN.iloc[bought:sold, NAMES.index(symbol)] = 50.0
        score_LN.iloc[sold:, NAMES.index(symbol)] = -50.0
    for symbol, bought in ((SPLITS, 259), (LIMIT_UP_OPEN, 299)):
        score_LN.iloc[bought - 9 : bought, NAMES.index(symbol)] = -50.0
        score_LN.iloc[bought : bought + 4, NAMES.index(symbol)] = 60.0
    score_LN = score_LN.where(price["close"].notna()).iloc[FIRST : LAST + 1]
    kind = TopkDropout if strategy_name == "topk_dropout" else SoftTopk
    strategy: Any = kind(**STRATEGIES[strategy_name])
    exchange = exchange_settings()
    ledger = simulate(market, score_LN, strategy, exchange, 1e6)
    return Traded(market, score_LN, strategy, exchange, ledger, price["factor"].ffill())


def quotes_of(market: Any, session: pd.Timestamp) -> pd.DataFrame:
    """The true quotes of a session, as an evening's list would have them if it could."""
    fields = ["open", "close", "volume", "factor", "limit_up", "limit_down"]
    table = market.wide(fields, market.symbols("all"), session, session)
    today = {field: frame.loc[session] for field, frame in table.items()}
    quotes = pd.DataFrame({"price": today["open"], **{name: today[name] for name in ("close", "volume", "factor")}})
    limits = {
        "cannot_buy": today["open"] >= today["limit_up"],
        "cannot_sell": today["open"] <= today["limit_down"],
    }
    return quotes.assign(**limits)[today["close"].notna()]

"""What qlib's exchange trades at, as arrays: many portfolios look at the same prices.

L sessions, N symbols. Prices are adjusted, in currency per share.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from kronos_lab.backtesting.trading.exchange import ExchangeSettings
from kronos_lab.backtesting.trading.lots import Lot, lot_of


@dataclass(frozen=True)
class Quotes:
    """Prices, and what can be traded at them.

    Attributes:
        sessions: that are traded, [L].
        deal_LN: price of an order; NaN on suspension.
        close_LN: price of a holding at the close: the last one known, NaN before the first.
        factor_LN: adjusted price over the market's own, NaN on suspension.
        lot_N: what a purchase has to be of; None where any fraction of a share is traded.
        buyable_LN: whether the name can be bought at `deal_LN`: neither suspended nor at its limit.
        sellable_LN: whether it can be sold.
        duty_L: stamp duty of a sale, fraction of its value.
        open_cost: fee of buying, fraction of the value.
        close_cost: fee of selling, stamp duty not included, fraction of the value.
        min_cost: smallest fee of an order, in currency.
    """

    sessions: pd.DatetimeIndex
    deal_LN: np.ndarray
    close_LN: np.ndarray
    factor_LN: np.ndarray
    lot_N: Sequence[Lot] | None
    buyable_LN: np.ndarray
    sellable_LN: np.ndarray
    duty_L: np.ndarray
    open_cost: float
    close_cost: float
    min_cost: float


def read_quotes(settings: ExchangeSettings, symbols: Sequence[str], sessions: pd.DatetimeIndex) -> Quotes:
    """Quotes as the exchange of these settings has them; qlib must serve the market already.

    It is qlib that evaluates the limits, so that a name can be traded here when it can be there.

    Args:
        settings: of the exchange.
        symbols: [N], the order of the columns.
        sessions: that are traded.
    """
    exchange = settings.qlib_exchange(sorted(symbols), sessions[0], sessions[-1])
    table = exchange.quote_df

    def wide(column: str) -> pd.DataFrame:
        return table[column].unstack("instrument").reindex(index=sessions, columns=pd.Index(symbols))

    close_LN = wide("$close").to_numpy(np.float64)
    deal_LN = wide(exchange.buy_price).to_numpy(np.float64)
    deal_LN = np.where(deal_LN > 1e-8, deal_LN, close_LN)  # as qlib does where a price is missing
    traded_LN = np.isfinite(close_LN)
    unit = None if exchange.trade_w_adj_price else settings.trade_unit  # qlib knows no lots without factors

    def can(limit: str) -> np.ndarray:
        return traded_LN & wide(limit).eq(False).to_numpy()

    return Quotes(
        sessions=sessions,
        deal_LN=np.where(traded_LN, deal_LN, np.nan),
        close_LN=pd.DataFrame(close_LN).ffill().to_numpy(),
        factor_LN=wide("$factor").to_numpy(np.float64),
        lot_N=None if unit is None else [lot_of(symbol, unit) for symbol in symbols],
        buyable_LN=can("limit_buy"),
        sellable_LN=can("limit_sell"),
        duty_L=np.array([exchange.stamp_duty(session) for session in sessions]),
        open_cost=settings.open_cost,
        close_cost=settings.close_cost,
        min_cost=settings.min_cost,
    )

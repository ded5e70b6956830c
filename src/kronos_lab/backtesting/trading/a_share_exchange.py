"""qlib's exchange with what it does not know of A-shares: a stamp duty by date, and lots that depend on the board."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from qlib.backtest.decision import Order
from qlib.backtest.exchange import Exchange

from kronos_lab.backtesting.trading.lots import BY_BOARD, LOT_SLACK, Lot, TradeUnit, in_lots, lot_of

WHOLE_SHARES = 1  # qlib's unit where it asks without saying of which name: the order itself is rounded by its board


class AShareExchange(Exchange):
    """qlib's costs are the same on all days, and its lots of all names; without either rule it is qlib's.

    The duty is a tax of the value sold, in addition to qlib's costs: the smallest fee of an order is the broker's and
    does not cover it.

    Args:
        rate_since: stamp duty, fraction of the value sold, by the first day it applies; None: none.
        trade_unit: shares of a lot for all names, or by board (see `lots`); None: any fraction of a share.
        arguments: of qlib's `Exchange`.
    """

    def __init__(self, rate_since: Mapping[str, float] | None, trade_unit: TradeUnit | None, **arguments: Any) -> None:
        self._by_board = trade_unit == BY_BOARD
        super().__init__(trade_unit=WHOLE_SHARES if self._by_board else trade_unit, **arguments)
        rates = rate_since or {}
        self._rate = pd.Series(list(rates.values()), pd.DatetimeIndex(list(rates)), dtype=float).sort_index()

    def stamp_duty(self, session: pd.Timestamp) -> Any:
        """Fraction of the value that a sale of this session pays, float."""
        return self._rate.asof(session) if len(self._rate) else 0.0

    def generate_order_for_target_amount_position(
        self, target_position: dict, current_position: dict, start_time: pd.Timestamp, end_time: pd.Timestamp
    ) -> list[Order]:
        """Qlib's orders, without those of less than the board takes; see qlib's `Exchange`."""
        orders = super().generate_order_for_target_amount_position(
            target_position, current_position, start_time, end_time
        )
        return [order for order in orders if self._is_taken(order, current_position.get(order.stock_id, 0.0))]

    def _is_taken(self, order: Order, held: float) -> bool:
        lot = self._lot(order.stock_id)
        if lot is None or (order.direction == Order.SELL and np.isclose(order.amount, held)):
            return True
        factor = self.get_factor(order.stock_id, order.start_time, order.end_time)
        return bool(in_lots(np.asarray(order.amount * factor), *lot) > 0)

    def _lot(self, symbol: str) -> Lot | None:
        """What qlib is to be told of the lots of this name; None: nothing (without factors it knows no lots)."""
        return lot_of(symbol, BY_BOARD) if self._by_board and not self.trade_w_adj_price else None

    def _calc_trade_info_by_order(
        self, order: Order, position: Any, dealt_order_amount: dict[str, float]
    ) -> tuple[float, float, float]:
        lot = self._lot(order.stock_id)
        if lot is None:
            price, value, cost = super()._calc_trade_info_by_order(order, position, dealt_order_amount)
        else:
            self.trade_unit = lot.step
            price, value, cost = super()._calc_trade_info_by_order(order, position, dealt_order_amount)
            self.trade_unit = WHOLE_SHARES
            too_few = order.deal_amount * order.factor + LOT_SLACK < lot.least
            if too_few and not _sells_all(order, position):
                order.deal_amount, value, cost = 0.0, 0.0, 0.0
        if order.direction == Order.SELL:
            cost += value * self.stamp_duty(order.start_time)
        return price, value, cost


def _sells_all(order: Order, position: Any) -> bool:
    """Whether an order that has been clipped sells whatever there is of its name."""
    if order.direction != Order.SELL or position is None:
        return order.direction == Order.SELL
    return bool(np.isclose(order.deal_amount, position.get_stock_amount(order.stock_id)))

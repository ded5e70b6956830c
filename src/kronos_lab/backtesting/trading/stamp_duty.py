"""qlib's exchange with a stamp duty on sales, whose rate depends on the date."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from qlib.backtest.decision import Order
from qlib.backtest.exchange import Exchange


class StampDutyExchange(Exchange):
    """qlib's costs are the same on all days; here a sale pays the duty of its day in addition to them.

    The duty is a tax of the value sold: the smallest fee of an order is the broker's and does not cover it.

    Args:
        rate_since: fraction of the value sold, by the first day it applies.
        arguments: of qlib's `Exchange`.
    """

    def __init__(self, rate_since: Mapping[str, float], **arguments: Any) -> None:
        super().__init__(**arguments)
        self._rate = pd.Series(list(rate_since.values()), pd.DatetimeIndex(list(rate_since))).sort_index()

    def stamp_duty(self, session: pd.Timestamp) -> Any:
        """Fraction of the value that a sale of this session pays, float."""
        return self._rate.asof(session)

    def _calc_trade_info_by_order(
        self, order: Order, position: Any, dealt_order_amount: dict[str, float]
    ) -> tuple[float, float, float]:
        price, value, cost = super()._calc_trade_info_by_order(order, position, dealt_order_amount)
        if order.direction == Order.SELL:
            cost += value * self.stamp_duty(order.start_time)
        return price, value, cost

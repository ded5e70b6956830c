"""The rule of qlib's SoftTopkStrategy on qlib's `WeightStrategyBase`."""

from typing import Any

import pandas as pd
from qlib.backtest.position import Position
from qlib.contrib.strategy import WeightStrategyBase


class SoftTopkStrategy(WeightStrategyBase):
    """Sells what is no longer among the best names, and fills the best ones up to equal weight, best first.

    qlib 0.9.7's class of this name cannot be constructed (its base class takes no positional arguments), fills names
    in the order of a set of strings, which changes from process to process, reckons with the weights among the stocks
    alone, so that whatever could be bought on the first day becomes the whole portfolio, and has an order generator
    that sells everything, at a cost of NaN, while one holding is suspended. Orders are made by the base class's own
    generator, which sizes them with the close of the signal day.

    Args:
        signal: scores, indexed by (datetime, instrument).
        topk: names to hold.
        max_sold_weight: most that is sold of one name per day, fraction of what is invested.
        risk_degree: share of the account that is invested.
    """

    def __init__(self, *, signal: pd.Series, topk: int, max_sold_weight: float, risk_degree: float) -> None:
        super().__init__(signal=signal, risk_degree=risk_degree)
        self.topk = topk
        self.max_sold_weight = max_sold_weight

    def generate_target_weight_position(
        self, score: pd.Series, current: Position, trade_start_time: Any, trade_end_time: Any
    ) -> dict[str, float]:
        """Target weights by symbol, fractions of what is invested; see qlib's base class."""
        best = list(score.nlargest(self.topk).index)
        weights = {symbol: share / self.risk_degree for symbol, share in current.get_stock_weight_dict().items()}
        for symbol in weights.keys() - set(best):
            weights[symbol] = max(weights[symbol] - self.max_sold_weight, 0.0)
        spare = 1 - sum(weights.values())
        for symbol in best:
            filled = max(min(1 / self.topk - weights.get(symbol, 0.0), spare), 0.0)
            weights[symbol] = weights.get(symbol, 0.0) + filled
            spare -= filled
        return weights

"""The books of many portfolios at once, by the rules of qlib's exchange.

R portfolios, N symbols, L sessions. What one portfolio does here it does in qlib too: a test holds the two together.
"""

import numpy as np

from kronos_lab.backtesting.trading.lots import in_lots
from kronos_lab.backtesting.trading.quotes import Quotes

LEAST_VALUE = 1e-5  # qlib books nothing smaller, in currency


class Accounts:
    """R portfolios that begin with the same cash.

    Args:
        quotes: what they trade at.
        portfolios: R.
        cash: to begin with, in currency.

    Attributes:
        cash_R: in currency.
        shares_RN: adjusted shares held.
        value_LR: cash and holdings at each close, in currency; NaN for sessions still to come.
        turnover_LR: bought plus sold value of each session, in currency.
    """

    def __init__(self, quotes: Quotes, portfolios: int, cash: float) -> None:
        sessions, symbols = quotes.deal_LN.shape
        self.quotes = quotes
        self.cash_R = np.full(portfolios, float(cash))
        self.shares_RN = np.zeros((portfolios, symbols))
        self.value_LR = np.full((sessions, portfolios), np.nan)
        self.turnover_LR = np.zeros((sessions, portfolios))

    def worth(self, session: int) -> np.ndarray:
        """Cash and holdings at the prices of a session's orders, [R]; suspended names at their last close."""
        quotes = self.quotes
        price_N = np.where(np.isfinite(quotes.deal_LN[session]), quotes.deal_LN[session], quotes.close_LN[session])
        return self.cash_R + self.shares_RN @ np.nan_to_num(price_N)

    def sell(self, session: int, sold_RN: np.ndarray) -> None:
        """Sell whole holdings, as far as the names can be sold.

        Args:
            session: row of the quotes.
            sold_RN: which, bool.
        """
        quotes = self.quotes
        shares_RN = np.where(sold_RN & quotes.sellable_LN[session], self.shares_RN, 0.0)
        value_RN = self._value(session, shares_RN)
        cost_RN = self._fee(value_RN, quotes.close_cost) + value_RN * quotes.duty_L[session]
        self.shares_RN -= shares_RN
        self.cash_R += (value_RN - cost_RN).sum(axis=1)
        self.turnover_LR[session] += value_RN.sum(axis=1)

    def buy(self, session: int, spent_RN: np.ndarray) -> None:
        """Buy for so much, costs not included, in whole lots, as far as the names can be bought.

        Args:
            session: row of the quotes.
            spent_RN: currency per name, 0 where nothing is bought; with costs no more than the cash there is.
        """
        quotes = self.quotes
        spent_RN = np.where(quotes.buyable_LN[session], spent_RN, 0.0)
        shares_RN = self._in_lots(session, spent_RN / self._price(session))
        value_RN = self._value(session, shares_RN)
        shares_RN = np.where(value_RN > 0, shares_RN, 0.0)
        self.shares_RN += shares_RN
        self.cash_R -= (value_RN + self._fee(value_RN, quotes.open_cost)).sum(axis=1)
        self.turnover_LR[session] += value_RN.sum(axis=1)

    def close(self, session: int) -> None:
        """Value the accounts at the close."""
        close_N = np.nan_to_num(self.quotes.close_LN[session])  # no close yet: not held
        self.value_LR[session] = self.cash_R + self.shares_RN @ close_N

    def _price(self, session: int) -> np.ndarray:
        """[N], 1 where nothing is traded."""
        deal_N = self.quotes.deal_LN[session]
        return np.where(np.isfinite(deal_N), deal_N, 1.0)

    def _value(self, session: int, shares_RN: np.ndarray) -> np.ndarray:
        value_RN = shares_RN * self._price(session)
        return np.where(value_RN > LEAST_VALUE, value_RN, 0.0)

    def _fee(self, value_RN: np.ndarray, rate: float) -> np.ndarray:
        return np.where(value_RN > 0, np.maximum(value_RN * rate, self.quotes.min_cost), 0.0)

    def _in_lots(self, session: int, shares_RN: np.ndarray) -> np.ndarray:
        """What can be bought of so many adjusted shares."""
        if self.quotes.lot_N is None:
            return shares_RN
        factor_N = self.quotes.factor_LN[session]
        factor_N = np.where(np.isfinite(factor_N), factor_N, 1.0)  # suspended: nothing is bought
        least_N, step_N = np.array(self.quotes.lot_N).T
        return in_lots(shares_RN * factor_N, least_N, step_N) / factor_N

"""The orders a rule gives for the next session: what its simulation would do, with the reason of each.

The simulation is qlib's, as of a backtest, through one session: see `next_session` for what is assumed of it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from kronos_lab.backtesting.trading.exchange import ExchangeSettings
from kronos_lab.backtesting.trading.lots import BY_BOARD, LOT_SLACK, lot_of
from kronos_lab.backtesting.trading.next_session import (
    Names,
    NextSession,
    expected_quotes,
    limits_of_next_session,
    names_on,
    trade_next_session,
    unhindered_quotes,
)
from kronos_lab.backtesting.trading.qlib_trader import SMALLEST_VALUE, Fill
from kronos_lab.backtesting.trading.strategies import Strategy, TopkDropout
from kronos_lab.data.limits import board_of
from kronos_lab.data.market import Market

if TYPE_CHECKING:
    from qlib.backtest.position import Position

BUY, SELL, NONE = "buy", "sell", "none"
ORDER_COLUMNS = [
    "symbol", "side", "shares", "reference_price", "value", "cost", "limit_up", "limit_down", "reason",
]  # fmt: skip


@dataclass(frozen=True)
class OrderList:
    """What to do in the next session, and what is held then if all of it is done at the reference prices.

    Shares are as the market counts them, prices in currency per share, neither adjusted.

    Attributes:
        session: the signal day and the session its orders are for.
        orders: symbol, side (buy, sell; none: would be traded but cannot be), shares, reference_price (the last close),
            value, cost (fees and stamp duty, estimated), limit_up and limit_down of the session, reason. Sales come
            first, in the order of the simulation.
        target: symbol, weight (fraction of the account), shares, value, score and rank (1 is best; empty without one)
            of what is held afterwards, largest first.
        cash_before: before the session, in currency.
        cash_after: after it.
        account: cash and holdings before it, at the last closes.
    """

    session: NextSession
    orders: pd.DataFrame
    target: pd.DataFrame
    cash_before: float
    cash_after: float
    account: float


def plan_orders(
    market: Market,
    score_N: pd.Series,
    held: pd.DataFrame,
    cash: float,
    strategy: Strategy,
    exchange: ExchangeSettings,
    session: NextSession,
    quotes: pd.DataFrame | None = None,
) -> OrderList:
    """The orders of a rule for the session after a signal day.

    Args:
        market: daily market the scores belong to.
        score_N: scores of the signal day by symbol; higher is better, NaN is no opinion.
        held: what is held at the close of that day, see `read_holdings`.
        cash: what can be spent besides, in currency.
        strategy: what to hold.
        exchange: what can be traded, and at what cost.
        session: the signal day and the session after it.
        quotes: of that session, see `ExchangeSettings.extra_quote`; None: what is assumed of it the evening before.

    Raises:
        InputError: the rule cannot begin from what is held, or the stamp duty of the session is not known.
    """
    exchange.check_dates(session.stamp)
    strategy.check_held(len(held))
    score_N = score_N.dropna().astype(np.float64)
    market.serve_qlib()
    names = names_on(market, sorted({*score_N.index, *held.index}), session.day)
    quotes = expected_quotes(names) if quotes is None else quotes
    account = _account(names, held, cash)
    done = trade_next_session(score_N, account, strategy, exchange, session, quotes)
    rank_N = score_N.rank(ascending=False, method="min")
    words = _Reasons(names, rank_N, held, session.day, strategy, exchange, done.limited)
    rows = [_order(names, fill, words.of(fill)) for fill in done.fills]

    if words.hinders():  # what would it do besides, if nothing were suspended, at a limit, or bought too lately?
        free = _account(names, held.assign(sessions_held=np.inf), cash)
        without_limits = replace(exchange, limit_threshold=None)
        wished = trade_next_session(score_N, free, strategy, without_limits, session, unhindered_quotes(names))
        ordered = {order.stock_id for order, *_ in done.fills}
        for order in (order for order, *_ in wished.fills if order.stock_id not in ordered):
            hindrance = words.hindrance(order)
            if hindrance:
                rows.append(_order(names, (order, 0.0, 0.0, names.close_N[order.stock_id]), hindrance))

    orders = pd.DataFrame(rows, columns=[name for name in ORDER_COLUMNS if not name.startswith("limit_")])
    for column, limits in zip(("limit_up", "limit_down"), _limits(names, orders["symbol"], session), strict=True):
        orders[column] = limits
    target = _target(names, done.position, score_N, rank_N)
    before = cash + float((held["shares"] / names.factor_N[held.index] * names.close_N[held.index]).sum())
    return OrderList(session, orders[ORDER_COLUMNS], target, cash, float(done.position.get_cash()), before)


def _account(names: Names, held: pd.DataFrame, cash: float) -> Mapping[str, Any]:
    """Cash and holdings as qlib's `Position` takes them, in adjusted shares."""
    return {
        "cash": cash,
        **{
            symbol: {
                "amount": shares / names.factor_N[symbol],
                "price": names.close_N[symbol],
                "count_day": sessions_held,
            }
            for symbol, shares, sessions_held in held[["shares", "sessions_held"]].itertuples()
        },
    }


def _order(names: Names, fill: Fill, reason: str) -> dict[str, Any]:
    order, value, cost, price = fill
    symbol = order.stock_id
    done = value > SMALLEST_VALUE
    return {
        "symbol": symbol,
        "side": order.direction.name.lower() if done else NONE,
        "shares": _shares(order.deal_amount * names.factor_N[symbol]) if done else 0.0,
        "reference_price": names.price(symbol, price),
        "value": float(value),
        "cost": float(cost),
        "reason": reason,
    }


def _shares(shares: float) -> float:
    """Without the last bits of a division by the factor and a multiplication by it."""
    return round(float(shares), 6)


def _limits(names: Names, symbols: pd.Series, session: NextSession) -> tuple[list[float], list[float]]:
    limits = [limits_of_next_session(names, symbol, session) for symbol in symbols]
    return [up for up, _ in limits], [down for _, down in limits]


def _target(names: Names, position: "Position", score_N: pd.Series, rank_N: pd.Series) -> pd.DataFrame:
    symbols = position.get_stock_list()
    account = position.calculate_value()
    value = [position.get_stock_amount(symbol) * position.get_stock_price(symbol) for symbol in symbols]
    table = pd.DataFrame(
        {
            "symbol": symbols,
            "weight": [one / account for one in value],
            "shares": [_shares(position.get_stock_amount(symbol) * names.factor_N[symbol]) for symbol in symbols],
            "value": value,
            "score": score_N.reindex(symbols).to_numpy(),
            "rank": rank_N.reindex(symbols).astype("Int64").array,
        }
    )
    return table.sort_values(["value", "symbol"], ascending=[False, True], ignore_index=True)


@dataclass(frozen=True)
class _Reasons:
    """Why a name is traded, or is not, in words."""

    names: Names
    rank_N: pd.Series
    held: pd.DataFrame
    day: pd.Timestamp
    strategy: Strategy
    exchange: ExchangeSettings
    limited: set[str]

    def of(self, fill: Fill) -> str:
        """Of an order that is given, or is of less than a lot."""
        order, value, *_ = fill
        symbol = order.stock_id
        if order.direction.name.lower() == SELL:
            held = self.held["shares"][symbol] / self.names.factor_N[symbol]
            part = "" if np.isclose(order.deal_amount, held) else ", sold step by step"
            late = "; closed at its lower limit, may find no buyer" * bool(self.names.at_limit_down_N[symbol])
            return f"{self._rank(symbol)}: no longer among the best{part}{late}"
        what = "filled up" if symbol in self.held.index else "among the best"
        if value <= SMALLEST_VALUE:
            return f"{self._rank(symbol)}: among the best, but its part of the cash buys no {self._least(symbol)}"
        late = "; closed at its upper limit, may not be for sale" * bool(self.names.at_limit_up_N[symbol])
        return f"{self._rank(symbol)}: {what}{late}{self._too_few(order)}"

    def _too_few(self, order: Any) -> str:
        """Of a purchase that its board does not take, however the lots are set."""
        least = lot_of(order.stock_id, BY_BOARD).least
        few = order.deal_amount * self.names.factor_N[order.stock_id] + LOT_SLACK < least
        return f"; the exchange takes no order of less than {least} shares" * bool(few and board_of(order.stock_id))

    def _least(self, symbol: str) -> str:
        """The least that can be bought of a name."""
        if self.exchange.trade_unit is None:
            return "share"
        lot = lot_of(symbol, self.exchange.trade_unit)
        return f"lot of {lot.step} shares" if lot.step == lot.least else f"{lot.least} shares, the least on its board"

    def hinders(self) -> bool:
        """Whether anything can stand in the way of a trade."""
        lately = self.held["sessions_held"] < self._least_sessions
        return bool(self.limited or lately.any() or not self.names.traded_N[self.held.index].all())

    @property
    def _least_sessions(self) -> int:
        return self.strategy.hold_thresh if isinstance(self.strategy, TopkDropout) else 0

    def hindrance(self, order: Any) -> str | None:
        """Of an order that is not given; None where another is given in its place."""
        symbol, day = order.stock_id, f"{self.day:%Y-%m-%d}"
        if order.direction.name.lower() == BUY and symbol not in self.limited:
            return None
        if order.direction.name.lower() == BUY:
            return f"{self._rank(symbol)}: among the best, but not for sale at the open of {day}: not bought"
        if not self.names.traded_N[symbol]:
            return f"{self._rank(symbol)}: no longer among the best, but suspended on {day}: not sold"
        least, was = self._least_sessions, float(self.held["sessions_held"][symbol])
        if was >= least:
            return None
        lately = f"held for {was:g} session{'s' * (was != 1)}: sold no earlier than {least} sessions after purchase"
        return f"{self._rank(symbol)}: no longer among the best, but {lately}"

    def _rank(self, symbol: str) -> str:
        if symbol not in self.rank_N.index:
            return f"no score on {self.day:%Y-%m-%d}"
        return f"rank {self.rank_N[symbol]:.0f} of {len(self.rank_N)}"

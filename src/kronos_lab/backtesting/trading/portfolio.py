"""Trade a score day by day with qlib's strategy, executor and exchange, and keep the ledger.

The scores of day t are traded at the open of the next session: a name bought there earns from that open on.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from kronos_lab.backtesting.trading.exchange import ExchangeSettings
from kronos_lab.backtesting.trading.qlib_trader import SMALLEST_VALUE, Fill, quiet_qlib, strategy_and_executor
from kronos_lab.backtesting.trading.strategies import Strategy
from kronos_lab.data.market import Market
from kronos_lab.data.settings import positive_number
from kronos_lab.errors import InputError

if TYPE_CHECKING:
    from qlib.backtest.exchange import Exchange
    from qlib.backtest.executor import BaseExecutor
    from qlib.strategy.base import BaseStrategy

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ledger:
    """What the portfolio did. Shares and prices are adjusted; unadjusted shares are shares · factor.

    Attributes:
        daily: per session: account (cash + holdings at the close, currency), cash, holdings, names held,
            gross_return and net_return (before and after cost, fractions of the account of the day before),
            cost and turnover (bought plus sold value), both fractions of that account too.
        holdings: one row per session and name held at its close: date, symbol, shares, close, value, weight,
            sessions_held. A suspended name keeps its last close.
        trades: one row per fill: date, symbol, side, shares, price, factor, value, cost, participation (value over
            what the market traded of that name that day, a fraction; NaN where that amount is unknown).
    """

    daily: pd.DataFrame
    holdings: pd.DataFrame
    trades: pd.DataFrame


def simulate(
    market: Market,
    score_LN: pd.DataFrame,
    strategy: Strategy,
    exchange: ExchangeSettings,
    account: float,
    quoted: "Exchange | None" = None,
) -> Ledger:
    """Trade the scores, from the session after the first signal day to the one after the last, if it has bars.

    Args:
        market: daily market the scores belong to.
        score_LN: scores, rows are signal days; higher is better, NaN is no opinion.
        strategy: what to hold.
        exchange: what can be traded, and at what cost.
        account: cash to begin with, in currency.
        quoted: what `quoted_exchange` gave for these names and days; None: their quotes are read here.

    Raises:
        InputError: no cash, or see `check_tradable`.
    """
    positive_number("backtest.account", account)
    check_tradable(market, score_LN.notna().sum(axis=1), strategy, exchange)
    sessions = trading_sessions(market, pd.DatetimeIndex(score_LN.index))
    if quoted is None:
        quoted = quoted_exchange(market, [score_LN], exchange)
    with quiet_qlib():
        trader, executor = strategy_and_executor(score_LN, strategy, quoted, account, sessions)
        fills = [fill for step in _steps(trader, executor, sessions) for fill in step]
        daily, positions = executor.trade_account.get_portfolio_metrics()
    trades = _trades(fills)
    trades["participation"] = trades["value"] / _amounts(market, trades)
    return Ledger(_daily(daily, positions), _holdings(positions), trades)


def quoted_exchange(market: Market, scores: Sequence[pd.DataFrame], exchange: ExchangeSettings) -> "Exchange":
    """Qlib's exchange with its quotes of all names and days that these scores are traded on; reading them takes time.

    Raises:
        InputError: there is no session to trade on.
    """
    symbols = sorted({symbol for score_LN in scores for symbol in score_LN.columns})
    first = min(score_LN.index[0] for score_LN in scores)
    last = max(trading_sessions(market, pd.DatetimeIndex(score_LN.index))[-1] for score_LN in scores)
    market.serve_qlib()
    with quiet_qlib():
        return exchange.qlib_exchange(symbols, first, last)


def check_tradable(market: Market, scored_L: pd.Series, strategy: Strategy, exchange: ExchangeSettings) -> None:
    """Refuse what cannot be traded; worth asking before the forecasts are made.

    Args:
        market: the market to trade in.
        scored_L: number of names scored on each signal day.
        strategy: what to hold.
        exchange: what can be traded.

    Raises:
        InputError: see `check_rules`; no session, a stamp duty that begins later.
    """
    check_rules(market, scored_L, strategy, exchange)
    exchange.check_dates(trading_sessions(market, pd.DatetimeIndex(scored_L.index))[0])


def check_rules(market: Market, scored_L: pd.Series, strategy: Strategy, exchange: ExchangeSettings) -> None:
    """Refuse what cannot be traded on any day; see `check_tradable`.

    Raises:
        InputError: bars that are not daily, more names wanted than scored, limits qlib cannot read, fields the market
            lacks.
    """
    if market.freq != "day":
        raise InputError(f"market {market.name} has {market.freq} bars: portfolios are traded on daily bars only")
    if strategy.topk > scored_L.max():
        raise InputError(
            f"strategy.topk={strategy.topk} is more than the names scored on any day ({scored_L.max()}): choose a "
            "strategy.topk well below"
        )
    missing = sorted(field for field in exchange.fields() if not market.has_field(field))
    if missing:
        raise InputError(
            f"market {market.name} has no {', '.join(missing)}, which exchange.limit_threshold and deal_price ask for: "
            "exchange.limit_threshold=null trades without limits"
        )
    _check_expressions(market, exchange)


def trading_sessions(market: Market, signal_days: pd.DatetimeIndex) -> pd.DatetimeIndex:
    """Sessions that signals are traded on: from the one after the first signal day to the one after the last."""
    known = market.calendar
    if not len(market.future):
        known = known[:-1]  # qlib asks its calendar for the end of a session, which is the beginning of the next
        log.warning("market %s has no calendar of future days: its last session is not traded", market.name)
    first = int(known.searchsorted(signal_days[0])) + 1
    last = min(int(known.searchsorted(signal_days[-1])) + 1, len(known) - 1)
    if first > last:
        raise InputError(
            f"no session to trade on after the first signal day, {signal_days[0]:%Y-%m-%d}: "
            "choose an earlier backtest.start"
        )
    return known[first : last + 1]


def _check_expressions(market: Market, exchange: ExchangeSettings) -> None:
    """Have qlib read the limits now: it would otherwise do so when the forecasts have been made."""
    if not isinstance(exchange.limit_threshold, tuple):
        return
    market.serve_qlib()
    from qlib.data.data import ExpressionD

    for limit in exchange.limit_threshold:
        try:
            ExpressionD.get_expression_instance(limit)
        except Exception as error:  # qlib evaluates the text: anything can come of it
            raise InputError(f"exchange.limit_threshold: qlib cannot read {limit!r} ({error})") from error


def _steps(strategy: "BaseStrategy", executor: "BaseExecutor", sessions: pd.DatetimeIndex) -> Iterator[list[Fill]]:
    """Run qlib's backtest loop; each session yields its fills: (order, value, cost, price)."""
    from rich.progress import Progress

    executor.reset(start_time=sessions[0], end_time=sessions[-1])
    strategy.reset(level_infra=executor.get_level_infra())
    result = None
    with Progress(transient=True) as progress:
        for _ in progress.track(sessions, description="trading"):
            decision = strategy.generate_trade_decision(result)
            result = executor.execute(decision)
            strategy.post_exe_step(result)
            yield result


def _daily(metrics: pd.DataFrame, positions: dict[pd.Timestamp, Any]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "account": metrics["account"],
            "cash": metrics["cash"],
            "holdings": metrics["value"],
            "names": [len(positions[day].get_stock_list()) for day in metrics.index],
            "gross_return": metrics["return"],
            "net_return": metrics["return"] - metrics["cost"],
            "cost": metrics["cost"],
            "turnover": metrics["turnover"],
        }
    ).rename_axis("date")


def _holdings(positions: dict[pd.Timestamp, Any]) -> pd.DataFrame:
    rows = (
        (day, symbol, stock["amount"], stock["price"], stock["amount"] * stock["price"], stock["weight"],
         stock["count_day"])
        for day, position in positions.items()
        for symbol, stock in ((symbol, position.position[symbol]) for symbol in position.get_stock_list())
    )  # fmt: skip
    columns = ["date", "symbol", "shares", "close", "value", "weight", "sessions_held"]
    return pd.DataFrame(rows, columns=columns)


def _trades(fills: Iterable[Fill]) -> pd.DataFrame:
    rows = (
        (order.start_time, order.stock_id, order.direction.name.lower(), order.deal_amount, price, order.factor,
         value, cost)
        for order, value, cost, price in fills
        if value > SMALLEST_VALUE
    )  # fmt: skip
    columns = ["date", "symbol", "side", "shares", "price", "factor", "value", "cost"]
    return pd.DataFrame(rows, columns=columns)


def _amounts(market: Market, trades: pd.DataFrame) -> pd.Series:
    """What the market traded of each fill's name on its day, in currency; NaN where that is unknown."""
    if trades.empty:
        return pd.Series(float("nan"), index=trades.index)
    days, symbols = pd.DatetimeIndex(trades["date"]), sorted(trades["symbol"].unique())
    amount_LN = market.amounts(symbols, start=days.min(), end=days.max())
    row, column = amount_LN.index.get_indexer(days), amount_LN.columns.get_indexer(pd.Index(trades["symbol"]))
    amount = pd.Series(amount_LN.to_numpy()[row, column], index=trades.index)
    return amount.where(amount > 0)  # a fill on a day without trades: the amount is missing, not 0

"""The session after a signal day, before it has begun: what is assumed of it, and qlib's simulation of it.

What a simulation of the past reads from the store, whether a name trades, opens at its limit, and at what price, nobody
knows the evening before. Assumed is that every name with a bar on the signal day trades at the close of that day,
away from its limits, and that no other name trades.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from kronos_lab.backtesting.trading.exchange import ExchangeSettings
from kronos_lab.backtesting.trading.qlib_trader import Fill, quiet_qlib, strategy_and_executor
from kronos_lab.backtesting.trading.strategies import Strategy
from kronos_lab.data.adjustment import TWO_FLOAT32_ROUNDINGS
from kronos_lab.data.limits import adjusted_limits, raw_from_float32
from kronos_lab.data.market import Market
from kronos_lab.data.split import parse_day
from kronos_lab.errors import InputError

if TYPE_CHECKING:
    from qlib.backtest.position import Position
    from qlib.backtest.utils import TradeCalendarManager


@dataclass(frozen=True)
class NextSession:
    """A signal day and the session its signal is traded on.

    Attributes:
        day: the signal day.
        stamp: the next session.
        after: the one after that, where qlib has the session end.
        known: whether the market's calendar has the session; otherwise it is the next one of the usual weekdays.
    """

    day: pd.Timestamp
    stamp: pd.Timestamp
    after: pd.Timestamp
    known: bool


def signal_day(market: Market, universe: str, day: object = None) -> pd.Timestamp:
    """The day that is scored: the newest with bars and members of the universe, or another session.

    Args:
        market: where bars and members come from.
        universe: whose members count.
        day: as typed; None for the newest.

    Raises:
        InputError: it is no date, later than the newest day, or no session.
    """
    newest = market.newest_day(universe)
    if day is None:
        return newest
    given = parse_day("day", day)
    if given > newest:
        raise InputError(
            f"day={day}: the newest day of market {market.name} with bars and members of {universe} is "
            f"{newest:%Y-%m-%d}"
        )
    sessions = market.calendar.normalize()
    if given not in sessions:
        before = sessions[sessions < given]
        choose = f": the last one before is {before[-1]:%Y-%m-%d}" if len(before) else ""
        raise InputError(f"day={day} is no session of market {market.name}{choose}")
    return given


def next_session(market: Market, day: pd.Timestamp) -> NextSession:
    """The session after a day of the market's calendar, which needs no bars."""
    stamp, after = market.future_stamps(int(market.calendar.searchsorted(day)), 2)
    return NextSession(day, stamp, after, stamp in market.calendar or stamp in market.future)


def session_warnings(session: NextSession, today: pd.Timestamp) -> list[str]:
    """Why the orders may not be for the session that somebody waits for on the evening of `today`."""
    stamp = f"{session.stamp:%Y-%m-%d}"
    found = []
    if not session.known:
        found.append(f"the market has no calendar of future days: the next session is taken to be {stamp}")
    if session.stamp < today:
        found.append(f"the session of these orders, {stamp}, is over: the store lacks the newest bars, update it first")
    return found


@dataclass(frozen=True)
class Names:
    """What bars tell of N names on a day.

    Attributes:
        close_LN: adjusted close of every session up to the day, NaN without a bar.
        factor_LN: adjusted price = price · factor, shares = adjusted shares · factor.
        volume_N: adjusted volume of the day.
        at_limit_up_N: whether the close of the day is the day's upper limit; False where the store has no limits.
        at_limit_down_N: the same of the lower limit.
        st_N: whether the name is known to be under special treatment, which decides on its limits.
    """

    close_LN: pd.DataFrame
    factor_LN: pd.DataFrame
    volume_N: pd.Series
    at_limit_up_N: pd.Series
    at_limit_down_N: pd.Series
    st_N: pd.Series

    @cached_property
    def close_N(self) -> pd.Series:
        """The last close there is, adjusted."""
        return self.close_LN.ffill().iloc[-1]

    @cached_property
    def factor_N(self) -> pd.Series:
        """The factor of the last bar; 1 where the store has none."""
        return self.factor_LN.where(self.close_LN.notna()).ffill().iloc[-1].fillna(1.0)

    @cached_property
    def traded_N(self) -> pd.Series:
        """Whether a name has a bar on the day."""
        return self.close_LN.iloc[-1].notna()

    def price(self, symbol: str, adjusted: float) -> float:
        """A price of that name as the market has it, in currency per share, of an adjusted one."""
        return float(raw_from_float32(np.asarray(adjusted / self.factor_N[symbol]), TWO_FLOAT32_ROUNDINGS))


def names_on(market: Market, symbols: list[str], day: pd.Timestamp) -> Names:
    """What the store has of some symbols up to the end of a day."""
    past = market.wide(["close", *(["factor"] if market.has_field("factor") else [])], symbols, end=day)
    extra = [field for field in ("limit_up", "limit_down", "st") if market.has_field(field)]
    today = {field: frame.iloc[-1] for field, frame in market.wide(["volume", *extra], symbols, day, day).items()}
    close_LN, nowhere = past["close"], pd.Series(np.nan, symbols)
    return Names(
        close_LN,
        past.get("factor", close_LN.where(close_LN.isna(), 1.0)),
        today["volume"],
        close_LN.iloc[-1] >= today.get("limit_up", nowhere),
        close_LN.iloc[-1] <= today.get("limit_down", nowhere),
        today.get("st", nowhere) == 1,
    )


def expected_quotes(names: Names) -> pd.DataFrame:
    """What is assumed of the next session, see the top of this file; columns as of `ExchangeSettings.extra_quote`."""
    return _quotes(names, names.traded_N)


def unhindered_quotes(names: Names) -> pd.DataFrame:
    """The same where names that did not trade on the day do so, at their last close."""
    return _quotes(names, names.close_N.notna())


def _quotes(names: Names, trades_N: pd.Series) -> pd.DataFrame:
    close_N = names.close_N
    quotes = pd.DataFrame({"price": close_N, "close": close_N, "volume": names.volume_N, "factor": names.factor_N})
    return quotes.assign(cannot_buy=False, cannot_sell=False)[trades_N]


def limits_of_next_session(names: Names, symbol: str, session: NextSession) -> tuple[float, float]:
    """Upper and lower limit in currency per share, by the rule of the symbol's board; NaN where there is none.

    Ex-rights of that session are not known the evening before: a name that pays or splits then has other limits, and
    so has one whose special treatment begins or ends.
    """
    close_L = names.close_LN[symbol].dropna()
    factor_L = names.factor_LN[symbol].reindex(close_L.index).fillna(1.0).to_numpy()
    raw_L = raw_from_float32(close_L.to_numpy() / factor_L, TWO_FLOAT32_ROUNDINGS)
    days = pd.DatetimeIndex([*close_L.index, session.stamp])
    listed = close_L.index[0] > names.close_LN.index[0]
    raw_L, factor_L, st = np.r_[raw_L, np.nan], np.r_[factor_L, factor_L[-1]], bool(names.st_N[symbol])
    up, down = adjusted_limits(symbol, days, raw_L, factor_L, bool(listed), st)
    return round(up[-1] / factor_L[-1], 2), round(down[-1] / factor_L[-1], 2)  # yuan, in whole ticks of 0.01


class OneSession(NamedTuple):
    """What the simulation of one session did.

    Attributes:
        fills: qlib's, those of nothing included, in the order they were made.
        position: what is held afterwards, in adjusted shares.
        limited: names that could not be traded at the open of the signal day, which some strategies leave alone.
    """

    fills: list[Fill]
    position: "Position"
    limited: set[str]


def trade_next_session(
    score_N: pd.Series,
    account: Mapping[str, Any],
    strategy: Strategy,
    exchange: ExchangeSettings,
    session: NextSession,
    quotes: pd.DataFrame,
) -> OneSession:
    """What the simulation of a backtest does in that session; the market is to be served by qlib.

    Args:
        score_N: scores of the signal day by symbol.
        account: `cash`, and what is held by symbol as qlib's `Position` takes it: adjusted amount, price, count_day.
        strategy: what to hold.
        exchange: what can be traded, and at what cost.
        session: what is traded.
        quotes: of the session, see `ExchangeSettings.extra_quote`.
    """
    held = account.keys() - {"cash"}
    further = exchange.extra_quote(quotes, session.stamp)
    market = exchange.qlib_exchange(sorted({*score_N.index, *held}), session.day, session.day, further)
    score_LN = score_N.to_frame(session.day).T
    with quiet_qlib():
        sessions = pd.DatetimeIndex([session.stamp])
        trader, executor = strategy_and_executor(score_LN, strategy, market, account, sessions, metrics=False)
        infra = executor.get_level_infra()
        calendar = _calendar_of(session)
        infra.reset_infra(trade_calendar=calendar)
        trader.reset(level_infra=infra)
        signal_day = calendar.get_step_time(0, shift=1)
        limited = {symbol for symbol in score_N.index if not market.is_stock_tradable(symbol, *signal_day)}
        fills = executor.execute(trader.generate_trade_decision())
        return OneSession(fills, executor.trade_account.current_position, limited)


def _calendar_of(session: NextSession) -> "TradeCalendarManager":
    """A calendar of that one session for qlib, whose own ends with the store's."""
    from qlib.backtest.utils import TradeCalendarManager

    class CalendarOfOneSession(TradeCalendarManager):
        def reset(self, freq: str, start_time: Any = None, end_time: Any = None) -> None:
            self.freq, self.start_time, self.end_time = freq, start_time, end_time
            self._calendar = np.array([session.day, session.stamp, session.after])
            self.start_index = self.end_index = 1
            self.trade_len, self.trade_step = 1, 0

    return CalendarOfOneSession("day", session.stamp, session.stamp)

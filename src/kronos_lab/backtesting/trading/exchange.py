"""What a trade costs and when it cannot be made: the settings of qlib's exchange, typed."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from kronos_lab.backtesting.trading.lots import BY_BOARD, TradeUnit
from kronos_lab.data.settings import sound_number, whole_number
from kronos_lab.data.split import parse_day
from kronos_lab.errors import InputError

if TYPE_CHECKING:
    from kronos_lab.backtesting.trading.a_share_exchange import AShareExchange

NEVER = ("$close < 0", "$close < 0")  # qlib reads None as "the limit of the region", 9.5 % for China


@dataclass(frozen=True, kw_only=True)
class ExchangeSettings:
    """Settings of `qlib.backtest.exchange.Exchange`; an unknown one is refused instead of ignored.

    Attributes:
        deal_price: store field orders are filled at, e.g. "open".
        limit_threshold: two qlib expressions, true on days when the stock cannot be bought and cannot be sold;
            they should look at the price one trades at. A number is tested against the day's close-to-close
            change (it looks ahead: the close is not known at the open). None: no limits.
        open_cost: fee of buying, fraction of the traded value.
        close_cost: fee of selling, fraction of the traded value.
        min_cost: smallest fee of one order, in currency.
        stamp_duty: tax on selling, fraction of the traded value by the first day it applies; it comes in addition to
            the fee, the smallest one too. None: no tax.
        trade_unit: shares of a round lot, unadjusted, of every name; "by_board": as its board takes orders, see `lots`;
            None trades any fraction of a share.
    """

    deal_price: str
    limit_threshold: tuple[str, str] | float | None
    open_cost: float
    close_cost: float
    min_cost: float
    stamp_duty: Mapping[str, float] | None
    trade_unit: TradeUnit | None

    def __post_init__(self) -> None:
        if not isinstance(self.deal_price, str):
            raise InputError(f"exchange.deal_price={self.deal_price} is no field of the store: open, close, ...")
        limits = self.limit_threshold
        if isinstance(limits, Sequence) and not isinstance(limits, str):  # YAML has lists, and qlib insists on a tuple
            object.__setattr__(self, "limit_threshold", tuple(limits))
            if len(limits) != 2 or not all(isinstance(limit, str) for limit in limits):
                raise InputError("exchange.limit_threshold needs two expressions: [cannot be bought, cannot be sold]")
        elif limits is not None:
            complaint = "is neither two expressions, [cannot be bought, cannot be sold], nor a fraction, nor null"
            sound_number("exchange.limit_threshold", limits, lambda limit: 0 < limit < 1, complaint)
        for name in ("open_cost", "close_cost"):
            _fraction(f"exchange.{name}", getattr(self, name))
        sound_number("exchange.min_cost", self.min_cost, lambda cost: cost >= 0, "is no fee per order, from 0 on")
        if self.stamp_duty is not None:
            object.__setattr__(self, "stamp_duty", _by_date(self.stamp_duty))
        if isinstance(self.trade_unit, str) and self.trade_unit != BY_BOARD:
            raise InputError(
                f"exchange.trade_unit={self.trade_unit} is neither by_board, nor a number of shares, nor null: no lots"
            )
        if self.trade_unit not in (None, BY_BOARD):
            whole_number("exchange.trade_unit", self.trade_unit, 1)

    def check_dates(self, first: pd.Timestamp) -> None:
        """Refuse a stamp duty that does not say what a sale on the first session traded pays.

        Raises:
            InputError: its first date is later.
        """
        if self.stamp_duty is not None and first < (since := pd.Timestamp(min(self.stamp_duty))):
            raise InputError(
                f"exchange.stamp_duty begins on {since:%Y-%m-%d}, trading on {first:%Y-%m-%d}: add what was paid "
                f"then, +exchange.stamp_duty={{{first:%Y-%m-%d}:0.001}}, or trade without: exchange.stamp_duty=null"
            )

    def fields(self) -> set[str]:
        """Store fields the exchange reads, apart from those every store has."""
        if isinstance(self.limit_threshold, tuple):
            limits = re.findall(r"\$(\w+)", " ".join(self.limit_threshold))
        else:  # without a change no limit would ever be reached
            limits = [] if self.limit_threshold is None else ["change"]
        return {self.deal_price.removeprefix("$"), *limits}

    def qlib_arguments(self) -> dict[str, Any]:
        """Keyword arguments of qlib's `Exchange`; lots by board only `AShareExchange` understands."""
        return {
            "deal_price": self.deal_price,
            "limit_threshold": NEVER if self.limit_threshold is None else self.limit_threshold,
            "open_cost": self.open_cost,
            "close_cost": self.close_cost,
            "min_cost": self.min_cost,
            "trade_unit": self.trade_unit,
        }

    def qlib_exchange(
        self, symbols: list[str], first: pd.Timestamp, last: pd.Timestamp, further: pd.DataFrame | None = None
    ) -> "AShareExchange":
        """The exchange of qlib, with its quotes of some symbols.

        Args:
            symbols: what can be traded.
            first: the first signal day; some strategies size their orders with its close.
            last: the last day whose quotes are read from the store.
            further: quotes of a session that the store does not have, see `extra_quote`; None for none.
        """
        from kronos_lab.backtesting.trading.a_share_exchange import AShareExchange

        arguments = {"freq": "day", "codes": symbols, "start_time": first, "end_time": last, **self.qlib_arguments()}
        if further is not None:
            arguments["extra_quote"] = further
        return AShareExchange(self.stamp_duty, **arguments)

    def extra_quote(self, quotes: pd.DataFrame, session: pd.Timestamp) -> pd.DataFrame:
        """Quotes of one session as qlib's `Exchange` takes them beside those of its store.

        Args:
            quotes: indexed by symbol, adjusted: price (orders are filled at), close, volume, factor, and whether the
                name cannot_buy and cannot_sell; a name that is missing cannot be traded.
            session: the session they are of.
        """
        price = f"${self.deal_price.removeprefix('$')}"
        columns = {
            "$close": quotes["close"],
            "$volume": quotes["volume"],
            "$factor": quotes["factor"],
            price: quotes["price"],
            "limit_buy": quotes["cannot_buy"],
            "limit_sell": quotes["cannot_sell"],
        }
        limits = self.qlib_arguments()["limit_threshold"]
        if isinstance(limits, tuple):  # qlib keeps what it made the two flags of
            columns |= dict.fromkeys(limits, False)
        index = pd.MultiIndex.from_product([quotes.index, [session]], names=["instrument", "datetime"])
        return pd.DataFrame(columns).set_axis(index, axis=0)


def _fraction(key: str, value: object) -> float:
    return sound_number(key, value, lambda cost: 0 <= cost < 1, "is not a fraction: 0.001 means 0.1 %")


def _by_date(table: object) -> dict[str, float]:
    """The stamp duty with its dates in one spelling and in order."""
    if not isinstance(table, Mapping) or not table:
        raise InputError(f"exchange.stamp_duty={table} is no table of rates by date: {{2023-08-28: 0.0005}}, or null")
    rates = {
        f"{parse_day('exchange.stamp_duty', since):%Y-%m-%d}": _fraction(f"exchange.stamp_duty[{since}]", rate)
        for since, rate in table.items()
    }
    if len(rates) < len(table):
        raise InputError(f"exchange.stamp_duty={table} has a date twice")
    return dict(sorted(rates.items()))

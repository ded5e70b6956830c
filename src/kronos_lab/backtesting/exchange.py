"""What a trade costs and when it cannot be made: the settings of qlib's exchange, typed."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kronos_lab.data.settings import sound_number, whole_number
from kronos_lab.errors import InputError

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
        close_cost: fee of selling, stamp duty included, fraction of the traded value.
        min_cost: smallest fee of one order, in currency.
        trade_unit: round lot in unadjusted shares; None trades any fraction of a share.
    """

    deal_price: str
    limit_threshold: tuple[str, str] | float | None
    open_cost: float
    close_cost: float
    min_cost: float
    trade_unit: int | None

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
            complaint = "is not a fraction: 0.001 means 0.1 %"
            sound_number(f"exchange.{name}", getattr(self, name), lambda cost: 0 <= cost < 1, complaint)
        sound_number("exchange.min_cost", self.min_cost, lambda cost: cost >= 0, "is no fee per order, from 0 on")
        if self.trade_unit is not None:  # shares per lot; null: no lots
            whole_number("exchange.trade_unit", self.trade_unit, 1)

    def fields(self) -> set[str]:
        """Store fields the exchange reads, apart from those every store has."""
        if not isinstance(self.limit_threshold, tuple):
            return {self.deal_price.removeprefix("$")}
        words = re.findall(r"\$(\w+)", " ".join(self.limit_threshold))
        return {self.deal_price.removeprefix("$"), *words}

    def qlib_arguments(self) -> dict[str, Any]:
        """Keyword arguments of qlib's `Exchange`."""
        return {
            "deal_price": self.deal_price,
            "limit_threshold": NEVER if self.limit_threshold is None else self.limit_threshold,
            "open_cost": self.open_cost,
            "close_cost": self.close_cost,
            "min_cost": self.min_cost,
            "trade_unit": self.trade_unit,
        }

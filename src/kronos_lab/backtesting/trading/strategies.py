"""What to hold, and how fast to change it: the settings of strategies that qlib trades."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import pandas as pd

from kronos_lab.data.settings import sound_number, switch, whole_number
from kronos_lab.errors import InputError

if TYPE_CHECKING:
    from qlib.strategy.base import BaseStrategy


@dataclass(frozen=True, kw_only=True)
class TopkDropout:
    """Settings of qlib's `TopkDropoutStrategy`: hold the best names, replace a few of the worst each day.

    qlib buys the replacement of a name it wants to sell even where `hold_thresh`, a suspension or a limit keeps that
    name in the portfolio, so somewhat more than `topk` names may be held.

    Attributes:
        topk: names to hold.
        n_drop: names to replace per day at most.
        hold_thresh: sessions a name is held at least; 1 keeps the exchange's rule that what was bought today
            is sold tomorrow at the earliest.
        risk_degree: share of the cash that may be spent.
        only_tradable: pass over names that cannot be traded at the open when choosing what to buy and sell.
        forbid_all_trade_at_limit: do not even sell at the upper limit or buy at the lower one.
    """

    topk: int
    n_drop: int
    hold_thresh: int
    risk_degree: float
    only_tradable: bool
    forbid_all_trade_at_limit: bool

    def __post_init__(self) -> None:
        for name in ("topk", "n_drop", "hold_thresh"):  # hold_thresh: shares bought today cannot be sold today
            whole_number(f"strategy.{name}", getattr(self, name), 1)
        if self.n_drop > self.topk:
            raise InputError(f"strategy.n_drop={self.n_drop} is more than strategy.topk={self.topk}")
        _share("strategy.risk_degree", self.risk_degree, "the cash")
        for name in ("only_tradable", "forbid_all_trade_at_limit"):
            switch(f"strategy.{name}", getattr(self, name))

    def check_held(self, names: int) -> None:
        """Refuse what the rule cannot begin from.

        Of more than `topk + n_drop` names it sells n_drop and, as its counts turn negative, buys nearly all others.

        Raises:
            InputError: so many are held.
        """
        if names > self.topk + self.n_drop:
            raise InputError(
                f"{names} names are held, more than strategy.topk={self.topk} and strategy.n_drop={self.n_drop} "
                "together, which qlib's TopkDropout cannot begin from: sell some first, or choose a larger "
                "strategy.topk, or strategy=softtopk"
            )

    def qlib_strategy(self, score: pd.Series) -> "BaseStrategy":
        """The strategy of qlib that trades these scores, indexed by (datetime, instrument)."""
        from qlib.contrib.strategy import TopkDropoutStrategy

        return TopkDropoutStrategy(signal=score, **asdict(self))


@dataclass(frozen=True, kw_only=True)
class SoftTopk:
    """Settings of a strategy of weights: the best names up to equal weight each, others are sold.

    What is still among the best is kept at whatever weight it has grown to; money that is free goes to the best names
    below equal weight, best first. No name is traded at a limit, neither sold at the upper one nor bought at the
    lower, and none is bought that could not be traded at the open of the signal day.

    Attributes:
        topk: names to hold; more while some are being sold.
        max_sold_weight: most that is sold of one name per day, fraction of what is invested.
        risk_degree: share of the account that is invested.
    """

    topk: int
    max_sold_weight: float
    risk_degree: float

    def __post_init__(self) -> None:
        whole_number("strategy.topk", self.topk, 1)
        _share("strategy.max_sold_weight", self.max_sold_weight, "what is invested")
        _share("strategy.risk_degree", self.risk_degree, "the account")

    def check_held(self, names: int) -> None:
        """It can begin from any number of names."""

    def qlib_strategy(self, score: pd.Series) -> "BaseStrategy":
        """The strategy of qlib that trades these scores, indexed by (datetime, instrument)."""
        from kronos_lab.backtesting.trading.soft_topk import SoftTopkStrategy

        return SoftTopkStrategy(signal=score, **asdict(self))


Strategy = TopkDropout | SoftTopk


def _share(key: str, value: object, whole: str) -> None:
    sound_number(key, value, lambda share: 0 < share <= 1, f"is not a share of {whole} (above 0, at most 1)")

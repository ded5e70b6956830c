"""Which rows a rival of the scores may learn from: members on days before the backtest, labels that end before it.

L stamps, N symbols.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from kronos_lab.data.market import Market
from kronos_lab.data.split import DateSplit, Part
from kronos_lab.errors import InputError
from kronos_lab.evaluation.ranking import SMALLEST_CROSS_SECTION, open_to_open_return

# Fewest days with a label: of training those that the longest feature looks back, of validation a month.
LEAST_DAYS: dict[Part, int] = {"train": 60, "val": 20}
FEW_DAYS = 480  # two years of training: on less, a loss says little of the method


def traded_members(market: Market, universe: str) -> pd.DataFrame:
    """Whether a symbol was a member and had a bar, bool [L, N]: calendar × every symbol that ever was a member."""
    bars = market.bars(universe)
    traded_LN = np.zeros((len(market.calendar), len(bars.symbols)), dtype=bool)
    traded_LN[bars.position_M, np.repeat(np.arange(len(bars.symbols)), np.diff(bars.offsets))] = True
    return pd.DataFrame(traded_LN & market.member_LN(universe, bars.symbols), market.calendar, bars.symbols)


@dataclass(frozen=True)
class TrainingRows:
    """Rows to learn from, and rows to stop by.

    Attributes:
        traded_LN: whether a symbol was a member and had a bar, see `traded_members`.
        train: stamps of the training days.
        val: stamps of the validation days. In neither part the last horizon + 1 stamps have a label.
        horizon: bars that a label spans.
    """

    traded_LN: pd.DataFrame
    train: pd.DatetimeIndex
    val: pd.DatetimeIndex
    horizon: int

    @property
    def warning(self) -> str | None:
        """Said where a loss against what was learned here says little."""
        days = len(self.train) - self.horizon - 1
        if days >= FEW_DAYS:
            return None
        return (
            f"LightGBM learned from {days} days only, {self.train[0]:%Y-%m-%d} to {self.train[-1]:%Y-%m-%d}: with more "
            "it may be a stronger rival"
        )

    def labels(self, market: Market, part: Part) -> pd.DataFrame:
        """open(t + 1 + horizon) / open(t + 1) − 1 of the rows of a part, NaN elsewhere: its stamps × symbols.

        Opens after the end of the part are not even read: a label that would need one is not there, as of a name
        that was suspended until then.
        """
        stamps: pd.DatetimeIndex = getattr(self, part)
        open_LN = market.wide(["open"], self.traded_LN.columns.to_list(), stamps[0], stamps[-1])["open"]
        return open_to_open_return(open_LN, self.horizon).where(self.traded_LN.loc[stamps])


def training_rows(
    market: Market, universe: str, split: DateSplit, horizon: int, first_signal: pd.Timestamp
) -> TrainingRows:
    """Members on the training and validation days of a split, as far as they lie before the backtest.

    Args:
        market: what is traded.
        universe: whose members are scored.
        split: its training and validation parts are used.
        horizon: bars that a label spans.
        first_signal: first stamp that is scored; days from its day on are left out.

    Raises:
        InputError: too few days.
    """
    traded_LN = traded_members(market, universe)
    stamps = {part: _stamps(traded_LN, split.days(part), first_signal) for part in LEAST_DAYS}
    for part, least in LEAST_DAYS.items():
        days = max(len(stamps[part]) - horizon - 1, 0)
        if days < least:
            start, end = split.days(part)
            raise InputError(
                f"backtest.lightgbm=true: {days} of at least {least} days before {first_signal:%Y-%m-%d} have members, "
                f"bars and a label for split.{part}_start={start or 'null'} to split.{part}_end={end}: give a later "
                "backtest.start, another split, or earlier bars"
            )
    return TrainingRows(traded_LN, stamps["train"], stamps["val"], horizon)


def _stamps(
    traded_LN: pd.DataFrame, days: tuple[str | None, str | None], first_signal: pd.Timestamp
) -> pd.DatetimeIndex:
    """Stamps of a range of days, before a signal, from the first to the last on which members have bars."""
    enough_L = traded_LN.sum(axis=1) >= SMALLEST_CROSS_SECTION
    stamps = pd.DatetimeIndex(traded_LN.index[enough_L & (traded_LN.index < first_signal.normalize())])
    stamps = stamps[stamps.slice_indexer(*days)]
    if stamps.empty:
        return stamps
    calendar = pd.DatetimeIndex(traded_LN.index)
    return calendar[calendar.slice_indexer(stamps[0], stamps[-1])]

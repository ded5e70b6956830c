"""Does a score know of later days? Days of a finished backtest are forecast again, with another future behind them.

L signal days, N symbols. Each day has its forecasts, signal and cross-section made anew three times, by the same
weights and random numbers: with the market as it is, with other bars after the day, and with members that leave it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import pandas as pd

from kronos_lab.data.changed_market import CHANGE, ChangedMarket
from kronos_lab.data.market import Market
from kronos_lab.runs.ranks import rank

UNCHANGED, OTHER_BARS, LEAVERS = "unchanged", "other bars", "leavers"
LEAVE = 10  # every tenth name does
ALIKE = 0.9  # least rank correlation with what was traded; rounding alone changes a path here and there


class Forecast(Protocol):
    """Makes the forecasts of a day in a folder, and gives their raw scores [N] to the process that writes."""

    def __call__(self, folder: Path, market: Market, day: pd.Timestamp) -> pd.Series | None:
        """None on every other rank."""
        ...


CrossSection = Callable[[pd.DataFrame, Market, str], pd.DataFrame]


@dataclass(frozen=True)
class Lookahead:
    """What became of the scores.

    Attributes:
        days: that were forecast again.
        scores: how many scores they have.
        leavers: how many of the names left.
        alike: the smallest rank correlation of a day's scores with those traded; NaN where there is none.
        changed: (day, symbol) of the scores that changed, by what was changed after their day.
    """

    days: Sequence[pd.Timestamp]
    scores: int
    leavers: int
    alike: float
    changed: Mapping[str, list[tuple[pd.Timestamp, str]]]

    @property
    def finding(self) -> str:
        """What it says of the machinery, in a sentence."""
        if not self.days:
            return "another future: nothing can be said, the market has no session after the days of the backtest"
        days = f"{len(self.days)} day{'s' * (len(self.days) > 1)}"
        said = (
            f"another future: {self.scores:,} scores of {days} made again, with every later bar {CHANGE:.0%} up or "
            f"down ({_changed(self.changed[OTHER_BARS])}) and with {self.leavers} names gone from the next day on "
            f"({_changed(self.changed[LEAVERS])})"
        )
        if any(self.changed.values()):
            return f"{said}: SOMETHING LEAKS, trust no figure"
        if self.alike < ALIKE:
            return (
                f"{said}, BUT THESE ARE NOT THE SCORES THAT WERE TRADED, rank correlation {self.alike:.2f}: "
                "run the backtest again"
            )
        return f"{said}: no score knows of later days"

    @property
    def figures(self) -> dict[str, float]:
        """For the summary."""
        changed = {f"lookahead/changed by {name}": float(len(scores)) for name, scores in self.changed.items()}
        return {"lookahead/scores": float(self.scores), "lookahead/alike": self.alike, **changed}


def _changed(scores: Sequence[tuple[pd.Timestamp, str]]) -> str:
    if not scores:
        return "none changes"
    day, symbol = scores[0]
    return f"{len(scores)} change{'s' * (len(scores) == 1)}, the first {symbol} on {day:%Y-%m-%d}"


def days_to_repeat(market: Market, signal_days: pd.DatetimeIndex, count: int) -> list[pd.Timestamp]:
    """Evenly spread signal days, in the middle of equal stretches, of those that the market has a session after."""
    days = signal_days[signal_days < market.calendar[-1]]
    count = min(count, len(days))
    return [days[int((number + 0.5) * len(days) / count)] for number in range(count)]


def look_ahead(
    folder: Path,
    market: Market,
    universe: str,
    days: Sequence[pd.Timestamp],
    raw_LN: pd.DataFrame,
    traded_LN: pd.DataFrame,
    forecast: Forecast,
    cross_section: CrossSection,
) -> Lookahead:
    """Make the scores of some days again, and again with another future.

    Args:
        folder: where the forecasts go.
        market: as it is.
        universe: whose members are scored.
        days: see `days_to_repeat`.
        raw_LN: what the signal said of all days in the backtest. What it says of later days is changed too.
        traded_LN: what the cross-section made of them.
        forecast: makes raw scores of a day.
        cross_section: makes of them what is traded.
    """
    changed: dict[str, list[tuple[pd.Timestamp, str]]] = {OTHER_BARS: [], LEAVERS: []}
    scores, leaving, alike = 0, 0, []
    for day in days:
        leavers = list(traded_LN.T[day].dropna().index[::LEAVE])
        later = raw_LN.index > day
        raws = {UNCHANGED: raw_LN, OTHER_BARS: raw_LN.mul(np.where(later, -1 - CHANGE, 1.0), axis=0)}
        raws[LEAVERS] = raw_LN.where(~(later[:, None] & raw_LN.columns.isin(leavers)))
        found: dict[str, pd.Series] = {}
        for name, known_LN in raws.items():
            other = market
            if name != UNCHANGED:
                gone = leavers if name == LEAVERS else []
                other = ChangedMarket(market, day, bars=name == OTHER_BARS, leavers=gone)
            again_N = forecast(folder / f"{day:%Y-%m-%d}" / name.replace(" ", "_"), other, day)
            if again_N is not None:
                score_LN = known_LN.reindex(columns=known_LN.columns.union(again_N.index))
                score_LN.loc[day] = again_N
                found[name] = cross_section(score_LN, other, universe).T[day]
        if rank() != 0:
            continue
        leaving += len(leavers)
        scores += int(found[UNCHANGED].notna().sum())
        alike.append(found[UNCHANGED].corr(traded_LN.T[day], method="spearman"))
        for name, cases in changed.items():
            before, after = found[UNCHANGED].align(found[name])
            same = (before == after) | (before.isna() & after.isna())
            cases += [(day, str(symbol)) for symbol in same.index[~same]]
    known = [one for one in alike if np.isfinite(one)]
    return Lookahead(days, scores, leaving, float(min(known, default=float("nan"))), changed)

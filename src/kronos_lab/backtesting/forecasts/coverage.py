"""How many of a universe's members could be scored on each day, and why the others could not."""

import numpy as np
import pandas as pd

from kronos_lab.data.bars import Bars
from kronos_lab.data.settings import switch
from kronos_lab.errors import InputError

WARN_BELOW = 0.95
REFUSE_BELOW = 0.60


def daily_coverage(bars: Bars, scored_row_S: np.ndarray, symbols: list[str], member_LN: np.ndarray) -> pd.DataFrame:
    """Members of each day, counted by what became of them.

    Args:
        bars: all bars of the symbols (those that have any).
        scored_row_S: rows into `bars` that were scored: last bars of a full lookback, on days of membership.
        symbols: the universe's symbols, with or without bars, in the order of the columns of `member_LN`.
        member_LN: membership, bool [L, N], rows as `bars.calendar`.

    Returns:
        One row per calendar stamp: members, scored, suspended (between its first and last bar, but no bar that
        day), no_bars (not within its bars at all), short_lookback (a bar, but too few before it), and coverage =
        scored / (members − suspended), NaN without members: a suspended stock could not be traded anyway.
    """
    column_of = {symbol: column for column, symbol in enumerate(symbols)}
    column_n = np.array([column_of.get(symbol, -1) for symbol in bars.symbols], dtype=np.int64)
    column_M = np.repeat(column_n, np.diff(bars.offsets))
    has_bar_LN = np.zeros_like(member_LN)
    known_M = column_M >= 0
    has_bar_LN[bars.position_M[known_M], column_M[known_M]] = True
    scored_LN = np.zeros_like(member_LN)
    scored_LN[bars.position_M[scored_row_S], column_M[scored_row_S]] = True
    within_LN = np.logical_or.accumulate(has_bar_LN) & np.logical_or.accumulate(has_bar_LN[::-1])[::-1]

    counts = pd.DataFrame(
        {
            "members": member_LN.sum(axis=1),
            "scored": (member_LN & scored_LN).sum(axis=1),
            "suspended": (member_LN & within_LN & ~has_bar_LN).sum(axis=1),
            "no_bars": (member_LN & ~within_LN).sum(axis=1),
            "short_lookback": (member_LN & has_bar_LN & ~scored_LN).sum(axis=1),
        },
        index=bars.calendar,
    )
    tradable = counts["members"] - counts["suspended"]
    counts["coverage"] = (counts["scored"] / tradable).where(tradable > 0)
    return counts


def coverage_warnings(coverage: pd.DataFrame, universe: str, allow_partial: bool) -> list[str]:
    """The line for the top of the report where members are missing, nothing where coverage is fine.

    Raises:
        InputError: coverage is under 60 % on some day, and `allow_partial` does not accept that.
    """
    allow_partial = switch("universe.allow_partial", allow_partial)
    worst = coverage.loc[coverage["coverage"] == coverage["coverage"].min()].iloc[0]
    if worst["coverage"] >= WARN_BELOW:
        return []
    low_days = int((coverage["coverage"] < WARN_BELOW).sum())
    message = (
        f"{universe}: on {low_days} of {len(coverage)} days fewer than {WARN_BELOW:.0%} of the members can be scored; "
        f"worst {worst.name:%Y-%m-%d}: {worst['scored']:.0f} of {worst['members']:.0f} "
        f"({worst['suspended']:.0f} suspended, {worst['no_bars']:.0f} without bars, "
        f"{worst['short_lookback']:.0f} without a full lookback)"
    )
    if worst["coverage"] < REFUSE_BELOW and not allow_partial:
        raise InputError(f"{message}: universe.allow_partial=true backtests what is there")
    return [message]

"""A table of bars folded into trading sessions, and how each session's prices moved against the one before.

Daily bars are sessions already; minute bars of one day become one. The checks of series work on these: limits, factors
and suspensions are matters of a session, whatever the frequency of the bars.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from kronos_lab.data.checks import Thresholds
from kronos_lab.data.limits import TICKS_PER_YUAN, Board, board_of, is_free_session, limit_rates


class Moves(NamedTuple):
    """Each session against the one its symbol traded before, arrays [S]; NaN and False for a symbol's first.

    Attributes:
        previous: raw close of the session before.
        step: factor over the factor of the session before; 1 where they are the same but for rounding.
        gap: sessions of the calendar since then.
        free: no limits apply: first sessions after a listing, or back after a long suspension.
        fits: the session's prices lie within the limits around previous / step.
        fits_unadjusted: they lie within the limits around previous, as if there were no step.
    """

    previous: np.ndarray
    step: np.ndarray
    gap: np.ndarray
    free: np.ndarray
    fits: np.ndarray
    fits_unadjusted: np.ndarray


class Sessions:
    """Sessions of sound, traded bars, to be thinned out and corrected by the checks.

    Attributes:
        bars: the table the sessions were folded from, sorted by symbol and stamp.
        table: one row per session left, index 0..S−1, columns id (number among all sessions), code (of the symbol),
            stamp (of its first bar), position (among all days with a bar), open, high, low, close, volume, factor,
            ruled (an A-share, which has limits), rate (limit, a fraction; `open_market_move` where there is no
            rule), listing (one of the first sessions after the listing, without limits).
    """

    def __init__(self, bars: pd.DataFrame, thresholds: Thresholds) -> None:
        self.bars = bars
        self.names = bars["symbol"].cat.categories
        self._thresholds = thresholds
        code = bars["symbol"].cat.codes.to_numpy().astype(np.int64)
        day = bars["stamp"].to_numpy().astype("datetime64[D]")
        is_first = np.r_[True, (code[1:] != code[:-1]) | (day[1:] != day[:-1])][: len(bars)]
        first_row = np.flatnonzero(is_first)
        self._first_row, self._rows_of = first_row, np.diff(np.r_[first_row, len(bars)])
        position = np.unique(day[first_row], return_inverse=True)[1]
        self.table = self._fold(code[first_row], day[first_row], position, first_row)

    def _fold(self, code: np.ndarray, day: np.ndarray, position: np.ndarray, first_row: np.ndarray) -> pd.DataFrame:
        bars, last_row = self.bars, first_row + self._rows_of - 1
        boards = np.array([board_of(name) for name in self.names], dtype=np.int64)[code]
        start = np.searchsorted(code, np.arange(len(self.names)))[code]  # the symbol's first session
        listed = np.where(position[start] > 0, day[start], np.datetime64("NaT"))
        rate = limit_rates(boards, day)  # of ST too: a mark that is a day late must not make a move look impossible
        empty = not len(first_row)
        return pd.DataFrame(
            {
                "id": np.arange(len(code)),
                "code": code,
                "stamp": bars["stamp"].to_numpy()[first_row],
                "position": position,
                "open": bars["open"].to_numpy()[first_row],
                "high": bars["high"].to_numpy() if empty else np.maximum.reduceat(bars["high"].to_numpy(), first_row),
                "low": bars["low"].to_numpy() if empty else np.minimum.reduceat(bars["low"].to_numpy(), first_row),
                "close": bars["close"].to_numpy()[last_row],
                "volume": bars["volume"].to_numpy() if empty else np.add.reduceat(bars["volume"].to_numpy(), first_row),
                "factor": bars["factor"].to_numpy()[first_row],
                "ruled": boards != Board.NONE,
                "rate": np.where(boards == Board.NONE, self._thresholds.open_market_move, rate),
                "listing": is_free_session(boards, listed, np.arange(len(code)) - start),
            }
        )

    def name(self, code: int) -> str:
        """Symbol of a code."""
        return str(self.names[code])

    def first_of(self, row: int) -> int:
        """First row of `table` of the symbol that has `row`."""
        code = self.table["code"].to_numpy()
        return int(np.searchsorted(code, code[row]))

    def bar_rows(self, rows: np.ndarray) -> np.ndarray:
        """Positions in `bars` of all bars of some sessions (rows of `table`, bool mask or positions)."""
        ids = self.table["id"].to_numpy()[rows]
        return np.concatenate([np.arange(self._first_row[i], self._first_row[i] + self._rows_of[i]) for i in ids])

    def first_bar_rows(self, rows: np.ndarray) -> np.ndarray:
        """Positions in `bars` of the first bar of some sessions."""
        return self._first_row[self.table["id"].to_numpy()[rows]]

    def drop(self, rows: np.ndarray) -> None:
        """Take sessions (bool [S]) out of the table."""
        if rows.any():
            self.table = self.table[~rows].reset_index(drop=True)

    def bars_left(self) -> pd.DataFrame:
        """The bars of the sessions left, with their factors as they are now."""
        factor = np.full(len(self._rows_of), np.nan)
        factor[self.table["id"].to_numpy()] = self.table["factor"].to_numpy()
        factor_of_bar = np.repeat(factor, self._rows_of)
        left = self.bars.assign(factor=factor_of_bar)
        return left if len(self.table) == len(self._rows_of) else left[~np.isnan(factor_of_bar)]

    def newly_listed(self) -> set[str]:
        """Symbols whose first session left is their listing, as far as the bars tell."""
        first = self.table.drop_duplicates("code")
        return {self.name(code) for code in first.loc[first["listing"], "code"]}

    def moves(self) -> Moves:
        """`Moves` of the table as it is now."""
        s, t = self.table, self._thresholds
        code, close, factor = (s[name].to_numpy() for name in ("code", "close", "factor"))
        first = np.r_[True, code[1:] != code[:-1]][: len(s)]
        previous, step, gap = _before(close, first), factor / _before(factor, first), s["position"].to_numpy(float)
        gap = gap - _before(gap, first)
        step = np.where(np.abs(step - 1) <= t.smallest_step, 1.0, step)
        free = s["listing"].to_numpy() | (gap > t.resumption_sessions)
        return Moves(previous, step, gap, free, self.fits(previous / step), self.fits(previous))

    def fits(self, reference: np.ndarray, rows: slice | np.ndarray = slice(None), days: int = 1) -> np.ndarray:
        """Whether prices of sessions lie within the limits, of one day or more, around reference closes: bool."""
        s = self.table
        low, high = s["low"].to_numpy()[rows], s["high"].to_numpy()[rows]
        return self.within(low, reference, rows, days) & self.within(high, reference, rows, days)

    def within(
        self, price: np.ndarray, reference: np.ndarray, rows: slice | np.ndarray = slice(None), days: int = 1
    ) -> np.ndarray:
        """Whether one price per session lies within the limits around a reference close; False for NaN."""
        s = self.table
        rate, ruled = s["rate"].to_numpy()[rows], s["ruled"].to_numpy()[rows]
        slack = self._thresholds.limit_slack * reference + np.where(ruled, 1 / TICKS_PER_YUAN, 0.0)
        lowest = np.where(ruled, reference * (1 - rate) ** days, reference / (1 + rate) ** days)
        return (price <= reference * (1 + rate) ** days + slack) & (price >= lowest - slack)


def _before(values: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Each row's value of the row before; NaN on the first row of a symbol."""
    shifted = np.r_[np.nan, values[:-1]][: len(values)].astype(np.float64)
    shifted[first] = np.nan
    return shifted

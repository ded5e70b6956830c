"""Windows over bars, addressed by number: which there are, and their bars and stamps, without an array per window.

A window is named by its *signal row*, the last bar of its lookback: `lookback` bars up to and including it, then
`future` bars. All windows of a market are stored as runs of consecutive signal rows and their cumulative counts.
Shapes: B windows of a batch, T = lookback + future, F = 6 fields, M rows of the market, R runs.
"""

import itertools
from typing import Any

import numpy as np
import pandas as pd
from numpy.lib.stride_tricks import sliding_window_view

from kronos_lab.data.bars import FIELDS, Bars
from kronos_lab.data.time_features import time_features
from kronos_lab.errors import InputError

Day = str | pd.Timestamp


class WindowIndex:
    """The windows of a universe whose signal day lies in a range of dates.

    A row is a signal row where its stock is a member on that day, the day lies in [start, end], and `lookback` bars
    up to it and `future` bars after it exist without a gap longer than `max_gap` sessions (a suspended session has
    no bar and counts towards the gap). Membership is asked on the signal day alone: the lookback may reach back
    before the stock joined, and before `start`.

    Args:
        bars: all bars of the market's symbols.
        member_spans: columns symbol, start, end (inclusive days); None makes every symbol a member every day.
        lookback: bars up to and including the signal row.
        future: bars after it; horizon + 1 for training, 0 for prediction, which needs no bar of the future.
        start: first signal day; None for the first there is.
        end: last signal day; None for the last there is.
        max_gap: sessions that may be missing between two neighbouring bars of a window.
        label_end: day no window reaches over, neither by its bars nor by the calendar: the signal is at least
            `future` stamps before its end (embargo). None for no such border.

    Raises:
        InputError: `start` is after `end`, or a length makes no sense.
    """

    def __init__(
        self,
        bars: Bars,
        member_spans: pd.DataFrame | None,
        lookback: int,
        future: int,
        start: Day | None = None,
        end: Day | None = None,
        max_gap: int = 20,
        label_end: Day | None = None,
    ) -> None:
        if lookback < 1 or future < 0 or max_gap < 0:
            raise InputError(f"a window of lookback {lookback}, future {future}, max_gap {max_gap} makes no sense")
        calendar = bars.calendar
        first = 0 if start is None else _first_position(calendar, start)
        last = len(calendar) - 1 if end is None else _last_position(calendar, end)
        if start is not None and end is not None and pd.Timestamp(start) > pd.Timestamp(end):
            raise InputError(f"signal days from {start} to {end}: the first is after the last")
        border = None if label_end is None else _last_position(calendar, label_end)
        if border is not None:
            last = min(last, border - future)

        self.bars, self.lookback, self.future = bars, lookback, future
        membership = None if member_spans is None else _positions_by_symbol(calendar, member_spans)
        starts, lengths = [], []
        for n, symbol in enumerate(bars.symbols):
            rows = slice(int(bars.offsets[n]), int(bars.offsets[n + 1]))
            position = np.asarray(bars.position_M[rows])
            eligible = np.ones(len(position), bool)
            if membership is not None:
                eligible[:] = False
                for joined, left in membership.get(symbol, ()):
                    eligible[np.searchsorted(position, joined) : np.searchsorted(position, left, "right")] = True
            eligible[: np.searchsorted(position, first)] = False
            eligible[np.searchsorted(position, last, "right") :] = False
            if border is not None and future:
                # A suspended stock's bars reach further than its signal's neighbours on the calendar.
                within = int(np.searchsorted(position, border, "right"))
                eligible[max(within - future, 0) :] = False
            for begin, stop in _segments(bars.session_L[position], max_gap):
                eligible[begin : begin + lookback - 1] = False
                eligible[max(stop - future, begin) : stop] = False
            run_start, run_stop = _runs(eligible)
            starts.append(run_start + rows.start)
            lengths.append(run_stop - run_start)
        self._run_start = np.concatenate(starts) if starts else np.zeros(0, np.int64)
        self._first_window = np.concatenate(([0], np.cumsum(np.concatenate(lengths)))) if lengths else np.zeros(1, int)

        self._time_L5 = time_features(calendar)
        self._view_windows()

    def _view_windows(self) -> None:
        """Overlapping windows as views of the flat arrays: gathering copies one contiguous piece per window."""
        fits = len(self.bars.position_M) >= self.width
        values = self.bars.values_MF.reshape(-1)
        self._bar_windows = sliding_window_view(values, self.width * len(FIELDS)) if fits else None
        self._position_windows = sliding_window_view(self.bars.position_M, self.width) if fits else None

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs; as an array, a view would be all its windows one by one."""
        return {name: value for name, value in vars(self).items() if name not in {"_bar_windows", "_position_windows"}}

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state)
        self._view_windows()

    def __len__(self) -> int:
        return int(self._first_window[-1])

    @property
    def width(self) -> int:
        """Bars of a window, lookback + future."""
        return self.lookback + self.future

    def signal_rows(self, windows: np.ndarray) -> np.ndarray:
        """Signal rows of windows given by number in [0, len): int64 [B]. Windows are ordered by symbol, then time."""
        windows = np.asarray(windows, np.int64)
        if windows.size and not (windows.min() >= 0 and windows.max() < len(self)):
            raise IndexError(f"window numbers lie between 0 and {len(self) - 1}")
        run = np.searchsorted(self._first_window, windows, "right") - 1
        return self._run_start[run] + (windows - self._first_window[run])

    def gather_bars(self, signal_rows: np.ndarray) -> np.ndarray:
        """Bars of the windows, float32 [B, T, 6] in the units of the store; a copy."""
        assert self._bar_windows is not None
        flat = self._bar_windows[self._first_rows(signal_rows) * len(FIELDS)]
        return flat.reshape(len(signal_rows), self.width, len(FIELDS))

    def gather_positions(self, signal_rows: np.ndarray) -> np.ndarray:
        """Calendar positions of the windows' bars, int32 [B, T]."""
        assert self._position_windows is not None
        return self._position_windows[self._first_rows(signal_rows)]

    def gather_stamps(self, signal_rows: np.ndarray) -> np.ndarray:
        """Calendar features of the windows' bars, int16 [B, T, 5]."""
        return self._time_L5.take(self.gather_positions(signal_rows), axis=0)

    def symbols_of(self, signal_rows: np.ndarray) -> np.ndarray:
        """Number of each row's symbol in `bars.symbols`, int64 [B]."""
        return np.searchsorted(self.bars.offsets, signal_rows, "right") - 1

    def stamps_of(self, signal_rows: np.ndarray) -> pd.DatetimeIndex:
        """Stamp of each signal row."""
        return self.bars.calendar[self.bars.position_M[signal_rows]]

    def _first_rows(self, signal_rows: np.ndarray) -> np.ndarray:
        return np.asarray(signal_rows, np.int64) - (self.lookback - 1)


def _first_position(calendar: pd.DatetimeIndex, day: Day) -> int:
    return int(calendar.searchsorted(pd.Timestamp(day).normalize(), "left"))


def _last_position(calendar: pd.DatetimeIndex, day: Day) -> int:
    """Position of the last stamp on or before the day; −1 where there is none."""
    return int(calendar.searchsorted(pd.Timestamp(day).normalize() + pd.Timedelta(days=1), "left")) - 1


def _positions_by_symbol(calendar: pd.DatetimeIndex, spans: pd.DataFrame) -> dict[str, list[tuple[int, int]]]:
    """First and last calendar position of each span, by symbol."""
    joined = calendar.searchsorted(pd.DatetimeIndex(spans["start"]).normalize(), "left")
    left = calendar.searchsorted(pd.DatetimeIndex(spans["end"]).normalize() + pd.Timedelta(days=1), "left") - 1
    by_symbol: dict[str, list[tuple[int, int]]] = {}
    for symbol, first, last in zip(spans["symbol"], joined.tolist(), left.tolist(), strict=True):
        by_symbol.setdefault(symbol, []).append((first, last))
    return by_symbol


def _segments(session: np.ndarray, max_gap: int) -> list[tuple[int, int]]:
    """Stretches [begin, stop) of bars in which no two neighbours miss more than `max_gap` sessions between them."""
    breaks = np.flatnonzero(np.diff(session) > max_gap + 1) + 1
    edges = [0, *breaks.tolist(), len(session)]
    return list(itertools.pairwise(edges))


def _runs(eligible: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Begin and stop of each run of True, int64."""
    change = np.diff(eligible.astype(np.int8), prepend=0, append=0)
    return np.flatnonzero(change == 1), np.flatnonzero(change == -1)

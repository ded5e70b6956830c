"""Training windows on other dates than their own, so that no model learns by heart what a market did on which day.

Month, day and weekday nearly name a date. A predictor that is told them can store the move that all stocks made on
each training day: its training loss falls, and on days to come it forecasts moves of days long gone. The price is
that no season can be learned; what depends on weekday and time of day can.
Shapes: B windows of a batch, T bars of a window, L stamps of the calendar, D days in it, W moves.
"""

import numpy as np
import pandas as pd

from kronos_lab.data.sampler import mix, numbers_of
from kronos_lab.data.time_features import TIME_FEATURES, time_features

DATE_FEATURES = [TIME_FEATURES.index(name) for name in ("day", "month")]  # those that whole weeks change


class DateJitter:
    """Moves the stamps of each window by a number of whole weeks of its own: weekday and time of day stay true.

    The move is a function of (seed, number of the window), the same in every epoch, process and run.

    Args:
        calendar: the market's stamps.
        weeks: the longest move, back or forth; all moves are equally likely. With 26 each window may be at any time
            of the year.
        seed: of the moves.
    """

    def __init__(self, calendar: pd.DatetimeIndex, weeks: int, seed: int) -> None:
        days, self._day_L = np.unique(calendar.normalize(), return_inverse=True)
        moves = pd.to_timedelta(np.arange(-weeks, weeks + 1) * 7, unit="D")
        self._date_WD2 = np.stack([time_features(pd.DatetimeIndex(days) + move) for move in moves])[..., DATE_FEATURES]
        self._key = numbers_of(f"{seed} dates", 1)

    def move(self, stamp_BT5: np.ndarray, position_BT: np.ndarray, windows: np.ndarray) -> np.ndarray:
        """Calendar features as on the moved dates.

        Args:
            stamp_BT5: those of the true dates.
            position_BT: calendar positions of the bars.
            windows: numbers of the windows, [B].
        """
        move_B = mix(windows.astype(np.uint64) ^ self._key) % np.uint64(len(self._date_WD2))
        moved_BT5 = stamp_BT5.copy()
        moved_BT5[..., DATE_FEATURES] = self._date_WD2[move_B[:, None], self._day_L[position_BT]]
        return moved_BT5

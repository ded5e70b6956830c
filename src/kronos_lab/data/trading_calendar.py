"""Which stamps come next: from the sessions a market has had, or from the grid that a file of bars shows.

Holidays to come cannot be known from past bars; a market's own `*_future.txt` knows them and is preferred.
"""

import pandas as pd

from kronos_lab.errors import InputError

RECENT_DAYS = 20  # days of a file that show its session grid


def future_stamps_from_grid(stamps: pd.DatetimeIndex, horizon: int) -> pd.DatetimeIndex:
    """The next `horizon` stamps of a file of bars that has no calendar.

    The grid is what the last 20 days of the file show: the weekdays that traded (a market that traded on a Saturday
    or Sunday trades every day) and the times of day of their bars, lunch breaks and night sessions included. Daily,
    intraday and round-the-clock bars need no telling apart. Weekly or monthly bars do: they follow their usual step.

    Args:
        stamps: sorted and unique, at least two.
        horizon: number of stamps.

    Raises:
        InputError: too few stamps to see a grid.
    """
    if len(stamps) < 2:
        raise InputError(f"{len(stamps)} bars do not show when the next ones come: give at least two")
    days = stamps.normalize().unique()
    step = pd.Series(days).diff().median()
    if step > pd.Timedelta(days=4):
        return _regular_steps(stamps, horizon)
    recent = stamps[stamps.normalize() >= days[-RECENT_DAYS:][0]]
    times = (recent - recent.normalize()).unique().sort_values()
    weekdays = _trading_weekdays(recent)

    grid: list[pd.Timestamp] = []
    day = stamps[-1].normalize()
    while len(grid) < horizon:
        if day.dayofweek in weekdays:
            grid.extend(stamp for stamp in day + times if stamp > stamps[-1])
        day += pd.Timedelta(days=1)
    return pd.DatetimeIndex(grid[:horizon])


def _trading_weekdays(stamps: pd.DatetimeIndex) -> set[int]:
    weekdays = set(stamps.dayofweek)
    workdays = set(range(5))
    # A short file need not show every workday; a day it does not show at all is no evidence of a holiday.
    return set(range(7)) if weekdays - workdays else workdays


def _regular_steps(stamps: pd.DatetimeIndex, horizon: int) -> pd.DatetimeIndex:
    frequency = pd.infer_freq(stamps[-RECENT_DAYS:]) if len(stamps) >= 3 else None
    step = frequency or pd.Series(stamps).diff().median()
    return pd.date_range(stamps[-1], periods=horizon + 1, freq=step)[1:]

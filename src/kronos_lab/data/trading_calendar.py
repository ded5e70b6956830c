"""Sessions where no calendar tells of them: which days the stamps of bars show, and which stamps come next."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from kronos_lab.errors import InputError

RECENT_DAYS = 20  # days with bars that show the grid: four weeks of a market that rests at weekends
WORKDAYS = range(5)
LONGEST_HOLIDAY = 15  # sessions; exchanges have rested for a dozen in a row, at Chinese New Year in the 1990s


@dataclass(frozen=True)
class SessionGrid:
    """When a market has bars.

    Attributes:
        times: for each weekday with bars (Monday 0) its times of day, sorted.
        step: for a market that never rests, the time between two bars; None where sessions begin and end.
    """

    times: dict[int, list[pd.Timedelta]]
    step: pd.Timedelta | None = None


def session_grid(stamps: pd.DatetimeIndex) -> SessionGrid:
    """The grid of the last `RECENT_DAYS` days with bars: which weekdays, and at which times of day.

    Weekdays keep their own times, so that a night session which ends on Saturday morning does not fill Saturday.
    With less than a week of days a weekday not seen yet is taken for a day like the others, Saturdays and Sundays
    only if one of them was seen. Intraday bars in equal steps across a midnight are a market that never rests.

    Raises:
        InputError: no stamps, or days so far apart (a month) that weekdays tell nothing.
    """
    if stamps.empty:
        raise InputError("no stamps to read a session grid from")
    days = stamps.normalize().unique()[-RECENT_DAYS:]
    recent = stamps[stamps >= days[0]]
    gaps = np.diff(recent.to_numpy())
    if len(recent) > len(days) > 1 and (gaps == gaps[0]).all():
        return SessionGrid({}, pd.Timedelta(gaps[0]))
    apart = np.diff(days.to_numpy())
    if len(apart) and np.median(apart) > np.timedelta64(7, "D"):
        raise InputError("bars more than a week apart show no session grid: give the future stamps")
    time_of_day, weekday = recent - recent.normalize(), recent.weekday
    times = {
        day: [pd.Timedelta(time) for time in sorted(time_of_day[weekday == day].unique())]
        for day in sorted(set(weekday))
    }
    if days[-1] - days[0] < pd.Timedelta(days=6):  # less than a week: nothing says that the other days rest
        usual = [pd.Timedelta(time) for time in sorted(time_of_day.unique())]
        others = WORKDAYS if max(times) in WORKDAYS else range(7)
        times = {day: times.get(day, usual) for day in sorted({*times, *others})}
    return SessionGrid(times)


def future_stamps_from_grid(stamps: pd.DatetimeIndex, horizon: int) -> pd.DatetimeIndex:
    """The next `horizon` stamps after the last one, on the session grid of the stamps themselves.

    Holidays are not known: a session grid continues through them.

    Raises:
        InputError: no session grid, see there, or it ends before that many stamps: pandas knows no day after 2262.
    """
    grid = session_grid(stamps)
    try:
        return _next_stamps(grid, stamps[-1], horizon)
    except (pd.errors.OutOfBoundsDatetime, OverflowError) as error:
        raise InputError(f"{horizon} bars after {stamps[-1]} end after the year 2262: forecast fewer") from error


def _next_stamps(grid: SessionGrid, last: pd.Timestamp, horizon: int) -> pd.DatetimeIndex:
    if grid.step is not None:
        return pd.DatetimeIndex([last + n * grid.step for n in range(1, horizon + 1)])
    found: list[pd.Timestamp] = []
    day = last.normalize()
    while len(found) < horizon:
        found += [day + time for time in grid.times.get(day.weekday(), []) if day + time > last]
        day += pd.Timedelta(days=1)
    return pd.DatetimeIndex(found[:horizon])


def session_numbers(stamps: pd.DatetimeIndex) -> np.ndarray:
    """Number of the trading session (day) of each stamp of a market, int32 [L], rising from 0.

    Days without any bar are holidays and have no number, so that daily bars are numbered one by one. Two kinds are
    none and count: days of a market that has bars on all seven weekdays, as it never rests; and, where nothing was
    traded for more than `LONGEST_HOLIDAY` sessions, all of those: the stocks of the market, perhaps a single one,
    were suspended.

    Args:
        stamps: every stamp that has bars, sorted.
    """
    days = stamps.normalize().to_numpy().astype("datetime64[D]")
    trading_days, day_of_stamp = np.unique(days, return_inverse=True)
    per_weekday = np.bincount(pd.DatetimeIndex(trading_days).weekday, minlength=7)
    open_weekdays = per_weekday * 2 > per_weekday.max()  # a make-up day on one Saturday makes it no trading day
    steps = np.busday_count(trading_days[:-1], trading_days[1:], weekmask=open_weekdays)
    if len(steps) and np.median(steps) > 1:  # weekly bars, or rarer: nothing tells a gap
        steps[:] = 1
    elif not open_weekdays.all():
        steps[steps - 1 <= LONGEST_HOLIDAY] = 1
    return np.cumsum(np.r_[0, steps])[day_of_stamp].astype(np.int32)


def extend_calendar(calendar: pd.DatetimeIndex, count: int) -> pd.DatetimeIndex:
    """The next `count` sessions (days with bars) after the last stamp of a calendar, at midnight."""
    return future_stamps_from_grid(calendar.normalize().unique(), count)

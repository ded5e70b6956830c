"""Future stamps from the session grid that the stamps themselves show."""

import pandas as pd
import pytest

from kronos_lab.data.trading_calendar import extend_calendar, future_stamps_from_grid, session_numbers
from kronos_lab.errors import InputError


def intraday(days: pd.DatetimeIndex, *sessions: tuple[str, str], freq: str = "5min") -> pd.DatetimeIndex:
    """Bars of every day in each session (first and last time of day)."""
    times = [time for first, last in sessions for time in pd.timedelta_range(first + ":00", last + ":00", freq=freq)]
    return pd.DatetimeIndex([day + time for day in days for time in times])


def text(stamps: pd.DatetimeIndex) -> list[str]:
    return [f"{stamp:%a %d %H:%M}" for stamp in stamps]


def test_daily_bars_rest_at_weekends() -> None:
    days = pd.bdate_range("2024-07-01", "2024-07-12")  # ends on a Friday
    assert text(future_stamps_from_grid(days, 3)) == ["Mon 15 00:00", "Tue 16 00:00", "Wed 17 00:00"]


def test_a_market_that_rests_on_mondays_rests_on_future_ones() -> None:
    days = pd.bdate_range("2024-06-03", "2024-07-12")
    days = days[days.weekday != 0]
    assert text(future_stamps_from_grid(days, 2)) == ["Tue 16 00:00", "Wed 17 00:00"]


def test_a_few_daily_bars_are_a_market_with_weekends_unless_one_was_traded() -> None:
    assert text(future_stamps_from_grid(pd.bdate_range("2024-07-03", "2024-07-05"), 2)) == [
        "Mon 08 00:00",
        "Tue 09 00:00",
    ]
    assert text(future_stamps_from_grid(pd.date_range("2024-07-05", "2024-07-06"), 2)) == [
        "Sun 07 00:00",
        "Mon 08 00:00",
    ]


def test_daily_bars_round_the_clock_and_weekly_bars() -> None:
    assert text(future_stamps_from_grid(pd.date_range("2024-06-01", "2024-07-05"), 2)) == [
        "Sat 06 00:00",
        "Sun 07 00:00",
    ]
    assert text(future_stamps_from_grid(pd.date_range("2024-01-01", "2024-07-01", freq="W-FRI"), 2)) == [
        "Fri 05 00:00",
        "Fri 12 00:00",
    ]


def test_intraday_bars_continue_through_lunch_night_and_weekend() -> None:
    days = pd.bdate_range("2024-06-03", "2024-07-05")  # ends on a Friday
    stamps = intraday(days, ("09:35", "11:30"), ("13:05", "15:00"))
    future = future_stamps_from_grid(stamps, 49)
    assert text(future[[0, 23, 24, 47, 48]]) == [
        "Mon 08 09:35",
        "Mon 08 11:30",
        "Mon 08 13:05",
        "Mon 08 15:00",
        "Tue 09 09:35",
    ]
    morning_only = stamps[stamps <= "2024-07-05 11:30"]  # the file ends in the middle of a session
    assert text(future_stamps_from_grid(morning_only, 25)[[0, 23, 24]]) == [
        "Fri 05 13:05",
        "Fri 05 15:00",
        "Mon 08 09:35",
    ]


def test_minutes_round_the_clock_go_on_without_a_break() -> None:
    stamps = pd.date_range("2024-07-04 20:00", periods=400, freq="1min")  # across one midnight only
    assert future_stamps_from_grid(stamps, 3).tolist() == [stamps[-1] + n * pd.Timedelta("1min") for n in (1, 2, 3)]
    long = pd.date_range("2024-06-01", "2024-07-05 10:00", freq="1h").delete(300)  # an exchange was down for an hour
    assert text(future_stamps_from_grid(long, 15)[[0, 13, 14]]) == ["Fri 05 11:00", "Sat 06 00:00", "Sat 06 01:00"]


def test_a_night_session_ends_on_saturday_without_filling_it() -> None:
    days = pd.bdate_range("2024-06-03", "2024-07-05")
    stamps = intraday(days, ("09:00", "15:00"), ("21:00", "23:00"), freq="1h")
    after_midnight = pd.DatetimeIndex([day + pd.Timedelta(days=1, hours=hour) for day in days for hour in (0, 1)])
    future = future_stamps_from_grid(stamps.union(after_midnight), 9)
    assert text(future[[0, 1]]) == ["Mon 08 09:00", "Mon 08 10:00"]
    assert not (future.weekday >= 5).any()


def test_sessions_after_intraday_bars() -> None:
    stamps = intraday(pd.bdate_range("2024-06-03", "2024-07-05"), ("09:35", "11:30"))
    assert text(extend_calendar(stamps, 2)) == ["Mon 08 00:00", "Tue 09 00:00"]


def test_no_grid_is_an_error() -> None:
    with pytest.raises(InputError, match="no stamps"):
        future_stamps_from_grid(pd.DatetimeIndex([]), 1)
    with pytest.raises(InputError, match="give the future stamps"):
        future_stamps_from_grid(pd.date_range("2023-01-31", periods=20, freq="ME"), 1)
    with pytest.raises(InputError, match=r"200000 bars after 2024-07-05 .* end after the year 2262"):
        future_stamps_from_grid(pd.bdate_range("2024-06-03", "2024-07-05"), 200_000)
    with pytest.raises(InputError, match="end after the year 2262"):
        future_stamps_from_grid(pd.date_range("2024-06-03", periods=400, freq="12h"), 200_000)


def numbers(stamps: pd.DatetimeIndex) -> list[int]:
    return session_numbers(stamps).tolist()


def test_sessions_are_numbered_without_holidays() -> None:
    golden_week = pd.bdate_range("2023-10-02", "2023-10-06")
    days = pd.bdate_range("2023-09-04", "2023-11-03").difference(golden_week)
    assert numbers(days) == list(range(len(days)))
    assert numbers(intraday(days, ("09:35", "09:40"))) == [n for n in range(len(days)) for _ in range(2)]
    make_up = days.union(pd.DatetimeIndex(["2023-10-07"]))  # one Saturday is no reason to expect the next
    assert numbers(make_up) == list(range(len(make_up)))


def test_a_suspension_of_the_only_stock_counts_its_sessions() -> None:
    """In a market of one stock no other stock's bars tell that there were sessions."""
    days = pd.bdate_range("2023-01-02", periods=100)
    suspended = days.delete(range(40, 70))
    assert numbers(suspended) == [*range(40), *range(70, 100)]


def test_days_of_a_market_that_never_rests_all_count() -> None:
    hours = pd.date_range("2024-01-01", periods=24 * 30, freq="h")
    assert numbers(hours) == [hour // 24 for hour in range(24 * 30)]
    outage = hours.delete(range(24 * 10, 24 * 13))
    assert numbers(outage) == [hour // 24 for hour in range(24 * 30) if not 10 <= hour // 24 < 13]


def test_a_few_stamps_are_numbered_by_their_days() -> None:
    assert numbers(pd.DatetimeIndex(["2024-07-05"])) == [0]
    assert numbers(pd.DatetimeIndex(["2024-07-05", "2024-07-08", "2024-07-09"])) == [0, 1, 2]
    weekly = pd.date_range("2024-01-05", periods=10, freq="W-FRI")
    assert numbers(weekly) == list(range(10))
    monthly = pd.date_range("2024-01-01", periods=24, freq="MS")
    assert numbers(monthly) == list(range(24))

"""Who could be scored, who could not and why, and what is said about it."""

import numpy as np
import pandas as pd
import pytest

from kronos_lab.data.bars import Bars
from kronos_lab.errors import InputError

DAYS = pd.bdate_range("2024-07-01", periods=4)


@pytest.fixture
def counts() -> pd.DataFrame:
    """A has all bars, B is suspended on day 2, C is listed on day 2 and lacks a lookback of 2, D has no bars."""
    from kronos_lab.backtesting.forecasts.coverage import daily_coverage

    positions = [[0, 1, 2, 3], [0, 1, 3], [2, 3]]
    bars = Bars(
        symbols=["A", "B", "C"],
        values_MF=np.ones((9, 6), dtype=np.float32),
        position_M=np.concatenate(positions).astype(np.int32),
        offsets=np.array([0, 4, 7, 9]),
        calendar=DAYS,
        session_L=np.arange(4, dtype=np.int32),
    )
    scored = np.array([1, 2, 3, 5, 6, 8])  # rows with a bar before them
    member = np.ones((4, 4), dtype=bool)
    member[3, 0] = False
    return daily_coverage(bars, scored, ["A", "B", "C", "D"], member)


def test_members_are_counted_by_what_became_of_them(counts):
    assert counts["members"].to_list() == [4, 4, 4, 3]
    assert counts["scored"].to_list() == [0, 2, 1, 2]
    assert counts["suspended"].to_list() == [0, 0, 1, 0]
    assert counts["no_bars"].to_list() == [2, 2, 1, 1]
    assert counts["short_lookback"].to_list() == [2, 0, 1, 0]
    parts = counts[["scored", "suspended", "no_bars", "short_lookback"]].sum(axis=1)
    assert (parts == counts["members"]).all()


def test_suspended_members_do_not_lower_coverage(counts):
    assert counts["coverage"].to_list() == pytest.approx([0, 0.5, 1 / 3, 2 / 3])


def test_missing_members_are_an_error_that_names_the_worst_day_unless_they_are_allowed(counts):
    from kronos_lab.backtesting.forecasts.coverage import coverage_warnings

    with pytest.raises(InputError, match=r"0 of 4 .*2 without bars, 2 without a full lookback.*allow_partial=true"):
        coverage_warnings(counts, "csi300", allow_partial=False)
    (message,) = coverage_warnings(counts, "csi300", allow_partial=True)
    assert "on 4 of 4 days fewer than 95%" in message


def test_a_warning_below_95_percent_and_silence_above(counts):
    from kronos_lab.backtesting.forecasts.coverage import coverage_warnings

    low = counts.assign(coverage=[0.94, 1.0, 1.0, 1.0])
    (message,) = coverage_warnings(low, "csi300", allow_partial=False)
    assert "on 1 of 4 days" in message
    assert "2024-07-01" in message
    assert coverage_warnings(counts.assign(coverage=0.96), "csi300", allow_partial=False) == []


def test_days_without_members_say_nothing(counts):
    from kronos_lab.backtesting.forecasts.coverage import coverage_warnings

    counts["coverage"] = [np.nan, 1.0, 1.0, 1.0]
    assert coverage_warnings(counts, "csi300", allow_partial=False) == []

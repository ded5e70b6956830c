"""Which folds a walk-forward has: days without gap or overlap, and an embargo before each."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from kronos_lab.errors import InputError
from kronos_lab.runs.walk_forward.plan import (
    WalkForwardSettings,
    as_planned,
    folds_table,
    plan_folds,
    save_folds,
)

CALENDAR = pd.bdate_range("2019-07-01", "2024-03-15")
WITHOUT_HOLIDAYS = pd.bdate_range("2019-07-01", "2026-12-31")
HOLIDAYS = WITHOUT_HOLIDAYS.month.isin([2, 10]) & (WITHOUT_HOLIDAYS.day <= 7)
WITH_HOLIDAYS = WITHOUT_HOLIDAYS[~HOLIDAYS]
HORIZON = 10
PLAN = WalkForwardSettings(
    first="2023-07-01", last=None, months=3, window="expanding", years=3, val_months=6, embargo=None,
    start_from="parent", jobs=1, plan_only=False,
)  # fmt: skip


def plan(calendar: pd.DatetimeIndex = CALENDAR, horizon: int = HORIZON, **changes: object) -> list:
    return plan_folds(replace(PLAN, **changes), calendar, calendar[-1].normalize(), horizon)


def test_folds_by_hand():
    splits = [fold.split for fold in plan()]
    assert [(one.test_start, one.test_end) for one in splits] == [
        ("2023-07-03", "2023-09-29"), ("2023-10-02", "2023-12-29"), ("2024-01-01", "2024-03-15")
    ]  # fmt: skip
    # 11 sessions (two weeks and a day) between 2023-06-15 and 2023-07-03; half a year of validation before that.
    assert (splits[0].train_end, splits[0].val_start, splits[0].val_end) == ("2022-12-30", "2023-01-02", "2023-06-15")
    assert {one.train_start for one in splits} == {None}


def test_a_rolling_window_has_the_years_that_are_asked_for():
    splits = [fold.split for fold in plan(window="rolling", years=2)]
    assert [one.train_start for one in splits] == ["2021-01-01", "2021-04-01", "2021-07-01"]
    assert splits[0].train_end == "2022-12-30"


@hypothesis_settings(max_examples=80, deadline=None)
@given(
    first=st.dates(pd.Timestamp("2023-03-01").date(), pd.Timestamp("2024-01-31").date()),
    last=st.dates(pd.Timestamp("2025-01-01").date(), pd.Timestamp("2026-12-31").date()),
    months=st.integers(1, 7),
    horizon=st.integers(5, 30),
    further=st.integers(0, 25),
    window=st.sampled_from(["expanding", "rolling"]),
)
def test_every_day_is_forecast_once_by_weights_that_cannot_have_seen_it(first, last, months, horizon, further, window):
    expected = days_from(f"{first}", f"{last}")
    assume((expected < pd.Timestamp(first) + pd.DateOffset(months=months)).sum() >= horizon + 2)
    embargo = horizon + 1 + further
    folds = plan(
        WITH_HOLIDAYS, horizon, first=f"{first}", last=f"{last}", months=months, embargo=embargo, window=window, years=2
    )
    table = folds_table(folds, WITH_HOLIDAYS)
    days = [day for row in table.itertuples() for day in days_from(row.test_start, row.test_end)]
    assert days == list(expected)
    assert table["test_days"].sum() == len(days) and table["test_days"].min() >= horizon + 2
    for row in table.itertuples():
        between = (row.val_end < WITH_HOLIDAYS) & (row.test_start > WITH_HOLIDAYS)
        assert between.sum() == embargo
        assert row.train_start <= row.train_end < row.val_start <= row.val_end < row.test_start <= row.test_end
        # Validation reaches half a year back from the fold's own first day, however many stretches were too short.
        assert months_before(row.test_start, row.val_start, 6)
        assert len(days_from(row.train_end, row.val_start)) == 2
        if window == "rolling":
            assert months_before(row.test_start, row.train_start, 30)
        else:
            assert row.train_start == "2019-07-01"


def days_from(first: str, last: str) -> pd.DatetimeIndex:
    return WITH_HOLIDAYS[WITH_HOLIDAYS.slice_indexer(first, last)]


def months_before(day: str, earlier: str, months: int) -> bool:
    """Up to a week of holidays with the weekends around it, at either end."""
    return abs(pd.Timestamp(earlier) + pd.DateOffset(months=months) - pd.Timestamp(day)) <= pd.Timedelta(days=14)


def test_a_stretch_that_joined_the_fold_before_leaves_no_later_fold_behind():
    splits = [
        fold.split
        for fold in plan(WITH_HOLIDAYS, 20, first="2024-01-01", last="2026-03-31", months=1, window="rolling", years=3)
    ]
    starts = [one.test_start for one in splits]
    assert "2024-02-08" not in starts and "2024-10-08" not in starts  # too short: they belong to the fold before
    by_start = {one.test_start: one for one in splits}
    december = by_start["2025-12-01"]
    assert (december.train_start, december.train_end, december.val_start) == ("2022-06-01", "2025-05-30", "2025-06-02")


def test_the_embargo_counts_bars_and_leaves_whole_days():
    """Of four bars a day 11 are three days, of which the last may lie within one."""
    days = pd.bdate_range("2019-07-01", "2024-03-15")
    calendar = pd.DatetimeIndex([day + pd.Timedelta(hours=hour) for day in days for hour in (10, 11, 14, 15)])
    split = plan(calendar)[0].split
    assert split.test_start == "2023-07-03"
    assert split.val_end == "2023-06-27"  # 28, 29 and 30 June are 12 bars


def test_days_too_few_for_a_fold_belong_to_the_one_before():
    splits = [fold.split for fold in plan(last="2024-01-12")]
    assert [one.test_end for one in splits] == ["2023-09-29", "2024-01-12"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"first": "2022-01-03"}, "the market begins on 2019-07-01: walk_forward.first=2023-01-0"),
        ({"first": "2024-03-11"}, "there are fewer than the 12 bars that a fold of horizon 10 needs"),
        ({"first": "2030-01-01"}, "from walk_forward.first=2030-01-01 to 2024-03-15 there are fewer"),
        ({"horizon": 25, "months": 1}, "from walk_forward.first=2023-07-01 to 2023-07-31 there are fewer than the 27"),
        ({"embargo": 130}, "an embargo of 130 bars leaves no validation to fold 1 (6 months before 2023-07-03)"),
        ({"embargo": 10}, "walk_forward.embargo=10 must be a whole number, at least 11"),
        ({"months": 0}, "walk_forward.months=0 must be a whole number, at least 1"),
        ({"years": 0.05}, "walk_forward.years=0.05 is less than a month"),
        ({"window": "growing"}, "walk_forward.window=growing: choose one of expanding, rolling"),
        ({"start_from": "zero"}, "walk_forward.start_from=zero: choose one of parent, previous"),
        ({"start_from": "previous", "jobs": 2}, "walk_forward.jobs=2: with start_from=previous each fold waits"),
        ({"first": "soon"}, "walk_forward.first=soon is no date"),
        ({"plan_only": "yes"}, "walk_forward.plan_only=yes must be true or false"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(changes, words):
    with pytest.raises(InputError) as refused:
        plan(**changes)
    assert words in str(refused.value)


@hypothesis_settings(max_examples=60, deadline=None)
@given(begins=st.integers(0, 400), years=st.sampled_from([0.25, 0.5, 1, 1.75]), val_months=st.integers(2, 9))
def test_what_is_said_of_the_earliest_first_day_is_the_earliest_that_can_be_done(begins, years, val_months):
    calendar = CALENDAR[begins:]
    settings = {"first": f"{calendar[0]:%Y-%m-%d}", "years": years, "val_months": val_months}
    with pytest.raises(InputError) as refused:
        plan(calendar, **settings)
    earliest = str(refused.value).split("walk_forward.first=")[1].split(" ")[0]
    assert plan(calendar, **settings | {"first": earliest})
    day_before = pd.Timestamp(earliest) - pd.Timedelta(days=1)
    with pytest.raises(InputError, match=f"walk_forward.first={earliest} or later"):
        plan(calendar, **settings | {"first": f"{day_before:%Y-%m-%d}"})


def test_an_earlier_plan_ends_where_it_did(tmp_path):
    assert as_planned(PLAN, tmp_path).last is None
    save_folds(tmp_path, folds_table(plan(), CALENDAR))
    later = pd.bdate_range("2019-07-01", "2024-09-30")
    settings = as_planned(PLAN, tmp_path)
    assert plan_folds(settings, later, later[-1], HORIZON) == plan()
    assert np.all(pd.read_csv(tmp_path / "folds.csv")["fold"] == [1, 2, 3])

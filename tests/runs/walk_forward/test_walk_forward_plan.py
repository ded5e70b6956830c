"""Which folds a walk-forward has: days without gap or overlap, and an embargo before each."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
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
HORIZON = 10
PLAN = WalkForwardSettings(
    first="2023-07-01", last=None, months=3, window="expanding", years=3, val_months=6, embargo=None,
    start_from="parent", jobs=1, plan_only=False,
)  # fmt: skip


def plan(calendar: pd.DatetimeIndex = CALENDAR, **changes: object) -> list:
    return plan_folds(replace(PLAN, **changes), calendar, calendar[-1].normalize(), HORIZON)


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


@hypothesis_settings(max_examples=40, deadline=None)
@given(
    first=st.dates(pd.Timestamp("2023-03-01").date(), pd.Timestamp("2024-01-31").date()),
    months=st.integers(1, 7),
    embargo=st.integers(HORIZON + 1, 60),
    window=st.sampled_from(["expanding", "rolling"]),
)
def test_every_day_is_forecast_once_by_weights_that_cannot_have_seen_it(first, months, embargo, window):
    folds = plan(first=f"{first}", months=months, embargo=embargo, window=window, years=2)
    table = folds_table(folds, CALENDAR)
    days = [day for row in table.itertuples() for day in pd.bdate_range(row.test_start, row.test_end)]
    assert days == list(CALENDAR[pd.Timestamp(first) <= CALENDAR])
    assert table["test_days"].sum() == len(days) and table["test_days"].min() >= HORIZON + 2
    for row in table.itertuples():
        between = (row.val_end < CALENDAR) & (row.test_start > CALENDAR)
        assert between.sum() == embargo
        assert row.train_start <= row.train_end < row.val_start <= row.val_end < row.test_start <= row.test_end


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


def test_what_is_said_of_the_earliest_first_day_can_be_done():
    with pytest.raises(InputError) as refused:
        plan(first="2022-01-03")
    earliest = str(refused.value).split("walk_forward.first=")[1].split(" ")[0]
    assert plan(first=earliest)


def test_an_earlier_plan_ends_where_it_did(tmp_path):
    assert as_planned(PLAN, tmp_path).last is None
    save_folds(tmp_path, folds_table(plan(), CALENDAR))
    later = pd.bdate_range("2019-07-01", "2024-09-30")
    settings = as_planned(PLAN, tmp_path)
    assert plan_folds(settings, later, later[-1], HORIZON) == plan()
    assert np.all(pd.read_csv(tmp_path / "folds.csv")["fold"] == [1, 2, 3])

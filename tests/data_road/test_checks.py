"""The checks of the import, on bars broken in one place: what they find, what they do, and what they leave alone.

Of single rows and of codes; of factors in `test_factor_checks.py`, of moves of the price in `test_price_checks.py`.
"""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from checked_bars import DEFAULTS, assert_found, check
from generated_bars import PRICES, stock, table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def test_sound_bars_pass_untouched() -> None:
    rows = table(
        stock("SH600000", 200, 1, steps={50: 1.02, 120: 2.0}), stock("SZ300750", 200, 2, steps={30: 1.8}),
        stock("AAPL", 200, 3, steps={80: 4.0}),
    )  # fmt: skip
    left, found = check(rows)
    assert found.empty
    pd.testing.assert_frame_equal(left, rows)


# --- single rows


def test_identical_duplicates_leave_one_row() -> None:
    rows = stock()
    left, found = check(table(rows, rows.iloc[[7]]))
    assert_found(found, "duplicate", "rejected", [rows["stamp"][7]])
    pd.testing.assert_frame_equal(left, table(rows))


def test_contradicting_duplicates_are_all_rejected() -> None:
    rows = stock()
    left, found = check(table(rows, rows.iloc[[7]].assign(close=rows["low"][7])))
    assert_found(found, "duplicate", "rejected", [rows["stamp"][7]] * 2)
    assert len(left) == len(rows) - 1


@pytest.mark.parametrize("filled", ["flat", "zeros", "close only", "empty"])
def test_sessions_without_trade_are_suspended(filled: str) -> None:
    rows = stock()
    close = rows["close"][9]
    prices = {"flat": [close] * 4, "zeros": [0, 0, 0, 0], "close only": [0, 0, 0, close], "empty": [np.nan] * 4}
    rows.loc[10:12, PRICES], rows.loc[10:12, "volume"] = prices[filled], 0.0
    left, found = check(table(rows))
    assert_found(found, "no_trade", "suspended", rows["stamp"][10:13].tolist())
    assert len(left) == len(rows) - 3


@pytest.mark.parametrize(
    ("change", "check_name"),
    [
        ({"open": np.nan}, "missing_value"),
        ({"volume": np.nan}, "missing_value"),
        ({"low": 0.0}, "non_positive_price"),
        ({"close": -3.0}, "non_positive_price"),
        ({"high": np.inf}, "non_positive_price"),
        ({"volume": -100.0}, "bad_volume"),
        ({"volume": 0.0}, "bad_volume"),  # prices moved all the same
        ({"factor": 0.0}, "bad_factor"),
        ({"factor": np.nan}, "bad_factor"),
        ({"high": 19.0, "low": 21.0}, "high_below_low"),
        ({"open": 25.0}, "outside_range"),
    ],
)
def test_unsound_rows_are_rejected(change: dict[str, float], check_name: str) -> None:
    rows = stock()
    for column, value in change.items():
        rows.loc[7, column] = value
    left, found = check(table(rows))
    assert_found(found, check_name, "rejected", [rows["stamp"][7]])
    pd.testing.assert_frame_equal(left, table(rows.drop(index=7)))


def test_a_close_slightly_outside_its_range_widens_it() -> None:
    rows = stock()
    rows.loc[7, "high"] = max(rows["open"][7], rows["close"][7]) - 0.01
    left, found = check(table(rows))
    assert_found(found, "outside_range", "repaired", [rows["stamp"][7]])
    assert left["high"][7] == max(rows["open"][7], rows["close"][7])
    assert check(table(rows), replace(DEFAULTS, range_slack=0.0))[1]["action"].tolist() == ["rejected"]


def test_a_missing_amount_is_filled() -> None:
    rows = stock().assign(amount=1e6)
    rows.loc[[7, 9], "amount"] = [np.nan, 0.0]
    left, found = check(table(rows))
    assert_found(found, "missing_amount", "repaired", rows["stamp"][[7, 9]].tolist())
    assert left["amount"][7] == pytest.approx(rows["volume"][7] * rows.loc[7, PRICES].mean())
    assert left["amount"][8] == 1e6


# --- code migrations


def test_one_stock_under_two_codes_stays_under_the_one_that_trades_on() -> None:
    new = stock("SZ001872", 80)
    old = new.iloc[:40].assign(symbol="SZ000022")
    left, found = check(table(old, new))
    assert_found(found, "code_migration", "rejected", old["stamp"].tolist())
    assert set(found["symbol"]) == {"SZ000022"}
    assert len(left) == 80
    few = check(table(old.iloc[:19], new))[1]
    assert few.empty, "a few equal bars are chance"


def test_history_of_an_older_code_without_factors_is_rejected() -> None:
    rows = stock(steps={60: 1.05}, factor=3.5)
    rows.loc[:39, "factor"] = 1.0  # the vendor's factors begin with the new code
    left, found = check(table(rows))
    assert_found(found, "code_migration", "rejected", rows["stamp"][:40].tolist())
    assert left["stamp"].tolist() == rows["stamp"][40:].tolist()


def test_a_code_that_ends_where_another_begins_is_noted() -> None:
    whole = stock("SZ000022", 80, factor=3.5)
    old, new = whole.iloc[:40], whole.iloc[42:].assign(symbol="SZ001872")
    other = stock("SH600000", 80, seed=5)
    left, found = check(table(old, new, other))
    assert_found(found, "code_migration", "kept", [new["stamp"].iloc[0]])
    assert "SZ000022: SZ001872" in found["detail"][0]
    assert len(left) == len(old) + len(new) + len(other)


# --- whatever comes


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_row_is_accounted_for_and_what_is_left_is_sound(data: st.DataObject) -> None:
    rows = table(stock("SH600000", 60, 1, {20: 1.5}), stock("SZ300001", 60, 2), stock("AAPL", 60, 3))
    columns = [*PRICES, "volume", "factor"]
    wild = st.sampled_from([np.nan, 0.0, -1.0, np.inf, 1e-9, 0.5, 1.01, 2.0, 1e9])
    spot = st.tuples(st.integers(0, len(rows) - 1), st.sampled_from(columns), wild, st.booleans())
    for row, column, value, as_ratio in data.draw(st.lists(spot, max_size=25)):
        rows.loc[row, column] = rows.loc[row, column] * value if as_ratio else value
    doubled = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=5))
    rows = table(rows, rows.iloc[doubled])
    left, found = check(rows)
    gone = found["action"].isin(["rejected", "suspended"]).sum()
    assert len(left) + gone == len(rows)
    assert not left.duplicated(["symbol", "stamp"]).any()
    values = left[columns].to_numpy()
    assert np.isfinite(values).all() and (values > 0).all()
    assert (left["low"] <= left[["open", "close"]].min(axis=1)).all()
    assert (left["high"] >= left[["open", "close"]].max(axis=1)).all()

"""Every check of the import, on bars broken in one place: what it finds, what it does, and what it leaves alone."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from generated_bars import PRICES, stock, table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kronos_lab.data.checks import Findings, Thresholds
from kronos_lab.data.ingest import check_bars

DEFAULTS = Thresholds()


def check(rows: pd.DataFrame, thresholds: Thresholds = DEFAULTS) -> tuple[pd.DataFrame, pd.DataFrame]:
    findings = Findings()
    left, _ = check_bars(rows, thresholds, findings)
    return left.reset_index(drop=True), findings.frame()


def adjusted_returns(rows: pd.DataFrame) -> np.ndarray:
    return (rows["close"] * rows["factor"]).pct_change().to_numpy()[1:]


def assert_found(found: pd.DataFrame, check: str, action: str, dates: list[pd.Timestamp]) -> None:
    """Exactly these rows, by exactly this check, and nothing else."""
    assert set(zip(found["check"], found["action"], strict=True)) == {(check, action)}
    assert found["date"].tolist() == dates
    assert found["detail"].str.len().min() > 0


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


# --- factors


@pytest.mark.parametrize("step", [0.85, 0.99, 1.3])
def test_a_factor_step_the_price_does_not_follow_is_taken_out(step: float) -> None:
    rows = stock(steps={20: 1.5})
    broken = rows.assign(factor=rows["factor"] * np.where(rows.index < 50, 1.0, step))
    left, found = check(table(broken))
    assert_found(found, "bad_factor", "repaired", [rows["stamp"][50]])
    np.testing.assert_allclose(adjusted_returns(left), adjusted_returns(rows))
    assert left["factor"].iloc[-1] == broken["factor"].iloc[-1], "the newest factors stay as given"


def test_a_small_step_off_every_tick_is_taken_out_where_all_others_are_whole_ticks() -> None:
    stocks = [stock(f"SH6000{n:02d}", 200, n, steps={40: 1.03, 90: 1.5, 140: 1.01}) for n in range(40)]
    stocks[7].loc[120:, "factor"] *= 1.00731
    stocks[7].loc[120:, "factor"] *= 1.0001 if _is_whole_tick(stocks[7], 120) else 1.0
    left, found = check(table(*stocks))
    assert_found(found, "bad_factor", "repaired", [stocks[7]["stamp"][120]])
    assert check(table(*stocks[5:12]))[1].empty, "one of 21 steps says nothing about how the vendor makes factors"
    assert len(left) == 40 * 200


def _is_whole_tick(rows: pd.DataFrame, session: int) -> bool:
    ticks = rows["close"][session - 1] * rows["factor"][session - 1] / rows["factor"][session] * 100
    return abs(ticks - round(ticks)) < 0.1


def test_a_factor_wrong_for_a_day_is_put_back() -> None:
    rows = stock()
    broken = rows.assign(factor=rows["factor"].where(rows.index != 50, rows["factor"] * 0.97))
    left, found = check(table(broken))
    assert_found(found, "bad_factor", "repaired", [rows["stamp"][50]])
    pd.testing.assert_frame_equal(left, table(rows))


def test_a_step_during_a_long_suspension_is_left_alone() -> None:
    rows = stock(factor=1.3)
    rows.loc[50:, "factor"] *= 1.5  # the price came back at its old level: a rise of 50 %, which is free then
    rows = table(rows.drop(index=range(20, 50)), stock("SH600001", seed=1))
    left, found = check(rows)
    assert_found(found, "large_move", "kept", [rows["stamp"][20]])
    pd.testing.assert_frame_equal(left, rows)


@pytest.mark.parametrize("shift", [-3, -1, 1, 4])
def test_a_step_on_the_wrong_day_is_moved(shift: int) -> None:
    rows = stock(steps={50: 1.6}, factor=1.3)
    given_on = 50 + shift
    late = np.where(rows.index < given_on, rows["factor"][0], rows["factor"][79])
    left, found = check(table(rows.assign(factor=late)))
    first, last = sorted((50, given_on))
    assert_found(found, "bad_factor", "repaired", rows["stamp"][first:last].tolist())
    np.testing.assert_allclose(left["factor"], rows["factor"])


def test_a_factor_is_one_number_per_session() -> None:
    rows = pd.concat([stock(), stock()], ignore_index=True)
    rows["stamp"] += pd.to_timedelta(np.repeat([10, 14], 80), unit="h")
    rows = table(rows)
    rows.loc[15, "factor"] *= 1.1
    left, found = check(rows)
    assert_found(found, "bad_factor", "repaired", [rows["stamp"][15]])
    assert left["factor"][15] == left["factor"][14]


# --- moves of the price


@pytest.mark.parametrize("session", [1, 50, 78])
def test_a_lone_wrong_price_is_rejected(session: int) -> None:
    rows = stock()
    rows.loc[session, PRICES] *= 10
    left, found = check(table(rows))
    assert_found(found, "beyond_limit", "rejected", [rows["stamp"][session]])
    pd.testing.assert_frame_equal(left, table(rows.drop(index=session)))


@pytest.mark.parametrize("change", [{"high": 41.0}, {"low": 2.0}])
def test_a_high_or_low_beyond_the_limit_is_rejected(change: dict[str, float]) -> None:
    rows = stock()
    rows.loc[50, list(change)] = list(change.values())
    assert_found(check(table(rows))[1], "beyond_limit", "rejected", [rows["stamp"][50]])


def test_a_jump_on_the_last_day_is_rejected_until_more_is_known() -> None:
    rows = stock()
    rows.loc[79, PRICES] /= 2
    assert_found(check(table(rows))[1], "beyond_limit", "rejected", [rows["stamp"][79]])


def test_a_lasting_jump_without_a_factor_is_bridged_at_the_open() -> None:
    rows = stock(steps={50: 2.0})
    unknown = rows.assign(factor=1.0)  # a split the source does not know
    left, found = check(table(unknown))
    assert_found(found, "unexplained_jump", "repaired", [rows["stamp"][50]])
    adjusted_open, adjusted_close = left["open"] * left["factor"], left["close"] * left["factor"]
    assert adjusted_open[50] == pytest.approx(adjusted_close[49])
    others = np.arange(79) != 49
    np.testing.assert_allclose(adjusted_returns(left)[others], adjusted_returns(rows)[others])


def test_known_causes_of_large_moves_are_kept() -> None:
    back = stock("SH600001", 80, seed=1)
    back.loc[60:, PRICES] *= 0.6  # restructured while suspended for 30 sessions
    back = back.drop(index=range(30, 60))
    fresh = stock("SH688001", 60, seed=2, start="2022-02-01", factor=1.0)
    fresh.loc[3:, PRICES] *= 1.4  # within the first five sessions
    left, found = check(table(stock(), back, fresh))
    assert_found(found, "large_move", "kept", [back["stamp"][60], fresh["stamp"][3]])
    assert len(left) == 80 + 50 + 60
    assert check(table(stock(), back), replace(DEFAULTS, resumption_sessions=40))[1]["action"].tolist() == ["repaired"]


def test_limits_by_board_decide() -> None:
    def fall(symbol: str, start: str) -> list[str]:
        rows = stock(symbol, start=start)
        rows.loc[50:, PRICES] *= 0.85
        return check(table(rows))[1]["check"].tolist()

    assert fall("SH600000", "2021-01-04") == ["unexplained_jump"]
    assert fall("SZ300001", "2019-01-04") == ["unexplained_jump"]
    assert fall("SZ300001", "2021-01-04") == []
    assert fall("SH688001", "2021-01-04") == []
    assert fall("AAPL", "2021-01-04") == []


def test_other_markets_may_move_freely_but_are_noted() -> None:
    rows = stock("LUNA_USDT")
    rows.loc[50:, PRICES] *= 0.01
    left, found = check(table(rows))
    assert_found(found, "large_move", "kept", [rows["stamp"][50]])
    pd.testing.assert_frame_equal(left, table(rows))


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

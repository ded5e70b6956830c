"""The check of adjustment factors: steps that the price does not follow."""

import numpy as np
import pandas as pd
import pytest
from checked_bars import adjusted_returns, assert_found, check
from generated_bars import stock, table


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

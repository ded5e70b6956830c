"""The check of moves of the price: beyond the limit of the board, for a day or for good."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from checked_bars import DEFAULTS, adjusted_returns, assert_found, check
from generated_bars import PRICES, stock, table


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

"""Limits of A-shares: boards, dates, rounding, ex-rights days, and equality after the cast to float32."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kronos_lab.data.limits import (
    Board,
    adjusted_limits,
    board_of,
    is_free_session,
    limit_prices,
    limit_rates,
    raw_from_float32,
    reference_close,
)


@pytest.mark.parametrize(
    ("symbol", "board"),
    [
        ("SH600000", Board.MAIN), ("sz000001", Board.MAIN), ("SZ002466", Board.MAIN), ("SH688981", Board.STAR),
        ("SH689009", Board.STAR), ("SZ300750", Board.CHINEXT), ("SZ302132", Board.CHINEXT), ("BJ920002", Board.BEIJING),
        ("SH000300", Board.NONE), ("SZ399001", Board.NONE), ("SH510300", Board.NONE), ("600000", Board.NONE),
        ("AAPL", Board.NONE), ("SH900901", Board.NONE),
    ],
)  # fmt: skip
def test_board_of_a_symbol(symbol: str, board: Board) -> None:
    assert board_of(symbol) == board


def test_rates_by_board_and_date() -> None:
    boards = np.array([Board.MAIN, Board.STAR, Board.CHINEXT, Board.CHINEXT, Board.BEIJING, Board.NONE])
    days = np.array(["2024-01-02", "2024-01-02", "2020-08-21", "2020-08-24", "2024-01-02", "2024-01-02"], "M8[D]")
    np.testing.assert_array_equal(limit_rates(boards, days), [0.1, 0.2, 0.1, 0.2, 0.3, np.nan])


def free_sessions(board: Board, listed: str) -> list[bool]:
    ages = np.arange(7)
    return is_free_session(np.full(7, board), np.full(7, np.datetime64(listed)), ages).tolist()


def test_sessions_without_limits_after_a_listing() -> None:
    five, one, none = [True] * 5 + [False] * 2, [True] + [False] * 6, [False] * 7
    assert free_sessions(Board.STAR, "2019-07-22") == five
    assert free_sessions(Board.CHINEXT, "2020-08-24") == five
    assert free_sessions(Board.CHINEXT, "2020-08-21") == one
    assert free_sessions(Board.MAIN, "2023-04-10") == five
    assert free_sessions(Board.MAIN, "2023-04-07") == one
    assert free_sessions(Board.BEIJING, "2024-01-02") == one
    assert free_sessions(Board.STAR, "NaT") == none  # listed before the data begin


@pytest.mark.parametrize(
    ("reference", "rate", "up", "down"),
    [(24.45, 0.1, 26.90, 22.01), (10.0, 0.1, 11.0, 9.0), (2.05, 0.1, 2.26, 1.85), (1.25, 0.1, 1.38, 1.13)],
)
def test_limits_are_whole_ticks_rounded_half_up(reference: float, rate: float, up: float, down: float) -> None:
    assert limit_prices(np.array([reference]), np.array([rate])) == (np.array([up]), np.array([down]))


@pytest.mark.parametrize("tenths", [1, 2, 3])
def test_limits_of_every_price_equal_whole_number_arithmetic(tenths: int) -> None:
    ticks = np.arange(1, 200_001)
    up, down = limit_prices(ticks / 100, np.full(len(ticks), tenths / 10))
    np.testing.assert_array_equal(up, (ticks * (10 + tenths) + 5) // 10 / 100)
    np.testing.assert_array_equal(down, (ticks * (10 - tenths) + 5) // 10 / 100)


def test_reference_close_on_an_ex_rights_day() -> None:
    # SZ002466 in 2019: close 29.06, three new shares at 8.75 for every ten: the exchange's reference was 24.45.
    reference = reference_close(np.array([29.06]), np.array([6.523621]), np.array([7.753637]))
    assert reference == [24.45]


def test_adjusted_limits_of_a_stock() -> None:
    days = pd.bdate_range("2024-01-02", periods=4)
    close, factor = np.array([10.0, 11.0, 5.0, 5.1]), np.array([2.0, 2.0, 4.4, 4.4])
    up, down = adjusted_limits("SH600000", days, close, factor, listed=False)
    np.testing.assert_array_equal(up[1:], np.array([11.0, 5.5, 5.5]) * factor[1:])
    np.testing.assert_array_equal(down[1:], np.array([9.0, 4.5, 4.5]) * factor[1:])
    assert np.isnan(up[0])
    assert np.isnan(adjusted_limits("SH600000", days, close, factor, listed=True)[0]).all()  # four of five free
    assert np.isnan(adjusted_limits("AAPL", days, close, factor, listed=False)[0]).all()


@given(ticks=st.integers(1, 400_000), factor=st.floats(0.01, 20_000))
def test_a_price_at_its_limit_is_at_it_in_float32_too(ticks: int, factor: float) -> None:
    source = np.array([ticks / 100], dtype=np.float32)  # as files hold it
    raw, limit = raw_from_float32(source), np.floor(np.array([ticks + 0.5])) / 100
    assert raw == limit
    assert np.float32(raw * factor) == np.float32(limit * factor)


def test_prices_between_ticks_stay_what_they_are() -> None:
    prices = np.array([15.883, 0.0123, 1e-5])
    np.testing.assert_array_equal(raw_from_float32(prices), prices)

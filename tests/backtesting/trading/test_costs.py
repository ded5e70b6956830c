"""What a trade costs, by hand: fees, stamp duty by date, participation."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hand_market import (
    FOUR_STOCKS,
    MONDAY,
    NAN,
    TUESDAY,
    WEDNESDAY,
    as_configured,
    run,
    scores,
    stock,
)

from kronos_lab.errors import InputError


def test_small_orders_pay_the_minimum_fee(write_market):
    ledger = run(write_market(FOUR_STOCKS), scores([MONDAY], A=[1], D=[2]), account=3_000.0)
    assert ledger.trades["cost"].to_list() == [5.0, 5.0]
    assert ledger.daily.loc[TUESDAY, "cash"] == 3_000 - 100 * 10 - 200 * 5 - 2 * 5


DUTY_DAYS = pd.bdate_range("2023-08-22", periods=6)  # the stamp duty was halved on the fifth, Monday the 28th


@pytest.fixture
def sold_around_the_halving(write_market) -> Any:
    """Ledger of A, B and C, bought on 23 August, one sold on each of the 25th, 28th and 29th; all prices are given."""

    def trade(account: float, price: float, **changes: Any) -> Any:
        stocks = {name: stock([price] * 6, [price] * 6, index=DUTY_DAYS) for name in "ABCDEF"}
        signal = scores(
            list(DUTY_DAYS[:5]),
            A=[9, 9, 0, 0, 0],
            B=[8, 8, 8, 0, 0],
            C=[7, 7, 7, 7, 0],
            D=[1, 1, 6, 6, 6],
            E=[1, 1, 1, 5, 5],
            F=[1, 1, 1, 1, 4],
        )
        return run(write_market(stocks, calendar=DUTY_DAYS), signal, account, topk=3, **changes)

    return trade


@pytest.mark.parametrize(
    ("account", "price", "bought", "fee", "duties"),
    [
        # 95,000 / 3 buys 31 lots at 10; 0.1 % of 31,000 is 31; the duty was 31 too, and 15.50 from the 28th on.
        (100_000.0, 10.0, 31_000.0, 31.0, [31.0, 15.5, 15.5]),
        # 2,850 / 3 buys 1 lot at 5; 0.1 % of 500 is less than the smallest fee; the duty comes in addition to it.
        (3_000.0, 5.0, 500.0, 5.0, [0.5, 0.25, 0.25]),
    ],
)
def test_a_sale_pays_the_stamp_duty_of_its_day(sold_around_the_halving, account, price, bought, fee, duties):
    ledger = sold_around_the_halving(account, price, **as_configured())
    trades = ledger.trades
    sales = trades[trades["side"] == "sell"]
    assert sales["symbol"].to_list() == ["A", "B", "C"]
    assert sales["date"].to_list() == list(DUTY_DAYS[3:])
    assert sales["value"].to_list() == [bought] * 3
    assert sales["cost"].to_list() == pytest.approx([fee + duty for duty in duties], abs=1e-9)
    purchases = trades[trades["side"] == "buy"]
    assert purchases["cost"].to_list() == pytest.approx(np.maximum(0.001 * purchases["value"], 5.0), abs=1e-9)
    flow = trades["value"].where(trades["side"] == "sell", -trades["value"]) - trades["cost"]
    cash = account + flow.groupby(trades["date"]).sum().reindex(ledger.daily.index, fill_value=0.0).cumsum()
    np.testing.assert_allclose(ledger.daily["cash"], cash, atol=1e-9)


def test_a_sale_without_stamp_duty_pays_the_fee_alone(sold_around_the_halving):
    trades = sold_around_the_halving(100_000.0, 10.0, **as_configured("exchange.stamp_duty=null")).trades
    assert trades.loc[trades["side"] == "sell", "cost"].to_list() == pytest.approx([31.0] * 3, abs=1e-9)


def test_days_before_the_stamp_duty_is_known_are_refused(sold_around_the_halving):
    with pytest.raises(InputError, match=r"exchange\.stamp_duty begins on 2023-08-28, trading on 2023-08-23"):
        sold_around_the_halving(100_000.0, 10.0, stamp_duty={"2023-08-28": 0.0005})


def test_participation_is_the_value_of_a_fill_over_what_was_traded_of_its_name_that_day(write_market):
    stocks = {
        "A": stock([10] * 5, [10] * 5, amount=[1e6, 2e6, 1e6, 1e6, 1e6]),
        "B": stock([20] * 5, [20] * 5, factor=2.0, amount=[1e6, 1e6, 4e5, 1e6, 1e6]),
        "C": stock([5] * 5, [5] * 5, amount=[1e6, NAN, 1e6, 1e6, 1e6]),
    }
    signal = scores([MONDAY, TUESDAY], A=[3, 0], B=[1, 3], C=[2, 2])
    trades = run(write_market(stocks), signal).trades.set_index(["date", "side", "symbol"])
    # Tuesday: 47,500 buys 47 lots of A, of which 2,000,000 is traded, and 95 lots of C, of which nobody knows.
    assert trades.loc[(TUESDAY, "buy", "A"), "participation"] == pytest.approx(47_000 / 2_000_000)
    assert np.isnan(trades.loc[(TUESDAY, "buy", "C"), "participation"])
    # Wednesday: 47 lots of A are sold, and B, raw price 10, is bought with 95 % of 52,335, the cash there is then.
    assert trades.loc[(WEDNESDAY, "sell", "A"), "participation"] == pytest.approx(47_000 / 1_000_000)
    assert trades.loc[(WEDNESDAY, "buy", "B"), "participation"] == pytest.approx(49_000 / 400_000)


def test_a_store_without_amounts_has_them_from_the_volume(write_market):
    stocks = {symbol: frame.drop(columns="amount") for symbol, frame in FOUR_STOCKS.items()}
    trades = run(write_market(stocks), scores([MONDAY], A=[2], B=[1], D=[3])).trades
    assert len(trades) == 2
    price = trades.set_index("symbol")["price"]
    mean = {symbol: frame.loc[TUESDAY, ["open", "high", "low", "close"]].mean() for symbol, frame in stocks.items()}
    expected = trades.set_index("symbol")["shares"] * price / (1e6 * pd.Series(mean)[price.index])
    np.testing.assert_allclose(trades["participation"], expected)

"""Lots by board: what an exchange would not take is neither ordered nor filled, by the list as by the simulation."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hand_market import MONDAY, STRATEGY, TUESDAY, WEDNESDAY, run, scores, soft_topk, stock
from traded_noise import Traded, exchange_settings, quotes_of

MAIN, STAR, CHINEXT, BEIJING = "SH600000", "SH688072", "SZ300001", "BJ920002"


def shares_bought(ledger: Any) -> dict[str, float]:
    return dict(zip(ledger.trades["symbol"], ledger.trades["shares"] * ledger.trades["factor"], strict=True))


@pytest.mark.parametrize("factor", [1.0, 2.0])
@pytest.mark.parametrize(
    ("account", "bought"),
    [
        # 0.95 / 4 of it is 4,750: 118.75 shares at 40
        (20_000.0, {MAIN: 100, CHINEXT: 100, BEIJING: 118}),
        # 10,687.50: 267.1875 shares
        (45_000.0, {MAIN: 200, STAR: 267, CHINEXT: 200, BEIJING: 267}),
    ],
)
def test_purchases_are_what_each_board_takes(write_market, account, bought, factor):
    price = [40.0 * factor] * 5
    stocks = {name: stock(price, price, factor=factor) for name in (MAIN, STAR, CHINEXT, BEIJING)}
    signal = scores([MONDAY], **{name: [1.0] for name in stocks})
    ledger = run(write_market(stocks), signal, account, topk=4, trade_unit="by_board")
    assert shares_bought(ledger) == pytest.approx(bought)
    spent = sum(40 * shares + max(0.04 * shares, 5) for shares in bought.values())
    assert ledger.daily.loc[TUESDAY, "cash"] == pytest.approx(account - spent)  # what was not bought costs nothing


def test_cash_that_runs_out_buys_no_less_than_the_board_takes(write_market):
    """Sized at 60, the last name costs 66: what is left would buy 190 shares of it, too few for STAR."""
    stocks = {MAIN: stock([60] * 5, [60] * 5), STAR: stock([66] * 5, [60] * 5)}
    signal = scores([MONDAY], **{MAIN: [2.0], STAR: [1.0]})
    all_in = soft_topk(risk_degree=0.999)
    ledger = run(write_market(stocks), signal, 25_000.0, strategy=all_in, trade_unit="by_board")
    assert shares_bought(ledger) == {MAIN: 200}
    ledger = run(write_market(stocks | {STAR: stock([61] * 5, [60] * 5)}), signal, 25_000.0, strategy=all_in,
                 trade_unit="by_board")  # fmt: skip
    assert shares_bought(ledger) == {MAIN: 200, STAR: 208}


def test_a_part_of_a_star_holding_is_sold_from_200_shares_on_and_what_is_left_at_once(write_market):
    stocks = {name: stock([10] * 5, [10] * 5) for name in (MAIN, STAR)}
    signal = scores([MONDAY, TUESDAY, WEDNESDAY], **{MAIN: [1, 2, 2], STAR: [2, 1, 1]})
    rules = {"strategy": soft_topk(topk=1, max_sold_weight=0.6), "trade_unit": "by_board"}
    trades = run(write_market(stocks), signal, 5_000.0, **rules).trades
    star = trades[trades["symbol"] == STAR]
    # 475 shares; 0.6 of 4,745.25 sells 284 (whole shares), which leaves 191: sold in one order.
    assert star["side"].to_list() == ["buy", "sell", "sell"]
    assert star["shares"].to_list() == [475, 284, 191]
    slower = {"strategy": soft_topk(topk=1, max_sold_weight=0.3), "trade_unit": "by_board"}
    trades = run(write_market(stocks), signal, 5_000.0, **slower).trades
    assert trades[trades["symbol"] == STAR]["side"].to_list() == ["buy"]  # 142 shares are too few to sell


def test_plain_lots_are_the_same_for_all_boards(write_market):
    stocks = {name: stock([40] * 5, [40] * 5) for name in (MAIN, STAR)}
    ledger = run(write_market(stocks), scores([MONDAY], **{name: [1.0] for name in stocks}), 10_000.0, trade_unit=100)
    assert shares_bought(ledger) == {MAIN: 100, STAR: 100}


@pytest.mark.parametrize(("symbol", "says"), [("SH600000", False), ("SH688000", True)])
def test_an_order_in_plain_lots_that_its_board_does_not_take_says_so(boards_walk, symbol, says):
    from kronos_lab.backtesting.trading.holdings import no_holdings
    from kronos_lab.backtesting.trading.next_session import next_session
    from kronos_lab.backtesting.trading.orders import plan_orders
    from kronos_lab.backtesting.trading.strategies import TopkDropout

    market, _ = boards_walk
    session = next_session(market, market.calendar[42])
    price = market.wide(["close", "factor"], [symbol], session.day, session.day)
    cash = 150 * price["close"].iloc[0, 0] / price["factor"].iloc[0, 0]
    strategy, exchange = TopkDropout(**STRATEGY), exchange_settings(trade_unit=100)
    plan = plan_orders(market, pd.Series({symbol: 1.0}), no_holdings(), cash, strategy, exchange, session)
    assert plan.orders["shares"].to_list() == [100]
    assert plan.orders["reason"].iloc[0].endswith("; the exchange takes no order of less than 200 shares") == says


@pytest.mark.parametrize("strategy_name", ["topk_dropout", "softtopk"])
def test_orders_by_board_are_the_backtests_next_session_to_the_share(boards_walk, strategy_name):
    from kronos_lab.backtesting.trading.orders import plan_orders
    from kronos_lab.backtesting.trading.portfolio import simulate
    from kronos_lab.backtesting.trading.strategies import TopkDropout

    market, signal = boards_walk
    strategy = soft_topk(topk=5, max_sold_weight=0.3) if strategy_name == "softtopk" else None
    strategy = strategy or TopkDropout(**STRATEGY | {"topk": 5, "n_drop": 2})
    account = 12_000.0 if isinstance(strategy, TopkDropout) else 40_000.0
    exchange = exchange_settings(trade_unit="by_board")
    ledger = simulate(market, signal, strategy, exchange, account)
    factor_LN = market.wide(["factor"], list(signal))["factor"].ffill()
    traded = Traded(market, signal, strategy, exchange, ledger, factor_LN)
    refused = 0
    for position in range(5, 58, 4):
        evening, fills = traded.evening(position), traded.morning(position)
        plan = plan_orders(**evening, quotes=quotes_of(market, evening["session"].stamp))
        given = plan.orders[plan.orders["side"] != "none"].reset_index(drop=True)
        assert given[["symbol", "side"]].equals(fills[["symbol", "side"]])
        factor_N = factor_LN.loc[evening["session"].day, given["symbol"]].to_numpy()
        np.testing.assert_allclose(given["shares"].astype(float) / factor_N, fills["shares"], rtol=1e-9)
        check_taken(given)
        too_small = plan.orders["reason"].str.endswith("buys no 200 shares, the least on its board")
        assert plan.orders.loc[too_small, "symbol"].str.startswith("SH688").all()
        refused += too_small.sum()
    assert refused > 3 or strategy_name == "softtopk"  # which gives no such order
    assert len(ledger.trades) > 60


def check_taken(orders: pd.DataFrame) -> None:
    """Purchases of every board are of what it takes."""
    bought = orders[orders["side"] == "buy"].set_index("symbol")["shares"]
    star, beijing = bought.index.str.startswith("SH688"), bought.index.str.startswith("BJ")
    assert (bought[star] >= 200).all() and (bought[beijing] >= 100).all()
    assert (bought[star | beijing] % 1 == 0).all() and (bought[~(star | beijing)] % 100 == 0).all()

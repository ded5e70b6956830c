"""The strategy of weights, by hand."""

import pytest
from hand_market import FOUR_STOCKS, MONDAY, NAN, THURSDAY, TUESDAY, WEDNESDAY, run, scores, soft_topk, stock

from kronos_lab.errors import InputError


def test_three_days_of_soft_topk_by_hand(write_market):
    """Names no longer among the best two are sold, the best are filled up to half of 95 % of the account."""
    signal = scores([MONDAY, TUESDAY, WEDNESDAY], A=[3, 3, 1], C=[1, 2, 3], D=[2, 1, 2])
    ledger = run(write_market(FOUR_STOCKS), signal, strategy=soft_topk(), limit_threshold=None)
    fills = {
        (trade.date, trade.symbol): (trade.side, trade.shares, trade.price, pytest.approx(trade.cost, abs=1e-9))
        for trade in ledger.trades.itertuples()
    }
    assert fills == {
        # 47,500 each, sized with Monday's closes of 10 and 5.
        (TUESDAY, "A"): ("buy", 4700, 10.0, 47.0),
        (TUESDAY, "D"): ("buy", 9500, 5.0, 47.5),
        # Account 102,255.50, of which 97,142.725 is to be invested. A has grown to 49,350, more than half: it is kept.
        # D goes, and C gets the rest, 47,792.725: 61 lots at Tuesday's close of 7.75.
        (WEDNESDAY, "D"): ("sell", 9500, 5.0, 71.25),
        (WEDNESDAY, "C"): ("buy", 6100, 8.0, 48.8),
        # Account 104,485.45, half of 95 % is 49,630.58875: C has 48,800 and gets one lot more, D 99 lots.
        (THURSDAY, "A"): ("sell", 4700, 12.0, 84.6),
        (THURSDAY, "C"): ("buy", 100, 8.0, 5.0),
        (THURSDAY, "D"): ("buy", 9900, 5.0, 49.5),
    }
    assert ledger.daily["cash"].to_list() == pytest.approx([5405.5, 3985.45, 9946.35], abs=1e-9)
    assert ledger.daily.loc[THURSDAY, "account"] == pytest.approx(9946.35 + 6200 * 8 + 9900 * 5.25, abs=1e-9)


def test_soft_topk_sells_no_more_of_a_name_than_it_may(write_market):
    signal = scores([MONDAY, TUESDAY], A=[3, 3], C=[1, 2], D=[2, 1])
    market = write_market(FOUR_STOCKS)
    trades = run(market, signal, strategy=soft_topk(max_sold_weight=0.2), limit_threshold=None).trades
    # 0.2 of 97,142.725 is 38 lots of D at 5; C gets that and what was not invested before, 25 lots at 7.75.
    wednesday = trades[trades["date"] == WEDNESDAY].set_index("symbol")["shares"]
    assert wednesday.to_dict() == {"D": 3800, "C": 2500}


def test_soft_topk_puts_what_it_could_not_buy_into_no_other_name(write_market):
    signal = scores([MONDAY, TUESDAY], A=[3, 3], C=[2, 2], D=[1, 1])
    ledger = run(write_market(FOUR_STOCKS), signal, strategy=soft_topk())  # C opens at its limit on Tuesday
    assert ledger.trades["symbol"].to_list() == ["A"]
    assert ledger.daily["cash"].to_list() == [52_953.0, 52_953.0]


def test_soft_topk_keeps_a_suspended_holding_and_trades_the_others(write_market):
    stocks = FOUR_STOCKS | {"A": stock([9, 10, NAN, 12, 12], [10, 10.5, NAN, 12, 12])}
    signal = scores([MONDAY, TUESDAY], A=[3, 0], C=[1, 2], D=[2, 3])
    ledger = run(write_market(stocks), signal, strategy=soft_topk(), limit_threshold=None)
    assert (ledger.trades["date"] == TUESDAY).sum() == 2
    held = ledger.holdings.set_index(["date", "symbol"])["shares"]
    assert held[WEDNESDAY]["A"] == held[TUESDAY]["A"] == 4700
    assert held[WEDNESDAY]["D"] >= held[TUESDAY]["D"] == 9500
    assert ledger.daily["cash"].min() >= 0


@pytest.mark.parametrize(
    ("key", "value"),
    [("topk", 0), ("max_sold_weight", 0), ("max_sold_weight", 1.5), ("max_sold_weight", None), ("risk_degree", 2)],
)
def test_impossible_weights_are_refused_by_name(key, value):
    with pytest.raises(InputError, match=rf"^strategy\.{key}="):
        soft_topk(**{key: value})

"""Ledgers by hand: which day signals, which day trades, and what cannot be traded."""

from pathlib import Path

import pandas as pd
import pytest
from hand_market import (
    EXCHANGE,
    FOUR_STOCKS,
    FRIDAY,
    MONDAY,
    NAN,
    STRATEGY,
    THURSDAY,
    TUESDAY,
    WEDNESDAY,
    run,
    scores,
    stock,
)

from kronos_lab.errors import InputError


def test_three_days_by_hand(write_market):
    """Signals of Monday, Tuesday and Wednesday trade at the opens of Tuesday, Wednesday and Thursday."""
    signal = scores([MONDAY, TUESDAY, WEDNESDAY], A=[2, 2, 1], B=[1, 3, 5], C=[3, 1, 0], D=[0, 0, 9])
    ledger = run(write_market(FOUR_STOCKS), signal)
    fills = [tuple(row) for row in ledger.trades.drop(columns=["factor", "participation"]).itertuples(index=False)]
    daily = ledger.daily

    # Monday signals C, then A. On Tuesday C opens at its limit and cannot be bought; its half of the money stays.
    # A: 100,000 · 0.95 / 2 = 47,500 buys 47 lots at the open of 10.
    assert fills[0] == (TUESDAY, "A", "buy", 4700, 10.0, 47_000.0, 47.0)
    # The first profit is Tuesday's own, from its open (10) to its close (10.5), less the fee.
    assert daily.index[0] == TUESDAY
    assert daily.loc[TUESDAY, "cash"] == 52_953.0
    assert daily.loc[TUESDAY, "account"] == 52_953.0 + 4700 * 10.5
    assert daily.loc[TUESDAY, "gross_return"] == pytest.approx(4700 * 0.5 / 100_000)
    assert daily.loc[TUESDAY, "net_return"] == pytest.approx((4700 * 0.5 - 47) / 100_000)
    assert daily.loc[TUESDAY, "turnover"] == pytest.approx(0.47)

    # Tuesday signals B. On Wednesday 52,953 · 0.95 buys 49 lots of real shares: 2,450 adjusted ones at 20.25.
    assert fills[1] == (WEDNESDAY, "B", "buy", 2450, 20.25, 49_612.5, pytest.approx(49.6125))
    assert daily.loc[WEDNESDAY, "cash"] == pytest.approx(3_290.8875, abs=1e-9)
    assert daily.loc[WEDNESDAY, "account"] == pytest.approx(3_290.8875 + 4700 * 11 + 2450 * 20, abs=1e-9)

    # Wednesday signals D and likes A least. On Thursday A is sold at 12, and the money buys D at 5.
    assert fills[2] == (THURSDAY, "A", "sell", 4700, 12.0, 56_400.0, pytest.approx(84.6))
    assert fills[3] == (THURSDAY, "D", "buy", 11_300, 5.0, 56_500.0, pytest.approx(56.5))
    assert daily.loc[THURSDAY, "cash"] == pytest.approx(3_049.7875, abs=1e-9)
    assert daily.loc[THURSDAY, "account"] == pytest.approx(3_049.7875 + 2450 * 21 + 11_300 * 5.25, abs=1e-9)

    # There is no signal of Thursday, so Friday is not traded and not in the ledger.
    assert daily.index.to_list() == [TUESDAY, WEDNESDAY, THURSDAY]
    assert daily["names"].to_list() == [1, 2, 2]
    held = ledger.holdings.set_index(["date", "symbol"])["shares"]
    assert held[THURSDAY].to_dict() == {"B": 2450, "D": 11_300}


def test_the_last_signal_day_is_kept_even_where_no_open_follows(write_market):
    signal = scores([THURSDAY, FRIDAY], A=[2, 0], B=[1, 2], C=[0, 1])
    ledger = run(write_market(FOUR_STOCKS), signal)
    assert ledger.daily.index.to_list() == [FRIDAY]


def test_a_signal_on_the_last_day_alone_cannot_be_traded(write_market):
    with pytest.raises(InputError, match=r"choose an earlier backtest\.start"):
        run(write_market(FOUR_STOCKS), scores([FRIDAY], A=[1], B=[2]))


def test_a_suspended_name_is_not_bought_and_a_held_one_keeps_its_price(write_market):
    stocks = FOUR_STOCKS | {
        "A": stock([9, 10, NAN, 12, 12], [10, 10.5, NAN, 12, 12]),
        "D": stock([5, NAN, 5, 5, 5], [5, NAN, 5, 5.25, 5]),
    }
    signal = scores([MONDAY, TUESDAY], A=[2, 0], B=[1, 2], C=[0, 1], D=[3, NAN])
    ledger = run(write_market(stocks), signal, limit_threshold=None)
    tuesday = ledger.trades[ledger.trades["date"] == TUESDAY]
    assert tuesday["symbol"].to_list() == ["A"]  # D is suspended
    wednesday = ledger.trades[ledger.trades["date"] == WEDNESDAY]
    assert "A" not in wednesday["symbol"].to_list()  # to be dropped, but suspended
    held = ledger.holdings.set_index(["date", "symbol"])
    assert held.loc[(WEDNESDAY, "A"), "close"] == 10.5


@pytest.mark.parametrize(
    ("limits", "sold"),
    [({"limit_down": 11.0}, False), ({"limit_down": 10.0}, True), ({"limit_up": 11.0, "limit_down": 9.0}, True)],
)
def test_a_name_that_opens_at_its_lower_limit_cannot_be_sold_but_at_the_upper_it_can(write_market, limits, sold):
    stocks = FOUR_STOCKS | {"A": FOUR_STOCKS["A"].assign(**limits)}
    stocks["A"].loc[TUESDAY, ["limit_up", "limit_down"]] = NAN
    signal = scores([MONDAY, TUESDAY], A=[9, 0], B=[8, 8], C=[NAN, 7], D=[NAN, 9])
    trades = run(write_market(stocks), signal).trades
    assert (((trades["date"] == WEDNESDAY) & (trades["symbol"] == "A")).any()) == sold


def test_a_close_at_the_limit_does_not_matter_to_who_trades_at_the_open(write_market):
    stocks = FOUR_STOCKS | {"A": stock([9, 10, 11, 12, 12], [10, 11, 11, 12, 12], limit_up=11.0)}
    assert "A" in run(write_market(stocks), scores([MONDAY], A=[2], B=[1])).trades["symbol"].to_list()


def test_hold_thresh_keeps_what_was_just_bought(write_market):
    signal = scores([MONDAY, TUESDAY, WEDNESDAY], A=[9, 0, 0], B=[8, 8, 8], C=[0, 1, 1], D=[1, 9, 9])
    market = write_market(FOUR_STOCKS)
    sold = {
        days: run(market, signal, hold_thresh=days).trades.query("side == 'sell'")["date"].to_list()
        for days in (1, 2, 3)
    }
    assert sold[1][0] == WEDNESDAY
    assert sold[2][0] == THURSDAY
    assert sold[3] == []


def test_more_names_than_are_scored_are_refused(write_market):
    with pytest.raises(InputError, match=r"strategy\.topk=5 .* \(4\)"):
        run(write_market(FOUR_STOCKS), scores([MONDAY], A=[1], B=[1], C=[1], D=[1]), topk=5)


def test_a_store_without_limits_is_refused_with_the_way_out(write_market):
    bare = {symbol: frame.drop(columns=["limit_up", "limit_down"]) for symbol, frame in FOUR_STOCKS.items()}
    signal = scores([MONDAY], A=[1], B=[2], C=[3])
    market = write_market(bare)
    with pytest.raises(InputError, match=r"limit_down, limit_up.*exchange\.limit_threshold=null"):
        run(market, signal)
    assert len(run(market, signal, limit_threshold=None).trades) == 2


@pytest.mark.parametrize("account", [0, -5.0, float("nan"), "rich"])
def test_without_cash_there_is_no_trade(write_market, account):
    with pytest.raises(InputError, match=rf"backtest\.account={account} must be a number above 0"):
        run(write_market(FOUR_STOCKS), scores([MONDAY], A=[1], B=[2], C=[3]), account=account)


@pytest.mark.parametrize("limit", ["$open >>= $limit_up", "Refff($open, 1) > 0", "$open >"])
def test_limits_that_qlib_cannot_read_are_refused(write_market, limit):
    with pytest.raises(InputError, match=r"exchange\.limit_threshold: qlib cannot read"):
        run(write_market(FOUR_STOCKS), scores([MONDAY], A=[1], B=[2], C=[3]), limit_threshold=[limit, "$open < 0"])


def test_limits_are_read_where_nothing_else_has_started_qlib(write_market, monkeypatch):
    """Bars that come from the cache need no qlib."""
    from qlib.data.data import ExpressionD

    from kronos_lab.backtesting.trading.exchange import ExchangeSettings
    from kronos_lab.backtesting.trading.portfolio import check_tradable
    from kronos_lab.backtesting.trading.strategies import TopkDropout

    monkeypatch.setitem(vars(ExpressionD), "_provider", None)
    scored = pd.Series([3], index=[MONDAY])
    check_tradable(write_market(FOUR_STOCKS), scored, TopkDropout(**STRATEGY), ExchangeSettings(**EXCHANGE))


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("topk", 0), ("topk", -5), ("topk", 2.5), ("topk", None),
        ("n_drop", 3), ("n_drop", 0), ("n_drop", 1.5), ("n_drop", "one"),
        ("hold_thresh", 0), ("risk_degree", 1.5), ("risk_degree", "all"), ("only_tradable", "perhaps"),
    ],
)  # fmt: skip
def test_impossible_strategies_are_refused_by_name(key, value):
    from kronos_lab.backtesting.trading.strategies import TopkDropout

    with pytest.raises(InputError, match=rf"^strategy\.{key}="):
        TopkDropout(**STRATEGY | {key: value})


@pytest.mark.parametrize("name", ["topk_dropout", "softtopk"])
def test_strategies_are_configured_as_they_are_written(name, write_market):
    """Each file composes, and `check_tradable` refuses more names than are scored."""
    from hydra import compose, initialize_config_dir
    from hydra.utils import instantiate

    from kronos_lab.backtesting.trading.exchange import ExchangeSettings
    from kronos_lab.backtesting.trading.portfolio import check_tradable
    from kronos_lab.runs.folder import register_resolvers

    register_resolvers()
    with initialize_config_dir(str(Path(__file__).parents[3] / "conf"), version_base="1.3"):
        strategy = instantiate(compose("backtest", [f"strategy={name}"]).strategy)
    assert strategy.topk == 50
    with pytest.raises(InputError, match=r"strategy\.topk=50 is more than the names scored on any day \(3\)"):
        check_tradable(write_market(FOUR_STOCKS), pd.Series([3], [MONDAY]), strategy, ExchangeSettings(**EXCHANGE))


def test_holdings_have_an_order_that_does_not_hang_on_the_process():
    from kronos_lab.backtesting.trading.position import SortedPosition

    names = [f"S{number}" for number in (7, 3, 9, 1, 5)]
    position = SortedPosition(cash=1.0, position_dict={name: {"amount": 1.0, "price": 2.0} for name in names})
    assert position.get_stock_list() == sorted(names)

"""Ledgers by hand: which day signals, which day trades, what it costs, and what cannot be traded."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kronos_lab.errors import InputError

NAN = float("nan")
SESSIONS = pd.bdate_range("2024-07-01", periods=5)  # Monday to Friday
MONDAY, TUESDAY, WEDNESDAY, THURSDAY, FRIDAY = SESSIONS
STRATEGY: dict[str, Any] = {
    "topk": 2,
    "n_drop": 1,
    "hold_thresh": 1,
    "risk_degree": 0.95,
    "only_tradable": False,
    "forbid_all_trade_at_limit": False,
}
EXCHANGE: dict[str, Any] = {
    "deal_price": "open",
    "limit_threshold": ["$open >= $limit_up", "$open <= $limit_down"],
    "open_cost": 0.001,
    "close_cost": 0.0015,
    "min_cost": 5.0,
    "stamp_duty": None,
    "trade_unit": 100,
}


def stock(open_: list[float], close: list[float], factor: float = 1.0, **fields: Any) -> pd.DataFrame:
    """Fields of one stock on the first sessions; NaN opens are suspended; no limits unless given."""
    open_L, close_L = np.array(open_, dtype=float), np.array(close, dtype=float)
    frame = pd.DataFrame(
        {
            "open": open_L,
            "high": np.maximum(open_L, close_L),
            "low": np.minimum(open_L, close_L),
            "close": close_L,
            "volume": 1e6,
            "amount": 1e6 * close_L,
            "factor": factor,
            "change": 0.0,
            "limit_up": np.nan,
            "limit_down": np.nan,
        },
        index=SESSIONS[: len(open_)] if len(open_) <= len(SESSIONS) else fields.pop("index"),
    )
    return frame.assign(**fields).dropna(subset="close")


# B has a factor of 2: its adjusted price of 20.25 is 10.125 in the market, and 100 real shares are 50 adjusted ones
FOUR_STOCKS = {
    "A": stock([9, 10, 11, 12, 12], [10, 10.5, 11, 12, 12]),
    "B": stock([20, 20, 20.25, 21, 21], [20, 20, 20, 21, 21], factor=2.0),
    "C": stock([7, 7.75, 8, 8, 8], [7, 7.75, 8, 8, 8], limit_up=[NAN, 7.75, 9, 9, 9]),
    "D": stock([5, 5, 5, 5, 5], [5, 5, 5, 5.25, 5]),
}


@pytest.fixture
def write_market(tmp_path: Path) -> Callable[..., Any]:
    """Function that writes stocks as a store and opens it: (stocks by symbol, calendar=SESSIONS) → Market."""

    def write(stocks: dict[str, pd.DataFrame], calendar: pd.DatetimeIndex = SESSIONS) -> Any:
        from kronos_lab.data.market import Market
        from kronos_lab.data.store import StoreWriter

        future = pd.bdate_range(calendar[-1] + pd.Timedelta(days=1), periods=20)
        with StoreWriter(tmp_path / "store", calendar, future) as store:
            for symbol, frame in stocks.items():
                store.add(symbol, frame)
            store.finish({"name": "by hand"})
        return Market(tmp_path / "store", name="by hand")

    return write


def soft_topk(**changes: Any) -> Any:
    from kronos_lab.backtesting.trading.strategies import SoftTopk

    return SoftTopk(**{"topk": 2, "max_sold_weight": 1.0, "risk_degree": 0.95} | changes)


def run(market: Any, scores: pd.DataFrame, account: float = 100_000.0, strategy: Any = None, **changes: Any) -> Any:
    from kronos_lab.backtesting.trading.exchange import ExchangeSettings
    from kronos_lab.backtesting.trading.portfolio import simulate
    from kronos_lab.backtesting.trading.strategies import TopkDropout

    strategy = strategy or TopkDropout(**STRATEGY | {key: changes[key] for key in changes.keys() & STRATEGY.keys()})
    exchange = ExchangeSettings(**EXCHANGE | {key: value for key, value in changes.items() if key in EXCHANGE})
    return simulate(market, scores, strategy, exchange, account)


def scores(days: list[pd.Timestamp], **columns: list[float]) -> pd.DataFrame:
    return pd.DataFrame(columns, index=pd.DatetimeIndex(days))


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


def as_configured(*overrides: str) -> dict[str, Any]:
    """Settings of the exchange as `python backtest.py` has them."""
    from hydra import compose, initialize_config_dir
    from omegaconf import OmegaConf

    from kronos_lab.runs.folder import register_resolvers

    register_resolvers()
    with initialize_config_dir(str(Path(__file__).parents[3] / "conf"), version_base="1.3"):
        settings: Any = OmegaConf.to_container(compose("backtest", list(overrides)).exchange)
    return {key: value for key, value in settings.items() if key != "_target_"}


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


def test_a_store_without_amounts_leaves_the_participation_open(write_market):
    stocks = {symbol: frame.drop(columns="amount") for symbol, frame in FOUR_STOCKS.items()}
    trades = run(write_market(stocks), scores([MONDAY], A=[2], B=[1], D=[3])).trades
    assert len(trades) == 2
    assert trades["participation"].isna().all()


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


@pytest.fixture
def random_walk(write_market):
    """60 sessions of 12 stocks with suspensions, splits and limits, and noise for scores."""
    random = np.random.default_rng(5)
    days = pd.bdate_range("2024-01-01", periods=60)
    stocks = {}
    for number in range(12):
        close = 10 * np.exp(random.normal(0, 0.03, 60).cumsum())
        open_ = close * np.exp(random.normal(0, 0.01, 60))
        open_[random.random(60) < 0.05] = NAN
        close[np.isnan(open_)] = NAN
        factor = np.where(np.arange(60) < 30, 1.0, 1.5)
        before = np.concatenate(([NAN], close[:-1]))
        stocks[f"S{number:02d}"] = stock(
            open_,
            close,
            index=days,
            factor=factor,
            change=pd.Series(close).ffill().pct_change().to_numpy(),
            limit_up=before * 1.03,
            limit_down=before * 0.97,
        )
    signal = pd.DataFrame(random.normal(size=(59, 12)), index=days[:59], columns=list(stocks))
    return write_market(stocks, calendar=days), signal


@pytest.mark.parametrize("kind", ["topk_dropout", "softtopk"])
def test_the_account_is_its_cash_and_shares_replayed_from_the_trades(random_walk, kind):
    market, signal = random_walk
    strategy = soft_topk(topk=4, max_sold_weight=0.2) if kind == "softtopk" else None
    ledger = run(market, signal, strategy=strategy, topk=4, n_drop=2, hold_thresh=2)
    close = market.wide(["close"], market.symbols("all"))["close"].ffill()
    cash, shares = 100_000.0, dict.fromkeys(market.symbols("all"), 0.0)
    for day, row in ledger.daily.iterrows():
        for trade in ledger.trades[ledger.trades["date"] == day].itertuples():
            sign = 1 if trade.side == "buy" else -1
            shares[trade.symbol] += sign * trade.shares
            cash -= sign * trade.shares * trade.price + trade.cost
            fee = 0.001 if trade.side == "buy" else 0.0015
            assert trade.cost == pytest.approx(max(fee * trade.shares * trade.price, 5.0))
            if trade.side == "buy":  # whole lots of real shares
                lots = trade.shares * trade.factor / 100
                assert lots == pytest.approx(round(lots), abs=1e-6)
        value = sum(amount * close.loc[day, symbol] for symbol, amount in shares.items())
        assert row["cash"] == pytest.approx(cash, abs=0.005)
        assert row["account"] == pytest.approx(cash + value, abs=0.005)
        assert row["cash"] >= 0
    assert len(ledger.trades) > 50
    growth = (1 + ledger.daily["net_return"]).prod()
    assert ledger.daily["account"].iloc[-1] == pytest.approx(100_000 * growth, rel=1e-12)


def test_the_ledger_equals_qlibs_own_backtest(random_walk):
    market, signal = random_walk
    ledger = run(market, signal, topk=4, n_drop=2)
    from qlib.backtest import backtest
    from qlib.backtest.executor import SimulatorExecutor
    from qlib.contrib.strategy import TopkDropoutStrategy

    from kronos_lab.backtesting.trading.exchange import ExchangeSettings

    days = ledger.daily.index
    report, _ = backtest(
        start_time=days[0],
        end_time=days[-1],
        strategy=TopkDropoutStrategy(
            signal=signal.stack().rename_axis(["datetime", "instrument"]),
            topk=4,
            n_drop=2,
            forbid_all_trade_at_limit=False,
        ),
        executor=SimulatorExecutor(time_per_step="day", generate_portfolio_metrics=True),
        benchmark=pd.Series(0.0, index=days),
        account=100_000.0,
        exchange_kwargs={"codes": market.symbols("all"), **ExchangeSettings(**EXCHANGE).qlib_arguments()},
    )
    theirs = report["1day"][0]
    np.testing.assert_allclose(ledger.daily["account"], theirs["account"], rtol=1e-9)
    np.testing.assert_allclose(ledger.daily["gross_return"], theirs["return"], atol=1e-9)
    np.testing.assert_allclose(ledger.daily["turnover"], theirs["turnover"], atol=1e-9)


def test_the_originals_exchange_tests_limits_at_the_close_and_charges_the_same_on_all_days(random_walk):
    assert as_configured("exchange=original") == {
        "deal_price": "open",
        "limit_threshold": 0.095,
        "open_cost": 0.001,
        "close_cost": 0.0015,
        "min_cost": 5,
        "stamp_duty": None,
        "trade_unit": 100,
    }
    market, signal = random_walk
    narrow = as_configured("exchange=original", "exchange.limit_threshold=0.03")  # prices that hardly move reach it
    trades = run(market, signal, topk=4, n_drop=2, **narrow).trades
    change = market.wide(["change"], market.symbols("all"))["change"].stack()
    of_trade = change.loc[pd.MultiIndex.from_frame(trades[["date", "symbol"]])].to_numpy()
    buys = (trades["side"] == "buy").to_numpy()
    assert of_trade[buys].max() < 0.03
    assert of_trade[~buys].min() > -0.03
    rate = np.where(buys, 0.001, 0.0015)
    np.testing.assert_allclose(trades["cost"], np.maximum(rate * trades["value"], 5.0), rtol=1e-12)
    assert len(trades) > 50


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


def test_scores_made_of_tomorrows_return_are_spectacular_and_shuffled_ones_are_not(random_walk):
    market, signal = random_walk
    price = market.wide(["open"], market.symbols("all"))["open"]
    from kronos_lab.evaluation.ranking import open_to_open_return

    foresight = open_to_open_return(price, 1).reindex_like(signal)
    random = np.random.default_rng(1)
    shuffled = foresight.apply(lambda row: pd.Series(random.permutation(row), index=row.index), axis=1)
    free = {"open_cost": 0.0, "close_cost": 0.0, "min_cost": 0.0, "topk": 3, "n_drop": 3}
    with_foresight = run(market, foresight, **free).daily["net_return"]
    without = run(market, shuffled, **free).daily["net_return"]
    assert with_foresight.mean() / with_foresight.std() * len(with_foresight) ** 0.5 > 4
    assert abs(without.mean() / without.std() * len(without) ** 0.5) < 2.5

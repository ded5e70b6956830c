"""Ledgers of a market that walks at random: replayed, and held against qlib's own."""

import numpy as np
import pandas as pd
import pytest
from hand_market import EXCHANGE, as_configured, run, soft_topk


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

"""Rules that need no model: on the rows that were forecast, from the past alone, traded as the scores are."""

import numpy as np
import pandas as pd
import pytest

from kronos_lab.backtesting.baselines import (
    OURS,
    RULES,
    Traded,
    against_baselines,
    baseline_scores,
    on_rows_of,
    past_return,
    past_volatility,
)
from kronos_lab.backtesting.trading.portfolio import Ledger

NAN = float("nan")


def scored(market) -> pd.DataFrame:
    symbols = market.symbols("csi300")
    traded = market.wide(["close"], symbols)["close"].notna()
    member = pd.DataFrame(market.member_LN("csi300", symbols), market.calendar, symbols)
    noise = np.random.default_rng(0).normal(size=traded.shape)
    return pd.DataFrame(noise, traded.index, traded.columns).where(member & traded).iloc[-60:-10]


def test_past_figures_by_hand():
    close = pd.DataFrame({"a": [1.0, 2.0, NAN, 3.0], "b": [NAN, 5.0, 5.0, 4.0]})
    assert past_return(close, 2)["a"].tolist() == pytest.approx([NAN, NAN, 1.0, 0.5], nan_ok=True)
    assert past_return(close, 2)["b"].tolist() == pytest.approx([NAN, NAN, NAN, -0.2], nan_ok=True)
    prices = pd.DataFrame({"a": np.cumprod(1 + np.tile([0.01, -0.01], 40))})
    assert past_volatility(prices)["a"].iloc[-1] == pytest.approx(np.std([0.01, -0.01] * 30, ddof=1))
    assert past_volatility(prices)["a"].first_valid_index() == 20
    prices.iloc[25:70] = NAN  # 15 days of the last 60 were traded: a suspension is not calm
    assert past_volatility(prices)["a"].iloc[-1:].isna().all()


def test_rules_rank_the_rows_that_were_forecast(small_market):
    score_LN = scored(small_market)
    for name, rule_LN in baseline_scores(small_market, score_LN).items():
        pd.testing.assert_frame_equal(rule_LN.notna(), score_LN.notna(), check_names=False, obj=name)


def test_other_scores_are_held_to_the_same_rows():
    """Of paths that all end alike return over volatility is unknown: of one model it may be, of its parent not."""
    ours = pd.DataFrame({"a": [1.0, NAN], "b": [2.0, 1.0], "c": [3.0, 2.0]})
    parent = pd.DataFrame({"b": [5.0, 6.0], "a": [9.0, 9.0], "c": [NAN, NAN], "d": [1.0, 1.0]})
    expected = pd.DataFrame({"a": [9.0, NAN], "b": [5.0, 6.0], "c": [7.0, 6.0]})  # the median of the day
    pd.testing.assert_frame_equal(on_rows_of(ours, parent), expected)


def test_rules_know_nothing_of_the_day_after(small_market, monkeypatch):
    score_LN = scored(small_market)
    before = baseline_scores(small_market, score_LN)
    whole, later = small_market.wide, score_LN.index[30]

    def otherwise(fields, symbols, **options):
        found = whole(fields, symbols, **options)
        return {name: table.mul(np.where(table.index < later, 1, 1.05), axis=0) for name, table in found.items()}

    monkeypatch.setattr(small_market, "wide", otherwise)
    after = baseline_scores(small_market, score_LN)
    for name in RULES:
        pd.testing.assert_frame_equal(before[name].iloc[:30], after[name].iloc[:30])
        assert not before[name].iloc[30:].equals(after[name].iloc[30:])


def test_the_difference_to_a_rule_is_paired(small_market):
    """The same scores with a little less return every day: their own figures are unsure, the difference is not."""
    score_LN = scored(small_market)
    random = np.random.default_rng(1)
    days = pd.bdate_range("2024-07-01", periods=200)
    daily = pd.DataFrame({"net_return": random.normal(0, 0.01, 200), "turnover": 0.2}, index=days)
    worse = daily.assign(net_return=daily["net_return"] - 0.0005 + random.normal(0, 1e-5, 200))
    nothing = pd.DataFrame()
    table = against_baselines(
        small_market,
        {
            OURS: Traded(score_LN, Ledger(daily, nothing, nothing)),
            "the same": Traded(score_LN, Ledger(worse, nothing, nothing)),
        },
        pd.Series(0.0, days),
        horizon=2,
        per_year=240,
        seed=1,
    )
    assert list(table) == [OURS, "the same"]
    assert table["the same"]["rank_ic"] == table[OURS]["rank_ic"]
    assert table["the same"]["rank_ic_less"]["1"]["mean"] == 0
    less = table["the same"]["return_less"]
    assert less["annual_return"] == pytest.approx(0.0005 * 240, rel=0.01) and less["p"] < 0.001
    assert table[OURS]["excess"]["p"] > 0.05
    assert table[OURS]["turnover"] == pytest.approx(0.2)

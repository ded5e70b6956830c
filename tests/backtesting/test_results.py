"""Figures, tables and warnings of the backtest of hand-made scores, see `conftest.py`."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kronos_lab.errors import InputError

UNIVERSE, INDEX, HORIZON = "csi300", "SH000300", 5


def with_ledger(backtest: Any, ledger: Any) -> dict[str, Any]:
    """What was traded, with another ledger of the scores in question."""
    from kronos_lab.backtesting.baselines import OURS

    return backtest.traded | {OURS: backtest.traded[OURS]._replace(ledger=ledger)}


def test_a_score_that_knows_something_has_rank_ic_and_excess_over_both_benchmarks(backtest):
    figures = backtest.metrics["ranking"]["open_to_open"][str(HORIZON)]["rank_ic"]
    assert figures["t"] > 5
    assert figures["days"] == 100
    for name in ("equal_weight", "index"):
        excess = backtest.metrics["excess"][name]
        assert excess["with_cost"]["annual_return"] > 0
        assert excess["without_cost"]["annual_return"] > excess["with_cost"]["annual_return"]


def test_figures_of_the_order_know_how_sure_they_are(backtest):
    """The scores of the fixture know the return over five sessions, less of one and of twenty."""
    metrics = backtest.metrics
    decay = metrics["decay"]
    assert list(decay) == ["1", "2", "3", "5", "10", "20"]
    assert decay["5"] == metrics["ranking"]["open_to_open"]["5"]["rank_ic"]
    assert decay["5"]["mean"] > max(decay["1"]["mean"], decay["20"]["mean"])
    for horizon, figures in decay.items():
        enough = int(horizon) * 12 < 100
        assert np.isfinite([figures[name] for name in ("p", "low", "high", "detectable")]).all() == enough
        assert bool(figures["reason"]) != enough
        if enough:
            assert figures["low"] < figures["mean"] < figures["high"]
            assert (figures["p"] <= 0.05) == (abs(figures["mean"]) >= figures["detectable"])
    groups = metrics["groups"]
    means = [groups["mean"][str(group)]["mean"] for group in range(1, 11)]
    assert groups["monotonicity"] == pytest.approx(pd.Series(means).corr(pd.Series(range(10)), "spearman"))
    assert groups["monotonicity"] > 0.5 and groups["long_short"]["mean"] == pytest.approx(means[9] - means[0])
    assert 0.5 < metrics["hit_rate"]["low"] < metrics["hit_rate"]["mean"] < metrics["hit_rate"]["high"] < 0.7
    assert list(metrics["rank_autocorrelation"]) == ["1", "5"]
    assert metrics["rank_autocorrelation"]["1"] > metrics["rank_autocorrelation"]["5"]  # labels overlap, noise is new
    assert sum(year["days"] for year in metrics["by_year"].values()) == 100


def test_the_verdict_says_what_the_figures_do(backtest):
    from copy import deepcopy

    from kronos_lab.backtesting.conclusions import verdict

    known = verdict(backtest.metrics)
    assert known[0].startswith("The scores order the names of the next session better than chance (p 0.0")
    assert "days a rank IC below 0." in known[0] and "a year cannot be told from zero." in known[1]
    nothing = deepcopy(backtest.metrics)
    nothing["ranking"]["open_to_open"]["1"]["rank_ic"] |= {"p": 0.4, "detectable": 0.0123, "days": 100}
    nothing["excess"]["equal_weight"]["with_cost"] |= {"p": 0.3, "detectable": 0.187}
    nothing["superiority"] |= {"strongest": "momentum", "excess_of_strongest": 0.123, "p": 0.5}
    place = nothing["random_portfolios"]["excess"]["equal_weight"]
    place["annual_return"]["better"], place["information_ratio"]["better"] = 12, 9
    assert verdict(nothing) == [
        "The order of the scores cannot be told from chance over the next session (p 0.40); with 100 days a rank IC "
        "below 0.012 cannot be told from zero.",
        "The excess over equal weight after cost cannot be told from nothing (p 0.3); with 100 sessions one below "
        "18.7% a year cannot be told from zero.",
        "Of equal weight and 5 rules without a model the strongest was momentum, with an excess of +12.3% a year: the "
        "scores cannot be told from it (SPA test, p 0.5).",
        "12 of 30 random portfolios of the same turnover earned more, 9 had a higher information ratio over equal "
        "weight.",
    ]
    apart = nothing["superiority"]
    apart |= {"p": 0.02, "p_better": 0.9, "p_worse": 0.01}
    assert verdict(nothing)[2].endswith("the scores earned less than the best, beyond chance (SPA test, p 0.02).")
    apart |= {"p": 0.02, "p_better": 0.01, "p_worse": 0.9}
    assert verdict(nothing)[2].endswith("the scores earned more than any, beyond chance (SPA test, p 0.02).")
    trials = {"trials": 1, "probability": 0.871}
    assert verdict(nothing | {"trials": trials})[-1] == (
        "Probabilistic Sharpe ratio 0.87: the confidence that the true excess over equal weight is above zero, as the "
        "only trial on these sessions that is known of."
    )
    deflated = verdict(nothing | {"trials": trials | {"trials": 7}})[-1]
    assert deflated.startswith("Deflated Sharpe ratio 0.87") and "one of at least 7 trials" in deflated
    short = deepcopy(nothing)
    short["ranking"]["open_to_open"]["1"]["rank_ic"] |= {"p": float("nan"), "reason": "9 days are few"}
    short["excess"]["equal_weight"]["with_cost"] |= {"p": float("nan")}
    short |= {"superiority": None, "trials": {"trials": 1, "probability": float("nan")}}
    del short["random_portfolios"]
    assert verdict(short) == ["Whether the scores order the names better than chance cannot be said: 9 days are few."]


def test_scores_that_know_something_stand_above_the_random_portfolios(backtest):
    random = backtest.metrics["random_portfolios"]
    assert random["portfolios"] == 30
    assert list(random["excess"]) == ["equal_weight", "index"]
    for place in random["excess"]["equal_weight"].values():
        assert place["percentile"] > 90 and place["better"] < 3
        assert place["low"] < place["median"] < place["high"]
    assert random["excess"]["equal_weight"]["annual_return"]["median"] < 0  # they pay costs, equal weight none
    assert random["turnover"] == pytest.approx(backtest.metrics["trading"]["turnover_per_session"], rel=0.1)


def test_excess_is_the_daily_difference_and_costs_are_what_lies_between(backtest, small_market):
    from kronos_lab.backtesting.performance import sessions_per_year

    daily, metrics = backtest.ledger.daily, backtest.metrics
    year = sessions_per_year(small_market.calendar)
    equal = backtest.against["equal_weight"].returns.reindex(daily.index)
    by_hand = (daily["net_return"] - equal).mean() * year
    excess = metrics["excess"]["equal_weight"]
    assert excess["with_cost"]["annual_return"] == pytest.approx(by_hand)
    between = excess["without_cost"]["annual_return"] - excess["with_cost"]["annual_return"]
    assert between == pytest.approx(metrics["trading"]["annual_cost"])
    assert 240 < year < 270


def test_the_index_is_a_price_index_by_name(backtest):
    assert backtest.metrics["benchmarks"]["index"]["label"] == "SH000300, price index (dividends excluded)"
    assert "total return" in backtest.metrics["benchmarks"]["equal_weight"]["label"]


def test_all_has_no_index(small_market):
    from kronos_lab.backtesting.results import benchmarks

    assert list(benchmarks(small_market, "all", None)) == ["equal_weight"]
    with pytest.raises(InputError, match="SH999999"):
        benchmarks(small_market, "csi300", "SH999999")


def test_equal_weight_follows_joiners_and_leavers(backtest, small_market):
    symbols = small_market.symbols(UNIVERSE)
    close = small_market.wide(["close"], symbols)["close"].ffill()
    member = small_market.member_LN(UNIVERSE, symbols)
    equal = backtest.against["equal_weight"].returns
    for row in (150, 210, 390):
        held = [s for n, s in enumerate(symbols) if member[row, n] and not np.isnan(close[s].iloc[row - 1])]
        by_hand = np.mean([close[s].iloc[row] / close[s].iloc[row - 1] - 1 for s in held])
        assert equal.iloc[row] == pytest.approx(by_hand, abs=1e-12)


def test_headline_is_flat_and_complete(backtest):
    from kronos_lab.backtesting.conclusions import headline

    flat = headline(backtest.metrics)
    assert all(isinstance(value, float) for value in flat.values())
    assert {"rank_ic_1d", f"rank_ic_{HORIZON}d", "excess_equal_weight_with_cost", "excess_index_with_cost"} < set(flat)


def test_a_benchmark_with_missing_sessions_is_a_warning(backtest):
    from kronos_lab.backtesting.results import Benchmark

    days = backtest.ledger.daily.index
    index = backtest.against["index"]
    assert index.gap(days) is None
    assert "no return on 2 of 100 sessions" in (Benchmark("X", index.returns.drop(days[[3, 4]])).gap(days) or "")


def test_tables_and_metrics_are_read_back_as_they_were(backtest, tmp_path):
    from kronos_lab.backtesting.outcome import save_tables

    save_tables(tmp_path, backtest)
    metrics = json.loads((tmp_path / "metrics.json").read_text())
    assert metrics["sessions_traded"] == backtest.metrics["sessions_traded"]
    assert metrics["warnings"] == backtest.warnings
    signals = pd.read_parquet(tmp_path / "signals.parquet")
    assert len(signals) == backtest.score_LN.notna().sum().sum()
    portfolio = pd.read_parquet(tmp_path / "portfolio.parquet").set_index("date")
    pd.testing.assert_frame_equal(portfolio, backtest.ledger.daily, check_freq=False)
    assert len(pd.read_parquet(tmp_path / "trades.parquet")) == metrics["trading"]["fills"]
    random = pd.read_parquet(tmp_path / "random_portfolios.parquet").set_index("date")
    np.testing.assert_array_equal(random, backtest.random.net_return_LR)
    assert metrics["random_portfolios"] == backtest.metrics["random_portfolios"]
    assert not list(tmp_path.glob("*.partial"))


def test_names_that_stopped_trading_while_held_are_a_warning(backtest, small_market):
    from dataclasses import replace

    from kronos_lab.backtesting.results import evaluate

    last = backtest.ledger.daily.index[-1]
    holdings = backtest.ledger.holdings
    gone = "SH600004"  # delisted before the end of the small market
    assert small_market.wide(["close"], [gone], start=last)["close"][gone].isna().all()
    kept = holdings[holdings["date"] == last].iloc[:1].assign(symbol=gone)
    ledger = replace(backtest.ledger, holdings=pd.concat([holdings, kept], ignore_index=True))
    again = evaluate(small_market, with_ledger(backtest, ledger), backtest.against, backtest.coverage, HORIZON, [], 1)
    assert [gone in warning for warning in again.warnings] == [True]


@pytest.mark.parametrize(("sessions", "frozen"), [(1, False), (19, False), (20, True)])
def test_a_name_suspended_since_lately_is_not_called_frozen(backtest, small_market, monkeypatch, sessions, frozen):
    """The backtest ends with the market, and the only name held has no bar on its last sessions."""
    from dataclasses import replace

    from kronos_lab.backtesting.results import evaluate

    last, name, wide = small_market.calendar[-1], "SH600000", small_market.wide

    def suspended(fields, symbols, start=None, end=None):
        tables = wide(fields, symbols, start, end)
        for table in tables.values():
            table.loc[small_market.calendar[-sessions] :, table.columns == name] = np.nan
        return tables

    monkeypatch.setattr(type(small_market), "wide", staticmethod(suspended))
    daily = backtest.ledger.daily.iloc[-80:].set_axis(small_market.calendar[-80:])
    kept = backtest.ledger.holdings.iloc[:1].assign(symbol=name, date=last)
    ledger = replace(backtest.ledger, daily=daily, holdings=kept)
    again = evaluate(small_market, with_ledger(backtest, ledger), backtest.against, backtest.coverage, HORIZON, [], 1)
    assert [name in warning for warning in again.warnings if "without bars" in warning] == [True] * frozen


def test_a_short_test_and_one_without_a_trade_are_warnings(backtest, small_market):
    from dataclasses import replace

    from kronos_lab.backtesting.results import evaluate

    idle = replace(backtest.ledger, daily=backtest.ledger.daily.iloc[:10], trades=backtest.ledger.trades.iloc[:0])
    again = evaluate(small_market, with_ledger(backtest, idle), backtest.against, backtest.coverage, HORIZON, [], 1)
    assert "only 10 sessions" in again.warnings[0]
    assert "nothing was traded: backtest.account" in again.warnings[1]


def test_costs_at_break_even_would_have_left_no_excess(backtest):
    daily, trading = backtest.ledger.daily, backtest.metrics["trading"]
    equal = backtest.against["equal_weight"].returns.reindex(daily.index)
    left = daily["gross_return"] - trading["break_even_cost_per_value"] * daily["turnover"] - equal
    assert left.mean() == pytest.approx(0, abs=1e-12)
    assert trading["cost_per_value"] * daily["turnover"].sum() == pytest.approx(daily["cost"].sum())


def test_rank_ics_by_liquidity_are_those_of_a_third_of_the_names(backtest, small_market):
    from kronos_lab.backtesting.styles import style_percentiles, thirds
    from kronos_lab.evaluation.ranking import daily_correlation, open_to_open_return

    score = backtest.score_LN
    equal = backtest.against["equal_weight"].returns
    parts = thirds(style_percentiles(small_market, score, equal)["liquidity"])
    label = open_to_open_return(small_market.wide(["open"], list(score.columns))["open"], 1)
    for name, part in parts.items():
        expected = daily_correlation(score.where(part), label, "rank").mean()
        assert backtest.metrics["by_part"][name]["mean"] == pytest.approx(expected, nan_ok=True)

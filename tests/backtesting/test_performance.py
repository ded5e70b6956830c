"""Figures by hand, and the equal-weight benchmark through suspension, listing and change of members."""

import numpy as np
import pandas as pd
import pytest

from kronos_lab.backtesting.performance import (
    drawdown,
    equal_weight_return,
    performance,
    performance_errors,
    price_return,
    sessions_per_year,
)

NAN = float("nan")


def series(*returns: float) -> pd.Series:
    return pd.Series(returns, index=pd.bdate_range("2024-07-01", periods=len(returns)), dtype=float)


def test_figures_by_hand():
    result = performance(series(0.10, -0.50, 0.20), per_year=240)
    assert result.annual_return == pytest.approx(-0.2 / 3 * 240)
    assert result.annual_volatility == pytest.approx(np.std([0.1, -0.5, 0.2], ddof=1) * 240**0.5)
    assert result.information_ratio == pytest.approx(result.annual_return / result.annual_volatility)
    assert result.max_drawdown == pytest.approx(-0.5)
    assert result.total_return == pytest.approx(1.1 * 0.5 * 1.2 - 1)
    assert result.sessions == 3


@pytest.mark.parametrize("seed", range(3))
def test_with_qlibs_conventions_they_are_qlibs_figures(seed):
    """Arithmetic annual figures of 238 sessions, drawdown of summed returns."""
    from kronos_lab.backtesting.trading.qlib_trader import quiet_qlib

    with quiet_qlib():
        from qlib.contrib.evaluate import risk_analysis

    returns = series(*np.random.default_rng(seed).normal(3e-4, 0.01, 243))
    theirs = risk_analysis(returns, freq="day")["risk"]
    ours = performance(returns, per_year=238, compounded=False)
    assert ours.annual_return == pytest.approx(theirs["annualized_return"], abs=1e-9)
    assert ours.annual_volatility == pytest.approx(theirs["std"] * 238**0.5, abs=1e-9)
    assert ours.information_ratio == pytest.approx(theirs["information_ratio"], abs=1e-9)
    assert ours.max_drawdown == pytest.approx(theirs["max_drawdown"], abs=1e-9)
    assert ours.total_return == pytest.approx(returns.sum(), abs=1e-12)


def test_correlations_are_qlibs():
    from kronos_lab.backtesting.trading.qlib_trader import quiet_qlib
    from kronos_lab.evaluation.ranking import daily_correlation

    with quiet_qlib():
        from qlib.contrib.eva.alpha import calc_ic

    random, days = np.random.default_rng(0), pd.bdate_range("2024-07-01", periods=20)
    score, label = (
        pd.DataFrame(random.normal(size=(20, 30)).round(1), days, list(range(30))) for _ in range(2)
    )  # rounded: ties
    score = score.mask(random.random(score.shape) < 0.1)
    long = [frame.rename_axis(index="datetime", columns="instrument").stack() for frame in (score, label)]
    both = pd.concat(long, axis=1, keys=["score", "label"]).dropna()
    ic, rank_ic = calc_ic(both["score"], both["label"])
    for theirs, method in ((ic, "pearson"), (rank_ic, "rank")):
        np.testing.assert_allclose(daily_correlation(score, label, method), theirs, rtol=0, atol=1e-9)


def test_a_loss_on_the_first_day_is_a_drawdown():
    assert drawdown(series(-0.1, 0.05)).to_list() == pytest.approx([-0.1, 0.9 * 1.05 - 1])


def test_returns_without_any_spread_have_no_ratio():
    assert np.isnan(performance(series(0.0, 0.0, 0.0), per_year=240).information_ratio)


def test_annual_figures_have_intervals_where_there_are_days_enough():
    random = np.random.default_rng(0)
    noise = random.normal(0, 0.01, 240)
    noise -= noise.mean()
    for mean, apart in ((0.0, False), (0.004, True)):
        returns = series(*(mean + noise))
        own, sure = performance(returns, 240), performance_errors(returns, 240, seed=1)
        assert sure["annual_return_low"] < own.annual_return < sure["annual_return_high"]
        assert sure["information_ratio_low"] < own.information_ratio < sure["information_ratio_high"]
        assert (sure["p"] <= 0.05) == (sure["annual_return_low"] > 0) == (sure["information_ratio_low"] > 0) == apart
    # A year of independent days knows its ratio to about ± 2.
    assert sure["information_ratio_high"] - sure["information_ratio_low"] == pytest.approx(4, rel=0.25)
    assert np.isnan(list(performance_errors(returns[:11], 240, seed=1).values())[1:]).all()


def test_sessions_per_year_are_counted_in_the_calendar():
    assert sessions_per_year(pd.bdate_range("2015-01-01", "2024-12-31")) == pytest.approx(260.9, abs=0.2)
    assert sessions_per_year(pd.date_range("2020-01-01", "2023-12-31")) == pytest.approx(365.25, abs=0.01)
    minutes = pd.date_range("2024-01-01", periods=48 * 31, freq="30min")
    assert sessions_per_year(minutes) == pytest.approx(365.25)


def test_equal_weight_carries_suspended_names_at_zero_and_books_the_jump_when_they_resume():
    close = pd.DataFrame({"A": [10.0, 11.0, 11.0, 11.0], "B": [20.0, NAN, NAN, 30.0]})
    members = np.ones((4, 2), dtype=bool)
    assert equal_weight_return(close, members).to_list()[1:] == pytest.approx([0.05, 0.0, 0.25])


def test_equal_weight_holds_the_members_of_the_day():
    close = pd.DataFrame({"A": [10.0, 11.0, 12.1], "B": [10.0, 10.0, 20.0]})
    members = np.array([[True, False], [True, False], [False, True]])
    assert equal_weight_return(close, members).to_list()[1:] == pytest.approx([0.1, 1.0])


def test_equal_weight_leaves_out_a_member_without_a_price_to_start_from():
    close = pd.DataFrame({"A": [10.0, 11.0], "B": [NAN, 50.0]})
    assert equal_weight_return(close, np.ones((2, 2), dtype=bool)).iloc[1] == pytest.approx(0.1)


def test_price_return_does_not_bridge_missing_days():
    assert price_return(series(10.0, 11.0, NAN, 12.0)).isna().to_list() == [True, False, True, True]

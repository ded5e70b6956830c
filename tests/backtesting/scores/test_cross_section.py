"""Outliers, unwanted bets and ranks across names: by hand, day by day, and never with a later bar."""

from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kronos_lab.backtesting.scores.cross_section import CrossSection, ranked, winsorised
from kronos_lab.backtesting.scores.exposures import exposures, log_liquidity, market_beta, wide
from kronos_lab.errors import InputError
from kronos_lab.evaluation.neutral import neutralised

NONE: dict[str, Any] = {
    "winsorise": None,
    "neutralise": [],
    "rank": False,
    "beta_sessions": 60,
    "liquidity_sessions": 20,
}
ALL = CrossSection(winsorise=0.1, neutralise=["beta", "liquidity"], rank=True, beta_sessions=60, liquidity_sessions=20)
NAN = np.nan


def frame(*rows: list[float]) -> pd.DataFrame:
    days = pd.bdate_range("2024-07-01", periods=len(rows))
    return pd.DataFrame(rows, index=days, columns=[f"S{n}" for n in range(len(rows[0]))])


def some_scores(market: Any, seed: int = 0) -> pd.DataFrame:
    days, symbols = market.calendar[-40:], market.symbols("csi300")
    scores = np.random.default_rng(seed).normal(size=(len(days), len(symbols)))
    return pd.DataFrame(scores, index=days, columns=symbols).where(wide(market.bars("csi300"), "close").notna())


def test_nothing_is_done_unless_asked_for(small_market):
    scores = some_scores(small_market)
    pd.testing.assert_frame_equal(CrossSection(**NONE)(scores, small_market, "csi300"), scores, check_exact=True)


def test_winsorised_to_the_quantiles_of_the_day():
    scores = frame([1.0, 2.0, 3.0, 4.0, 100.0], [5.0, NAN, 5.0, 5.0, -7.0], [NAN] * 5)
    expected = frame([1.4, 2.0, 3.0, 4.0, 61.6], [5.0, NAN, 5.0, 5.0, -3.4], [NAN] * 5)
    pd.testing.assert_frame_equal(winsorised(scores, 0.1), expected)


def test_ranks_are_even_from_minus_a_half_to_a_half():
    scores = frame([0.3, -9.0, 0.1, NAN, 7.0], [2.0, 2.0, NAN, 1.0, NAN], [NAN, 4.0, NAN, NAN, NAN])
    expected = frame([1 / 6, -0.5, -1 / 6, NAN, 0.5], [0.25, 0.25, NAN, -0.5, NAN], [NAN, 0.0, NAN, NAN, NAN])
    pd.testing.assert_frame_equal(ranked(scores), expected)
    assert (ranked(frame([3.0] * 5)) == 0).all(axis=None)


def test_beta_of_a_stock_that_moves_twice_as_the_market_is_two():
    rng = np.random.default_rng(2)
    days = pd.bdate_range("2024-01-01", periods=80)
    market = pd.Series(rng.normal(0, 0.01, 80), index=days)
    returns = pd.DataFrame({"twice": 2 * market, "against": 0.001 - market, "own": rng.normal(0, 0.02, 80)})
    close = 10 * (1 + returns).cumprod()
    beta = market_beta(close, market, 60)
    np.testing.assert_allclose(beta[["twice", "against"]].iloc[-1], [2, -1])
    slope = np.polyfit(market[-60:], returns["own"][-60:], 1)[0]
    assert beta["own"].iloc[-1] == pytest.approx(slope)
    assert beta.iloc[:30].isna().all(axis=None) and beta.iloc[30].notna().all()  # from 30 returns on
    close.iloc[40:51, 0] = NAN  # suspended: neither these sessions nor the jump afterwards count
    around = market_beta(close, market, 20)["twice"]
    np.testing.assert_allclose(around.iloc[[49, 70]], 2)
    assert np.isnan(around.iloc[50])  # 9 returns in 20 sessions


def test_liquidity_is_the_log_of_the_mean_value_traded():
    amount = pd.DataFrame({"A": [1e6, 3e6, 5e6, 7e6], "B": [NAN, NAN, NAN, 2e6]})
    found = log_liquidity(amount, 4)
    assert found["A"].iloc[-1] == pytest.approx(np.log(4e6))
    assert np.isnan(found["A"].iloc[0]) and found["B"].isna().all()


def test_bars_as_a_table_are_those_of_the_store(small_market):
    stored = small_market.wide(["close"], small_market.symbols("csi300"))["close"]
    pd.testing.assert_frame_equal(wide(small_market.bars("csi300"), "close"), stored, check_freq=False)


@pytest.mark.parametrize("back", [1, 2, 25])
def test_later_bars_never_change_the_exposures_or_the_scores_of_a_day(small_market, monkeypatch, back):
    bars = small_market.bars("csi300")
    today = small_market.calendar[-1 - back]
    values = np.array(bars.values_MF)
    values[bars.position_M > small_market.calendar.get_loc(today)] *= np.float32(3.7)
    changed = replace(bars, values_MF=values)
    member = small_market.member_LN("csi300", bars.symbols)
    before, after = exposures(bars, member, 60, 20), exposures(changed, member, 60, 20)
    for name, known in before.items():
        pd.testing.assert_frame_equal(known[:today], after[name][:today], check_exact=True)
        assert not known.iloc[-back:].equals(after[name].iloc[-back:])

    scores = some_scores(small_market)
    treated = ALL(scores, small_market, "csi300")
    monkeypatch.setattr(small_market, "bars", lambda universe: changed)
    pd.testing.assert_frame_equal(ALL(scores, small_market, "csi300")[:today], treated[:today], check_exact=True)
    later = scores.copy()
    later.loc[scores.index > today] *= -1
    pd.testing.assert_frame_equal(ALL(later, small_market, "csi300")[:today], treated[:today], check_exact=True)


def test_outliers_are_cut_before_the_fit_and_ranks_come_last(small_market):
    scores = some_scores(small_market)
    known = exposures(small_market.bars("csi300"), small_market.member_LN("csi300", list(scores)), 60, 20)
    by_hand = ranked(neutralised(winsorised(scores, 0.1), [known["beta"], known["liquidity"]]))
    pd.testing.assert_frame_equal(ALL(scores, small_market, "csi300"), by_hand, check_exact=True)
    assert by_hand.notna().sum(axis=1).min() > 10


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"winsorise": 0}, r"cross_section\.winsorise=0 is no share of a day's names"),
        ({"winsorise": 0.5}, r"cross_section\.winsorise=0\.5 is no share"),
        ({"neutralise": "beta"}, r"cross_section\.neutralise=beta is no list: choose any of \[beta, liquidity\]"),
        ({"neutralise": ["industry"]}, r"cross_section\.neutralise: industry is no exposure"),
        ({"rank": "yes"}, r"cross_section\.rank=yes must be true or false"),
        ({"beta_sessions": 1}, r"cross_section\.beta_sessions=1 must be a whole number, at least 2"),
        ({"liquidity_sessions": 1.5}, r"cross_section\.liquidity_sessions=1\.5 must be a whole number"),
    ],
)
def test_what_cannot_be_done_is_refused_by_its_key(setting, words):
    with pytest.raises(InputError, match=words):
        CrossSection(**NONE | setting)

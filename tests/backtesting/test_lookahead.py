"""Days of a finished backtest with another future behind them: what knows of it is found, what does not is not."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kronos_lab.backtesting.lookahead import LEAVERS, OTHER_BARS, Lookahead, days_to_repeat, look_ahead
from kronos_lab.backtesting.scores.cross_section import CrossSection
from kronos_lab.data.bars import Bars
from kronos_lab.data.changed_market import ChangedMarket
from kronos_lab.data.market import Market

UNIVERSE = "csi300"
AS_HOUSE = CrossSection(
    winsorise=0.1, neutralise=["beta", "liquidity"], rank=True, beta_sessions=40, liquidity_sessions=20
)


def unused(score_LN: pd.DataFrame, market: Market, universe: str) -> pd.DataFrame:
    return score_LN


def past_return(market: Market, universe: str, sessions: int = 5) -> pd.DataFrame:
    """Scores that need no model: of the bars, on the days that a name is a member."""
    symbols = market.symbols(universe)
    bars = market.bars(universe)
    close_LN = pd.DataFrame(np.nan, market.calendar, symbols)
    for symbol in symbols:
        rows = bars.rows_of(symbol)
        close_LN.iloc[bars.position_M[rows], symbols.index(symbol)] = bars.values_MF[rows, 3]
    return (close_LN / close_LN.shift(sessions) - 1).where(market.member_LN(universe, symbols))


def look(market: Market, folder: Path, forecast: Any = None, cross_section: Any = unused) -> Lookahead:
    """Three days of a backtest of 30, whose forecasts are past returns where nothing else is given."""
    raw_LN = past_return(market, UNIVERSE).iloc[-40:-10]
    raw_LN = raw_LN.dropna(axis=1, how="all")
    if forecast is None:

        def forecast(_: Path, other: Market, day: pd.Timestamp) -> pd.Series:
            return past_return(other, UNIVERSE).loc[day].dropna()

    traded_LN = cross_section(raw_LN, market, UNIVERSE)
    days = days_to_repeat(market, raw_LN.index, 3)
    return look_ahead(folder, market, UNIVERSE, days, raw_LN, traded_LN, forecast, cross_section)


@pytest.mark.parametrize("cross_section", [unused, AS_HOUSE])
def test_what_knows_of_the_past_alone_is_cleared(small_market, tmp_path, cross_section):
    found = look(small_market, tmp_path, cross_section=cross_section)
    assert found.finding.endswith("no score knows of later days"), found.finding
    assert (len(found.days), found.scores, found.leavers) == (3, 39, 6) and found.alike == pytest.approx(1)


def tomorrow(score_LN: pd.DataFrame, market: Market, universe: str) -> pd.DataFrame:
    """In step with what comes, as ranks: another scale of the future does not show in them."""
    close_LN = market.wide(["close"], list(score_LN.columns))["close"]
    return (score_LN + close_LN.pct_change(fill_method=None).shift(-1).reindex(score_LN.index)).rank(axis=1)


def between_later_days(score_LN: pd.DataFrame, market: Market, universe: str) -> pd.DataFrame:
    open_LN = market.wide(["open"], list(score_LN.columns))["open"]
    return score_LN + (open_LN.shift(-11) / open_LN.shift(-1) - 1).reindex(score_LN.index)


def of_the_whole_backtest(score_LN: pd.DataFrame, market: Market, universe: str) -> pd.DataFrame:
    return (score_LN - score_LN.mean()) / score_LN.std()


def of_tomorrows_members(score_LN: pd.DataFrame, market: Market, universe: str) -> pd.DataFrame:
    member_LN = pd.DataFrame(market.member_LN(universe, list(score_LN.columns)), market.calendar, score_LN.columns)
    return score_LN.where(member_LN.shift(-1, fill_value=False).reindex(score_LN.index))


PEEKS = {
    tomorrow: {OTHER_BARS},
    between_later_days: {OTHER_BARS},
    of_the_whole_backtest: {OTHER_BARS, LEAVERS},
    of_tomorrows_members: {LEAVERS},
}


@pytest.mark.parametrize("cross_section", PEEKS)
def test_a_cross_section_that_peeks_is_found(small_market, tmp_path, cross_section):
    found = look(small_market, tmp_path, cross_section=cross_section)
    assert {name for name, scores in found.changed.items() if scores} == PEEKS[cross_section]
    day, symbol = next(scores[0] for scores in found.changed.values() if scores)
    assert f"the first {symbol} on {day:%Y-%m-%d}" in found.finding
    assert found.finding.endswith("SOMETHING LEAKS, trust no figure")


def test_a_market_that_peeks_is_found(small_market, tmp_path, monkeypatch):
    """Bars that carry the next one's values, wherever in the reading that happens."""
    read = Market._read_bars

    def a_bar_early(self: Market, symbols: list[str]) -> Bars:
        bars = read(self, symbols)
        return Bars(
            symbols, np.roll(bars.values_MF, -1, axis=0), bars.position_M, bars.offsets, bars.calendar, bars.session_L
        )

    monkeypatch.setattr(Market, "_read_bars", a_bar_early)
    found = look(Market(small_market.store), tmp_path)
    assert len(found.changed[OTHER_BARS]) == found.scores and not found.changed[LEAVERS]


def test_scores_that_were_not_traded_clear_nothing(small_market, tmp_path):
    def others(_: Path, other: Market, day: pd.Timestamp) -> pd.Series:
        return -past_return(other, UNIVERSE).loc[day].dropna()

    finding = look(small_market, tmp_path, others).finding
    assert "NOT THE SCORES THAT WERE TRADED, rank correlation -1.00" in finding


def test_days_lie_within_the_backtest_and_have_a_session_after_them(small_market):
    calendar = small_market.calendar
    assert days_to_repeat(small_market, calendar[-10:], 3) == [calendar[-9], calendar[-6], calendar[-3]]
    assert days_to_repeat(small_market, calendar[-2:], 3) == [calendar[-2]]
    assert days_to_repeat(small_market, calendar[-1:], 3) == []


def test_nothing_is_said_of_a_backtest_of_the_newest_day(small_market, tmp_path):
    raw_LN = past_return(small_market, UNIVERSE).iloc[-1:]
    found = look_ahead(tmp_path, small_market, UNIVERSE, [], raw_LN, raw_LN, None, unused)
    assert "nothing can be said" in found.finding


def test_another_future_is_other_in_every_field_and_the_past_is_the_same(small_market):
    day, symbols = small_market.calendar[-20], small_market.symbols(UNIVERSE)
    other = ChangedMarket(small_market, day, bars=True, leavers=[symbols[0]])
    fields = ["open", "close", "volume", "limit_up"]
    was, now = small_market.wide(fields, symbols), other.wide(fields, symbols)
    for field in fields:
        pd.testing.assert_frame_equal(now[field].loc[:day], was[field].loc[:day], check_exact=True)
        ratio = (now[field] / was[field]).loc[day:].iloc[1:].stack().dropna()
        assert set(ratio.round(4)) == {0.95, 1.05}
    later = small_market.calendar > day
    member_LN, other_LN = (market.member_LN(UNIVERSE, symbols) for market in (small_market, other))
    assert member_LN[later, 0].all() and not other_LN[later, 0].any()
    assert np.array_equal(member_LN[~later], other_LN[~later])
    assert np.array_equal(member_LN[:, 1:], other_LN[:, 1:])

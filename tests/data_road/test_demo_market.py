"""The demo market keeps its promises: limits, memberships, price indices, and the one effect planted in it."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest

from kronos_lab.data import demo_indices
from kronos_lab.data.bars import FIELDS, PRICES
from kronos_lab.data.demo_effect import DURATION, LOOKBACK, STRENGTH, oracle_score, oracle_table
from kronos_lab.data.demo_market import demo_market
from kronos_lab.data.demo_prices import Simulation
from kronos_lab.data.demo_stocks import DemoSize, demo_calendar
from kronos_lab.data.market import Market
from kronos_lab.errors import InputError
from kronos_lab.evaluation.ranking import daily_correlation, open_to_open_return

SIZE = DemoSize(sessions=420, listed=230, listings=30, delistings=8, index_members=(30, 50, 100))
TIERS = {"csi300": 30, "csi500": 50, "csi1000": 100}


class Pair(NamedTuple):
    """The same noise with and without the effect."""

    on: Market
    off: Market


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    folder = tmp_path_factory.mktemp("demo")
    return Pair(*(demo_market(folder / effect, effect, size=SIZE, cache=folder / "cache") for effect in ("on", "off")))


@pytest.fixture(scope="module")
def raw(pair: Pair) -> dict[str, pd.DataFrame]:
    """Raw prices and limits (yuan), raw volume, factor and change of the market with the effect."""
    names = [*PRICES, "limit_up", "limit_down", "volume", "factor", "change"]
    tables = pair.on.wide(names, pair.on.symbols("all"))
    prices = {name: (tables[name] / tables["factor"]).round(4) for name in (*PRICES, "limit_up", "limit_down")}
    return tables | prices | {"volume": (tables["volume"] * tables["factor"]).round()}


def rank_ic(market: Market, score_LN: pd.DataFrame, horizon: int = 10, universe: str = "all") -> pd.Series:
    """Daily rank IC of a score among the members of each day."""
    opens = market.wide(["open"], list(score_LN.columns))["open"]
    members = score_LN.where(market.member_LN(universe, list(score_LN.columns)))
    return daily_correlation(members, open_to_open_return(opens, horizon), "rank").dropna()


def test_it_is_generated_once_and_the_same_every_time(pair: Pair, tmp_path: Path) -> None:
    size = DemoSize(sessions=40, listed=20, listings=2, delistings=1, index_members=(3, 4, 5))
    first, again, other = (
        demo_market(tmp_path / name, size=size, seed=seed) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    )
    assert first.fingerprint == again.fingerprint != other.fingerprint
    made = (tmp_path / "a" / "market.json").stat().st_mtime_ns
    assert demo_market(tmp_path / "a", size=size, seed=1).fingerprint == first.fingerprint
    assert (tmp_path / "a" / "market.json").stat().st_mtime_ns == made
    assert demo_market(tmp_path / "a", size=size, seed=2).fingerprint == other.fingerprint  # made again
    assert (pair.on.name, pair.off.name) == ("demo", "demo_effect_off")


def test_what_cannot_be_asked_for_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"market\.effect=maybe"):
        demo_market(tmp_path / "store", effect="maybe")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "work.txt").write_text("years")
    with pytest.raises(InputError, match="holds something else"):
        demo_market(tmp_path / "mine")
    assert (tmp_path / "mine" / "work.txt").read_text() == "years"


def test_prices_are_whole_ticks_in_order_and_inside_the_limits(raw: dict[str, pd.DataFrame]) -> None:
    for name in (*PRICES, "limit_up", "limit_down"):
        ticks = raw[name] * 100
        assert ((ticks - ticks.round()).abs().max(axis=None)) < 0.02  # float32: 0.01 of a tick
    inside = [raw["high"] <= raw["limit_up"], raw["low"] >= raw["limit_down"]]
    assert all((check | raw["limit_up"].isna() | raw["close"].isna()).all(axis=None) for check in inside)
    for price in ("open", "close"):
        assert not (raw["high"] < raw[price]).any(axis=None)
        assert not (raw["low"] > raw[price]).any(axis=None)
    assert (raw["close"] == raw["limit_up"]).to_numpy().sum() > 10
    assert (raw["close"] == raw["limit_down"]).to_numpy().sum() > 10


def test_limits_are_ten_and_twenty_percent_by_board(raw: dict[str, pd.DataFrame]) -> None:
    rate = (raw["limit_up"] / raw["limit_down"]).mean()  # 1.1 / 0.9 or 1.2 / 0.8, apart from ticks
    main = [symbol for symbol in rate.index if symbol[:4] in ("SH60", "SZ00")]
    star = [symbol for symbol in rate.index if symbol.startswith("SH68")]
    assert rate[main].between(1.21, 1.235).all()
    assert rate[star].between(1.49, 1.51).all()
    chinext = raw["limit_up"].filter(like="SZ30") / raw["limit_down"].filter(like="SZ30")
    assert chinext[:"2020-08-21"].stack().dropna().between(1.19, 1.25).all()
    assert chinext["2020-08-24":].stack().dropna().between(1.48, 1.52).all()


def test_stocks_come_go_and_rest(pair: Pair, raw: dict[str, pd.DataFrame]) -> None:
    close = raw["close"]
    first, last = close.apply(pd.Series.first_valid_index), close.apply(pd.Series.last_valid_index)
    assert (first > close.index[0]).sum() == SIZE.listings
    assert (last < close.index[-1]).sum() >= SIZE.delistings
    listed = close.bfill().notna() & close.ffill().notna()
    assert listed.sum(axis=1).min() >= SIZE.listed - 2 * SIZE.delistings
    resting = (listed & close.isna()).to_numpy().sum() / listed.to_numpy().sum()
    assert 0.003 < resting < 0.02
    rested = (listed & close.isna()).sum().idxmax()
    position = pair.on.bars().position_M[pair.on.bars().rows_of(rested)]
    assert len(position) == close[rested].notna().sum() < listed[rested].sum()  # suspended: no bar
    assert pair.on.wide(["limit_up"], [rested])["limit_up"][rested].notna().sum() <= len(position)


def test_dividends_and_splits_are_in_the_factor_only(raw: dict[str, pd.DataFrame]) -> None:
    step = raw["factor"].ffill().pct_change(fill_method=None)
    ex_days = step > 0.001
    assert ex_days.to_numpy().sum() > 50
    assert (step[ex_days].max(axis=None)) > 0.19  # a split
    adjusted_change = (raw["close"] * raw["factor"]).ffill().pct_change(fill_method=None)
    known = raw["change"].notna() & adjusted_change.notna()
    assert ((adjusted_change - raw["change"])[known].abs().max(axis=None)) < 1e-4
    drop = raw["close"].ffill().pct_change(fill_method=None)
    assert (drop[ex_days] - adjusted_change[ex_days]).mean(axis=None) < -0.01  # the raw price falls by what is paid


def test_index_members_are_the_largest_and_change_twice_a_year(pair: Pair) -> None:
    market, symbols = pair.on, pair.on.symbols("all")
    member = {universe: market.member_LN(universe, symbols) for universe in ("csi300", "csi500", "csi800", "csi1000")}
    for universe, count in TIERS.items():
        assert (member[universe].sum(axis=1) == count).all()
    assert not (member["csi300"] & member["csi500"]).any()
    assert not (member["csi800"] & member["csi1000"]).any()
    np.testing.assert_array_equal(member["csi300"] | member["csi500"], member["csi800"])
    rebalances = demo_indices.rebalance_positions(market.calendar)
    assert [f"{market.calendar[position]:%Y-%m-%d %a}" for position in rebalances] == [
        "2019-07-01 Mon", "2019-12-16 Mon", "2020-06-15 Mon", "2020-12-14 Mon",
    ]  # fmt: skip
    changed = 1 + np.flatnonzero((np.diff(member["csi1000"].astype(int), axis=0) != 0).any(axis=1))
    gone = market.wide(["close"], symbols)["close"].apply(pd.Series.last_valid_index)
    after_delistings = {int(market.calendar.get_loc(day)) + 1 for day in gone if day < market.calendar[-1]}
    assert set(rebalances[1:]) <= set(changed.tolist()) <= set(rebalances) | after_delistings
    amount = market.wide(["amount"], symbols)["amount"].mean()
    assert amount[member["csi300"][-1]].median() > amount[member["csi1000"][-1]].median()


def test_a_price_index_ignores_splits_and_drops_by_dividends() -> None:
    calendar = pd.bdate_range("2024-01-01", periods=4)
    nan = np.nan
    #                  A splits 2 for 1 on the second day; B pays 1 of 10 on the third; C is suspended, then no member
    close = np.array([[20.0, 10.0, 5.0], [10.5, 10.0, nan], [10.5, 9.0, 8.0], [10.5, 9.0, 90.0]])
    shares = np.array([[100.0, 200.0, 400.0], [200.0, 200.0, nan], [200.0, 200.0, 400.0], [200.0, 200.0, 400.0]])
    member = np.array([[1, 1, 1], [1, 1, 1], [1, 1, 1], [1, 1, 0]], dtype=bool)
    same = {f"{name}_LN": close for name in (*PRICES, "limit_up", "limit_down")}
    simulation = Simulation(**same, change_LN=close, volume_LN=close, factor_LN=close, outstanding_LN=shares)
    index = demo_indices.price_index(simulation, member, calendar)
    # values: 2000 + 2000 + 2000; 2100 + 2000 + 2000; 2100 + 1800 + 3200; A and B alone do not move on the last day
    expected = 4000 * np.array([1, 6100 / 6000, 7100 / 6000, 7100 / 6000])
    np.testing.assert_allclose(index["close"], expected)
    assert (index["high"] >= index[["open", "close"]].max(axis=1)).all()


def test_indices_follow_their_members(pair: Pair) -> None:
    market = pair.on
    for index, universe in demo_indices.INDICES.items():
        level = market.index_close(index)
        symbols = market.symbols(universe)
        change = market.wide(["change"], symbols)["change"].where(market.member_LN(universe, symbols)).mean(axis=1)
        assert level.index.equals(market.calendar)
        assert level.pct_change().corr(change) > 0.9


def test_returns_are_like_those_of_stocks(raw: dict[str, pd.DataFrame]) -> None:
    change = raw["change"]
    size = change.abs()
    assert 0.015 < change.stack().std() < 0.04
    assert change.stack().kurt() > 1.5  # fat tails, although the limits cut them
    clustering = [size[symbol].autocorr(5) for symbol in size]
    assert np.nanmean(clustering) > 0.05
    assert abs(np.nanmean([change[symbol].autocorr(1) for symbol in change])) < 0.03
    with_volume = [np.log(raw["volume"][symbol]).corr(size[symbol]) for symbol in size]
    assert np.nanmean(with_volume) > 0.2
    gap = raw["open"] / raw["close"].shift() - 1
    assert 0.005 < gap.stack().std() < 0.03


def test_the_noise_is_the_same_without_the_effect(pair: Pair) -> None:
    symbols = pair.on.symbols("all")
    on, off = (market.wide(["close", "factor", "volume"], symbols) for market in pair)
    alike = (on["close"].notna() == off["close"].notna()).all()
    below_par = (on["close"] / on["factor"]).min() < 1  # such a stock is delisted, in one market or in both
    assert (alike | below_par).all()
    assert alike.mean() > 0.98  # lives and suspensions
    assert (on["close"] != off["close"]).to_numpy().sum() > 0.5 * on["close"].size
    returns = [np.log((tables["close"]).ffill()).diff().stack() for tables in (on, off)]
    assert returns[0].corr(returns[1]) > 0.99
    before = pair.on.calendar[:LOOKBACK]  # nobody has 90 bars behind it
    pd.testing.assert_frame_equal(on["close"].loc[before], off["close"].loc[before])


def test_the_oracle_is_a_function_of_the_model_input(pair: Pair) -> None:
    """A weighted mean of the last ten normalised volumes of a lookback of 90, times its volatility and the strength."""
    import torch

    from kronos_lab.data.normaliser import fit_scale, normalise

    bars = pair.on.bars()
    rows = bars.rows_of(bars.symbols[0])
    lookback = bars.values_MF[rows][100:190].astype(np.float64)
    window = torch.from_numpy(lookback)[None]
    last_volumes = normalise(window, fit_scale(window), clip=np.inf)[0, -DURATION:, FIELDS.index("volume")].tolist()
    weighted = sum(volume / ago for ago, volume in zip(range(10, 0, -1), last_volumes, strict=True))
    returns = np.diff(np.log(lookback[:, FIELDS.index("close")]))
    score = oracle_score(bars.values_MF[rows][100:190][None])
    assert float(score[0]) == pytest.approx(
        -STRENGTH * returns.std() * weighted / sum(1 / ago for ago in range(1, 11)), rel=1e-6
    )
    table = oracle_table(bars)
    assert table[bars.symbols[0]].iloc[bars.position_M[rows][189]] == pytest.approx(float(score[0]), rel=1e-6)
    assert table.iloc[: LOOKBACK - 1].isna().all(axis=None)


def test_the_effect_is_what_the_formula_says(pair: Pair) -> None:
    """The way from open to close with and without it differs by the score of the day before, but for ticks."""
    symbols = pair.on.symbols("all")
    score = oracle_table(pair.on.bars())
    on, off = (market.wide(["open", "close"], symbols) for market in pair)
    moved = np.log(on["close"] / on["open"]) - np.log(off["close"] / off["open"])
    expected = score.shift(1).reindex(columns=symbols)
    traded_before = on["close"].shift(1).notna()
    both = (
        moved[traded_before].stack().dropna().to_frame("moved").join(expected.stack().rename("expected"), how="inner")
    )
    slope = (both["moved"] * both["expected"]).sum() / (both["expected"] ** 2).sum()
    assert slope == pytest.approx(1, abs=0.05)


def test_the_oracle_ranks_ten_days_ahead_and_only_with_the_effect(pair: Pair) -> None:
    score = oracle_table(pair.on.bars())
    gain = rank_ic(pair.on, score) - rank_ic(pair.off, score)  # the same noise in both: it cancels
    assert 0.04 < gain.mean() < 0.09
    for sessions in (1, 5, 10):  # the return of that one session alone, still foretold
        alone = [rank_ic(market, score.shift(sessions - 1), horizon=1).mean() for market in pair]
        assert alone[0] - alone[1] > 0.005, sessions


def test_past_prices_foretell_nothing(pair: Pair) -> None:
    close = pair.on.wide(["close"], pair.on.symbols("all"))["close"]
    scores = {
        "reversal": -close.pct_change(20, fill_method=None),
        "forecast of the lookback's mean": close.rolling(90).mean() / close - 1,
    }
    for name, score in scores.items():
        gain = rank_ic(pair.on, score).mean() - rank_ic(pair.off, score).mean()
        assert abs(gain) < 0.02, name


@pytest.mark.slow
def test_the_full_market(tmp_path: Path) -> None:
    """Size, time to generate, splits covered, and the oracle's rank IC inside its promised range."""
    import time

    started = time.perf_counter()
    on = demo_market(tmp_path / "on", "on", cache=tmp_path / "cache")
    seconds = time.perf_counter() - started
    off = demo_market(tmp_path / "off", "off", cache=tmp_path / "cache")
    assert seconds < 40

    close = on.wide(["close"], on.symbols("all"))["close"]
    listed = close.bfill().notna() & close.ffill().notna()
    assert close.shape == (1500, 2600)
    assert listed.sum(axis=1).min() >= 2200
    assert on.calendar[0] < pd.Timestamp("2020-01-01")  # training, then validation, then a year and more of test
    assert (on.calendar >= "2024-07-01").sum() >= 250
    for universe, count in {"csi300": 300, "csi500": 500, "csi800": 800, "csi1000": 1000}.items():
        assert (on.member_LN(universe, on.symbols("all")).sum(axis=1) == count).all()

    score = oracle_table(on.bars())
    for universe in ("csi300", "csi500", "all"):
        with_effect, without = rank_ic(on, score, universe=universe), rank_ic(off, score, universe=universe)
        assert 0.05 < with_effect.mean() < 0.08, universe
        apart = without[::10]  # labels of ten sessions do not overlap
        assert abs(apart.mean()) < 3 * apart.std() / len(apart) ** 0.5, universe


def test_the_calendar_has_holidays_and_a_future() -> None:
    calendar, future = demo_calendar(1500)
    sessions_a_year = calendar.year.value_counts().loc[2020:2024]
    assert sessions_a_year.between(240, 248).all()
    assert not ((calendar.month == 10) & (calendar.day <= 7)).any()
    assert len(future) >= 120
    assert future[0] > calendar[-1]

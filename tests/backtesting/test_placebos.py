"""Scores whose worth is known before, and what is said when the machinery finds another."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import pytest

from kronos_lab.backtesting.baselines import OURS, Traded, against_baselines, trade_each
from kronos_lab.backtesting.placebos import LATER, LEVEL, TOMORROW, excess_before_cost, findings, placebo_scores
from kronos_lab.backtesting.results import benchmarks
from kronos_lab.backtesting.trading.exchange import ExchangeSettings
from kronos_lab.backtesting.trading.portfolio import Ledger
from kronos_lab.backtesting.trading.strategies import TopkDropout

NAN = float("nan")


def test_placebos_are_on_the_rows_that_were_traded(small_market):
    symbols = small_market.symbols("csi300")
    price = small_market.wide(["open", "close"], symbols)
    noise = np.random.default_rng(0).normal(size=price["close"].shape)
    score_LN = pd.DataFrame(noise, price["close"].index, symbols).where(price["close"].notna()).iloc[-60:-10]
    found = placebo_scores(small_market, score_LN, shuffles=2, seed=1)
    assert list(found) == [OURS, TOMORROW, LATER, "shuffled 1", "shuffled 2"]
    for name in (TOMORROW, "shuffled 1", "shuffled 2"):
        pd.testing.assert_frame_equal(found[name].notna(), score_LN.notna())
    assert np.array_equal(np.sort(found["shuffled 1"], axis=1), np.sort(score_LN, axis=1), equal_nan=True)
    assert not found["shuffled 1"].equals(found["shuffled 2"])
    day, name = 20, symbols[0]
    session = small_market.calendar.get_loc(score_LN.index[day])
    opens = price["open"][name].iloc[[session + 1, session + 2]].to_numpy()
    assert found[TOMORROW].iloc[day][name] == pytest.approx(opens[1] / opens[0] - 1)
    assert found[LATER].loc[score_LN.index[day], name] == score_LN.iloc[day - 1][name]


def row(mean: float, p: float) -> dict:
    return {"rank_ic": {"1": {"mean": mean, "p": p, "reason": "few days"}}, "excess": {"annual_return": 10 * mean}}


def daily(names: Iterable[str], days: int = 240, earned: float = 0.0, seed: int = 0) -> pd.DataFrame:
    """Excess before cost: noise that all share, noise of each, and what `TOMORROW` or the others earn a day."""
    random = np.random.default_rng(seed)
    noise_LK = pd.DataFrame(random.normal(0, 0.005, (days, 1)) + random.normal(0, 0.005, (days, len(list(names)))))
    noise_LK.columns = list(names)
    return noise_LK + earned


@pytest.mark.parametrize(
    ("ours", "seen", "p", "earned", "words"),
    [
        (0.02, 0.01, 0.3, 0.0, "sees what is there"),
        (0.02, 0.0, 0.3, 0.0, "THE MACHINERY DOES NOT SEE IT"),
        (0.2, 0.01, 0.3, 0.0, "THE MACHINERY DOES NOT SEE IT"),  # the scores earned more
        (0.02, 0.01, 0.3, 0.0, "worth nothing, as it should be"),
        (0.02, 0.01, 0.001, 0.0, "SOMETHING LEAKS"),
        (0.02, 0.01, 0.3, 0.006, "SOMETHING LEAKS"),  # +150 % a year, though they rank nothing
        (0.02, 0.01, 0.3, -0.006, "SOMETHING LEAKS"),
    ],
)
def test_findings(ours, seen, p, earned, words):
    table = {OURS: row(ours, 0.01), TOMORROW: row(0.1, 0.0001), LATER: row(0.01, 0.2)}
    table |= {f"shuffled {n}": row(0.0, p) for n in range(5)}
    before_cost_LK = daily(table, earned=earned).assign(**{TOMORROW: daily([TOMORROW], earned=seen)})
    said = findings(table, before_cost_LK, 242.0)
    assert sum(words in sentence for sentence in said) == 1
    assert said[-1].startswith(f"a session later: rank IC +0.0100 where the scores had {ours:+.4f}")


def test_sound_machinery_is_accused_as_seldom_as_the_level_says():
    """The shuffles of a run share days and prices: each for itself, five of them would be accused far too often."""
    names = [OURS, TOMORROW, *(f"shuffled {n}" for n in range(5))]
    table = {name: row(0.1 if name == TOMORROW else 0.0, 0.5) for name in names}
    runs = 2_000
    said = [findings(table, daily(names, days=60, seed=seed), 242.0)[1] for seed in range(runs)]
    assert sum("SOMETHING LEAKS" in sentence for sentence in said) <= 3 * LEVEL * runs


LEAKS = {
    "nothing": {},
    "buys only what rises until tomorrow's open": {"limit_threshold": ("Ref($open, -1) < $open", "$open < 0")},
    "buys only what rises until the close": {"limit_threshold": ("$close < $open", "$open < 0")},
}


@pytest.mark.parametrize("leak", LEAKS)
def test_a_simulation_that_lets_a_later_price_in_is_found(small_market, leak):
    """Shuffled scores rank nothing then either: it is their money that tells."""
    symbols = small_market.symbols("all")
    close_LN = small_market.wide(["close"], symbols)["close"]
    noise_LN = np.random.default_rng(0).normal(size=close_LN.shape)
    score_LN = pd.DataFrame(noise_LN, close_LN.index, symbols).where(close_LN.notna()).iloc[-70:-10]
    strategy = TopkDropout(
        topk=5, n_drop=2, hold_thresh=2, risk_degree=0.95, only_tradable=False, forbid_all_trade_at_limit=False
    )
    usual = {"limit_threshold": None, "open_cost": 0.001, "close_cost": 0.001, "min_cost": 5.0, "stamp_duty": None}
    exchange = ExchangeSettings(**{"deal_price": "open", "trade_unit": 100} | usual | LEAKS[leak])
    scores = placebo_scores(small_market, score_LN, shuffles=5, seed=1)
    traded = trade_each(small_market, scores, strategy, exchange, 1e7)
    equal = benchmarks(small_market, "all", None)["equal_weight"].returns
    table = against_baselines(small_market, traded, equal, 5, 250.0, seed=1)
    said = findings(table, excess_before_cost(traded, equal), 250.0)
    assert "the machinery sees what is there" in said[0]
    assert ("SOMETHING LEAKS" in said[1]) == (leak != "nothing"), said[1]


def test_cash_is_no_excess():
    """Half of the account rests while the market rises: what is invested keeps up with it."""
    days = pd.bdate_range("2024-07-01", periods=3)
    equal = pd.Series([0.02, 0.01, 0.03], days)
    held = pd.DataFrame({"account": 100.0, "holdings": 50.0, "gross_return": equal / 2}, days)
    found = excess_before_cost({OURS: Traded(pd.DataFrame(), Ledger(held, pd.DataFrame(), pd.DataFrame()))}, equal)
    assert found[OURS].isna().to_list() == [True, False, False]
    np.testing.assert_allclose(found[OURS].dropna(), 0.0, atol=1e-15)


def test_nothing_is_judged_without_evidence(small_market):
    table = {OURS: row(0.02, NAN), TOMORROW: row(1.0, NAN), "shuffled 1": row(0.01, NAN)}
    assert findings(table, daily(table, 12), 242.0)[1].endswith("whether that is nothing cannot be said: few days")
    table = {OURS: row(NAN, NAN), TOMORROW: row(NAN, NAN), "shuffled 1": row(NAN, NAN)}
    assert findings(table, daily(table, 12), 242.0) == ["nothing can be said: few days"]
    one_day = small_market.wide(["close"], small_market.symbols("csi300"))["close"].iloc[[-10]]
    assert LATER not in placebo_scores(small_market, one_day, shuffles=0, seed=1)

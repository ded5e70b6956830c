"""Scores whose worth is known before, and what is said when the machinery finds another."""

import numpy as np
import pandas as pd
import pytest

from kronos_lab.backtesting.baselines import OURS
from kronos_lab.backtesting.placebos import LATER, TOMORROW, findings, placebo_scores

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


@pytest.mark.parametrize(
    ("rank_ic", "p", "words"),
    [
        (1.0, 0.3, "sees what is there"),
        (0.4, 0.3, "THE MACHINERY DOES NOT SEE IT"),
        (1.0, 0.001, "SOMETHING LEAKS"),
        (1.0, 0.3, "worth nothing, as it should be"),
    ],
)
def test_findings(rank_ic, p, words):
    table = {OURS: row(0.02, 0.01), TOMORROW: row(rank_ic, 0.0001), LATER: row(0.01, 0.2)}
    table |= {f"shuffled {n}": row(0.0, p) for n in range(5)}
    assert sum(words in sentence for sentence in findings(table)) == 1
    assert findings(table)[-1].startswith("a session later: rank IC +0.0100 where the scores had +0.0200")


def test_nothing_is_judged_without_evidence(small_market):
    table = {OURS: row(0.02, NAN), TOMORROW: row(1.0, NAN), "shuffled 1": row(0.01, NAN)}
    assert findings(table)[1].endswith("whether that is nothing cannot be said: few days")
    table = {OURS: row(NAN, NAN), TOMORROW: row(NAN, NAN), "shuffled 1": row(NAN, NAN)}
    assert findings(table) == ["nothing can be said: few days"]
    one_day = small_market.wide(["close"], small_market.symbols("csi300"))["close"].iloc[[-10]]
    assert LATER not in placebo_scores(small_market, one_day, shuffles=0, seed=1)

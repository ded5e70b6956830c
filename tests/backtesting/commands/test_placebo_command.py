"""`python backtest/run_placebos.py` as people type it."""

import pandas as pd
import pytest
from backtest_commands import summary_of

from many_commands import assert_refused


def test_placebos_see_what_is_there(runs, placebos):
    for name, shuffled in {"newest": ["shuffled 1", "shuffled 2"], "named": []}.items():
        assert placebos[name]["code"] == 0, placebos[name]["err"]
        table = pd.read_csv(runs["folder"] / "placebos" / name / "placebos.csv", index_col="scores")
        assert list(table.index) == ["this signal", "tomorrow's return", "a session later", *shuffled]
        assert table.loc["tomorrow's return", "rank_ic"] == pytest.approx(1)
        assert "the machinery sees what is there" in placebos[name]["out"]
        assert ("shuffled within the day, 2 times: mean rank IC" in placebos[name]["out"]) == bool(shuffled)
    own = pd.read_csv(runs["folder"] / "placebos" / "named" / "placebos.csv", index_col="scores").loc["this signal"]
    headline = summary_of(runs["folder"] / "backtest" / "csi300")["headline"]
    assert own["excess"] == pytest.approx(headline["excess_equal_weight_with_cost"], rel=1e-5)


def test_placebos_of_nothing_are_refused(runs, placebos):
    for name, words in {"nothing": "run=nothing is no finished backtest", "half": "shuffles=0.5 must be"}.items():
        assert_refused(placebos[name], words)
    assert {path.name for path in (runs["folder"] / "placebos").iterdir()} == {"newest", "named"}

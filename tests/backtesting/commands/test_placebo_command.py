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


@pytest.mark.parametrize(("name", "days"), {"newest": 3, "named": 3, "ensemble": 1, "treated": 1}.items())
def test_days_are_forecast_again_with_another_future(runs, placebos, name, days):
    """Of weights that take turns, of one, of an ensemble stored as float16, and of treated scores in z-units."""
    assert placebos[name]["code"] == 0, placebos[name]["err"]
    assert "no score knows of later days" in placebos[name]["out"]
    summary = summary_of(runs["folder"] / "placebos" / name)
    assert f"of {days} day" in summary["findings"][-1] and "no score knows" in summary["findings"][-1]
    assert summary["headline"]["lookahead/scores"] >= 10 * days
    assert summary["headline"]["lookahead/changed by other bars"] == 0
    assert summary["headline"]["lookahead/alike"] == pytest.approx(1, abs=0.02)


def test_that_is_left_out_where_it_is_not_wanted(placebos):
    assert placebos["traded"]["code"] == 0, placebos["traded"]["err"]
    assert "another future" not in placebos["traded"]["out"]


def test_placebos_of_nothing_are_refused(runs, placebos):
    refused = {
        "nothing": "run=nothing is no finished backtest",
        "half": "shuffles=0.5 must be",
        "half a day": "lookahead_days=0.5 must be",
        "no weights": "lookahead_days=0 leaves that out",
    }
    for name, words in refused.items():
        assert_refused(placebos[name], words)
    made = {path.name for path in (runs["folder"] / "placebos").iterdir()}
    assert made == {"newest", "named", "ensemble", "treated", "traded"}

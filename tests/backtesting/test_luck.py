"""Where a result stands among random portfolios, beside the strongest rule and among trials, from figures by hand."""

import json
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from kronos_lab.backtesting.baselines import OURS, RULES, Traded
from kronos_lab.backtesting.luck import among_trials, beside_random, beside_strongest, growth_band
from kronos_lab.backtesting.trading.portfolio import Ledger
from kronos_lab.backtesting.trading.random_portfolios import RandomPortfolios

DAYS = pd.bdate_range("2024-07-01", periods=60)
WAVE = np.resize([0.01, -0.01], len(DAYS))


def test_the_percentile_counts_those_that_did_worse_and_half_of_the_equal_ones():
    """Excess of −1, 0, 1, 2 hundredths of a percent a day with the same deviation; ours has 1."""
    market = pd.Series(0.001, DAYS)
    theirs = pd.DataFrame({n: 0.001 + WAVE + n * 1e-4 for n in (-1, 0, 1, 2)}, DAYS)
    random = RandomPortfolios(theirs, pd.DataFrame(0.2, DAYS, theirs.columns))
    found = beside_random(theirs[1], random, {"equal_weight": market}, per_year=240)
    assert found["portfolios"] == 4 and found["turnover"] == pytest.approx(0.2)
    for figure, unit in (("annual_return", 0.024), ("information_ratio", 0.024 / (WAVE.std(ddof=1) * 240**0.5))):
        place = found["excess"]["equal_weight"][figure]
        assert place["percentile"] == pytest.approx(62.5) and place["better"] == 1
        assert place["median"] == pytest.approx(0.5 * unit)
        assert place["low"] == pytest.approx(-0.85 * unit) and place["high"] == pytest.approx(1.85 * unit)


def test_a_session_without_a_benchmark_is_left_out_of_all():
    random = RandomPortfolios(pd.DataFrame({0: WAVE, 1: WAVE + 0.001}, DAYS), pd.DataFrame(0.2, DAYS, [0, 1]))
    gap = pd.Series(0.0, DAYS).drop(DAYS[3])
    found = beside_random(pd.Series(WAVE + 0.0005, DAYS), random, {"index": gap}, per_year=240)
    assert found["excess"]["index"]["annual_return"]["percentile"] == 50
    assert found["excess"]["index"]["annual_return"]["low"] == pytest.approx(
        240 * (np.delete(WAVE, 3).mean() + 0.05 * 0.001)
    )


def test_the_band_is_of_growth_over_portfolios():
    returns = pd.DataFrame({n: [0.1 * n, 0.0, 0.5] for n in range(3)}, DAYS[:3])
    band = growth_band(returns)
    assert band["median"].tolist() == pytest.approx([1.1, 1.1, 1.65])
    assert band["low"].tolist() == pytest.approx([1.01, 1.01, 1.515])
    assert band["high"].tolist() == pytest.approx([1.19, 1.19, 1.785])


def traded(means: dict[str, float]) -> dict[str, Traded]:
    """Scores and others with these mean daily returns."""
    random, nothing = np.random.default_rng(0), pd.DataFrame()
    found = {}
    for name, mean in means.items():
        noise = random.normal(0, 0.004, len(DAYS))
        daily = pd.DataFrame({"net_return": noise - noise.mean() + mean}, DAYS)
        found[name] = Traded(nothing, Ledger(daily, nothing, nothing))
    return found


def test_equal_weight_is_one_of_the_rivals():
    equal = pd.Series(0.001, DAYS)
    first, second = list(RULES)[:2]
    rules = traded({OURS: 0.0005, first: -0.002, second: -0.001, "no rule": 0.01})
    found: Any = beside_strongest(rules, equal, horizon=3, per_year=240, seed=1)
    assert found["strongest"] == "equal weight" and found["excess_of_strongest"] == 0 and found["rules"] == 2
    assert found["less"] == pytest.approx(-0.0005 * 240)
    assert found["p"] == min(1.0, 2 * min(found["p_better"], found["p_worse"]))
    found = beside_strongest(rules, equal - 0.003, horizon=3, per_year=240, seed=1)
    assert found["strongest"] == second and found["excess_of_strongest"] == pytest.approx(0.001 * 240)
    assert beside_strongest({OURS: rules[OURS]}, equal, 3, 240, 1) is None
    assert beside_strongest(rules, pd.Series(dtype=float), 3, 240, 1) is None  # no session is known of


def evaluated(outputs: Any, name: str, excess: pd.Series, **changes: Any) -> tuple[dict[str, Any], list[str]]:
    settings: dict[str, Any] = dict.fromkeys(("data", "forecast", "signal", "cross_section", "strategy", "exchange"))
    settings |= {
        "seed": 1,
        "name": name,
        "paths": {"outputs": str(outputs)},
        "universe": {"name": "csi300"},
        "backtest": {"account": 1e8, "reuse": name == "again"},
    }
    market: Any = SimpleNamespace(name="small", fingerprint="abc")
    return among_trials(outputs / "backtest" / name, excess, market, settings | changes, {"predictor": "w"})


def test_trials_are_counted_once_each_and_deflate(tmp_path):
    random = np.random.default_rng(0)
    first, second = (pd.Series(random.normal(0.0008, 0.004, len(DAYS)), DAYS) for _ in range(2))
    alone, warnings = evaluated(tmp_path, "first", first)
    assert (alone["trials"], alone["expected_maximum"], warnings) == (1, 0, [])
    assert evaluated(tmp_path, "again", first)[0] == alone
    both, _ = evaluated(tmp_path, "second", second, strategy={"topk": 30})
    assert both["trials"] == 2 and both["expected_maximum"] > 0
    assert evaluated(tmp_path, "first", first)[0]["probability"] < alone["probability"]
    later, _ = evaluated(tmp_path, "later", first.set_axis(DAYS + pd.DateOffset(years=1)), seed=2)
    assert later | {"evaluated": alone["evaluated"]} == alone
    lines = [json.loads(line) for line in (tmp_path / "trials.jsonl").read_text().splitlines()]
    assert [line["run"].removeprefix("backtest/") for line in lines] == ["first", "again", "second", "first", "later"]
    assert [line["evaluated"] for line in lines[:3]] == [one["evaluated"] for one in (alone, alone, both)]
    assert lines[0]["sharpe"] == alone["sharpe_ratio"] and lines[0]["start"] == "2024-07-01"
    assert lines[0]["sessions"] == 60 and lines[0]["kurtosis"] == alone["kurtosis"]


def test_a_short_trial_deflates_no_more_than_a_long_one(tmp_path):
    """The ratio of a few sessions spreads widely by chance alone."""
    random = np.random.default_rng(1)
    for name, sessions in (("short", 5), ("long", 60)):
        outputs = tmp_path / name
        outputs.mkdir()
        own = pd.Series(random.normal(0.0008, 0.004, len(DAYS)), DAYS)
        found = []
        for draw in range(40):
            other = pd.Series(random.normal(0, 0.004, sessions), DAYS[:sessions])
            evaluated(outputs / f"{draw}", "smoke", other, seed=2)
            found.append(evaluated(outputs / f"{draw}", "own", own)[0]["expected_maximum"])
        if name == "short":
            of_short = np.mean(found)
    assert of_short == pytest.approx(np.mean(found), rel=0.35)


def test_few_sessions_have_no_probability(tmp_path):
    figures, _ = evaluated(tmp_path, "few", pd.Series(WAVE[:10] + 0.001, DAYS[:10]))
    assert np.isnan(figures["probability"]) and figures["reason"].startswith("10 sessions hold")


def test_outputs_may_be_given_from_here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evaluated(tmp_path, "first", pd.Series(WAVE + 0.001, DAYS), paths={"outputs": "."})
    assert json.loads((tmp_path / "trials.jsonl").read_text())["run"] == "backtest/first"


def test_an_excess_without_deviation_is_a_trial_without_a_ratio(tmp_path):
    figures, warnings = evaluated(tmp_path, "flat", pd.Series(0.0, DAYS))
    assert figures["trials"] == 1 and np.isnan(figures["probability"]) and not warnings
    assert json.loads((tmp_path / "trials.jsonl").read_text())["sharpe"] is None
    other, _ = evaluated(tmp_path, "other", pd.Series(WAVE + 0.001, DAYS), seed=2)
    assert other["trials"] == 2 and other["expected_maximum"] == 0


def test_a_ledger_that_cannot_be_written_loses_no_result(tmp_path):
    (tmp_path / "trials.jsonl").mkdir()
    figures, warnings = evaluated(tmp_path, "first", pd.Series(WAVE + 0.001, DAYS))
    assert figures["trials"] == 1 and 0.5 < figures["probability"] < 1
    assert len(warnings) == 1 and "trials.jsonl cannot be written" in warnings[0]

"""The best of several: tests that know it was picked afterwards say so, and do not cry wolf."""

import math
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from kronos_lab.evaluation import selection
from kronos_lab.evaluation.selection import (
    SharpeRatio,
    deflated_sharpe_ratio,
    expected_maximum,
    probabilistic_sharpe_ratio,
    sharpe_ratio,
    superiority,
)

DAYS = pd.bdate_range("2024-07-01", periods=120)


def returns(random: np.random.Generator, means: list[float]) -> pd.DataFrame:
    """Daily returns with a common part, as portfolios of one market have."""
    common = random.normal(0, 0.005, (len(DAYS), 1))
    own = random.normal(0, 0.005, (len(DAYS), len(means)))
    return pd.DataFrame(common + own + np.array(means), DAYS, [f"rival {n}" for n in range(len(means))])


def test_better_than_the_strongest_is_told_from_not_and_worse():
    table = returns(np.random.default_rng(0), [0.002, 0.0, 0.0001, -0.0005])
    best, others = table["rival 0"], table.drop(columns="rival 0")
    ours_best = superiority(best, others, horizon=5, seed=1)
    assert ours_best.p_better < 0.01 and ours_best.p_worse > 0.5 and ours_best.p < 0.02
    assert ours_best.less == pytest.approx((best - others[ours_best.strongest]).mean())
    assert others.mean().idxmax() == ours_best.strongest
    assert (ours_best.block, ours_best.sessions, ours_best.reason) == (5, 120, "")
    ours_worse = superiority(table["rival 1"], table.drop(columns="rival 1"), horizon=5, seed=1)
    assert ours_worse.strongest == "rival 0" and ours_worse.p_worse < 0.01 and ours_worse.p_better > 0.5


@pytest.mark.parametrize("means", [[0.0, 0.0, 0.0], [0.0, 0.0, -0.002]])
def test_without_a_difference_little_is_called_one(monkeypatch, means):
    """Size, where all are equal and where one is as good and another bad: 60 markets, one in twenty each way."""
    monkeypatch.setattr(selection, "RESAMPLES", 200)
    random = np.random.default_rng(1)
    found = []
    for seed in range(60):
        table = returns(random, means)
        found.append(superiority(table["rival 0"], table.drop(columns="rival 0"), horizon=5, seed=seed))
    for null in ("p_better", "p_worse"):  # more than 8 of 60 at 5 % happen once in 250 times
        assert sum(getattr(one, null) <= 0.05 for one in found) <= 8
    assert min(one.p_worse for one in found) < 0.5


def test_a_rival_that_is_as_good_decides_however_bad_the_others_are():
    table = returns(np.random.default_rng(2), [0.0, 0.0, -0.01, -0.01])
    found = superiority(table["rival 0"], table.drop(columns="rival 0"), horizon=5, seed=1)
    assert found.strongest == "rival 1" and found.p_better > 0.05
    alone = superiority(table["rival 0"], table[["rival 2", "rival 3"]], horizon=5, seed=1)
    assert alone.p_better < 0.01


def test_the_same_portfolio_is_neither_better_nor_worse():
    table = returns(np.random.default_rng(3), [0.0])
    found = superiority(table["rival 0"], table.add_prefix("same "), horizon=5, seed=1)
    assert (found.p_better, found.p_worse, found.p, found.less) == (1, 1, 1, 0)


def test_few_horizons_have_no_p():
    table = returns(np.random.default_rng(4), [0.0, 0.0])
    found = superiority(table["rival 0"], table[["rival 1"]], horizon=20, seed=1)
    assert math.isnan(found.p_better) and math.isnan(found.p_worse) and math.isnan(found.p)
    assert found.block == 20 and "120 sessions hold 6 horizons of 20" in found.reason


def spread(trials: int, variance: float) -> list[float]:
    """So many ratios with that sample variance, around 0."""
    values = np.resize([1.0, -1.0], trials)
    values -= values.mean()
    return list(values * math.sqrt(variance) / values.std(ddof=1))


@pytest.mark.parametrize(("trials", "probability"), [(100, 0.9004), (46, 0.9505)])
def test_the_deflated_sharpe_ratio_is_that_of_its_authors(trials, probability):
    """The example of their paper: 2.5 a year over 5 years of 250 days, skewness −3, kurtosis 10, variance 1/2."""
    own = SharpeRatio(2.5 / math.sqrt(250), 1250, -3.0, 10.0)
    ratios = spread(trials, 0.5 / 250)
    assert deflated_sharpe_ratio(own, ratios) == pytest.approx(probability, abs=5e-4)
    if trials == 100:
        assert expected_maximum(ratios) == pytest.approx(0.1132, abs=5e-5)


def test_a_single_trial_has_the_probabilistic_sharpe_ratio():
    own = SharpeRatio(0.1, 101, 0.0, 3.0)
    assert expected_maximum([0.1]) == 0
    by_hand = 0.5 * (1 + math.erf(0.1 * 10 / math.sqrt(1 + 0.5 * 0.01) / math.sqrt(2)))
    assert deflated_sharpe_ratio(own, [0.1]) == probabilistic_sharpe_ratio(own) == pytest.approx(by_hand)


def test_moments_of_a_sharpe_ratio():
    values = pd.Series([0.01, -0.01, 0.03, 0.01, float("nan")])
    own = sharpe_ratio(values)
    deviation = values.dropna() - 0.01
    assert own.value == pytest.approx(0.01 / math.sqrt(8e-4 / 3)) and own.sessions == 4
    assert own.skew == pytest.approx((deviation**3).mean() / 2e-4**1.5, abs=1e-12)
    assert own.kurtosis == pytest.approx((deviation**4).mean() / 2e-4**2)
    assert math.isnan(sharpe_ratio(pd.Series([0.01, 0.01])).value)
    assert math.isnan(probabilistic_sharpe_ratio(sharpe_ratio(pd.Series([0.01]))))


def test_the_best_of_many_trials_without_skill_is_seldom_believed():
    random = np.random.default_rng(5)

    def believed(trials: int, probability: Callable[[SharpeRatio, list[float]], float]) -> float:
        found = []
        for _ in range(200):
            values = random.normal(0, 0.01, (trials, 120))
            ratios = list(values.mean(axis=1) / values.std(axis=1, ddof=1))
            best = sharpe_ratio(pd.Series(values[int(np.argmax(ratios))]))
            found.append(probability(best, ratios) > 0.95)
        return float(np.mean(found))

    assert believed(20, deflated_sharpe_ratio) < 0.05
    assert believed(20, lambda own, _: probabilistic_sharpe_ratio(own)) > 0.4  # what it would be without counting
    assert believed(1, deflated_sharpe_ratio) < 0.11

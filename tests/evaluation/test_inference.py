"""Means of days that share their future: errors against statsmodels, rejections and intervals against their promise."""

import numpy as np
import pandas as pd
import pytest

from kronos_lab.evaluation.inference import (
    days_that_overlap,
    hac_mean,
    interval,
    lag_of,
    resampled_means,
    separate_t,
    too_little,
)


def overlapping(series: int, days: int, horizon: int) -> np.ndarray:
    """Days without a mean, whose labels share sessions: [R, L]."""
    noise = np.random.default_rng(5).normal(size=(series, days + horizon - 1))
    return np.lib.stride_tricks.sliding_window_view(noise, horizon, axis=1).sum(axis=-1)


def test_the_error_is_that_of_statsmodels():
    import statsmodels.api

    values = overlapping(1, 90, 5)[0] + 0.4
    found = hac_mean(pd.Series(values), overlap=5)
    fitted = statsmodels.api.OLS(values, np.ones(90)).fit(cov_type="HAC", cov_kwds={"maxlags": lag_of(90, 5)})
    assert (found.mean, found.error, found.t) == pytest.approx((fitted.params[0], fitted.bse[0], fitted.tvalues[0]))


@pytest.mark.parametrize(("days", "horizon"), [(240, 10), (80, 1)])
def test_a_true_null_is_rejected_as_often_as_it_says(days, horizon):
    """At 5 %; a naive t, and normal values for the HAC one, reject far more often."""
    found = [hac_mean(pd.Series(values), horizon) for values in overlapping(600, days, horizon)]
    assert np.mean([one.p <= 0.05 for one in found]) == pytest.approx(0.05, abs=0.02)
    assert np.mean([abs(one.t) > 1.96 for one in found]) > 0.08


def test_what_could_be_told_from_zero_is_where_p_becomes_one_in_twenty():
    values = pd.Series(overlapping(1, 240, 5)[0])
    least = hac_mean(values, 5).detectable
    centred = values - values.mean()
    assert hac_mean(centred + 0.999 * least, 5).p > 0.05 > hac_mean(centred + 1.001 * least, 5).p
    assert np.isnan(hac_mean(values, 5, "too few days").detectable)


def test_t_of_days_that_do_not_overlap_by_hand():
    values = pd.Series([1.0, 10.0, 2.0, np.nan, 3.0, 14.0])
    assert separate_t(values, 2) == pytest.approx((2 / (1 / 3**0.5) + 12 / (8**0.5 / 2**0.5)) / 2)
    assert separate_t(values, 1) == pytest.approx(values.mean() / values.sem())
    assert np.isnan(separate_t(values, 4))  # its last start has one day


@pytest.mark.parametrize(("days", "horizon"), [(240, 10), (80, 1)])
def test_an_interval_holds_the_true_mean_as_often_as_it_says(days, horizon):
    values_LR = overlapping(400, days, horizon).T
    resampled = resampled_means(pd.DataFrame(values_LR), horizon, seed=1)
    ends = [interval(values_LR[:, r].mean(), resampled[r], days, horizon) for r in range(400)]
    assert np.mean([low <= 0 <= high for low, high in ends]) == pytest.approx(0.95, abs=0.025)


def test_a_difference_is_paired():
    """Two forecasts with the same luck and one a little better: each is uncertain, their difference is not."""
    luck = overlapping(1, 120, 4)[0]
    both = pd.DataFrame({"parent": luck, "finetuned": luck + 0.01})
    both["difference"] = both["finetuned"] - both["parent"]
    resampled = resampled_means(both, 4, seed=2)
    for name, (low, high) in {name: interval(both[name].mean(), resampled[name], 120, 4) for name in both}.items():
        assert (low > 0) == (name == "difference")
        assert low < both[name].mean() < high or name == "difference"
    pd.testing.assert_frame_equal(resampled, resampled_means(both, 4, seed=2))


def test_days_without_a_value_are_passed_over():
    values = pd.Series(overlapping(1, 100, 1)[0])
    gaps = values.where(values.index % 10 != 3)
    assert hac_mean(gaps, 1) == hac_mean(gaps.dropna(), 1)
    assert resampled_means(gaps.to_frame("a"), 1, 0)["a"].mean() == pytest.approx(gaps.mean(), abs=0.05)


def test_overlap_counts_the_days_that_were_chosen():
    assert days_that_overlap(horizon=10, stride=1) == 10
    assert days_that_overlap(horizon=10, stride=3.7) == 3
    assert days_that_overlap(horizon=1, stride=6) == 1


def test_too_few_days_have_no_p_value_and_say_why():
    assert too_little(days=200, horizon=10, stride=1) == ""
    assert too_little(days=50, horizon=10, stride=20) == ""
    reason = too_little(days=100, horizon=10, stride=1)
    assert reason.startswith("100 days hold 10 horizons of 10 bars") and reason.endswith("12 are needed")
    assert too_little(days=11, horizon=10, stride=40)  # far apart, but few
    found = hac_mean(pd.Series([0.1, 0.3, 0.2]), 1, reason)
    assert np.isnan(found.p) and found.reason == reason and found.t > 0
    assert np.isnan(hac_mean(pd.Series([0.1]), 1).t) and np.isnan(hac_mean(pd.Series([0.1, 0.1, 0.1]), 1).p)

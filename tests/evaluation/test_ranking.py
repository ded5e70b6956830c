"""Labels by hand, correlations against pandas and scipy, and what suspension does to both."""

import numpy as np
import pandas as pd
import pytest

from kronos_lab.evaluation.ranking import (
    close_to_close_return,
    daily_correlation,
    group_returns,
    hit_rate,
    open_to_open_return,
    rank_autocorrelation,
)

NAN = float("nan")


def frame(columns: dict[str, list[float]]) -> pd.DataFrame:
    length = len(next(iter(columns.values())))
    return pd.DataFrame(columns, index=pd.bdate_range("2024-07-01", periods=length))


@pytest.fixture
def noise() -> tuple[pd.DataFrame, pd.DataFrame]:
    random = np.random.default_rng(3)
    score = pd.DataFrame(random.normal(size=(12, 30)), index=pd.bdate_range("2024-07-01", periods=12))
    label = 0.3 * score + random.normal(size=score.shape)
    return score.mask(random.random(score.shape) < 0.1), label.mask(random.random(score.shape) < 0.1)


def test_the_label_runs_from_the_open_after_the_signal():
    label = open_to_open_return(frame({"A": [10.0, 11.0, 12.1, 24.2]}), horizon=1)["A"]
    assert label.iloc[0] == pytest.approx(12.1 / 11 - 1)
    assert label.iloc[1] == pytest.approx(1.0)
    assert label.iloc[2:].isna().all()


def test_longer_horizons_count_sessions_from_the_entry():
    label = open_to_open_return(frame({"A": [1.0, 2.0, 3.0, 5.0, 8.0]}), horizon=2)["A"]
    assert label.to_list()[:2] == [1.5, pytest.approx(8 / 3 - 1)]


def test_suspended_at_entry_has_no_label_and_suspended_at_exit_takes_the_first_open_afterwards():
    label = open_to_open_return(frame({"A": [10.0, 20.0, NAN, NAN, 50.0, 55.0]}), horizon=1)["A"]
    assert label.iloc[0] == pytest.approx(50 / 20 - 1)
    assert np.isnan(label.iloc[1])
    assert np.isnan(label.iloc[2])
    assert label.iloc[3] == pytest.approx(0.1)


def test_a_name_that_never_opens_again_has_no_label():
    assert open_to_open_return(frame({"A": [10.0, 20.0, NAN, NAN]}), horizon=1)["A"].isna().all()


def test_close_to_close_starts_at_the_signal_itself():
    label = close_to_close_return(frame({"A": [10.0, 11.0, NAN, 22.0]}), horizon=1)["A"]
    assert label.iloc[0] == pytest.approx(0.1)
    assert label.iloc[1] == pytest.approx(1.0)
    assert label.iloc[2:].isna().all()


@pytest.mark.parametrize(("ours", "pandas_name"), [("pearson", "pearson"), ("rank", "spearman")])
def test_daily_correlation_equals_pandas_day_by_day(noise, ours, pandas_name):
    score, label = noise
    expected = [score.loc[day].corr(label.loc[day], method=pandas_name) for day in score.index]
    np.testing.assert_allclose(daily_correlation(score, label, ours), expected, atol=1e-12)


def test_rank_ic_ignores_how_far_apart_the_scores_are(noise):
    score, label = noise
    pd.testing.assert_series_equal(
        daily_correlation(score, label, "rank"), daily_correlation(np.exp(score * 3), label, "rank")
    )


def test_labels_are_taken_at_the_days_and_names_of_the_scores(noise):
    score, label = noise
    shuffled = label.sample(frac=1, random_state=1).sample(frac=1, axis=1, random_state=2)
    pd.testing.assert_series_equal(
        daily_correlation(score, label, "pearson"), daily_correlation(score, shuffled, "pearson")
    )


def test_days_without_an_order_have_no_correlation(noise):
    score, label = noise
    score.iloc[0] = 0.1  # all equal
    score.iloc[1, 4:] = NAN  # too few names
    score.iloc[2] = NAN
    label.iloc[3] = NAN
    assert daily_correlation(score, label, "rank").isna().sum() == 4
    assert daily_correlation(score, label, "pearson").isna().sum() == 4


def test_hit_rate_by_hand():
    score = frame({"a": [1, 1], "b": [2, NAN], "c": [3, 3], "d": [4, 4], "e": [9, 9]})
    label = frame({"a": [-0.1, 0.3], "b": [0.5, 0.1], "c": [0.0, 0.2], "d": [0.1, NAN], "e": [-0.2, 0.1]})
    # Day 1: medians 3 and 0: a agrees, b does not, c is at both, d agrees, e does not. Day 2: a, c and e are left.
    assert hit_rate(score, label).tolist() == pytest.approx([2.5 / 5, 0.5 / 3])


def test_groups_by_hand():
    score = frame({name: [value, 1, value] for value, name in enumerate("abcdef")})
    label = frame({name: [value / 100, value / 100, value / 100] for value, name in enumerate("abcdef")})
    label.loc[label.index[2], list("cdef")] = NAN
    found = group_returns(score, label, 3)
    assert found.iloc[0].tolist() == pytest.approx([-0.02, 0.0, 0.02])  # less the mean of 0.025
    assert found.iloc[1].tolist() == pytest.approx([NAN, 0.0, NAN], nan_ok=True)  # all scores are equal
    assert found.iloc[2].isna().all()  # two names cannot be three groups


def test_the_order_of_scores_that_never_change_is_kept():
    score = pd.DataFrame(np.tile(np.arange(8.0), (5, 1)), index=pd.bdate_range("2024-07-01", periods=5))
    score.iloc[4] = score.iloc[4, ::-1].to_numpy()
    assert rank_autocorrelation(score, 1).tolist() == pytest.approx([NAN, 1, 1, 1, -1], nan_ok=True)
    assert rank_autocorrelation(score, 2).tolist() == pytest.approx([NAN, NAN, 1, 1, -1], nan_ok=True)


def test_tomorrows_return_as_score_is_perfect_and_yesterdays_is_not():
    random = np.random.default_rng(0)
    opens = pd.DataFrame(np.exp(random.normal(0, 0.02, size=(300, 40)).cumsum(axis=0)))
    label = open_to_open_return(opens, 1)
    assert daily_correlation(label, label, "rank").mean() == pytest.approx(1)
    of_yesterday = daily_correlation(opens.pct_change(), label, "rank")
    assert abs(of_yesterday.mean()) < 3 * of_yesterday.sem()

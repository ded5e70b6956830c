"""Scores by hand, in return units, and their way into a frame and back."""

import numpy as np
import pandas as pd
import pytest

from kronos_lab.backtesting.signals import (
    ExpectedReturn,
    PathQuantile,
    RiseProbability,
    check_signal,
    long_format,
    score_frame,
)
from kronos_lab.errors import InputError

LAST_CLOSE = np.array([10.0, 4.0], dtype=np.float32)
CLOSE_BPH = np.array([[[10.5, 11.0], [9.0, 9.0], [10.0, 13.0]], [[4.0, 4.0], [4.0, 2.0], [4.0, 8.0]]], dtype=np.float32)


def test_expected_return_is_the_mean_over_paths():
    np.testing.assert_allclose(ExpectedReturn(horizon=2)(CLOSE_BPH, LAST_CLOSE), [0.1, 1 / 6])
    np.testing.assert_allclose(ExpectedReturn(horizon=1)(CLOSE_BPH, LAST_CLOSE), [-0.05 / 3, 0.0], atol=1e-15)


def test_path_quantile_and_probability_of_a_rise():
    np.testing.assert_allclose(PathQuantile(2, 0.5)(CLOSE_BPH, LAST_CLOSE), [0.1, 0.0])
    np.testing.assert_allclose(PathQuantile(2, 0.0)(CLOSE_BPH, LAST_CLOSE), [-0.1, -0.5])
    np.testing.assert_allclose(RiseProbability(2)(CLOSE_BPH, LAST_CLOSE), [2 / 3, 1 / 3])


@pytest.mark.parametrize("signal", [ExpectedReturn(2), PathQuantile(2, 0.3), RiseProbability(2)])
def test_scores_do_not_depend_on_the_price_level(signal):
    scaled = signal(CLOSE_BPH * 8, LAST_CLOSE * 8)
    np.testing.assert_array_equal(scaled, signal(CLOSE_BPH, LAST_CLOSE))


def test_a_horizon_outside_the_paths_is_refused_before_and_after_the_forecasts():
    with pytest.raises(InputError, match=r"signal\.horizon=3 is not within the 2 forecast bars"):
        ExpectedReturn(3)(CLOSE_BPH, LAST_CLOSE)
    with pytest.raises(InputError, match=r"signal\.horizon=3 is not within the 2 forecast bars"):
        check_signal(ExpectedReturn(3), paths=5, horizon=2)
    check_signal(PathQuantile(2, 0.5), paths=5, horizon=2)


@pytest.mark.parametrize("horizon", [0, 1.5, "2", None])
def test_a_horizon_that_counts_nothing_is_refused(horizon):
    for make in (ExpectedReturn, RiseProbability, lambda horizon: PathQuantile(horizon, 0.5)):
        with pytest.raises(InputError, match=r"signal\.horizon=.* must be a whole number, at least 1"):
            make(horizon)


@pytest.mark.parametrize("quantile", [5, "half", float("nan")])
def test_a_quantile_outside_0_to_1_is_refused(quantile):
    with pytest.raises(InputError, match=rf"signal\.quantile={quantile} is not between 0 and 1"):
        PathQuantile(1, quantile)


def test_scores_become_a_sorted_frame_and_a_sorted_table():
    dates = np.array(["2024-07-02", "2024-07-01", "2024-07-01"], dtype="datetime64[ns]")
    frame = score_frame(dates, np.array(["B", "B", "A"]), np.array([0.3, 0.2, 0.1]))
    assert frame.columns.to_list() == ["A", "B"]
    assert frame.loc["2024-07-01"].to_list() == [0.1, 0.2]
    assert np.isnan(frame.loc["2024-07-02", "A"])
    table = long_format(frame)
    assert table.columns.to_list() == ["date", "symbol", "score"]
    assert table["symbol"].to_list() == ["A", "B", "B"]
    pd.testing.assert_frame_equal(score_frame(table["date"], table["symbol"], table["score"]), frame)


def test_a_series_scored_twice_is_an_error():
    day = np.array(["2024-07-01", "2024-07-01"], dtype="datetime64[ns]")
    with pytest.raises(InputError, match="A on 2024-07-01"):
        score_frame(day, np.array(["A", "A"]), np.array([1.0, 2.0]))
